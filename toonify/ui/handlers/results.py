"""A drawn photo as the page keeps it: other backgrounds and people without drawing it again."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from toonify import images
from toonify.images import marks
from toonify.ui import outputs
from toonify.ui.inputs import UserError

STICKER, COLOR = "sticker", "color"  # beside the words of toonify.pipelines.background
BACKGROUNDS = ("draw", "keep", "soften", COLOR, "transparent", STICKER)
TRANSPARENT = ("transparent", STICKER)
PHOTO = "photo"  # the choice for a person who stays as in the photo
DEFAULT_COLOR = "#ffcf3f"
MAX_PEOPLE = 24  # that are offered, the largest
THUMBNAIL_PX = 192
SQUARE = 12  # px of the pattern that stands for nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn photo. It stays on the server, and its files are deleted like other results.

    Args:
        source: the upload.
        style: the style of whoever has no other one.
        options: how it was drawn, for other styles.
        files: drawings without changes, by style.
        faces: of the upright photo, the largest first.
        drawn_faces: those that were drawn separately.
        seconds: what the drawing took; None if it was made before.
        mark: what the drawings say that they are, of `toonify.images.marks`.
        person: the mask of the people; None if it was not made, or there is nobody.
        searched: whether it was made.
        choices: of single people: number of the face -> style, or `PHOTO`.
        selected: number of the face that was pressed; None if none was.
    """

    source: str | bytes
    style: str
    options: Mapping[str, Any]
    files: Mapping[str, Path]
    faces: Sequence
    drawn_faces: int
    seconds: float | None
    mark: str | None
    person: Path | None = None
    searched: bool = False
    choices: Mapping[int, str] = dataclasses.field(default_factory=dict)
    selected: int | None = None

    @property
    def people(self) -> Sequence:
        """The faces that have a choice of their own."""
        return self.faces[:MAX_PEOPLE] if len(self.faces) > 1 else ()

    def open(self, style: str) -> Image.Image:
        """Open a drawing, or the photo. Raises a `UserError` if it was deleted."""
        path = self.source if style == PHOTO else self.files[style]
        try:
            return images.load(path)
        except (images.ImageError, OSError) as error:
            raise UserError("This drawing is too old: choose the photo again.") from error


def read_background(word: str, color: str) -> str:
    """Return the background for `toonify.pipelines.background`, or `STICKER`.

    Raises:
        UserError: there is no such background or color.
    """
    if word not in BACKGROUNDS:
        expected = ", ".join(BACKGROUNDS)
        raise UserError(f"Unknown background '{word}': expected one of {expected}.")
    return parse_color(color) if word == COLOR else word


def parse_color(value: str) -> str:
    """Return a color as #rrggbb; gradio's color picker gives rgba(12.5, 0, 255, 1), too.

    Raises:
        UserError: it is not a color.
    """
    value = str(value).strip().lower()
    if re.fullmatch("#[0-9a-f]{6}", value):
        return value
    numbers = re.fullmatch(r"rgba?\(([\d.]+),\s*([\d.]+),\s*([\d.]+)(,\s*[\d.]+)?\)", value)
    try:
        parts = [round(float(part)) for part in (numbers.groups()[:3] if numbers else ())]
    except ValueError:
        parts = []
    if len(parts) != 3 or max(parts) > 255:
        raise UserError("The color is unknown: expected one such as #ffcf3f.")
    return "#" + "".join(f"{part:02x}" for part in parts)


def find_person(drawing: Drawing) -> Drawing:
    """Return the drawing with the mask of its people, which is made only once. Imports torch."""
    if drawing.searched:
        return drawing
    from toonify.pipelines.background import find_person

    person = find_person(drawing.open(PHOTO), drawing.open(drawing.style), device="cpu")
    path = None
    if person is not None:
        path = outputs.make_parent(outputs.choose_folder() / "person.png")
        person.save(path)
    return dataclasses.replace(drawing, person=path, searched=True)


def open_person(drawing: Drawing) -> Image.Image | None:
    """Return the mask of the people; None if there is nobody."""
    if drawing.person is None:
        return None
    try:
        with Image.open(drawing.person) as mask:
            return mask.convert("L")
    except OSError as error:
        raise UserError("This drawing is too old: choose the photo again.") from error


def combine_people(drawing: Drawing) -> Image.Image:
    """Return the drawing with each person in the chosen style. Imports torch."""
    image = drawing.open(drawing.style)
    choices = {
        number: choice
        for number, choice in drawing.choices.items()
        if choice != drawing.style and number < len(drawing.faces)
    }
    if not choices:
        return image
    from toonify.pipelines.background import split_people

    person = open_person(drawing) or Image.new("L", image.size)
    masks = split_people(person, drawing.faces)
    result = image.copy()
    for number, choice in choices.items():
        result.paste(drawing.open(choice), mask=masks[number])
    return result


def finish(drawing: Drawing, background: str) -> tuple[Image.Image, Image.Image | None]:
    """Put people on a background.

    Args:
        drawing: with the mask of its people, unless the background is "draw".
        background: of `read_background`.

    Returns:
        The picture, and a square sticker for messengers if it is one.

    Raises:
        UserError: there is nobody to cut out.
    """
    image = marks.mark(combine_people(drawing), drawing.mark)
    if background == "draw":
        return image, None
    person = open_person(drawing)
    if person is None:
        raise UserError("No person was found whose background could be changed.")
    from toonify.pipelines import background as backgrounds

    if background != STICKER:
        photo = drawing.open(PHOTO)
        return backgrounds.replace_background(image, photo, person, background), None
    small = backgrounds.make_sticker(image, person, backgrounds.STICKER_PX)
    return backgrounds.make_sticker(image, person), small


def place(photo: Image.Image, image: Image.Image, background: str) -> Image.Image:
    """Return a drawing on a background of `read_background`, or as a sticker. Imports torch.

    Raises:
        UserError: there is nobody to cut out.
    """
    if background == "draw":
        return image
    from toonify.pipelines import background as backgrounds

    person = backgrounds.find_person(photo, image, device="cpu")
    if person is None:
        raise UserError("No person was found whose background could be changed.")
    if background == STICKER:
        return backgrounds.make_sticker(image, person)
    return backgrounds.replace_background(image, photo, person, background)


def show_alpha(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a transparent image within a size, on the pattern that stands for nothing."""
    image = image.copy()
    mark = marks.read_mark(image)
    image.thumbnail(size)
    page = Image.new("RGB", size, "#ffffff")
    square = Image.new("RGB", (SQUARE, SQUARE), "#d9d9d9")
    for top in range(0, size[1], SQUARE):
        for left in range(top // SQUARE % 2 * SQUARE, size[0], 2 * SQUARE):
            page.paste(square, (left, top))
    at = ((size[0] - image.width) // 2, (size[1] - image.height) // 2)
    page.paste(image, at, image.getchannel("A"))
    return marks.mark(page, mark)


def crop_people(image: Image.Image, people: Sequence) -> list[Image.Image]:
    """Return a square thumbnail of each face in the upright photo or its drawing."""
    thumbnails = []
    for face in people:
        left, top, right, bottom = face.box
        half = 0.75 * max(right - left, bottom - top)
        x, y = (left + right) / 2, (top + bottom) / 2
        box = (round(x - half), round(y - half), round(x + half), round(y + half))
        thumbnail = image.crop(box).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
        thumbnails.append(thumbnail)
    return thumbnails
