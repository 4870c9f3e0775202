"""Training of AnimeGANv2, in images/s, beside a plain fp32 loop of the published recipe.

    python -m benchmarks.train_animegan [--rounds 2] [--steps 4] [--json FILE]

Ours is the package's own loop (its defaults: bf16 where a unit for it exists, channels last,
MobileNetV2 as perceptual network), beside an ordinary PyTorch loop in fp32 with VGG19, as
published, and the same with MobileNetV2. All are in the adversarial phase: generator, discriminator
and perceptual network in every step.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.models import mobilenet_v2, vgg19

from benchmarks.contenders import Contender, Job, Race, Timed
from benchmarks.table import command
from toonify import images
from toonify.models.animegan import AnimeGANGenerator
from training.gan.discriminators import AnimeGANDiscriminator
from training.prepare.edge_smooth import smooth_folder


def gray(image):
    return (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, True)


def gram(features):
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def plain_loop(network: torch.nn.Module, batch: int, size: int, steps: int) -> float:
    """Seconds a step of the published recipe, written as most people would; fp32."""
    torch.manual_seed(0)
    G, D = AnimeGANGenerator(), AnimeGANDiscriminator()
    network = network.eval().requires_grad_(False)
    opt_g = torch.optim.Adam(G.parameters(), 2e-5, (0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 4e-5, (0.5, 0.999))
    photo, style, smooth = torch.rand(3, batch, 3, size, size) * 2 - 1
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        fake = G(photo)
        style_gray, smooth_gray = (gray(x).expand_as(x) for x in (style, smooth))
        loss_d = 1.2 * (D(style) - 1).square().mean() + 1.2 * D(fake.detach()).square().mean()
        loss_d = loss_d + 1.2 * D(style_gray).square().mean() + 0.8 * D(smooth_gray).square().mean()
        opt_d.zero_grad()
        (300 * loss_d).backward()
        opt_d.step()

        drawn = network(fake)
        loss = 300 * (D(fake) - 1).square().mean() + 1.5 * F.l1_loss(drawn, network(photo))
        loss = loss + 2.5 * F.l1_loss(gram(drawn), gram(network(style_gray)))
        loss = loss + 15 * F.huber_loss(fake, photo)
        loss = loss + (fake[..., 1:] - fake[..., :-1]).square().mean() / 2
        loss = loss + (fake[..., 1:, :] - fake[..., :-1, :]).square().mean() / 2
        opt_g.zero_grad()
        loss.backward()
        opt_g.step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def our_loop(batch: int, size: int, steps: int) -> float:
    """Seconds a step of the package's own training, by its own log."""
    from training.animegan.config import ANIMEGAN_PRESETS
    from training.animegan.objective import AnimeGANObjective
    from training.core.config import replace_settings
    from training.core.trainer import train

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        rng = np.random.default_rng(0)
        for i in range(8):
            for place in ("train_photo", "noise/style"):
                noise = rng.integers(0, 255, (size // 8, size // 8, 3), np.uint8)
                picture = Image.fromarray(noise).resize((size + 8 * i, size + 8))
                images.save(picture, data / place / f"{place[:5]}{i}.png")
        smooth_folder(data / "noise")
        never = 10**6
        settings = replace_settings(
            ANIMEGAN_PRESETS["unpaired"],
            **dict(data=str(data), style="noise", out=str(Path(folder) / "run"), batch=batch),
            **dict(crop_sizes=((0, size),), max_images=batch * (steps + 1), init_images=0),
            **dict(log_every_images=batch, sample_every_images=never, save_every_images=never),
            **dict(validate_every_images=never, trackers="none"),
        )
        train(AnimeGANObjective(settings, torch.device("cpu")), settings)
        lines = (Path(folder) / "run" / "log.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    return statistics.median(np.diff(seconds))


def vgg() -> torch.nn.Module:
    """To conv4_4 before its ReLU, as published; random weights take as long as trained ones."""
    return vgg19(weights=None).features[:26]


def small() -> torch.nn.Module:
    return mobilenet_v2(weights=None).features[:11]


def plain(network, batch: int, size: int, steps: int) -> Job:
    run = functools.partial(plain_loop, network(), batch, size, steps)
    return Job(lambda: Timed(run()), {"images": batch})


def ours(batch: int, size: int, steps: int) -> Job:
    return Job(lambda: Timed(our_loop(batch, size, steps)), {"images": batch})


def race(quick: bool = False, batch: int = 4, size: int = 256, steps: int = 4) -> Race:
    shape = (batch, size, 1 if quick else steps)
    contenders = (
        Contender("plain loop, fp32, VGG19", functools.partial(plain, vgg, *shape)),
        Contender("plain loop, fp32, MobileNetV2", functools.partial(plain, small, *shape)),
        Contender("ours", functools.partial(ours, *shape)),
    )
    title = f"AnimeGANv2 training, {size} px, batch {batch}, adversarial phase"
    return Race(title, contenders, rounds=1 if quick else 2, warm=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="px of the square crops")
    parser.add_argument("--steps", type=int, default=4, help="timed steps a turn, after one more")
    command(
        parser,
        lambda options: [race(batch=options.batch, size=options.size, steps=options.steps)],
    )


if __name__ == "__main__":
    main()
