"""Training of ToonGAN, in images/s, beside a plain fp32 loop of the same networks.

    python -m benchmarks.train_toongan [--rounds 2] [--steps 4] [--json FILE]

Both play the game of the preset `laptop`: half of a batch redraws real pictures, the other half
deceives a projected discriminator. The plain loop is what most people would write of it: a set of
convolution weights for each sample, fp32 as it comes, and each network's turn drawn on its own.
"""

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.contenders import Contender, Job, Race, Timed
from benchmarks.table import command
from toonify import images
from toonify.models import stylegan2, toongan
from training.gan.projected_discriminator import ProjectedDiscriminator
from training.toongan.autoencoder import Redrawing
from training.toongan.config import TOONGAN_PRESETS

PRESET = TOONGAN_PRESETS["laptop"]


def plain_loop(batch: int, steps: int, resolution: int) -> float:
    """Seconds a step of the game, written as most people would; fp32."""
    torch.manual_seed(0)
    toongan.modulated_conv2d = partial(stylegan2.modulated_conv2d, grouped=True)
    s = PRESET
    generator = toongan.ToonGANGenerator(
        resolution, s.z_dim, s.w_dim, s.mapping_layers, s.channels
    ).train()
    G, D = Redrawing(generator), ProjectedDiscriminator(resolution)
    slow = [parameter.detach().clone() for parameter in generator.parameters()]
    opt_g = torch.optim.Adam(G.parameters(), s.lr_g, (0.0, s.beta2))
    opt_d = torch.optim.Adam(D.heads.parameters(), s.lr_d, (0.0, s.beta2))
    real = torch.rand(batch, 3, resolution, resolution) * 2 - 1
    redrawn = round(s.redraw * batch)

    def draw():
        noise = {name: torch.randn(batch, s.z_dim) for name in ("z", "other", "jitter")}
        cut = torch.randint(1, generator.num_ws, (batch,))
        cut[torch.rand(batch) > s.mixing] = generator.num_ws
        return G({"real": real, "redrawn": redrawn, "cut": cut, **noise})

    def take(optimizer, loss) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        with torch.no_grad():
            fake = draw()[0][redrawn:]
        D.requires_grad_(True)
        take(opt_d, (1 - D(real[redrawn:])).relu().mean() + (1 + D(fake)).relu().mean())
        D.requires_grad_(False)
        picture, _, parts = draw()
        loss = -D(picture[redrawn:]).mean() + s.weight_redraw * parts["redraw"]
        take(opt_g, loss + s.weight_prior * parts["prior"] + s.weight_match * parts["match"])
        with torch.no_grad():
            for a, b in zip(slow, generator.parameters(), strict=True):
                a.lerp_(b, 0.001)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def our_loop(batch: int, steps: int, resolution: int) -> float:
    """Seconds a step of the package's own training, by its own log."""
    from training.core.config import replace_settings
    from training.core.trainer import train
    from training.toongan.objective import ToonGANObjective

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(batch):
            noise = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
            images.save(noise.resize((resolution, resolution)), Path(folder, "data", f"{i}.png"))
        never = 10**6
        settings = replace_settings(
            PRESET,
            **dict(data=str(Path(folder, "data")), out=str(Path(folder, "run")), batch=batch),
            **dict(resolution=resolution, warm_images=0, max_images=batch * (steps + 1)),
            **dict(log_every_images=batch, sample_every_images=never, trackers="none"),
            **dict(save_every_images=never, validate_every_images=never),
        )
        train(ToonGANObjective(settings, torch.device("cpu")), settings)
        lines = Path(folder, "run", "log.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    return statistics.median(np.diff(seconds))


def plain(*shape: int) -> Job:
    return Job(lambda: Timed(plain_loop(*shape)), {"images": shape[0]})


def ours(*shape: int) -> Job:
    return Job(lambda: Timed(our_loop(*shape)), {"images": shape[0]})


def race(
    quick: bool = False, batch: int = PRESET.batch, steps: int = 8, resolution: int = 128
) -> Race:
    shape = (batch, 4 if quick else steps, resolution)
    contenders = (
        Contender("plain loop, fp32", partial(plain, *shape)),
        Contender("ours, preset laptop", partial(ours, *shape)),
    )
    title = f"ToonGAN training, {resolution} px, batch {batch}"
    return Race(title, contenders, rounds=1 if quick else 2, warm=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=PRESET.batch)
    parser.add_argument("--steps", type=int, default=8, help="timed steps a turn, after one more")
    command(parser, lambda options: [race(batch=options.batch, steps=options.steps)])


if __name__ == "__main__":
    main()
