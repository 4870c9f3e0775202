"""What the tab of new faces draws with, and how it draws a face again."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from toonify import hub
from toonify.ui.inputs import UserError

TRUNCATION = 0.8
LARGE = 512  # px of a face that is shown or saved alone
CHOOSE = "choose."  # before an attribute's name in links: a direction may have the same name
GENERATOR = "generator"  # in links


@dataclasses.dataclass(frozen=True, eq=False)
class FaceGenerator:
    """A generator of new faces, which is loaded on first use.

    Args:
        load: gives its pipeline: `load()`.
        directions: labels, by name, of the directions in which its faces can be moved.
        side: px of a face.
        attributes: variants, by name, of what can be chosen.
        name: what it is requested by.
        title: its name in menus.
    """

    load: Callable[[], Any]
    directions: Mapping[str, str]
    side: int
    attributes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    name: str = hub.UNNAMED_FACES
    title: str = ""

    @property
    def sizes(self) -> list[int]:
        """The resolutions of its layers below which one face can be mixed with another, in px."""
        return [4 << step for step in range(1, self.side.bit_length() - 2)]


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """How to draw a face again.

    Args:
        title: its name for people.
        seed: what it is drawn from; None for a mix.
        truncation: 0, the average face, to 1, the full variety.
        edits: how far it is moved, by the names of directions.
        choices: variants by the names of attributes.
        latent: the w+ of a mix (1, L, D).
        style: the name of its generator.
    """

    title: str
    seed: int | None = None
    truncation: float = TRUNCATION
    edits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    latent: object = None
    style: str = hub.UNNAMED_FACES

    def is_same(self, other: "Face") -> bool:
        """Return whether the other face is drawn the same way."""
        mine, others = (
            (
                *(face.style, face.seed, face.truncation),
                *(dict(face.edits), dict(face.choices), id(face.latent)),
            )
            for face in (self, other)
        )
        return mine == others

    def compute_w(self, pipeline):
        """Return the w+ (1, L, D) that it is drawn from."""
        w = self.latent
        if w is None:
            w = pipeline.latents(1, self.seed, self.truncation, self.choices)
        return pipeline.edited(w, self.edits)

    def draw(self, pipeline) -> Image.Image:
        """Return the image, RGB and square."""
        return pipeline.draw(self.compute_w(pipeline))[0]

    def draw_large(self, pipeline) -> Image.Image:
        """Return the image to look at alone: of `LARGE` px, or as the generator draws it if that is
        larger."""
        size = max(LARGE, pipeline.resolution)
        return pipeline.draw(self.compute_w(pipeline), size)[0]

    @property
    def link(self) -> str:
        """What follows the page's address in a link to the face; empty for a mix."""
        if self.seed is None:
            return ""
        numbers = {"seed": self.seed, "truncation": self.truncation, **self.edits}
        query = {name: f"{number:.9g}" for name, number in numbers.items()}
        query |= {CHOOSE + name: variant for name, variant in self.choices.items()}
        if self.style != hub.UNNAMED_FACES:
            query[GENERATOR] = self.style
        return "?" + urlencode(query)


def check_one_style(faces: Sequence[Face]) -> str:
    """Return the generator's name that all faces share; refuse faces of several."""
    styles = {face.style for face in faces}
    if len(styles) > 1:
        raise UserError(
            "These faces are of different styles. Only faces of one style can be combined."
        )
    return styles.pop()
