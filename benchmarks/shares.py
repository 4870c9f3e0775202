"""The share of a photo's time that is spent outside of the networks, with the fast generator.

    python -m benchmarks.shares [--style comic] [--rounds 15] [--json FILE]

Networks are the generator and those of the face detector, without the conversion of what goes in
and comes out. The share is of processor time, which other work on the machine disturbs less than
the clock. A photo is given as an image, or as the bytes of a JPEG and encoded as JPEG again.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import faces, photo
from benchmarks.report import STYLE, command
from benchmarks.runner import Benchmark, Case, Figures, Workload
from toonify import hub

SHAPES = {"512x512": None, "1024x768, 2 faces": faces.SMALL}


class NetworkClock:
    """Processor seconds in the networks of the pipelines, summed up."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, run: Callable) -> Callable:
        """The function, whose time counts."""

        def call(*values: Any, **keywords: Any) -> Any:
            start = time.process_time()
            try:
                return run(*values, **keywords)
            finally:
                self.seconds += time.process_time() - start

        return call

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Counts the networks' time from here on."""
        from unittest.mock import patch

        import openvino

        from toonify.faces import mtcnn

        networks = {name: self.timed(mtcnn.load_network(name)) for name in mtcnn.PARTS}
        infer = self.timed(openvino.InferRequest.infer)
        with (
            patch.object(mtcnn, "load_network", networks.__getitem__),
            patch.object(openvino.InferRequest, "infer", infer),
        ):
            yield


def prepare(style: str, shape: tuple | None, encoded: bool) -> Workload:
    """Draws a photo; gives the median share so far, in [0, 1]."""
    import numpy as np

    photo.refuse_missing(style, "fast")
    from toonify.images.saving import encode
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality="fast")
    source: Any = make_photo(shape)
    if encoded:
        source = as_jpeg(source)
    clock, shares = NetworkClock(), []

    def run():
        clock.seconds, start = 0.0, time.process_time()
        with clock.installed():
            toon = pipe(source)
        if encoded:
            encode(toon.image, ".jpg")
        shares.append(1 - clock.seconds / (time.process_time() - start))
        return np.array([statistics.median(shares[1:] or shares)])  # the first warms up

    return Workload(run, {"photos": 1})


def make_photo(shape: tuple | None):
    """A photo with faces laid into it, or a portrait of 512x512."""
    from PIL import Image

    if shape:
        return faces.group_photo(*shape)
    with Image.open(photo.PHOTO) as portrait:
        return portrait.convert("RGB").resize((512, 512))


def as_jpeg(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def note_shares(figures: dict[str, Figures]) -> None:
    """Adds to each case the share of its processor time outside of the networks."""
    for found in figures.values():
        found.notes.append(f"{found.output.item():.0%} outside of the networks")


def make_benchmark(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> Benchmark:
    cases = tuple(
        Case(name + suffix, partial(prepare, style, shape, bool(suffix)), compiles=True)
        for name, shape in SHAPES.items()
        for suffix in ("", ", JPEG in and out")
    )
    title = f"pipe(photo), fast, style {Path(style).name}: where the time goes"
    rounds = 5 if quick else 15
    return Benchmark(title, cases, rounds=rounds, ratios=False, compare=note_shares)


def main() -> None:
    command(__doc__, lambda style: [make_benchmark(style=style)], style=STYLE)


if __name__ == "__main__":
    main()
