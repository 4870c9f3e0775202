"""Draws a folder of photos: resumable, in parallel, with a record of each photo."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import faces as face_detection
from toonify import images
from toonify.files import atomic_write, discard_unfinished
from training.data.images import Picture
from training.data.sources import photos_by_name
from training.data.teacher_records import HALFTONE_LAYERS, LABELS, RECORDS, read_records
from training.prepare.teacher import face_mesh
from training.prepare.teacher.draw import draw_photo, draw_scene
from training.prepare.teacher.face_mesh import face_height, find_faces
from training.prepare.teacher.filters import blur
from training.prepare.teacher.ground import DOT_GAP
from training.prepare.teacher.looks import LOOKS, Look
from training.prepare.teacher.masks import MaskNetwork
from training.prepare.teacher.portrait import Portrait, prepare
from training.prepare.teacher.quality import feature_boxes, refuse, score, score_parts

OTHER_FACES = 0.3  # of the largest face's height: smaller faces that cannot be drawn do not matter
HALFTONE_LOOK = "comic"
SCENE_UNITS = 8  # face units along the short side of a photo without a face


@dataclass(frozen=True)
class Job:
    """One photo and what is to be drawn of it.

    Args:
        name: of the written files.
        photo: where the photo is.
        data: folder that is written.
        looks: folder of the drawings -> look.
        masks: path of the mask network.
        min_side, max_side: px; smaller photos are enlarged, larger ones reduced.
        min_score: drawings below it are left out.
        scenes: whether a photo without a face is drawn too.
        halftone: whether drawings with dots are also written as layers (`write_halftone`).
    """

    name: str
    photo: Picture
    data: Path
    looks: dict[str, Look]
    masks: Path
    min_side: int
    max_side: int
    min_score: float
    scenes: bool = False
    halftone: bool = False


@dataclass
class Counts:
    """What a run did: pairs drawn now, and how many photos were left out for each reason."""

    drawn: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def fit_size(size: tuple[int, int], min_side: int, max_side: int) -> tuple[int, int]:
    """(width, height) with a short side of at least and a long side of at most these px."""
    scale = max(1.0, min_side / min(size))
    scale = min(scale, max_side / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def find_portraits(rgb: np.ndarray, masks: Path) -> tuple[list[Portrait], str]:
    """The faces of a uint8 photo, largest first; or none and the reason to leave the photo out."""
    found = face_detection.detect(Image.fromarray(rgb))
    points = find_faces(rgb, [face.box for face in found])
    if not points:
        return [], "no face"
    network, portraits = MaskNetwork(masks), []
    for face in points:
        portrait = prepare(rgb, face, network)
        if not (reason := refuse(portrait)):
            portraits.append(portrait)
        elif face_height(face) > OTHER_FACES * face_height(points[0]):
            return [], reason
    return portraits, "" if portraits else "no face"


def label_map(portraits: list[Portrait], size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W) of `LABELS` in the photo's px."""
    width, height = size
    labels = np.zeros((height, width), np.uint8)
    for portrait in reversed(portraits):
        left, top, right, bottom = portrait.window
        masks = portrait.masks
        own = (masks.person > 0.5).astype(np.uint8)
        for name, mask in (("skin", masks.skin), ("clothes", masks.clothes), ("hair", masks.hair)):
            own[mask > 0.5] = LABELS[name]
        own = Image.fromarray(own).resize((right - left, bottom - top), Image.Resampling.NEAREST)
        part = labels[top:bottom, left:right]
        part[...] = np.where(np.asarray(own) > 0, own, part)
    return labels


def five_points(portrait: Portrait) -> list[list[float]]:
    """Eyes, nose and corners of the mouth in the photo, as the face detector gives them."""
    points = portrait.points[:, :2] / portrait.scale + portrait.window[:2]
    return np.round(face_mesh.five_points(points), 1).tolist()


def draw_job(job: Job) -> dict[str, dict]:
    """Draws one photo; returns the record of each look."""
    photo = job.photo.load()
    photo = photo.resize(fit_size(photo.size, job.min_side, job.max_side), Image.Resampling.LANCZOS)
    rgb = np.asarray(photo)
    portraits, reason = find_portraits(rgb, job.masks)
    if reason == "no face" and job.scenes:
        return draw_scene_job(job, photo)
    if not reason and min(map(score, portraits)) < job.min_score:
        reason = "low score"
    record = {"name": job.name}
    if portraits:
        record |= {"score": min(map(score, portraits)), "parts": score_parts(portraits[0])}
    if reason:
        return dict.fromkeys(job.looks, record | {"left_out": reason})
    record["points"] = [five_points(portrait) for portrait in portraits]
    save_labels(label_map(portraits, photo.size), job.data / "masks" / f"{job.name}.png")
    records = {}
    for name, look in job.looks.items():
        toon, scenes = draw_photo(rgb, portraits, look)
        boxes = [
            feature_boxes(scene.points, scene.portrait.scale, scene.portrait.window[:2])
            for scene in scenes
        ]
        if job.halftone and look.name == HALFTONE_LOOK:
            unit = scenes[0].u / portraits[0].scale
            write_halftone(rgb, portraits, look, toon, unit, job.data / name, job.name)
        images.save(Image.fromarray(toon), drawing_path(job.data, name, job.name))
        records[name] = record | {
            "boxes": boxes,
            "age": round(scenes[0].age, 2),
            "glasses": any(portrait.glasses.present for portrait in portraits),
            "beard": any(scene.beard is not None for scene in scenes),
        }
    images.save(photo, job.data / "train_photo" / f"{job.name}.png")
    return records


def write_halftone(
    rgb: np.ndarray,
    portraits: list[Portrait],
    look: Look,
    toon: np.ndarray,
    unit: float,
    folder: Path,
    name: str,
) -> None:
    """Writes the layers of a drawing with dots, so that training can print dots of its own.

    `plain/NAME.png` is the drawing without dots, `ink/NAME.png` has ink wherever there are any, and
    `coverage/NAME.png` is the share of ink, 255 for all.

    Args:
        rgb, portraits, look: what is drawn.
        toon: the drawing with dots, uint8.
        unit: px of the largest face's unit.
        folder: of the look.
        name: of the files.
    """
    plain, ink = (
        draw_photo(rgb, portraits, dataclasses.replace(look, dots=dots))[0]
        for dots in ("none", "solid")
    )
    apart, printed = (np.abs(other.astype(np.float32) - plain).sum(2) for other in (ink, toon))
    sigma = DOT_GAP * unit
    coverage = blur(printed, sigma) / np.maximum(blur(apart, sigma), 1.0)
    coverage = np.where(apart > 3, np.clip(coverage, 0, 1), 0)
    layers = (plain, ink, np.rint(255 * coverage).astype(np.uint8))
    for kind, layer in zip(HALFTONE_LAYERS, layers, strict=True):
        images.save(Image.fromarray(layer), folder / kind / f"{name}.png")


def draw_scene_job(job: Job, photo: Image.Image) -> dict[str, dict]:
    """Draws a photo without a face; its labels are all background."""
    rgb = np.asarray(photo)
    for name, look in job.looks.items():
        toon = draw_scene(rgb, look, min(photo.size) / SCENE_UNITS)
        images.save(Image.fromarray(toon), drawing_path(job.data, name, job.name))
    save_labels(np.zeros(rgb.shape[:2], np.uint8), job.data / "masks" / f"{job.name}.png")
    images.save(photo, job.data / "train_photo" / f"{job.name}.png")
    return {name: {"name": job.name, "scene": True} for name in job.looks}


def save_labels(labels: np.ndarray, path: Path) -> None:
    """Writes a label map as a gray PNG of its values."""
    with atomic_write(path) as temporary:
        Image.fromarray(labels).save(temporary, "PNG")


def drawing_path(data: Path, look: str, name: str) -> Path:
    """Where a drawing is written."""
    return data / look / "style" / f"{name}.png"


def write_records(records: dict[str, dict], path: Path) -> None:
    """Writes one JSON object a line, sorted by name."""
    lines = [json.dumps(records[name]) for name in sorted(records)]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n" if lines else "", encoding="utf-8")


def write_faces(records: dict[str, dict], data: Path) -> None:
    """Adds the faces' points of drawn photos to `faces.json`, which training reads."""
    path = data / "faces.json"
    faces = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    faces |= {name: record["points"] for name, record in records.items() if "points" in record}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(faces, indent=1) + "\n", encoding="utf-8")


def draw_folder(
    sources: list[str | Path],
    data: Path,
    looks: Mapping[str, Look] | Sequence[str],
    masks: Path,
    *,
    jobs: int = 1,
    min_side: int = 512,
    max_side: int = 1280,
    min_score: float = 0.0,
    scenes: bool = False,
    halftone: bool = False,
) -> Counts:
    """Draws all photos that have no record yet.

    Args:
        sources: folders, archives or Hub data sets of photos.
        data: folder to write `train_photo/NAME.png`, `LOOK/style/NAME.png`, `masks/NAME.png`,
            `LOOK/teacher.jsonl` and `faces.json` into.
        looks: names of looks, or folder of the drawings in `data` -> look.
        masks: path of the mask network.
        jobs: number of processes.
        min_side: px of the short side up to which photos are enlarged.
        max_side: px of the long side down to which photos are reduced.
        min_score: drawings with a lower score are left out.
        scenes: whether photos without a face are drawn too, instead of left out.
        halftone: whether drawings with dots are also written as layers (`write_halftone`).

    Returns:
        How many drawings were written, and how many photos were left out for each reason.

    Raises:
        ValueError: there is no such source or mask network.
    """
    MaskNetwork(masks)
    photos = photos_by_name(sources)
    if not isinstance(looks, Mapping):
        looks = {look: LOOKS[look] for look in looks}
    records = {look: read_records(data / look / RECORDS) for look in looks}
    limits = (min_side, max_side, min_score, scenes, halftone)
    tasks = list_jobs(photos, looks, records, data, masks, limits)
    counts, reasons = Counts(), {}
    for done in run_jobs(tasks, jobs):
        for look, record in done.items():
            records[look][record["name"]] = record
            append_record(record, data / look / RECORDS)
            if "left_out" in record:
                reasons[record["name"]] = record["left_out"]
            else:
                counts.drawn += 1
    for look, found in records.items():
        write_records(found, data / look / RECORDS)
        write_faces(found, data)
        left_out = {name: r["left_out"] for name, r in found.items() if "left_out" in r}
        reasons |= {name: reason for name, reason in left_out.items() if name in photos}
    for reason in reasons.values():
        counts.left_out[reason] = counts.left_out.get(reason, 0) + 1
    return counts


def list_jobs(
    photos: dict[str, Picture],
    looks: Mapping[str, Look],
    records: dict[str, dict[str, dict]],
    data: Path,
    masks: Path,
    limits: tuple[int, int, float, bool, bool],
) -> list[Job]:
    """The photos that lack a record, in a fixed random order; deletes their unfinished files.

    The order makes a stopped run a fair sample of the photos.
    """
    tasks = []
    for name, photo in sorted(photos.items(), key=lambda item: crc32(item[0].encode())):
        missing = {
            look: looks[look]
            for look, known in records.items()
            if not is_done(known.get(name), data, look)
            or (limits[-1] and lacks_halftone(known[name], data, look, looks[look]))
        }
        if missing:
            tasks.append(Job(name, photo, data, missing, masks, *limits))
    discard_unfinished(
        path
        for task in tasks
        for path in (
            data / "train_photo" / f"{task.name}.png",
            data / "masks" / f"{task.name}.png",
            *(drawing_path(data, look, task.name) for look in records),
        )
    )
    return tasks


def is_done(record: dict | None, data: Path, look: str) -> bool:
    """Whether a photo was drawn in a look or left out."""
    if record is None:
        return False
    return "left_out" in record or drawing_path(data, look, record["name"]).exists()


def lacks_halftone(record: dict, data: Path, folder: str, look: Look) -> bool:
    """Whether a face was drawn with dots and has no layers of them."""
    layers = [data / folder / kind / f"{record['name']}.png" for kind in HALFTONE_LAYERS]
    drawn = look.name == HALFTONE_LOOK and "boxes" in record
    return drawn and not all(layer.exists() for layer in layers)


def append_record(record: dict, path: Path) -> None:
    """Adds a line to a file of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def run_jobs(tasks: list[Job], jobs: int):
    """Yields the records of each photo, in the order in which they are finished."""
    bar = tqdm(total=len(tasks), desc="drawing", unit="photo")
    with bar:
        if jobs == 1:
            for task in tasks:
                yield draw_job(task)
                bar.update()
            return
        with ProcessPoolExecutor(jobs, initializer=use_one_thread) as pool:
            for future in as_completed([pool.submit(draw_job, task) for task in tasks]):
                yield future.result()
                bar.update()


def use_one_thread() -> None:
    """Keeps parallel processes from using each other's cores."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
