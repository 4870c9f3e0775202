"""Faces in a photo: find them, cut them out upright, paste the drawn ones back.

Points are (x, y) in pixels of the upright photo with the centre of the first pixel at (0, 0). A
`Crop` carries the matrix that made it, and `paste` goes back by that very matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from toonify import cascade

# Below this the cascade has nothing to look at.
_SMALLEST_SIDE = 20
_SMALLEST_FACE = 0.08  # of the photo's short side
_CERTAIN = 0.97  # scores below are confirmed by a second look
_CERTAIN_TURNED = 0.995  # the same in a photo looked at lying on its side
_PLAIN = 0.9995  # an upright face scores above; one upside down may be mistaken for it below
_NEAR = 256  # pixels of the view that the second look sees
_BAND_PIXELS = 2_000_000  # of what is mixed at once
_FINER = 1.25  # how much finer than the drawn picture a source is left


@dataclass(frozen=True, eq=False)
class Face:
    """One face in the frame of the upright photo.

    box: (x0, y0, x1, y1); it may reach over the photo's border.
    points: (5, 2): left eye, right eye, nose, left and right corner of the mouth, as they lie in
        the picture when the head is upright (the left eye is the one on the left of the picture),
        whatever way the head is turned.
    score: the detector's certainty, 0 to 1.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float

    @property
    def eye_distance(self) -> float:
        """Distance between the centres of the eyes, in pixels."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


@dataclass(frozen=True, eq=False)
class Crop:
    """A face cut out upright: a square RGB image and the matrix (2, 3) photo -> crop pixels."""

    image: Image.Image
    matrix: np.ndarray
    face: Face

    @property
    def points(self) -> np.ndarray:
        """The face's five points (5, 2), in pixels of the crop."""
        return self.face.points @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def side(self) -> float:
        """Side of the square in the photo that the crop shows, in pixels of the photo."""
        return self.image.width / math.sqrt(abs(np.linalg.det(self.matrix[:, :2])))


def detect(
    photo: Image.Image,
    *,
    min_score: float = 0.9,
    max_side: int = 1024,
    try_rotations: bool = True,
) -> list[Face]:
    """Faces of an upright RGB photo, the largest first; an empty list where there are none.

    The photo is looked at with its longer side at most `max_side` pixels; faces smaller than 8 % of
    the shorter side, or than 20 pixels there, are passed over. Where no face stands plainly
    upright, the photo is looked at lying on either side and upside down too. Whatever the photo's
    size or mode, this gives an answer and no error.
    """
    width, height = photo.size
    shrink = min(1.0, max_side / max(height, width, 1))
    if min(height, width) * shrink < _SMALLEST_SIDE:
        return []
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    view = cascade.View(_shrunk(photo, size))
    scale = np.array([width / size[0], height / size[1]])

    found = _look(view, min_score)
    if try_rotations and _best(found) < _PLAIN:
        turned = [_look(view, min_score, quarter_turns) for quarter_turns in (1, 3, 2)]
        rivals = [faces for faces in turned if len(faces) >= len(found)]
        found = max([found, *rivals], key=_best)  # the photo as it stands wins a tie
    faces = [_scaled(face, scale) for face in found]
    return sorted(faces, key=_area, reverse=True)


def align(photo: Image.Image, face: Face, size: int = 512) -> Crop:
    """Cut a face out upright, in the frame of the FFHQ data set, as a square of `size` pixels.

    The square follows from the eyes and the corners of the mouth (Karras et al. 2019, the alignment
    of FFHQ). Where it reaches over the photo's border the photo is mirrored. A square that is
    larger in the photo than `size` is scaled down with a filter and loses detail; `Crop.side`
    tells, and a larger `size` keeps it.

    Raises:
        ValueError: the points do not span a face.
    """
    matrix = _ffhq_matrix(face.points, size)
    return Crop(Image.fromarray(_cut(np.asarray(photo), matrix, size)), matrix, face)


def inside(crop: Crop, photo_size: tuple[int, int], side: int) -> np.ndarray:
    """Float32 (side, side): 1 where a crop of `side` pixels shows the photo (width, height), and 0
    where it reaches over the border and shows its mirror image."""
    matrix = cv2.invertAffineTransform(_scaled_matrix(crop.matrix, side / crop.image.width))
    y, x = np.mgrid[:side, :side]
    places = matrix[:, :2] @ np.stack([x.ravel(), y.ravel()]) + matrix[:, 2:]
    limits = np.array(photo_size)[:, None] - 0.5
    shown = ((places >= -0.5) & (places <= limits)).all(axis=0)
    return shown.reshape(side, side).astype(np.float32)


def paste(
    canvas: Image.Image,
    crop: Crop,
    toon: Image.Image,
    *,
    feather: float = 0.25,
    match_colour: bool = False,
) -> Image.Image:
    """Lay a drawn crop back over the canvas where it was cut out; a new image of the canvas' size.

    Only the square that the crop covers is touched. The drawing fades into the canvas before the
    square's edge, along a rounded square.

    Args:
        canvas: RGB, in the frame of the photo that was given to `align`.
        crop: where the face was.
        toon: RGB and square, the drawing of `crop.image`; of any size.
        feather: the part of the way from the edge to the centre over which the drawing fades, above
            0 to 1.
        match_colour: shift the drawing's colours towards those of the canvas, as measured in the
            band where they fade into each other.

    Raises:
        ValueError: the drawing is not square or the feather is out of range.
    """
    if toon.width != toon.height:
        raise ValueError(f"toon is {toon.width}x{toon.height}; expected a square drawing")
    if not 0.0 < feather <= 1.0:
        raise ValueError(f"feather is {feather}; expected above 0 and at most 1")
    matrix = _scaled_matrix(crop.matrix, toon.width / crop.image.width)
    x0, y0, x1, y1 = _covered(matrix, toon.width, canvas.size)
    result = canvas.copy()
    if x0 >= x1 or y0 >= y1:
        return result
    local = _moved(matrix, x0, y0)
    size = (x1 - x0, y1 - y0)
    mixed = np.array(canvas.crop((x0, y0, x1, y1)).convert("RGB"))
    over = _warp(np.asarray(toon.convert("RGB")), local, size)
    if match_colour:
        mask = _mask(local, toon.width, size, feather)[..., None]
        over = _match(over.astype(np.float32), mixed.astype(np.float32), 4.0 * mask * (1.0 - mask))
    rows = max(1, _BAND_PIXELS // size[0])
    for top in range(0, size[1], rows):  # a face may fill a large photo
        band = slice(top, min(top + rows, size[1]))
        mask = _mask(local, toon.width, size, feather, band)[..., None]
        under = mixed[band].astype(np.float32)
        mix = under + mask * (over[band].astype(np.float32) - under)
        mixed[band] = np.rint(np.clip(mix, 0.0, 255.0)).astype(np.uint8)
    result.paste(Image.fromarray(mixed), (x0, y0))
    return result


def paste_order(crops: Sequence[Crop]) -> list[int]:
    """Indices of crops in the order to paste them: far faces first, so near ones lie on top."""
    return sorted(range(len(crops)), key=lambda index: crops[index].side)


def _shrunk(photo: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """uint8 RGB pixels of a photo, scaled down to size (width, height)."""
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    if photo.size == size:
        return np.asarray(photo)
    times = min(photo.width // size[0], photo.height // size[1])
    if times < 2:
        return cv2.resize(np.asarray(photo), size, interpolation=cv2.INTER_AREA)
    # By a whole number first, where the pixels lie: to copy a large photo takes longer than all
    # that follows. What is left is less than half and needs no other filter.
    return cv2.resize(np.asarray(photo.reduce(times)), size, interpolation=cv2.INTER_LINEAR)


def _look(upright: cascade.View, min_score: float, quarter_turns: int = 0) -> list[Face]:
    """Faces of a view, looked for after turning it counter-clockwise."""
    view = upright.turned(quarter_turns)
    smallest = max(_SMALLEST_SIDE, int(_SMALLEST_FACE * min(view.size)))
    faces = []
    for first in _candidates(view, smallest):
        # An upright photo seems to show a face lying down here and there: there is less reason to
        # believe one, so it must be seen twice.
        doubtful = quarter_turns != 0
        face = _second_look(view.pixels, first, doubtful) if first.score >= min_score else None
        if face is None:
            continue
        corners = _unturned(np.array(face.box).reshape(2, 2), quarter_turns, upright.size)
        points = _unturned(face.points, quarter_turns, upright.size)
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        faces.append(Face(box, points, face.score))
    return faces


def _candidates(view: cascade.View, smallest: int) -> list[Face]:
    """Faces in a view, with points that hold at the border too.

    The detector stretches a face that the border cuts until the part it sees is a whole one. With
    a grey margin around the picture it does not.
    """
    faces = _said(view, smallest)
    beyond = [face for face in faces if _reaches_out(face.box, view.size)]
    if not beyond:
        return faces
    margin = round(max(max(f.box[2] - f.box[0], f.box[3] - f.box[1]) for f in beyond) / 2)
    pixels = np.ascontiguousarray(view.pixels)
    wide = cv2.copyMakeBorder(pixels, *[margin] * 4, cv2.BORDER_CONSTANT, value=(128,) * 3)
    again = [
        Face(tuple(edge - margin for edge in face.box), face.points - margin, face.score)
        for face in _said(cascade.View(wide), smallest)
    ]
    for place, face in enumerate(faces):
        if face in beyond and again:
            best = max(again, key=lambda other: _overlap(face.box, other.box))
            if _overlap(face.box, best.box) > 0.3:
                faces[place] = best
    return faces


def _reaches_out(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> bool:
    """Whether more than a fiftieth of a box's length or height lies beyond the border."""
    x0, y0, x1, y1 = box
    across, down = 0.02 * (x1 - x0), 0.02 * (y1 - y0)
    return x0 < -across or y0 < -down or x1 > shape[1] + across or y1 > shape[0] + down


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes: 1 for the same, 0 for separate ones."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-6)


def _said(view: cascade.View, smallest: int) -> list[Face]:
    """What the detector says of a view, as it says it."""
    faces = [
        Face(tuple(box.tolist()), points.astype(np.float64), float(score))
        for box, points, score in zip(*cascade.find(view, smallest), strict=True)
    ]
    return [face for face in faces if np.isfinite(face.box).all() and _is_face(face.points)]


def _second_look(pixels: np.ndarray, face: Face, doubtful: bool) -> Face | None:
    """The face with points as seen upright and near; None for a weak one that is not seen again.

    Upright and certain faces are returned as they are. The detector was trained on upright faces:
    beyond 30 degrees of roll its points are off, beyond 60 often by a quarter turn.
    """
    certain = _CERTAIN_TURNED if doubtful else _CERTAIN
    weak, points, score = doubtful or face.score < certain, face.points, face.score
    for _ in range(3):
        tilted = abs(_roll(points)) > 30
        if not weak and not tilted:
            break
        matrix = _ffhq_matrix(points, _NEAR // 2)
        matrix[:, 2] += _NEAR / 4  # the face's square in the middle half of the view
        try:
            near = cascade.View(_cut(pixels, matrix, _NEAR))
        except ValueError:  # points outside of the photo
            return None
        middle = np.full(2, _NEAR / 2)
        again = [seen for seen in _candidates(near, _NEAR // 8) if _covers(seen.box, middle)]
        if not again:
            break
        best = max(again, key=lambda seen: seen.score)
        weak, score = best.score < certain, max(score, best.score)
        if tilted:
            points = (best.points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        if not tilted or (not weak and abs(_roll(best.points)) < 15):
            break
    return None if weak else Face(face.box, points, score)


def _roll(points: np.ndarray) -> float:
    """Degrees by which the line between the eyes is turned clockwise."""
    across, down = points[1] - points[0]
    return math.degrees(math.atan2(down, across))


def _covers(box: tuple[float, float, float, float], point: np.ndarray) -> bool:
    return bool(box[0] < point[0] < box[2] and box[1] < point[1] < box[3])


def _unturned(points: np.ndarray, quarter_turns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Points of `np.rot90(pixels, quarter_turns)` in the frame of pixels."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    back = {
        0: (x, y),
        1: (width - 1 - y, x),
        2: (width - 1 - x, height - 1 - y),
        3: (y, height - 1 - x),
    }
    return np.stack(back[quarter_turns % 4], axis=1)


def _scaled(face: Face, scale: np.ndarray) -> Face:
    corners = (np.array(face.box).reshape(2, 2) + 0.5) * scale - 0.5
    points = (face.points + 0.5) * scale - 0.5
    return Face(tuple(corners.ravel().tolist()), points, face.score)


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _ffhq_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, half of the upper side and half of the left side of the FFHQ square."""
    left_eye, right_eye, _, left_mouth, right_mouth = np.asarray(points, np.float64)
    eyes = (left_eye + right_eye) / 2
    between_eyes = right_eye - left_eye
    to_mouth = (left_mouth + right_mouth) / 2 - eyes
    across = between_eyes - np.array([-to_mouth[1], to_mouth[0]])
    length = max(2.0 * np.linalg.norm(between_eyes), 1.8 * np.linalg.norm(to_mouth))
    across = across / np.linalg.norm(across) * length
    return eyes + 0.1 * to_mouth, across, np.array([-across[1], across[0]])


def _is_face(points: np.ndarray) -> bool:
    """Whether five points can be aligned: finite, and eyes and mouth apart."""
    if points.shape != (5, 2) or not np.isfinite(points).all():
        return False
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    between_eyes, to_mouth = points[1] - points[0], mouth - eyes
    across = between_eyes - np.array([-to_mouth[1], to_mouth[0]])
    return bool(np.linalg.norm(across) > 1.0)


def _ffhq_matrix(points: np.ndarray, size: int) -> np.ndarray:
    """Matrix (2, 3) from photo pixels to the pixels of the FFHQ crop of `size`."""
    if not _is_face(np.asarray(points)):
        raise ValueError(
            f"points are {np.asarray(points).tolist()}; expected five that span a face"
        )
    centre, across, down = _ffhq_axes(points)
    turn = np.stack([across, down]) * (size / 2) / (across @ across)
    middle = (size - 1) / 2  # the centre of a square of pixels whose first centre is 0
    return np.column_stack([turn, middle - turn @ centre])


def _scaled_matrix(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The same map to a picture `factor` times as large."""
    scaled = matrix * factor
    scaled[:, 2] += (factor - 1.0) / 2
    return scaled


def _moved(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """The same map for a picture that begins at (x, y)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([x, y], np.float64)
    return moved


def _covered(
    matrix: np.ndarray, size: int, photo_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The part x0, y0, x1, y1 of a photo that the square of `size` pixels lies over."""
    edge = np.array(
        [[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]]
    )
    corners = (edge - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    width, height = photo_size
    return (
        int(np.clip(low[0], 0, width)),
        int(np.clip(low[1], 0, height)),
        int(np.clip(high[0], 0, width)),
        int(np.clip(high[1], 0, height)),
    )


def _cut(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3) under the matrix; mirrored beyond the border."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = _covered(matrix, size, (width, height))
    if x0 >= x1 or y0 >= y1:
        raise ValueError("face lies wholly outside of the photo")
    # The filter needs neighbours; at the photo's border the part ends where the photo ends.
    margin = 8 + math.ceil(8 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
    x1, y1 = min(x1 + margin, width), min(y1 + margin, height)
    part = np.ascontiguousarray(pixels[y0:y1, x0:x1])
    inverse = cv2.invertAffineTransform(_moved(matrix, x0, y0))
    return _warp(part, inverse, (size, size))


def _warp(pixels: np.ndarray, to_source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw a picture of size (width, height) by looking up pixel p at `to_source` @ p in pixels.

    A source that comes out smaller is first scaled down with a Lanczos filter to a little above
    the drawn resolution: nothing aliases, and hardly any detail is lost on the way there and back.
    """
    step = math.sqrt(abs(np.linalg.det(to_source[:, :2])))  # source pixels per drawn pixel
    if step > _FINER:
        height, width = pixels.shape[:2]
        small = (max(1, round(width * _FINER / step)), max(1, round(height * _FINER / step)))
        pixels = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS))
        shrink = np.array([[small[0] / width], [small[1] / height]])
        to_source = to_source * shrink
        to_source[:, 2:] += (shrink - 1.0) / 2
    return cv2.warpAffine(
        pixels,
        to_source,
        size,
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _mask(
    matrix: np.ndarray,
    crop_size: int,
    size: tuple[int, int],
    feather: float,
    band: slice = slice(None),
) -> np.ndarray:
    """Weights of the drawing, of a band of the rows of a picture of size (width, height).

    1 inside, 0 at and beyond the crop's edge, smooth between.
    """
    half = crop_size / 2
    unit = _scaled_matrix(matrix, 1.0)
    unit[:, 2] -= half - 0.5
    unit /= half  # photo pixels -> -1 to 1 across the crop
    x = np.arange(size[0], dtype=np.float32)[None, :]
    y = np.arange(size[1], dtype=np.float32)[band, None]
    across = (unit[0, 0] * x + unit[0, 1] * y + unit[0, 2]).astype(np.float32)
    down = (unit[1, 0] * x + unit[1, 1] * y + unit[1, 2]).astype(np.float32)
    # Not ** 4, which takes ten times as long.
    fourth = np.square(np.square(across)) + np.square(np.square(down))
    from_centre = np.sqrt(np.sqrt(fourth))  # 1 on a rounded square that touches the edge
    inside = np.clip((1.0 - from_centre) / feather, 0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


def _match(over: np.ndarray, under: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """RGB 0 to 255 `over` with its colours shifted, place by place, towards those of `under`.

    The shift is their CIELAB difference near the places where `weight` (H, W, 1) lies, and its mean
    over all of them further away: a backdrop follows its own surroundings and tints no skin.
    """
    height, width = weight.shape[:2]
    shrink = min(1.0, 128 / max(height, width))
    small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    over_lab = _lab(over)
    weighted = [weight, weight * (_lab(under) - over_lab)]
    sigma = 0.06 * max(small)
    total, shift = (
        cv2.GaussianBlur(cv2.resize(part, small, interpolation=cv2.INTER_AREA), (0, 0), sigma)
        for part in weighted
    )
    mean = weighted[1].sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
    far = 0.25 * total.max() + 1e-6
    shift = (shift + far * mean) / (total + far)[..., None]
    over_lab += cv2.resize(shift, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(over_lab, cv2.COLOR_LAB2RGB) * 255.0


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Float32 RGB 0 to 255 -> CIELAB, L 0 to 100."""
    return cv2.cvtColor(np.clip(rgb / 255.0, 0.0, 1.0), cv2.COLOR_RGB2LAB)
