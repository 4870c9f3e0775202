"""Training of ToonGAN, in images/s, beside an ordinary fp32 loop of the same networks.

    python -m benchmarks.train_toongan [--rounds 2] [--steps 4] [--json FILE]

Both train as the preset `laptop`: half of a batch reconstructs real images, the other half
deceives a projected discriminator. The baseline is what most people would write of it: a set of
convolution weights for each sample, fp32 as it comes, and each network's turn drawn on its own.
"""

import statistics
import time
from functools import partial

import torch

from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Timed, Workload
from benchmarks.training_run import save_noise, take_step, time_training
from toonify.models import stylegan2, toongan
from training.gan.projected_discriminator import ProjectedDiscriminator
from training.toongan.autoencoder import AutoencodingGenerator
from training.toongan.config import TOONGAN_PRESETS

PRESET = TOONGAN_PRESETS["laptop"]


def train_baseline(batch: int, steps: int, resolution: int) -> float:
    """Seconds per adversarial step of a plain implementation in fp32."""
    torch.manual_seed(0)
    toongan.modulated_conv2d = partial(stylegan2.modulated_conv2d, grouped=True)
    s = PRESET
    generator = toongan.ToonGANGenerator(
        resolution, s.z_dim, s.w_dim, s.mapping_layers, s.channels
    ).train()
    G, D = AutoencodingGenerator(generator), ProjectedDiscriminator(resolution)
    ema = [parameter.detach().clone() for parameter in generator.parameters()]
    opt_g = torch.optim.Adam(G.parameters(), s.lr_g, (0.0, s.beta2))
    opt_d = torch.optim.Adam(D.heads.parameters(), s.lr_d, (0.0, s.beta2))
    real = torch.rand(batch, 3, resolution, resolution) * 2 - 1
    redrawn = round(s.reconstruction_share * batch)

    def draw():
        noise = {name: torch.randn(batch, s.z_dim) for name in ("z", "other", "eps")}
        cut = torch.randint(1, generator.num_ws, (batch,))
        cut[torch.rand(batch) > s.mixing] = generator.num_ws
        return G({"real": real, "reconstructed": redrawn, "cut": cut, **noise})

    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        with torch.no_grad():
            fake = draw()[0][redrawn:]
        D.requires_grad_(True)
        take_step(opt_d, (1 - D(real[redrawn:])).relu().mean() + (1 + D(fake)).relu().mean())
        D.requires_grad_(False)
        picture, _, parts = draw()
        loss = -D(picture[redrawn:]).mean() + s.weight_reconstruction * parts["reconstruction"]
        loss = loss + s.weight_prior * parts["prior"] + s.weight_moments * parts["moments"]
        take_step(opt_g, loss)
        with torch.no_grad():
            for a, b in zip(ema, generator.parameters(), strict=True):
                a.lerp_(b, 0.001)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def train_toonify(batch: int, steps: int, resolution: int) -> float:
    """Seconds a step of the package's own training, by its own log."""
    from training.toongan.objective import ToonGANObjective

    def save_data(folder):
        for i in range(batch):
            save_noise(folder / f"{i}.png", i, 8, (resolution, resolution))

    sizes = dict(batch=batch, resolution=resolution, warmup_images=0)
    return time_training(ToonGANObjective, PRESET, save_data, batch, steps + 1, **sizes)


def prepare_baseline(*shape: int) -> Workload:
    return Workload(lambda: Timed(train_baseline(*shape)), {"images": shape[0]})


def prepare_toonify(*shape: int) -> Workload:
    return Workload(lambda: Timed(train_toonify(*shape)), {"images": shape[0]})


def make_benchmark(
    quick: bool = False, batch: int = PRESET.batch, steps: int = 8, resolution: int = 128
) -> Benchmark:
    shape = (batch, 4 if quick else steps, resolution)
    cases = (
        Case("baseline loop, fp32", partial(prepare_baseline, *shape)),
        Case("Toonify, preset laptop", partial(prepare_toonify, *shape)),
    )
    title = f"ToonGAN training, {resolution} px, batch {batch}"
    return Benchmark(title, cases, rounds=1 if quick else 2, warm=0)


def main() -> None:
    command(
        __doc__,
        lambda **options: [make_benchmark(**options)],
        batch=dict(type=int, default=PRESET.batch),
        steps=dict(type=int, default=8, help="timed steps a turn, after one more"),
    )


if __name__ == "__main__":
    main()
