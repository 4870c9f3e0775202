"""One photo of 512x512 through the AnimeGANv2 generator: plain eager PyTorch beside the engine.

    python -m benchmarks.photo [--style comic] [--rounds 7] [--json FILE]

All draw with the same weights, but for the fast generator of a style that has one.
"""

import functools
from pathlib import Path

from benchmarks import limits
from benchmarks.contenders import Contender, Figures, Job, Race, Unavailable
from benchmarks.likeness import mean_error, psnr
from benchmarks.table import style_command
from toonify import hub

PHOTO = Path(__file__).parents[1] / "hub_cards" / "faces" / "astronaut.jpg"
PLAIN, BEST, FAST = "plain eager PyTorch, fp32", "engine, best", "engine, fast"


def plain(style: str, side: int) -> Job:
    """The public port's network in eager PyTorch with default settings."""
    import torch

    from benchmarks.plain import load_generator

    generator, x = load_generator(style), torch.from_numpy(picture(side))

    @torch.no_grad()
    def run():
        return generator(x).numpy()

    return Job(run, {"images": 1})


def engine(style: str, side: int, quality: str) -> Job:
    """The network as the pipeline runs it."""
    import torch

    refuse_missing(style, quality)
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality=quality)
    x = torch.from_numpy(picture(side))
    return Job(lambda: pipe.engine(x).numpy(), {"images": 1}, pipe.engine.name)


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
    from torch.utils.flop_counter import FlopCounterMode

    from toonify.models import PHOTO_MODELS

    cls, settings = hub.read_config(folder / hub.CONFIG, PHOTO_MODELS)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        cls(**settings)(torch.empty(1, 3, side, side))
    return counter.get_total_flops() / 1e12


def judge(style: str, side: int, figures: dict[str, Figures]) -> None:
    """Adds likeness, arithmetic and its share of the convolution's rate to those that ran."""
    folder, conv = hub.resolve_model(style), figures.get(limits.CONVOLUTION["bf16"].name)
    for name, quality in ((PLAIN, "best"), (BEST, "best"), (FAST, "fast")):
        if name not in figures:
            continue
        found = figures[name]
        generator = hub.generator_folder(folder, quality)
        found.amounts["TFLOP"] = tera_operations(generator, side)
        if name != PLAIN and conv:
            share = found.rate("TFLOP") / conv.rate("TFLOP")
            found.remarks.append(f"{share:.0%} of the rate of the bf16 convolution")
    if BEST in figures and PLAIN in figures:
        error = mean_error(figures[BEST].drawn, figures[PLAIN].drawn)
        figures[BEST].remarks.append(f"mean error {error:.4f} in [-1, 1] to the plain one")
    if FAST in figures and BEST in figures:
        decibels = psnr(figures[FAST].drawn, figures[BEST].drawn)
        figures[FAST].remarks.append(f"PSNR {decibels:.1f} dB to best")


def race(quick: bool = False, style: str = hub.DEFAULT_STYLE, side: int = 512) -> Race:
    contenders = (
        Contender(PLAIN, functools.partial(plain, style, side)),
        Contender(BEST, functools.partial(engine, style, side, "best"), compiles=True),
        Contender(FAST, functools.partial(engine, style, side, "fast"), compiles=True),
        limits.CONVOLUTION["bf16"],
    )
    return Race(
        f"AnimeGANv2, {side}x{side}, style {Path(style).name}",
        contenders,
        rounds=3 if quick else 7,
        judge=functools.partial(judge, style, side),
    )


def main() -> None:
    style_command(__doc__, lambda style: [race(style=style)])


if __name__ == "__main__":
    main()
