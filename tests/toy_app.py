"""The app with a pipeline that draws at once: `python -m tests.toy_app` shows the screen alone."""

import contextlib
import dataclasses
import socket

from PIL import Image, ImageOps

import app
from toonify.hub import Style

STYLES = [
    Style("toy", "Toy", "Flat colours.", licence="CC0-1.0", source="bundled"),
    Style("mask", "Mask", "Paints faces.", "face", "CC0-1.0", "hub someone/mask@0123456789ab"),
]


@dataclasses.dataclass
class ToyFace:
    box: tuple
    points: list
    score: float = 0.99


@dataclasses.dataclass
class ToyToon:
    image: Image.Image
    faces: list
    seconds: dict
    drawn_faces: int = 0


def find_faces(photo):
    """One face in the middle of every photo that is not tiny and not of one colour."""
    width, height = photo.size
    darkest, lightest = photo.convert("L").getextrema()
    if width < 64 or darkest == lightest:
        return []
    box = (width * 0.3, height * 0.25, width * 0.7, height * 0.8)
    return [ToyFace(box, [[width * 0.4, height * 0.45]] * 5)]


class ToyPipeline:
    """Posterises, and remembers what it was asked for."""

    def __init__(self, style):
        self.style = style
        self.calls = []

    def __call__(self, photo, *, faces, strength, keep_colour, progress=None):
        progress = progress or print
        self.calls.append({"faces": faces, "strength": strength, "keep_colour": keep_colour})
        progress(0.2, "Looking for faces")
        found = [] if faces == "none" else find_faces(photo)
        toon = ImageOps.posterize(photo, 2) if self.style == "toy" or found else photo
        progress(0.9, "Blending")
        return ToyToon(Image.blend(photo, toon, strength), found, {"draw": 0.5})


class Toys:
    """Stands in for `app.load_pipeline`; `made` has the pipelines by style."""

    def __init__(self):
        self.made = {}

    def __call__(self, style):
        return self.made.setdefault(style, ToyPipeline(style))


@contextlib.contextmanager
def served(toys):
    """The page on a free port of this machine, in this process: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = app.build(STYLES, toys)
    options = {"server_name": "127.0.0.1", "server_port": port, "quiet": True}
    demo.launch(prevent_thread_lock=True, **options, **app.LAUNCH)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        demo.close(verbose=False)


if __name__ == "__main__":
    app.find_faces = find_faces
    app.build(STYLES, Toys()).launch(**app.LAUNCH)
