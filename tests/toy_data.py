"""A toy data set for training: small photos, their drawings, smoothed copies, a few faces."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from toonify import images
from training.prepare import edge_smooth

# Command line settings that make a run a matter of seconds.
TOY = dict(
    style="toy", width=4, depth=1, critic_width=4, batch=4, crop_sizes="0:32,24:40",
    init_images=16, precision="fp32", seed=3, trackers="none", log_every_images=4,
    sample_every_images=1000, save_every_images=8, validate_every_images=1000,
)  # fmt: skip

STYLEGAN_TOY = dict(
    resolution=32, latent=16, channel_base=256, channel_max=16, critic_base=256, critic_max=16,
    mapping_layers=2, mbstd_group=2, batch=4, max_images=16, precision="fp32", trackers="none",
    log_every_images=4, sample_every_images=1000, save_every_images=8, score_samples=8,
    validate_every_images=1000, r1_every=2, path_every=2, ada_images=64, seed=3,
    ema_half_life_images=20.0, weight_path=2.0,
)  # fmt: skip

TOONGAN_TOY = dict(
    resolution=64, z_dim=6, w_dim=8, mapping_layers=2, channels=(8, 8, 8, 8, 4, 4), critic_base=128,
    critic_max=8, mbstd_group=2, batch=4, max_images=16, precision="fp32", trackers="none",
    log_every_images=4, sample_every_images=1000, save_every_images=8, score_samples=8,
    validate_every_images=1000, r1_every=2, ada_images=64, seed=3, ema_half_life_images=20.0,
)  # fmt: skip
SEED_TOY = dict(
    z_dim=6, channels=(8, 8, 6, 4), critic_channels=(4, 6, 8), batch=4, max_images=16,
    trackers="none", log_every_images=4, sample_every_images=1000, save_every_images=8,
    score_samples=8, validate_every_images=1000, seed=3,
)  # fmt: skip


def write_faces(folder: Path, count: int = 6) -> Path:
    """`count` small drawings of a face."""
    for i in range(count):
        face = Image.new("RGB", (72, 72), (40 * i, 90, 200 - 30 * i))
        pen = ImageDraw.Draw(face)
        pen.ellipse((12, 8, 60, 68), fill=(230, 180 - 10 * i, 150))
        for x in (26, 46):
            pen.ellipse((x - 4, 30, x + 4, 38 + i), fill=(20, 30, 60))
        images.save(face, folder / f"{i}.png")
    return folder


def power_cut(objective, step: int) -> None:
    """Lets the generator's step number `step` fail; never if it is 0."""
    whole, calls = objective.generator, []

    def generator(*arguments):
        calls.append(1)
        if len(calls) == step:
            raise RuntimeError("power cut")
        return whole(*arguments)

    objective.generator = generator


def write_pairs(folder: Path, count: int = 6) -> Path:
    """`count` photos, their drawings (pairs), smoothed copies, and faces for half of them."""
    rng = np.random.default_rng(0)
    faces = {}
    for i in range(count):
        photo = Image.fromarray(rng.integers(0, 255, (72, 80, 3), np.uint8)).resize((80, 96))
        ImageDraw.Draw(photo).ellipse((20, 20, 60, 70), fill=(200, 40 * i, 90))
        images.save(photo, folder / "train_photo" / f"{i}.png")
        images.save(photo.quantize(8).convert("RGB"), folder / "toy" / "style" / f"{i}.png")
        faces[str(i)] = [[[30, 40], [50, 40], [40, 50], [32, 58], [48, 58]]] if i % 2 else []
    (folder / "faces.json").write_text(json.dumps(faces))
    edge_smooth.smooth_folder(folder / "toy")
    return folder


def options(toy: dict = TOY, **changes) -> list[str]:
    """`toy` and what changes it, as a command line; underscores in names become hyphens."""
    chosen = {
        f"--{name.replace('_', '-')}": value if isinstance(value, tuple) else (value,)
        for name, value in (toy | changes).items()
    }
    return [p for name, value in chosen.items() for p in (name, ",".join(map(str, value)))]
