"""A photo with faces, end to end: detect, draw, paste; and how it grows with the photo.

    python -m benchmarks.faces [--style comic] [--rounds 5] [--json FILE]

`plain` looks for faces with MTCNN on the full photo, then draws the whole photo and each face at
512x512, in eager PyTorch. Ours is `pipe(photo)`: it draws at the size at which the style's strokes
have their weight, and faces again where they are too small for that. The photos are made of those
in `hub_cards/`, and all begin as a decoded picture.
"""

import functools
from pathlib import Path

from benchmarks.contenders import Contender, Figures, Job, Race
from benchmarks.photo import refuse_missing
from benchmarks.table import style_command
from toonify import hub

CARDS = Path(__file__).parents[1] / "hub_cards"
# Size, and each face: name, the side of its square, and the place of its corner; shares of height.
SMALL = ((1024, 768), (("random_001", 0.5, 0.1, 0.3), ("random_003", 0.16, 0.9, 0.4)))
LARGE = (
    (6000, 4000),
    (
        ("random_001", 0.5, 0.1, 0.3),
        ("random_003", 0.16, 0.8, 0.4),
        ("random_012", 0.25, 1.1, 0.5),
    ),
)
PLAIN = "plain: MTCNN, eager PyTorch, fp32"


def group_photo(size: tuple[int, int], faces: tuple):
    """A scene of `size` with portraits laid into it, as a picture."""
    from PIL import Image

    with Image.open(CARDS / "scenes" / "temple.jpg") as scene:
        photo = scene.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    for name, side, left, top in faces:
        side, left, top = (round(share * size[1]) for share in (side, left, top))
        with Image.open(CARDS / "faces" / f"{name}.jpg") as face:
            photo.paste(face.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return photo


def plain(style: str, shape: tuple) -> Job:
    from benchmarks.plain import PlainPipeline

    pipe, photo = PlainPipeline(style), group_photo(*shape)
    return Job(lambda: pipe(photo), {"photos": 1})


def ours(style: str, shape: tuple, quality: str = "best") -> Job:
    refuse_missing(style, quality)
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality=quality)
    photo = group_photo(*shape)
    toon = pipe(photo)  # also so that the remark is of this very photo
    remark = f"{len(toon.faces)} faces found, {toon.drawn_faces} drawn again"
    return Job(lambda: pipe(photo), {"photos": 1}, remark)


def against_plain(quick: bool = False, style: str = hub.DEFAULT_STYLE, shape=SMALL) -> Race:
    contenders = [Contender(PLAIN, functools.partial(plain, style, shape))]
    for quality in hub.QUALITIES:
        prepare = functools.partial(ours, style, shape, quality)
        contenders.append(Contender(f"pipe(photo), {quality}", prepare, compiles=True))
    size, faces = shape
    title = f"A photo of {size[0]}x{size[1]} with {len(faces)} faces, style {Path(style).name}"
    return Race(title, tuple(contenders), rounds=1 if quick else 5)


def by_size(
    quick: bool = False, style: str = hub.DEFAULT_STYLE, shapes: tuple = (SMALL, LARGE)
) -> Race:
    """The same pipeline on photos of two sizes."""
    contenders = tuple(
        Contender(
            f"{shape[0][0]}x{shape[0][1]}, {len(shape[1])} faces",
            functools.partial(ours, style, shape),
            compiles=True,
        )
        for shape in shapes
    )
    title = f"pipe(photo) by the photo's size, style {Path(style).name}"
    return Race(title, contenders, rounds=1 if quick else 5, ratios=False, judge=growth)


def growth(figures: dict[str, Figures]) -> None:
    """Adds how much longer the second takes than the first."""
    if len(figures) == 2:
        first, second = figures.values()
        second.remarks.append(f"takes {second.median / first.median:.1f} times as long")


def races(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> list[Race]:
    return [against_plain(quick, style), by_size(quick, style)]


def main() -> None:
    style_command(__doc__, lambda style: races(style=style))


if __name__ == "__main__":
    main()
