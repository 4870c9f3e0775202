"""New faces from noise: the public Toon-Generator's network beside ToonGAN, one face and 64.

    python -m benchmarks.new_faces [--rounds 7] [--json FILE]

Timed is all from the seed to the images. Where no network is bundled, its weights are random, as
the public network's always are: the time does not depend on them.
"""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks import limits
from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Workload
from toonify import hub

BATCH = 64
RANDOM = "random weights"


def prepare_published(count: int, **shape) -> Workload:
    """The public network in eager PyTorch; `shape` makes it another than the published one."""
    import torch

    from toonify import images
    from toonify.models.dcgan import DCGANGenerator

    network = DCGANGenerator(**shape).eval()
    z_dim = network.config.z_dim

    @torch.no_grad()
    def run():
        torch.manual_seed(0)
        for picture in network(torch.randn(count, z_dim, 1, 1)):
            images.to_pil(picture)

    return Workload(run, {"faces": count}, RANDOM, again=count_runs(count))


def prepare_toonify(count: int, source: str = hub.DEFAULT_FACES) -> Workload:
    """The pipeline, from `source` if that is there, else with an untrained network."""
    from toonify.pipelines.toongan import ToonGANPipeline

    if (hub.BUNDLED / source).is_dir() or Path(source).is_dir():
        pipe, note = ToonGANPipeline.from_pretrained(source, device="cpu"), ""
    else:
        pipe, note = load_untrained(), f"{RANDOM}, as none are bundled"
    about = "; ".join(filter(None, (pipe.engine.name, note)))
    return Workload(lambda: pipe(count), {"faces": count}, about, again=count_runs(count))


def count_runs(count: int) -> int:
    """In a turn: more of what takes milliseconds."""
    return max(1, 10 // count)


def load_untrained():
    """A pipeline of the default network as it starts."""
    import torch

    from toonify.models.toongan import ToonGANGenerator
    from toonify.pipelines.toongan import ToonGANPipeline

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        ToonGANGenerator().half().save_pretrained(folder, variant="fp16")
        return ToonGANPipeline.from_pretrained(folder, device="cpu")


def make_benchmark(count: int, quick: bool = False) -> Benchmark:
    cases = (
        Case(
            "public Toon-Generator, eager PyTorch, fp32",
            partial(prepare_published, count),
        ),
        Case("ToonGAN, pipeline", partial(prepare_toonify, count), compiles=True),
        limits.MATMUL["fp32"],
        limits.MATMUL["bf16"],
    )
    title = f"ToonGAN, {count} new face{'s' if count > 1 else ''} of 128x128"
    return Benchmark(title, cases, rounds=3 if quick else 15)


def make_benchmarks(quick: bool = False) -> list[Benchmark]:
    return [make_benchmark(1, quick), make_benchmark(BATCH, quick)]


def main() -> None:
    command(__doc__, make_benchmarks)


if __name__ == "__main__":
    main()
