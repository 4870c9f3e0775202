"""One 1024 px face from w: eager PyTorch in float32 beside the engine.

    python -m benchmarks.portrait [--rounds 7] [--json FILE]

`eager` and `engine` draw with the bundled MobileStyleGAN, `published` is StyleGAN2 of that size as
public toonify programs run it, with random weights: its time does not depend on them.
"""

from benchmarks.likeness import largest_error
from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Figures, Workload

PUBLISHED, BASELINE, ENGINE = (
    "StyleGAN2, eager PyTorch, fp32",
    "Toonify, eager PyTorch, fp32",
    "Toonify, engine",
)


def prepare_published() -> Workload:
    """StyleGAN2 with the paper's channels."""
    import torch

    from toonify.models.stylegan2 import StyleGAN2Generator

    network = StyleGAN2Generator(resolution=1024).eval()
    ws = torch.randn(1, *network.synthesis.shape)
    return Workload(torch.no_grad()(lambda: network.synthesis(ws)), {"faces": 1}, "random weights")


def prepare_toonify(engine: bool) -> Workload:
    """The pipeline's base generator, as a torch network or as its engine."""
    import torch

    from toonify.pipelines.stylegan import StyleGANPipeline

    pipe = StyleGANPipeline.from_pretrained(device="cpu")
    ws = torch.randn(1, pipe.num_ws, 512, generator=torch.Generator().manual_seed(0)) * 0.5
    draw = pipe.engine(None) if engine else pipe.network("base").synthesis
    return Workload(
        torch.no_grad()(lambda: draw(ws).numpy()), {"faces": 1}, draw.name if engine else ""
    )


def prepare_baseline() -> Workload:
    return prepare_toonify(engine=False)


def prepare_engine() -> Workload:
    return prepare_toonify(engine=True)


def compare(figures: dict[str, Figures]) -> None:
    """Adds how far the engine's image is from that of torch."""
    if ENGINE in figures and BASELINE in figures:
        error = largest_error(figures[ENGINE].output, figures[BASELINE].output)
        figures[ENGINE].notes.append(f"largest difference {error:.1e} to eager PyTorch")


def make_benchmark(quick: bool = False) -> Benchmark:
    cases = (
        Case(PUBLISHED, prepare_published),
        Case(BASELINE, prepare_baseline),
        Case(ENGINE, prepare_engine, compiles=True),
    )
    return Benchmark("StyleGAN toon of 1024x1024", cases, rounds=3 if quick else 7, compare=compare)


def main() -> None:
    command(__doc__, lambda: [make_benchmark()])


if __name__ == "__main__":
    main()
