"""Training of AnimeGANv2, in images/s, beside an ordinary fp32 loop of the published recipe.

    python -m benchmarks.train_animegan [--rounds 2] [--steps 4] [--json FILE]

Toonify is the package's own loop (its defaults: bf16 where a unit for it exists, channels last,
MobileNetV2 as perceptual network), beside an ordinary PyTorch loop in fp32 with VGG19, as
published, and the same with MobileNetV2. All are in the adversarial phase: generator, discriminator
and perceptual network in every step.
"""

import statistics
import time
from functools import partial

import torch
import torch.nn.functional as F
from torchvision.models import mobilenet_v2, vgg19

from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Timed, Workload
from benchmarks.training_run import save_noise, take_step, time_training
from toonify.models.animegan import AnimeGANGenerator
from training.gan.discriminators import AnimeGANDiscriminator
from training.prepare.edge_smooth import smooth_folder


def gray(image):
    return (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, True)


def gram(features):
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def train_baseline(network: torch.nn.Module, batch: int, size: int, steps: int) -> float:
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
        take_step(opt_d, 300 * loss_d)
        drawn = network(fake)
        loss = 300 * (D(fake) - 1).square().mean() + 1.5 * F.l1_loss(drawn, network(photo))
        loss = loss + 2.5 * F.l1_loss(gram(drawn), gram(network(style_gray)))
        loss = loss + 15 * F.huber_loss(fake, photo)
        loss = loss + (fake[..., 1:] - fake[..., :-1]).square().mean() / 2
        loss = loss + (fake[..., 1:, :] - fake[..., :-1, :]).square().mean() / 2
        take_step(opt_g, loss)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def train_toonify(batch: int, size: int, steps: int) -> float:
    """Seconds a step of the package's own training, by its own log."""
    from training.animegan.config import ANIMEGAN_PRESETS
    from training.animegan.objective import AnimeGANObjective

    def save_data(folder):
        for i in range(8):
            for number, place in enumerate(("train_photo", "noise/style")):
                file = folder / place / f"{place[:5]}{i}.png"
                save_noise(file, 2 * i + number, size // 8, (size + 8 * i, size + 8))
        smooth_folder(folder / "noise")

    preset = ANIMEGAN_PRESETS["unpaired"]
    return time_training(
        *(AnimeGANObjective, preset, save_data, batch, steps + 1),
        **dict(style="noise", batch=batch, crop_sizes=((0, size),), init_images=0),
    )


def vgg() -> torch.nn.Module:
    """To conv4_4 before its ReLU, as published; random weights take as long as trained ones."""
    return vgg19(weights=None).features[:26]


def small() -> torch.nn.Module:
    return mobilenet_v2(weights=None).features[:11]


def prepare_baseline(network, batch: int, size: int, steps: int) -> Workload:
    run = partial(train_baseline, network(), batch, size, steps)
    return Workload(lambda: Timed(run()), {"images": batch})


def prepare_toonify(batch: int, size: int, steps: int) -> Workload:
    return Workload(lambda: Timed(train_toonify(batch, size, steps)), {"images": batch})


def make_benchmark(
    quick: bool = False, batch: int = 4, size: int = 256, steps: int = 4
) -> Benchmark:
    shape = (batch, size, 1 if quick else steps)
    cases = (
        Case("baseline loop, fp32, VGG19", partial(prepare_baseline, vgg, *shape)),
        Case("baseline loop, fp32, MobileNetV2", partial(prepare_baseline, small, *shape)),
        Case("Toonify", partial(prepare_toonify, *shape)),
    )
    title = f"AnimeGANv2 training, {size} px, batch {batch}, adversarial phase"
    return Benchmark(title, cases, rounds=1 if quick else 2, warm=0)


def main() -> None:
    command(
        __doc__,
        lambda **options: [make_benchmark(**options)],
        batch=dict(type=int, default=4),
        size=dict(type=int, default=256, help="px of the square crops"),
        steps=dict(type=int, default=4, help="timed steps a turn, after one more"),
    )


if __name__ == "__main__":
    main()
