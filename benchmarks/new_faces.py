"""New faces from noise: the public Toon-Generator's network beside ToonGAN, one face and 64.

    python -m benchmarks.new_faces [--rounds 7] [--json FILE]

Timed is all from the seed to the pictures. Where no network is bundled, its weights are random, as
the public network's always are: the time does not depend on them.
"""

import argparse
import functools
import tempfile
from pathlib import Path

from benchmarks import limits
from benchmarks.contenders import Contender, Job, Race
from benchmarks.table import command
from toonify import hub

BATCH = 64
RANDOM = "random weights"


def public(count: int, **shape) -> Job:
    """The public network in eager PyTorch; `shape` makes it another than the published one."""
    import torch

    from toonify import images
    from toonify.models.dcgan import SeedGenerator

    network = SeedGenerator(**shape).eval()
    z_dim = network.config.z_dim

    @torch.no_grad()
    def run():
        torch.manual_seed(0)
        for picture in network(torch.randn(count, z_dim, 1, 1)):
            images.to_pil(picture)

    return Job(run, {"faces": count}, RANDOM, again=runs(count))


def ours(count: int, source: str = hub.DEFAULT_FACES) -> Job:
    """The pipeline, from `source` if that is there, else with an untrained network."""
    from toonify.pipelines.toongan import ToonGANPipeline

    if (hub.BUNDLED / source).is_dir() or Path(source).is_dir():
        pipe, remark = ToonGANPipeline.from_pretrained(source, device="cpu"), ""
    else:
        pipe, remark = untrained(), f"{RANDOM}, as none are bundled"
    said = "; ".join(filter(None, (pipe.engine.name, remark)))
    return Job(lambda: pipe(count), {"faces": count}, said, again=runs(count))


def runs(count: int) -> int:
    """In a turn: more of what takes milliseconds."""
    return max(1, 10 // count)


def untrained():
    """A pipeline of the default network as it starts."""
    import torch

    from toonify.models.toongan import ToonGANGenerator
    from toonify.pipelines.toongan import ToonGANPipeline

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        ToonGANGenerator().half().save_pretrained(folder, variant="fp16")
        return ToonGANPipeline.from_pretrained(folder, device="cpu")


def race(count: int, quick: bool = False) -> Race:
    contenders = (
        Contender("public Toon-Generator, eager PyTorch, fp32", functools.partial(public, count)),
        Contender("ToonGAN, pipeline", functools.partial(ours, count), compiles=True),
        limits.MATMUL["fp32"],
        limits.MATMUL["bf16"],
    )
    title = f"ToonGAN, {count} new face{'s' if count > 1 else ''} of 128x128"
    return Race(title, contenders, rounds=3 if quick else 15)


def races(quick: bool = False) -> list[Race]:
    return [race(1, quick), race(BATCH, quick)]


def main() -> None:
    command(argparse.ArgumentParser(description=__doc__.split("\n")[0]), lambda options: races())


if __name__ == "__main__":
    main()
