"""One's own 3D character: a head to order, fitted and rendered by a program of its own.

The program is `training.prepare.heads.order`. It starts Blender (GPL-3) as another process, and
neither is ever imported here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from toonify import images
from toonify.images import marks
from toonify.pipelines.batch import FAILURES, Outcome

PROGRAM = "training.prepare.heads.order"
PYTHON_VARIABLE = "TOONIFY_BLENDER_PYTHON"
NAME = "photo"
INSTALL = (
    "expected a Python 3.11 with Blender: python3.11 -m venv blender && blender/bin/pip install "
    "bpy==5.0.1 numpy==1.26.4 scipy scikit-image pillow OpenEXR; name blender/bin/python by "
    f"--blender-python or ${PYTHON_VARIABLE}"
)


class HeadPipeline:
    """Renders the largest face of a photo as a 3D cartoon head.

    Args:
        blender_python: Python with Blender; default: that of $TOONIFY_BLENDER_PYTHON.
        size: side of the picture in px, 64 or more; default 512.
        samples: samples a pixel, 1 or more; default 16.

    Raises:
        ValueError: Blender or MediaPipe is missing; the message says how to install it.

    Example:
        >>> pipeline = HeadPipeline("blender/bin/python")  # doctest: +SKIP
        >>> pipeline("portrait.jpg").size  # doctest: +SKIP
        (512, 512)
    """

    def __init__(self, blender_python: str | None = None, *, size: int = 512, samples: int = 16):
        self.blender_python = blender_python or os.environ.get(PYTHON_VARIABLE)
        self.size, self.samples = size, samples
        if not self.blender_python:
            raise ValueError(f"--model heads: {INSTALL}")
        if find_spec("mediapipe") is None:
            raise ValueError(
                "--model heads: expected MediaPipe, which measures the face: "
                "pip install 'toonify[teacher]'"
            )

    def __call__(self, photo: Any, *, mark: bool = True) -> Image.Image:
        """The head of the largest face of a photo.

        Args:
            photo: a path, the bytes of a file, or an image.
            mark: whether its file says what it is (`toonify.images.marks`); default True.

        Raises:
            ImageError: the photo is broken, or no head can be fitted to it; the message says why.
            RuntimeError: the program failed.
        """
        with tempfile.TemporaryDirectory(prefix="toonify-") as folder:
            source, out = Path(folder, f"{NAME}.png"), Path(folder, "out")
            images.load(photo).convert("RGB").save(source, compress_level=1)
            self._run(source, out)
            left_out = out / "left_out.json"
            if left_out.exists():
                reason = json.loads(left_out.read_text(encoding="utf-8"))[NAME]
                raise images.ImageError(f"{reason}: expected a portrait whose face is seen")
            head = images.load(out / "images" / f"{NAME}.png").copy()
        return marks.mark(head, marks.DRAWN if mark else None)

    def _run(self, source: Path, out: Path) -> None:
        command = [sys.executable, "-m", PROGRAM, str(source), str(out)]
        command += ["--size", str(self.size), "--samples", str(self.samples)]
        command += ["--blender-python", str(self.blender_python)]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["the heads program failed"]
            raise RuntimeError(lines[-1])

    def map(
        self, photos: Iterable, finish: Callable | None = None, *, mark: bool = True
    ) -> Iterator[Outcome]:
        """Draws photos one after the other; `finish(photo, head)` takes the head's place."""
        for photo in photos:
            try:
                head = self(photo, mark=mark)
                result = head if finish is None else finish(photo, head)
            except FAILURES as error:
                yield Outcome(photo, error=error)
            else:
                yield Outcome(photo, result)
