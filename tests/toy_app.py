"""The app with a pipeline that draws at once: `python -m tests.toy_app` shows the screen alone."""

import contextlib
import dataclasses
import functools
import random
import socket

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

import app
from toonify import images
from toonify.hub import Style
from toonify.screen import clips, live, new_faces, photo
from toonify.video import write_clip

STYLES = [
    Style("toy", "Toy", "Flat colours.", licence="CC0-1.0", source="bundled", fast=True),
    Style("mask", "Mask", "Paints faces.", "face", "CC0-1.0", "hub someone/mask@0123456789ab"),
]
TOONS = [
    Style("bold", "Bold", "Thick lines.", "face", "CC0-1.0", "bundled", family="stylegan"),
    Style("soft", "Soft", "Soft colours.", "face", "CC0-1.0", "bundled", family="stylegan"),
]
DIRECTIONS = {"smile": "Smile", "age": "Age"}
FACE_DIRECTIONS = {"smile": "Smile", "glasses": "Glasses"}
ROWS, DIMENSIONS = 2, 4  # of w+


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
    """Posterises, and remembers what it was asked for: `calls` for photos, `drawn` sizes of frames
    of clips."""

    key = "toy"

    def __init__(self, style, quality="best"):
        self.style = next(known for known in STYLES if known.name == style)
        self.quality = quality
        self.calls, self.drawn = [], []

    def __call__(self, photo, *, faces, strength, keep_color, progress=None):
        progress = progress or (lambda fraction, text: None)
        self.calls.append({"faces": faces, "strength": strength, "keep_color": keep_color})
        progress(0.2, "Looking for faces")
        found = [] if faces == "none" else find_faces(photo)
        toon = ImageOps.posterize(photo, 2) if self.style.scope == "photo" or found else photo
        progress(0.9, "Blending")
        return ToyToon(Image.blend(photo, toon, strength), found, {"draw": 0.5})

    def drawing_scale(self, photo, found):
        return 1.0

    def draw(self, photo, scale):
        self.drawn.append(photo.size)
        return ImageOps.posterize(photo, 2)


@dataclasses.dataclass
class ToyCrop:
    image: Image.Image


@dataclasses.dataclass
class ToyPortrait:
    face: ToyFace
    crop: ToyCrop
    latent: np.ndarray
    inversion: Image.Image
    toon: Image.Image


@dataclasses.dataclass
class ToyPortraitToon(ToyToon):
    portraits: list = dataclasses.field(default_factory=list)
    left_alone: list = dataclasses.field(default_factory=list)


class ToyPortraits:
    """Stands in for `StyleGANPipeline`: paints the face. Remembers what it was asked for, how many
    faces it had to find in w, and how many steps it refined."""

    name = "toy"

    def __init__(self):
        self.calls, self.inverted, self.refined = [], 0, 0

    def __call__(self, photo, *, style, latent, progress, cancelled, strength=1.0, **options):
        steps = options.get("refine_steps", 0)
        self.calls.append({"style": style, "latent": latent, "strength": strength, **options})
        progress(0.1, "Looking for faces")
        found = find_faces(photo)
        canvas, portraits = photo.copy(), []
        for number, face in enumerate(found):
            if latent is not None and number < len(latent):
                w = latent[number]
            else:
                self.inverted += 1
                w = self.refine(progress, cancelled, steps)
            box = [round(edge) for edge in face.box]
            crop = photo.crop(box).resize((256, 256))
            toon = self.toon(crop, style)
            brighter = 1 + sum((options.get("edits") or {}).values())
            toon = ImageEnhance.Brightness(toon).enhance(brighter)
            canvas.paste(toon.resize((box[2] - box[0], box[3] - box[1])), box)
            portraits.append(ToyPortrait(face, ToyCrop(crop), w, crop.convert("L"), toon))
        image = Image.blend(photo, canvas, strength)
        alone = [(face, "too small") for face in found[:1] * 2]
        count = len(portraits)
        return ToyPortraitToon(image, found + found * 2, {"draw": 0.5}, count, portraits, alone)

    def refine(self, progress, cancelled, steps):
        for step in range(steps):
            progress(step / steps, "Refining the likeness")
            if cancelled():
                break
            self.refined += 1
        return np.full((1, ROWS, DIMENSIONS), 0.25, np.float32)

    def toon(self, picture, style):
        return ImageOps.posterize(picture, 1 if style == "bold" else 3)

    def imagine(self, seed, style, **options):
        self.calls.append({"seed": seed, "style": style, **options})
        dots = random.Random(seed).randbytes(4 * 4 * 3)
        photo = Image.frombytes("RGB", (4, 4), dots).resize((256, 256))
        return photo, self.toon(photo, style), np.full((1, ROWS, DIMENSIONS), 0.5, np.float32)

    def save_latent(self, path, w):
        np.savez(path, w=w, model=np.array(self.name))

    def load_latent(self, source):
        from toonify import latents  # torch, so only where a test sends a file

        return latents.load_latent(source, ROWS, DIMENSIONS, self.name).numpy()


@dataclasses.dataclass
class ToyTwin:
    seed: int
    truncation: float
    choices: dict
    edits: dict
    note: str


class ToyFaces:
    """Stands in for `ToonGANPipeline`: untrained, of the real network at toy size. Remembers the
    loops that it was asked for."""

    def __init__(self):
        import torch  # so only where a test draws

        from toonify.latents import Direction
        from toonify.models.toongan import ToonGANGenerator

        torch.manual_seed(3)
        self.generator = ToonGANGenerator(64, 8, 8, 1, (8,) * 5).requires_grad_(False).eval()
        for name, weight in self.generator.named_parameters():
            if "torgb" in name and name.endswith("weight"):
                weight.mul_(30)  # untrained ones draw all but grey
        vectors = zip(FACE_DIRECTIONS, torch.randn(2, 8), strict=True)
        self.directions = {
            name: Direction(name, FACE_DIRECTIONS[name], vector, (0, 9)) for name, vector in vectors
        }
        self.loops = []

    def latents(self, n=1, seed=0, truncation=1.0, choices=None):
        import torch

        noise = torch.Generator()
        z = [torch.randn(8, generator=noise.manual_seed(seed + i)) for i in range(n)]
        w = self.generator.mapping(torch.stack(z))
        return (truncation * w)[:, None].expand(-1, self.generator.num_ws, -1).clone()

    def edited(self, w, edits):
        from toonify import latents

        for name, amount in edits.items():
            w = latents.edit(w, self.directions[name].vector, amount)
        return w

    def draw(self, w):
        return [images.to_pil(picture) for picture in self.generator.synthesis(w)]

    def mix(self, coarse, fine, resolution=16):
        from toonify import latents

        return latents.mix(coarse, fine, self.generator.first_row(resolution))

    def loop(self, keys, path, frames=120, fps=24, progress=None):
        import torch

        keys = torch.cat(list(keys))
        self.loops.append({"keys": tuple(keys.shape), "frames": frames, "fps": fps})
        progress(0.5)
        return write_clip((p for p in self.draw(keys) for _ in range(2)), path, fps)

    def grid(self, pictures):
        return ImageOps.expand(pictures[0], len(pictures))

    def twin(self, photo):
        found = bool(find_faces(photo))
        said = "Taken from the photo: brown hair." if found else "No face was found."
        edits = {"smile": 1.2} if found else {}
        return ToyTwin(photo.width, 0.5, {}, edits, said)


class Toys:
    """Stands in for `app.load_pipeline`; `made` has the pipelines by style, `fast` those of fast
    generators. `load_portraits` and `load_faces` stand in for those of `app`."""

    def __init__(self):
        self.made, self.fast = {}, {}
        self.portraits = ToyPortraits()

    @functools.cached_property
    def faces(self):
        return ToyFaces()

    def load_faces(self):
        return self.faces

    def load_portraits(self):
        return self.portraits

    def __call__(self, style, quality="best"):
        made = self.fast if quality == "fast" else self.made
        return made.setdefault(style, ToyPipeline(style, quality))


def build(toys, toons=True, faces=True, films=True, camera=True) -> "app.gr.Blocks":
    """The page with toys behind it; there is no tab for what is not wanted."""
    return app.build(
        STYLES,
        toys,
        TOONS if toons else [],
        toys.load_portraits,
        DIRECTIONS,
        new_faces.Handlers(toys.load_faces, FACE_DIRECTIONS, 64) if faces else None,
        clips.Handlers(STYLES, toys) if films else None,
        live.Handlers(STYLES, toys) if camera else None,
    )


@contextlib.contextmanager
def served(toys):
    """The page on a free port of this machine, in this process: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = build(toys)
    options = {"server_name": "127.0.0.1", "server_port": port, "quiet": True}
    demo.launch(prevent_thread_lock=True, **options, **app.LAUNCH)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        demo.close(verbose=False)


if __name__ == "__main__":
    photo.find_faces = find_faces
    build(Toys()).launch(**app.LAUNCH)
