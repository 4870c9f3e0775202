"""Measures drawings as cartoon characters of the people in photos.

    python -m training.animegan.characters --photos LIST --drawings film=DIR series=DIR \\
        [--teacher film=DIR series=DIR]

`LIST` is a folder, archive, Hub data set or a text file with a path a line; the drawings have the
photos' names and sizes. Prints JSON. Eyes, noses and skin are measured with MediaPipe's face mesh
(extra `teacher`); how far styles are apart also by channel means and deviations of MobileNetV2.
"""

import argparse
import itertools
import json
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from toonify.faces import Face, detect
from toonify.files import atomic_write
from training.core.perceptual import MobileNetV2Features
from training.data.images import Picture
from training.data.sources import open_pictures
from training.metrics import images as image_metrics
from training.metrics.distances import STAGES
from training.prepare.teacher.face_mesh import EYES, FaceFrame, find_faces
from training.prepare.teacher.quality import feature_boxes

APART_PX = 256  # side of the squares whose distance is measured
EYE_PX = 64.0  # px between the eyes at which sharpness is measured
NOSE_WINGS = (129, 358)  # landmarks of the nose's greatest width


def eye_opening(points: np.ndarray) -> float:
    """Mean height of the open eyes over the distance between them, of (478, 3) landmarks."""
    frame = FaceFrame(points)
    heights = []
    for eye in EYES:
        upper, lower = (frame.to_face(points[ids[3:6]]) for ids in (eye.upper, eye.lower))
        heights.append(float(np.linalg.norm(upper - lower, axis=1).mean()))
    return statistics.mean(heights) * frame.unit / frame.eye_distance


def nose_width(points: np.ndarray) -> float:
    """Distance of the nose's wings over that of the eyes, of (478, 3) landmarks."""
    left, right = (points[index, :2] for index in NOSE_WINGS)
    return float(np.linalg.norm(right - left)) / FaceFrame(points).eye_distance


def cheek_roughness(image: Image.Image, face: Face) -> float:
    """RMS of CIELAB L on the cheeks between Gaussians of 0.012 and 0.05 eye distances."""
    scale = image_metrics.FACE_UNIT_PX * 2 / face.eye_distance
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)
    light = cv2.cvtColor(small / 255, cv2.COLOR_RGB2LAB)[..., 0]
    unit = scale * face.eye_distance
    band = cv2.GaussianBlur(light, (0, 0), 0.012 * unit)
    band -= cv2.GaussianBlur(light, (0, 0), 0.05 * unit)
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    values = []
    for x, y, radius in image_metrics.skin_discs(face)[:2]:
        values.append(band[np.hypot(columns - scale * x, rows - scale * y) <= scale * radius])
    values = np.concatenate(values)
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def gradient_energy(image: Image.Image, boxes: list[list[int]], eye_distance: float) -> float:
    """Mean squared gradient of CIELAB L in boxes, at `EYE_PX` between the eyes or less."""
    scale = min(1.0, EYE_PX / eye_distance)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)
    light = cv2.cvtColor(small / 255, cv2.COLOR_RGB2LAB)[..., 0]
    down, across = np.gradient(light)
    energy = down**2 + across**2
    parts = []
    for box in boxes:
        left, top, right, bottom = (max(0, round(scale * value)) for value in box)
        parts.append(energy[top:bottom, left:right].ravel())
    values = np.concatenate(parts)
    return float(values.mean()) if values.size else float("nan")


@dataclass
class Measured:
    """Values of one style over all photos, one a photo in which the mesh finds a face."""

    eyes: list[float] = field(default_factory=list)
    noses: list[float] = field(default_factory=list)
    roughness: list[float] = field(default_factory=list)
    sharpness: dict[str, list[float]] = field(default_factory=lambda: {"eyes": [], "mouth": []})
    skin: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def figures(self) -> dict:
        """Medians, ready for JSON."""
        found = {
            "eye_opening_ratio": middle(self.eyes),
            "nose_width_ratio": middle(self.noses),
            "cheek_roughness_ratio": middle(self.roughness),
            "drawings_without_a_face": self.lost,
            "skin": {
                tone: {
                    "faces": len(shifts),
                    "hue_shift_degrees": middle([hue for hue, _ in shifts]),
                    "lightness_shift": middle([light for _, light in shifts]),
                }
                for tone, shifts in sorted(self.skin.items())
            },
        }
        if self.sharpness["eyes"]:
            found["gradient_energy_to_teacher"] = {
                part: middle(values) for part, values in self.sharpness.items()
            }
        return found


def middle(values: list[float]) -> float | None:
    """The median, rounded; None without values."""
    values = [value for value in values if np.isfinite(value)]
    return round(statistics.median(values), 3) if values else None


def landmarks(image: Image.Image, face: Face) -> np.ndarray | None:
    """(478, 3) landmarks of a face of the photo, found in the photo or a drawing of it."""
    found = find_faces(np.asarray(image), [face.box])
    left, top, right, bottom = face.box
    for points in found:
        x, y = points[:468, :2].mean(0)
        if left < x < right and top < y < bottom:
            return points
    return None


def measure(
    photo: Image.Image, drawing: Image.Image, teacher: Image.Image | None, name: str, into: Measured
) -> None:
    """Adds the values of a photo's largest face to `into`; nothing without a face.

    Args:
        photo, drawing: RGB, of one size.
        teacher: the teacher's drawing of the photo, of that size; None: sharpness is not measured.
        name: of the photo.
        into: the values of the style.
    """
    faces = detect(photo)
    points = landmarks(photo, faces[0]) if faces else None
    if points is None:
        return
    face = faces[0]
    into.roughness.append(cheek_roughness(drawing, face) / max(cheek_roughness(photo, face), 0.05))
    before, after = (image_metrics.cheek_color(image, face) for image in (photo, drawing))
    shift = image_metrics.hue_shift(before, after), float(after[0] - before[0])
    into.skin.setdefault(image_metrics.skin_tone(before), []).append(shift)
    drawn = landmarks(drawing, face)
    if drawn is None:
        into.lost.append(name)
    else:
        into.eyes.append(eye_opening(drawn) / max(eye_opening(points), 1e-3))
        into.noses.append(nose_width(drawn) / nose_width(points))
    if teacher is not None:
        boxes = feature_boxes(points, 1.0, np.zeros(2))
        parts = {"eyes": [boxes["right_eye"], boxes["left_eye"]], "mouth": [boxes["mouth"]]}
        for part, group in parts.items():
            ours, theirs = (
                gradient_energy(image, group, face.eye_distance) for image in (drawing, teacher)
            )
            into.sharpness[part].append(ours / max(theirs, 1e-6))


def square(image: Image.Image) -> np.ndarray:
    """The image as float32 (256, 256, 3) in [0, 1], whole, squeezed to a square."""
    small = image.resize((APART_PX, APART_PX), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float32) / 255


@torch.inference_mode()
def channel_statistics(squares: list[np.ndarray], features: MobileNetV2Features) -> np.ndarray:
    """(N, values): means and deviations of the channels of each image."""
    rows = []
    for image in squares:
        found = features(torch.from_numpy(image).permute(2, 0, 1)[None] * 2 - 1)
        parts = [part for s in STAGES for part in (found[s].mean((2, 3)), found[s].std((2, 3)))]
        rows.append(torch.cat(parts, 1)[0].numpy())
    return np.stack(rows)


def apart(photos: list[np.ndarray], styles: dict[str, list[np.ndarray]]) -> dict:
    """How far any two styles are apart, over the mean distance of both from the photos.

    Args:
        photos: squares, see `square`.
        styles: name of a style -> its drawings of the photos, in their order.

    Returns:
        {"A/B": {"l1": share, "mobilenet_v2": share}}; 1 is as far as from the photos. Features are
        standardized over all images.
    """
    features = MobileNetV2Features(STAGES)
    sets = {"": photos, **styles}
    rows = {name: channel_statistics(group, features) for name, group in sets.items()}
    every = np.concatenate(list(rows.values()))
    center, unit = every.mean(0), every.std(0) + 1e-6
    rows = {name: (group - center) / unit for name, group in rows.items()}

    def distances(a: str, b: str) -> tuple[float, float]:
        pixels = np.mean([np.abs(x - y).mean() for x, y in zip(sets[a], sets[b], strict=True)])
        return float(pixels), float(np.linalg.norm(rows[a] - rows[b], axis=1).mean())

    from_photo = {name: distances(name, "") for name in styles}
    found = {}
    for a, b in itertools.combinations(styles, 2):
        shares = [
            between / statistics.mean(ends)
            for between, *ends in zip(distances(a, b), from_photo[a], from_photo[b], strict=True)
        ]
        found[f"{a}/{b}"] = {
            "l1": round(shares[0], 3),
            "mobilenet_v2": round(shares[1], 3),
        }
    return found


def by_stem(folder: str) -> dict[str, Picture]:
    """The images of a folder by their names without suffix."""
    return {picture.stem: picture for picture in open_pictures(folder, "drawings")}


def list_photos(source: str) -> list[Picture]:
    """Photos of a source, or of a text file with a path a line."""
    path = Path(source)
    if path.suffix != ".txt":
        return open_pictures(source, "photos")
    names = path.read_text(encoding="utf-8").splitlines()
    return [Picture(Path(name).stem, Path(name)) for name in names if name.strip()]


def load_like(picture: Picture, size: tuple[int, int]) -> Image.Image:
    """The image at a size."""
    image = picture.load()
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def report(
    photos: list[Picture], drawings: dict[str, str], teacher: dict[str, str] | None = None
) -> dict:
    """All figures of styles on photos, ready for JSON.

    Args:
        photos: the photos.
        drawings: name of a style -> folder of its drawings; photos without all are left out.
        teacher: name of a style -> folder of the teacher's drawings; default: none.
    """
    found = {name: by_stem(folder) for name, folder in drawings.items()}
    teachers = {name: by_stem(folder) for name, folder in (teacher or {}).items()}
    used = [photo for photo in photos if all(photo.stem in group for group in found.values())]
    measured = {name: Measured() for name in found}
    squares: dict[str, list[np.ndarray]] = {name: [] for name in ("", *found)}
    for picture in tqdm(used, "measuring", unit="photo"):
        photo = picture.load()
        squares[""].append(square(photo))
        for name, group in found.items():
            drawing = load_like(group[picture.stem], photo.size)
            squares[name].append(square(drawing))
            other = teachers.get(name, {}).get(picture.stem)
            drawn = load_like(other, photo.size) if other else None
            measure(photo, drawing, drawn, picture.stem, measured[name])
    return {
        "photos": len(used),
        "styles": {name: values.figures() for name, values in measured.items()},
        "apart": apart(squares.pop(""), squares),
    }


def folders(values: list[str]) -> dict[str, str]:
    """{"NAME": "DIR"} of NAME=DIR options; ValueError for another form."""
    pairs = [value.partition("=") for value in values]
    for name, _, folder in pairs:
        if not name or not folder:
            raise ValueError(f"{name}: expected NAME=FOLDER")
    return {name: folder for name, _, folder in pairs}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.animegan.characters", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--photos", required=True, help="photos, or a .txt file with their paths")
    form = "NAME=FOLDER of each style"
    parser.add_argument("--drawings", nargs="+", required=True, help=f"drawings: {form}")
    parser.add_argument(
        "--teacher", nargs="+", default=[], help=f"the teacher's drawings: {form} (default: none)"
    )
    parser.add_argument("--out", type=Path, help="JSON file (default: standard output only)")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        figures = report(
            list_photos(options.photos), folders(options.drawings), folders(options.teacher)
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    text = json.dumps(figures, indent=2)
    print(text, flush=True)
    if options.out:
        with atomic_write(options.out) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
