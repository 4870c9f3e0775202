"""One 1024 px face from w: plain eager torch in float32 beside the engine.

    python -m benchmarks.portrait [--rounds 7] [--json FILE]

`plain` and `engine` draw with the bundled MobileStyleGAN, `published` is StyleGAN2 of that size as
public toonify programs run it, with random weights: its time does not depend on them.
"""

import argparse

from benchmarks.contenders import Contender, Figures, Job, Race
from benchmarks.likeness import largest_error
from benchmarks.table import command

PUBLISHED, PLAIN, ENGINE = (
    "StyleGAN2, eager PyTorch, fp32",
    "ours, eager PyTorch, fp32",
    "ours, engine",
)


def published() -> Job:
    """StyleGAN2 with the paper's channels."""
    import torch

    from toonify.models.stylegan2 import StyleGAN2Generator

    network = StyleGAN2Generator(resolution=1024).eval()
    ws = torch.randn(1, *network.synthesis.shape)
    return Job(torch.no_grad()(lambda: network.synthesis(ws)), {"faces": 1}, "random weights")


def ours(engine: bool) -> Job:
    """The pipeline's base generator, as a torch network or as its engine."""
    import torch

    from toonify.pipelines.stylegan import StyleGANPipeline

    pipe = StyleGANPipeline.from_pretrained(device="cpu")
    ws = torch.randn(1, pipe.num_ws, 512, generator=torch.Generator().manual_seed(0)) * 0.5
    draw = pipe.engine(None) if engine else pipe.network("base").synthesis
    return Job(torch.no_grad()(lambda: draw(ws).numpy()), {"faces": 1}, draw.name if engine else "")


def plain() -> Job:
    return ours(engine=False)


def engine() -> Job:
    return ours(engine=True)


def judge(figures: dict[str, Figures]) -> None:
    """Adds how far the engine's picture is from that of torch."""
    if ENGINE in figures and PLAIN in figures:
        error = largest_error(figures[ENGINE].drawn, figures[PLAIN].drawn)
        figures[ENGINE].remarks.append(f"largest difference {error:.1e} to eager PyTorch")


def race(quick: bool = False) -> Race:
    contenders = (
        Contender(PUBLISHED, published),
        Contender(PLAIN, plain),
        Contender(ENGINE, engine, compiles=True),
    )
    return Race("StyleGAN toon of 1024x1024", contenders, rounds=3 if quick else 7, judge=judge)


def main() -> None:
    command(argparse.ArgumentParser(description=__doc__.split("\n")[0]), lambda options: [race()])


if __name__ == "__main__":
    main()
