"""Training of StyleGAN2, in images/s, beside an ordinary fp32 loop of the published step.

    python -m benchmarks.train_stylegan [--resolution 64] [--channel-base 2048] [--rounds 2]

The baseline is an ordinary one in fp32 of what is published (Karras et al. 2020, and 2020a for
the discriminator): a set of convolution weights for each sample, each network's pass and each
penalty on its own, path lengths of half a batch every 4 steps, R1 of the batch every 16. Toonify is
the package's own with the same networks, penalties and batch. Neither augments. Timed is a whole
round of 16 steps.
"""

import time
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Timed, Workload
from benchmarks.training_run import save_noise, take_step, time_training
from toonify.models import stylegan2
from training.gan.discriminators import StyleGAN2Discriminator

ROUND = 16  # steps in which every penalty is met
LATENT, MAPPING, MIXING = 128, 2, 0.9


def train_baseline(batch: int, resolution: int, base: int, most: int, rounds: int) -> float:
    """Seconds a round of the published step, written as most people would."""
    torch.manual_seed(0)
    stylegan2.modulated_conv2d = partial(stylegan2.modulated_conv2d, grouped=True)
    shape = dict(resolution=resolution, channel_base=base, channel_max=most)
    latent = dict(z_dim=LATENT, w_dim=LATENT, mapping_layers=MAPPING)
    G = stylegan2.StyleGAN2Generator(**shape, **latent).train()
    ema = stylegan2.StyleGAN2Generator(**shape, **latent).requires_grad_(False)
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

    times = []
    for step in range(ROUND * (rounds + 1)):
        started = time.perf_counter()
        D.requires_grad_(False)
        take_step(opt_g, F.softplus(-D(draw(batch)[0])).mean())
        if step % 4 == 0:
            picture, ws = draw(batch // 2)
            noise = torch.randn_like(picture) / resolution
            (gradient,) = torch.autograd.grad((picture * noise).sum(), ws, create_graph=True)
            lengths = gradient.square().sum(2).mean(1).sqrt()
            mean_length = mean_length.lerp(lengths.mean().detach(), 0.01)
            take_step(opt_g, 4 * 2 * (lengths - mean_length).square().mean())
        D.requires_grad_(True)
        with torch.no_grad():
            fake = draw(batch)[0]
        take_step(opt_d, F.softplus(D(fake)).mean() + F.softplus(-D(real)).mean())
        if step % 16 == 0:
            seen = real.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(D(seen).sum(), seen, create_graph=True)
            take_step(opt_d, 16 * 0.05 / 2 * gradient.square().sum((1, 2, 3)).mean())
        with torch.no_grad():
            for a, b in zip(ema.parameters(), G.parameters(), strict=True):
                a.lerp_(b, 0.001)
        times.append(time.perf_counter() - started)
    return float(np.median(by_round(times)))


def by_round(times: list[float]) -> list[float]:
    """Seconds of each round but the first, in which memory is laid out."""
    return [sum(times[i : i + ROUND]) for i in range(ROUND, len(times), ROUND)]


def train_toonify(batch: int, resolution: int, base: int, most: int, rounds: int) -> float:
    """Seconds a round of the package's own training, by its own log."""
    from training.stylegan.config import STYLEGAN_PRESETS
    from training.stylegan.objective import StyleGANObjective

    def save_data(folder):
        for i in range(2 * batch):
            save_noise(folder / f"{i}.png", i, 8, (resolution, resolution))

    preset, logged = STYLEGAN_PRESETS["laptop64"], batch * ROUND
    return time_training(
        *(StyleGANObjective, preset, save_data, logged, rounds + 1),
        **dict(batch=batch, resolution=resolution, channel_base=base, channel_max=most),
        **dict(latent=LATENT, weight_path=2.0, augment="none", mixing=MIXING),
    )


def prepare_baseline(*shape: int) -> Workload:
    return Workload(lambda: Timed(train_baseline(*shape)), {"images": shape[0] * ROUND})


def prepare_toonify(*shape: int) -> Workload:
    return Workload(lambda: Timed(train_toonify(*shape)), {"images": shape[0] * ROUND})


def make_benchmark(
    quick: bool = False,
    batch: int = 16,
    resolution: int = 64,
    base: int = 2048,
    most: int = 64,
    timed: int = 1,
) -> Benchmark:
    batch = batch // 2 if quick else batch
    shape = (batch, resolution, base, most, timed)
    cases = (
        Case("baseline loop, fp32", partial(prepare_baseline, *shape)),
        Case("Toonify", partial(prepare_toonify, *shape)),
    )
    title = (
        f"StyleGAN2 training, {resolution} px, batch {batch}, {base} / px channels, at most {most}"
    )
    return Benchmark(title, cases, rounds=1 if quick else 2, warm=0)


def main() -> None:
    command(
        __doc__,
        lambda **options: [make_benchmark(**options)],
        **{
            "batch": dict(type=int, default=16),
            "resolution": dict(type=int, default=64),
            "channel-base": dict(type=int, default=2048, dest="base"),
            "channel-max": dict(type=int, default=64, dest="most"),
            "timed": dict(type=int, default=1, help="rounds of 16 steps, after one more"),
        },
    )


if __name__ == "__main__":
    main()
