"""One photo of 512x512 through the AnimeGANv2 generator: eager PyTorch beside the engine.

    python -m benchmarks.photo [--style comic] [--rounds 7] [--json FILE]

All draw with the same weights, but for the fast generator of a style that has one, and for the
baseline of a style whose generator is not the published network: that has random weights.
"""

from functools import partial
from pathlib import Path

from benchmarks import limits
from benchmarks.likeness import mean_error, psnr
from benchmarks.report import STYLE, command
from benchmarks.runner import Benchmark, Case, Figures, Unavailable, Workload
from toonify import hub

PHOTO = Path(__file__).parents[1] / "hub_cards" / "faces" / "astronaut.jpg"
BASELINE, BEST, FAST = "baseline: eager PyTorch, fp32", "engine, best", "engine, fast"


def prepare_baseline(style: str, side: int) -> Workload:
    """The public port's network in eager PyTorch with default settings."""
    import torch

    from benchmarks.baseline import describe_weights, load_generator

    generator, x = load_generator(style), torch.from_numpy(picture(side))

    @torch.no_grad()
    def run():
        return generator(x).numpy()

    return Workload(run, {"images": 1}, describe_weights(style))


def prepare_engine(style: str, side: int, quality: str) -> Workload:
    """The network as the pipeline runs it."""
    import torch

    refuse_missing(style, quality)
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality=quality)
    x = torch.from_numpy(picture(side))
    return Workload(lambda: pipe.engine(x).numpy(), {"images": 1}, pipe.engine.name)


def refuse_missing(style: str, quality: str) -> None:
    """Unavailable where a style has no generator of that quality."""
    if quality == "fast" and not hub.has_lite(hub.resolve_model(style)):
        raise Unavailable(f"left out: the style {Path(style).name} has no fast generator yet")


def picture(side: int):
    """A portrait as float32 (1, 3, side, side) in [-1, 1]."""
    import numpy as np
    from PIL import Image

    with Image.open(PHOTO) as photo:
        pixels = np.asarray(photo.convert("RGB").resize((side, side)), np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) / np.float32(127.5) - 1


def tera_operations(folder: Path, side: int) -> float:
    """TFLOP that the convolutions of a generator's folder take for one photo, two a MAC."""
    import torch

    from toonify.models import PHOTO_MODELS

    cls, settings = hub.read_config(folder / hub.CONFIG, PHOTO_MODELS)
    with torch.device("meta"):
        return count_operations(cls(**settings), side)


def count_operations(network, side: int) -> float:
    """TFLOP of a network on the meta device for one photo."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops() / 1e12


def compare(style: str, side: int, figures: dict[str, Figures]) -> None:
    """Adds likeness, arithmetic and its share of the convolution's rate to those that ran."""
    from benchmarks.baseline import has_published_network, load_generator

    folder, conv = hub.resolve_model(style), figures.get(limits.CONVOLUTION["bf16"].name)
    if BASELINE in figures:
        baseline = load_generator(style).to("meta")
        figures[BASELINE].amounts["TFLOP"] = count_operations(baseline, side)
    for name, quality in ((BEST, "best"), (FAST, "fast")):
        if name not in figures:
            continue
        found = figures[name]
        generator = hub.generator_folder(folder, quality)
        found.amounts["TFLOP"] = tera_operations(generator, side)
        if conv:
            share = found.rate("TFLOP") / conv.rate("TFLOP")
            found.notes.append(f"{share:.0%} of the rate of the bf16 convolution")
    if BEST in figures and BASELINE in figures and has_published_network(style):
        error = mean_error(figures[BEST].output, figures[BASELINE].output)
        figures[BEST].notes.append(f"mean error {error:.4f} in [-1, 1] to the baseline")
    if FAST in figures and BEST in figures:
        decibels = psnr(figures[FAST].output, figures[BEST].output)
        figures[FAST].notes.append(f"PSNR {decibels:.1f} dB to best")


def make_benchmark(
    quick: bool = False, style: str = hub.DEFAULT_STYLE, side: int = 512
) -> Benchmark:
    cases = (
        Case(BASELINE, partial(prepare_baseline, style, side)),
        Case(BEST, partial(prepare_engine, style, side, "best"), compiles=True),
        Case(FAST, partial(prepare_engine, style, side, "fast"), compiles=True),
        limits.CONVOLUTION["bf16"],
    )
    return Benchmark(
        f"AnimeGANv2, {side}x{side}, style {Path(style).name}",
        cases,
        rounds=3 if quick else 7,
        compare=partial(compare, style, side),
    )


def main() -> None:
    command(__doc__, lambda style: [make_benchmark(style=style)], style=STYLE)


if __name__ == "__main__":
    main()
