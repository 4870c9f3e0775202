"""The options of a drawing. Their values are checked here and nowhere else."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from toonify.images.marks import DRAWN

MAX_REFINE_STEPS = 1000
OLD_NAMES = {"keep_colour": "keep_color", "stabilise": "stabilize"}  # read for one more release


class AcceptsOldNames(type):
    """Metaclass of options whose old names are accepted with a DeprecationWarning."""

    def __call__(cls, *values: Any, **keywords: Any) -> Any:
        return super().__call__(*values, **rename_old(keywords, stacklevel=3))


@dataclass(frozen=True)
class DrawOptions(metaclass=AcceptsOldNames):
    """The options that every drawing has, whatever its style.

    Args:
        faces: the faces that get a drawing of their own: "all" (default), "largest" or "none".
        strength: 0 (the photo) to 1 (the full drawing); default 1.
        keep_color: whether the drawing keeps the colors of the photo; default False.
        mark: whether drawings say in their files what they are (`toonify.images.marks`); default
            True.

    Raises:
        ValueError: a value out of its range; the message names the option and what was expected.

    Example:
        >>> DrawOptions(faces="largest", strength=0.8)
        DrawOptions(faces='largest', strength=0.8, keep_color=False, mark=True)
    """

    FACES: ClassVar[tuple[str, ...]] = ("all", "largest", "none")

    faces: str = "all"
    strength: float = 1.0
    keep_color: bool = False
    mark: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if self.faces not in self.FACES:
            raise ValueError(f"faces={self.faces!r}: expected one of {', '.join(self.FACES)}")
        check_number("strength", self.strength, 0, 1)

    def source_type(self) -> str | None:
        """What the result is marked as, also where nothing was found to draw; None for no mark."""
        return DRAWN if self.mark else None

    @classmethod
    def merge(cls, options: "DrawOptions | None", keywords: Mapping[str, Any]) -> Self:
        """The options of a call: `options`, or the defaults, changed by its keyword arguments.

        Args:
            options: options of this class, or those that all styles share; None: the defaults.
            keywords: the values that replace those of `options`, by name.

        Raises:
            TypeError: a keyword that is not the name of an option.
            ValueError: a value out of its range.
        """
        keywords = rename_old(keywords, stacklevel=4)
        if isinstance(options, cls):
            return replace(options, **keywords)
        shared = {} if options is None else {f.name: getattr(options, f.name) for f in SHARED}
        return cls(**(shared | keywords))


SHARED = fields(DrawOptions)


@dataclass(frozen=True)
class PortraitOptions(DrawOptions):
    """The options of faces that are drawn as toons through w, beside those of every drawing.

    Args:
        faces: the faces that are drawn: "all" (default) or "largest".
        blend: the size in pixels up to which layers give the shape; None (default): the style's.
        blend_width: how gradually the layers change over, in octaves from 0 (default).
        shape_from: the generator that gives the shape: "toon" (default) or "base".
        truncation: 0 (the mean face) to 1 (the person); default 1.
        refine_steps: optimization steps that bring the inversion closer to the photo, 0 (default)
            to 1000.
        edits: amounts by the names of directions, in standard deviations; default none.

    Example:
        >>> PortraitOptions(blend=128, edits={"smile": 1.5}).truncation
        1.0
    """

    FACES: ClassVar[tuple[str, ...]] = ("all", "largest")

    blend: int | None = None
    blend_width: float = 0.0
    shape_from: str = "toon"
    truncation: float = 1.0
    refine_steps: int = 0
    edits: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("truncation", self.truncation, 0, 1)
        steps = self.refine_steps
        if not (isinstance(steps, int) and 0 <= steps <= MAX_REFINE_STEPS):
            raise ValueError(f"refine_steps={steps!r}: expected 0 to {MAX_REFINE_STEPS}")


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError unless `value` is a number from `low` to `high`; NaN is not."""
    try:
        inside = low <= value <= high
    except TypeError:
        inside = False
    if not inside:
        raise ValueError(f"{name}={value!r}: expected a number from {low} to {high}")


def old_name_of(method: str) -> Callable[..., Any]:
    """A method that calls the one of the new name, with a DeprecationWarning."""

    def call(self: Any, *values: Any, **keywords: Any) -> Any:
        warnings.warn(f"this method is now {method}()", DeprecationWarning, stacklevel=2)
        return getattr(self, method)(*values, **keywords)

    return call


def rename_old(keywords: Mapping[str, Any], stacklevel: int) -> dict[str, Any]:
    """The keywords with old names replaced, each with a DeprecationWarning for the caller."""
    renamed = {}
    for name, value in keywords.items():
        if new := OLD_NAMES.get(name):
            warnings.warn(f"{name} is now {new}", DeprecationWarning, stacklevel=stacklevel)
        renamed[new or name] = value
    return renamed
