"""Renders heads that are asked for on standard input; imports Blender (bpy, GPL-3).

A program of its own, apart from the library: it runs in a Python environment with bpy, NumPy,
SciPy, scikit-image, Pillow and OpenEXR. Every line of the input is a JSON object with `seed`,
`size`, `samples` and `folder`, and for a head to order `attributes` (a row of the table) and
`overrides`; for every line, one that starts with `DONE ` follows on the output.
"""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from PIL import Image

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.blender.scene import SceneBuilder, set_render
from training.prepare.heads.landmarks import NAMES
from training.prepare.heads.model import Model, build_model
from training.prepare.heads.overrides import Overrides
from training.prepare.heads.pose import FAR, NEAR
from training.prepare.heads.table import PARTS

# Of a landmark in front of the surface that is seen at its pixel, in head units.
HIDDEN_BEHIND = 0.12


def render(folder: Path) -> dict[str, np.ndarray]:
    """Renders the scene into `image.png`; depth and part of every pixel."""
    scene = bpy.context.scene
    bpy.ops.render.render()
    result, settings = bpy.data.images["Render Result"], scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    result.save_render(str(folder / "image.png"), scene=scene)
    # Blender writes dates and times into the file; the same head is to be the same file.
    with Image.open(folder / "image.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    Image.fromarray(pixels).save(folder / "image.png")
    settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    passes = folder / "passes.exr"
    result.save_render(str(passes), scene=scene)
    parts = OpenEXR.File(str(passes), separate_channels=True).parts
    passes.unlink()
    found = {
        name.split(".")[-2]: channel.pixels
        for part in parts
        for name, channel in part.channels.items()
    }
    return {"depth": found["Depth"], "part": found["Material Index"]}


def write_maps(folder: Path, depth, part) -> np.ndarray:
    """Writes `mask.png` (numbers of PARTS) and `depth.png` (16 bit, white is near)."""
    mask = np.rint(part).astype(np.uint8)
    image = Image.fromarray(mask, "P")
    image.putpalette([c for i in range(len(PARTS)) for c in _color(i)])
    image.save(folder / "mask.png", optimize=True)
    depth = np.where(mask == 0, FAR, depth)
    share = np.clip((FAR - depth) / (FAR - NEAR), 0, 1)
    Image.fromarray(np.rint(share * 65535).astype(np.uint16)).save(folder / "depth.png")
    return depth


def _color(index: int) -> tuple[int, int, int]:
    """A color for a number, so that a mask can be looked at."""
    return (index * 83) % 256, (index * 149) % 256, (index * 211) % 256 if index else 0


def landmark_rows(model: Model, depth) -> list[list[float]]:
    """[x, y, seen] of every landmark: pixels, and 1 where nothing is in front of it."""
    size = len(depth)
    points = model.camera.project(model.landmarks, size)
    distances = model.camera.view(model.landmarks)[:, 2]
    rows = []
    for (x, y), distance in zip(points, distances, strict=True):
        inside = 0 <= x < size and 0 <= y < size
        seen = inside and distance < depth[int(y), int(x)] + HIDDEN_BEHIND
        rows.append([round(float(x), 2), round(float(y), 2), int(seen)])
    return rows


def read_order(job: dict) -> tuple[Attributes | None, Overrides]:
    """What a job has in place of what its seed draws."""
    attributes = Attributes.from_row(job["attributes"]) if "attributes" in job else None
    return attributes, Overrides(**job.get("overrides", {}))


def make_head(job: dict, threads: int) -> None:
    """Writes picture, mask, depth and `head.json` of a head into its folder."""
    started, cpu = time.time(), time.process_time()
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(job["seed"], *read_order(job))
    SceneBuilder(model).build()
    scene = bpy.context.scene
    exposure = model.lighting.exposure
    set_render(scene, job["size"], job["samples"], job["seed"], exposure, threads)
    maps = render(folder)
    depth = write_maps(folder, **maps)
    head = {
        "attributes": model.attributes.row(),
        "landmarks": dict(zip(NAMES, landmark_rows(model, depth), strict=True)),
        "size": job["size"],
        "samples": job["samples"],
        "seconds": round(time.time() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    if "overrides" in job:
        head["overrides"] = model.overrides.row()
    (folder / "head.json").write_text(json.dumps(head))


# What a head may fail with; Blender raises RuntimeError. The parent skips the head and says why.
FAULTS = (RuntimeError, ValueError, OSError, ArithmeticError, LookupError)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of a render (default: 1)")
    threads = parser.parse_args().threads
    for line in sys.stdin:
        job = json.loads(line)
        error = ""
        try:
            make_head(job, threads)
        except FAULTS:
            error = traceback.format_exc()
        print("\nDONE " + json.dumps({"seed": job["seed"], "error": error}), flush=True)


if __name__ == "__main__":
    main()
