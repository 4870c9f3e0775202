"""Training of StyleGAN2, in images/s, beside a plain fp32 loop of the published step.

    python -m benchmarks.train_stylegan [--resolution 64] [--channel-base 2048] [--rounds 2]

The plain loop is an ordinary one in fp32 of what is published (Karras et al. 2020, and 2020a for
the discriminator): a set of convolution weights for each sample, each network's pass and each
penalty on its own, path lengths of half a batch every 4 steps, R1 of the batch every 16. Ours is
the package's own with the same networks, penalties and batch. Neither augments. Timed is a whole
round of 16 steps.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.contenders import Contender, Job, Race, Timed
from benchmarks.table import command
from toonify import images
from toonify.models import stylegan2
from training.gan.discriminators import StyleGAN2Discriminator

ROUND = 16  # steps in which every penalty is met
LATENT, MAPPING, MIXING = 128, 2, 0.9


def plain_loop(batch: int, resolution: int, base: int, most: int, rounds: int) -> float:
    """Seconds a round of the published step, written as most people would."""
    torch.manual_seed(0)
    stylegan2.modulated_conv2d = partial(stylegan2.modulated_conv2d, grouped=True)
    shape = dict(resolution=resolution, channel_base=base, channel_max=most)
    G = stylegan2.StyleGAN2Generator(
        **shape, z_dim=LATENT, w_dim=LATENT, mapping_layers=MAPPING
    ).train()
    slow = stylegan2.StyleGAN2Generator(
        **shape, z_dim=LATENT, w_dim=LATENT, mapping_layers=MAPPING
    ).requires_grad_(False)
    D = StyleGAN2Discriminator(**shape)
    opt_g = torch.optim.Adam(G.parameters(), 2.5e-3, (0.0, 0.99))
    opt_d = torch.optim.Adam(D.parameters(), 2.5e-3, (0.0, 0.99))
    real = torch.rand(batch, 3, resolution, resolution) * 2 - 1
    mean_length = torch.zeros(())

    def draw(count: int):
        w, other = (G.mapping(torch.randn(count, LATENT)) for _ in range(2))
        ws = w[:, None].repeat(1, G.num_ws, 1)
        if torch.rand(()) < MIXING:
            cut = int(torch.randint(1, G.num_ws, ()))
            ws = torch.cat((ws[:, :cut], other[:, None].expand(-1, G.num_ws - cut, -1)), 1)
        return G.synthesis(ws, noise="random"), ws

    def take(optimizer, loss) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times = []
    for step in range(ROUND * (rounds + 1)):
        started = time.perf_counter()
        D.requires_grad_(False)
        take(opt_g, F.softplus(-D(draw(batch)[0])).mean())
        if step % 4 == 0:
            picture, ws = draw(batch // 2)
            noise = torch.randn_like(picture) / resolution
            (slope,) = torch.autograd.grad((picture * noise).sum(), ws, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            mean_length = mean_length.lerp(lengths.mean().detach(), 0.01)
            take(opt_g, 4 * 2 * (lengths - mean_length).square().mean())
        D.requires_grad_(True)
        with torch.no_grad():
            fake = draw(batch)[0]
        take(opt_d, F.softplus(D(fake)).mean() + F.softplus(-D(real)).mean())
        if step % 16 == 0:
            seen = real.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(D(seen).sum(), seen, create_graph=True)
            take(opt_d, 16 * 0.05 / 2 * slope.square().sum((1, 2, 3)).mean())
        with torch.no_grad():
            for a, b in zip(slow.parameters(), G.parameters(), strict=True):
                a.lerp_(b, 0.001)
        times.append(time.perf_counter() - started)
    return float(np.median(by_round(times)))


def by_round(times: list[float]) -> list[float]:
    """Seconds of each round but the first, in which memory is laid out."""
    return [sum(times[i : i + ROUND]) for i in range(ROUND, len(times), ROUND)]


def our_loop(batch: int, resolution: int, base: int, most: int, rounds: int) -> float:
    """Seconds a round of the package's own training, by its own log."""
    from training.core.config import replace_settings
    from training.core.trainer import train
    from training.stylegan.config import STYLEGAN_PRESETS
    from training.stylegan.objective import StyleGANObjective

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(2 * batch):
            noise = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
            images.save(noise.resize((resolution, resolution)), Path(folder, "data", f"{i}.png"))
        never = 10**6
        settings = replace_settings(
            STYLEGAN_PRESETS["laptop64"],
            **dict(data=str(Path(folder, "data")), out=str(Path(folder, "run")), batch=batch),
            **dict(resolution=resolution, channel_base=base, channel_max=most, latent=LATENT),
            **dict(weight_path=2.0, augment="none", max_images=batch * ROUND * (rounds + 1)),
            **dict(log_every_images=batch * ROUND, sample_every_images=never, trackers="none"),
            **dict(save_every_images=never, validate_every_images=never, mixing=MIXING),
        )
        train(StyleGANObjective(settings, torch.device("cpu")), settings)
        lines = Path(folder, "run", "log.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    return float(np.median(np.diff(seconds)))


def plain(*shape: int) -> Job:
    return Job(lambda: Timed(plain_loop(*shape)), {"images": shape[0] * ROUND})


def ours(*shape: int) -> Job:
    return Job(lambda: Timed(our_loop(*shape)), {"images": shape[0] * ROUND})


def race(
    quick: bool = False,
    batch: int = 16,
    resolution: int = 64,
    base: int = 2048,
    most: int = 64,
    timed: int = 1,
) -> Race:
    batch = batch // 2 if quick else batch
    shape = (batch, resolution, base, most, timed)
    contenders = (
        Contender("plain loop, fp32", partial(plain, *shape)),
        Contender("ours", partial(ours, *shape)),
    )
    title = (
        f"StyleGAN2 training, {resolution} px, batch {batch}, {base} / px channels, at most {most}"
    )
    return Race(title, contenders, rounds=1 if quick else 2, warm=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=2048, dest="base")
    parser.add_argument("--channel-max", type=int, default=64, dest="most")
    parser.add_argument("--timed", type=int, default=1, help="rounds of 16 steps, after one more")
    shape = ("batch", "resolution", "base", "most", "timed")
    command(parser, lambda options: [race(**{name: getattr(options, name) for name in shape})])


if __name__ == "__main__":
    main()
