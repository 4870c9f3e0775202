"""A photo with faces, end to end: detect, draw, paste; and how it grows with the photo.

    python -m benchmarks.faces [--style comic] [--rounds 5] [--json FILE]

The baseline detects faces with MTCNN on the full photo, then draws the whole photo and each face at
512x512, in eager PyTorch. Toonify is `pipe(photo)`: it draws at the size that suits the style's
strokes, and draws faces again that are too small for it. The photos are made of those in
`hub_cards/`; decoding is not timed.
"""

from functools import partial
from pathlib import Path

from benchmarks.photo import refuse_missing
from benchmarks.report import STYLE, command
from benchmarks.runner import Benchmark, Case, Figures, Workload
from toonify import hub

CARDS = Path(__file__).parents[1] / "hub_cards"
# Size, and each face: name, the side of its square, and the place of its corner; shares of height.
PORTRAIT = ((512, 512), (("random_001", 0.6, 0.2, 0.2),))
SMALL = ((1024, 768), (("random_001", 0.5, 0.1, 0.3), ("random_003", 0.16, 0.9, 0.4)))
LARGE = (
    (6000, 4000),
    (
        ("random_001", 0.5, 0.1, 0.3),
        ("random_003", 0.16, 0.8, 0.4),
        ("random_012", 0.25, 1.1, 0.5),
    ),
)
BASELINE = "baseline: MTCNN, eager PyTorch, fp32"


def group_photo(size: tuple[int, int], faces: tuple):
    """A scene of `size` with portraits laid into it, as an image."""
    from PIL import Image

    with Image.open(CARDS / "scenes" / "temple.jpg") as scene:
        photo = scene.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    for name, side, left, top in faces:
        side, left, top = (round(share * size[1]) for share in (side, left, top))
        with Image.open(CARDS / "faces" / f"{name}.jpg") as face:
            photo.paste(face.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return photo


def prepare_baseline(style: str, shape: tuple) -> Workload:
    from benchmarks.baseline import BaselinePipeline

    pipe, photo = BaselinePipeline(style), group_photo(*shape)
    return Workload(lambda: pipe(photo), {"photos": 1}, pipe.note)


def prepare_toonify(style: str, shape: tuple, quality: str = "best") -> Workload:
    refuse_missing(style, quality)
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality=quality)
    photo = group_photo(*shape)
    toon = pipe(photo)  # also so that the note is of this very photo
    note = f"{len(toon.faces)} faces found, {toon.drawn_faces} drawn again"
    return Workload(lambda: pipe(photo), {"photos": 1}, note)


def compare_with_baseline(
    quick: bool = False, style: str = hub.DEFAULT_STYLE, shape=SMALL
) -> Benchmark:
    cases = [Case(BASELINE, partial(prepare_baseline, style, shape))]
    for quality in hub.QUALITIES:
        prepare = partial(prepare_toonify, style, shape, quality)
        cases.append(Case(f"pipe(photo), {quality}", prepare, compiles=True))
    size, faces = shape
    count = "a face" if len(faces) == 1 else f"{len(faces)} faces"
    title = f"A photo of {size[0]}x{size[1]} with {count}, style {Path(style).name}"
    return Benchmark(title, tuple(cases), rounds=1 if quick else 5)


def compare_sizes(
    quick: bool = False, style: str = hub.DEFAULT_STYLE, shapes: tuple = (SMALL, LARGE)
) -> Benchmark:
    """The same pipeline on photos of two sizes."""
    cases = tuple(
        Case(
            f"{shape[0][0]}x{shape[0][1]}, {len(shape[1])} faces",
            partial(prepare_toonify, style, shape),
            compiles=True,
        )
        for shape in shapes
    )
    title = f"pipe(photo) by the photo's size, style {Path(style).name}"
    return Benchmark(title, cases, rounds=1 if quick else 5, ratios=False, compare=note_growth)


def note_growth(figures: dict[str, Figures]) -> None:
    """Adds how much longer the second takes than the first."""
    if len(figures) == 2:
        first, second = figures.values()
        second.notes.append(f"takes {second.median / first.median:.1f} times as long")


def make_benchmarks(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> list[Benchmark]:
    compared = [compare_with_baseline(quick, style, shape) for shape in (PORTRAIT, SMALL)]
    return [*compared, compare_sizes(quick, style)]


def main() -> None:
    command(__doc__, make_benchmarks, style=STYLE)


if __name__ == "__main__":
    main()
