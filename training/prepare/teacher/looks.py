"""The five looks: how far a face is changed, and by which hand it is painted."""

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Settings of a look; lengths are in face units (see `face_mesh.FaceFrame`).

    Args:
        name: also selects the painters' variant.
        eyes: scale of the eyes.
        eye_down: shift of the eyes down the face.
        brow_up: lift of the brows.
        open: height over width of a fully open eye.
        nose: scale of the nose.
        mouth: scale of the mouth.
        jaw: share by which the jaw is narrower.
        chin: lift of the chin.
        cel: flat two-tone shading; else soft.
        line: width of contours; 0: none.
        blush: redness of the cheeks, in Lab a.
        dots: halftone: "printed" as dots, "none", or "solid": ink wherever there are dots.
    """

    name: str
    eyes: float
    eye_down: float
    brow_up: float
    open: float
    nose: float
    mouth: float
    jaw: float
    chin: float
    cel: bool
    line: float
    blush: float
    dots: str = "printed"


LOOKS = {
    look.name: look
    for look in (
        # Soft light and rich eyes, as in a 3D animated film.
        Look("film", 1.55, 0.03, 0.06, 0.66, 0.70, 1.00, 0.16, 0.03, False, 0.0, 6.0),
        # Two-tone skin and colored outlines, as in a western animated series.
        Look("series", 1.60, 0.03, 0.07, 0.66, 0.70, 0.98, 0.17, 0.04, True, 1.6, 3.0),
        # Tall eyes, tiny nose, pointed locks, thin colored lines, high key.
        Look("anime", 1.62, 0.05, 0.10, 0.86, 0.52, 0.80, 0.23, 0.05, True, 0.50, 5.0),
        # Brush ink, spotted blacks, halftone shade.
        Look("comic", 1.42, 0.02, 0.04, 0.58, 0.86, 1.00, 0.10, 0.02, True, 1.5, 0.0),
        # Flat brush shapes, no lines.
        Look("gouache", 1.45, 0.03, 0.05, 0.60, 0.82, 1.00, 0.12, 0.03, False, 0.0, 5.0),
    )
}


def change_look(name: str, changes: Iterable[str]) -> Look:
    """A look with other settings; it keeps the painters of the look it comes from.

    Args:
        name: a key of `LOOKS`.
        changes: "KEY=VALUE" each: a number of `Look`, or `cel=true` or `cel=false`.

    Raises:
        ValueError: a setting is unknown, or its value does not fit.

    Example:
        >>> look = change_look("film", ["eyes=1.3", "cel=true"])
        >>> look.eyes, look.cel, look.nose == LOOKS["film"].nose
        (1.3, True, True)
    """
    values: dict[str, float | bool] = {}
    known = [f.name for f in dataclasses.fields(Look) if f.name not in ("name", "dots")]
    for change in changes:
        key, _, text = change.partition("=")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{change!r}: expected KEY=VALUE, KEY one of {', '.join(known)}{hint}")
        if key == "cel":
            if text not in ("true", "false"):
                raise ValueError(f"{change!r}: expected cel=true or cel=false")
            values[key] = text == "true"
            continue
        try:
            values[key] = float(text)
        except ValueError:
            raise ValueError(f"{change!r}: expected a number after =") from None
        if not (math.isfinite(values[key]) and 0 <= values[key] <= 10):
            raise ValueError(f"{change!r}: expected a number from 0 to 10")
    return dataclasses.replace(LOOKS[name], **values)
