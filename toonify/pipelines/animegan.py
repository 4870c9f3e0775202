"""AnimeGANv2: a photo goes in, the same photo drawn comes out, at its own size."""

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from toonify import hub, images
from toonify.engines import Engine, open_engine
from toonify.faces import Face, align, detect, frontal_eye_distance, paste_into
from toonify.hub.mixin import SavingMixin
from toonify.images import marks
from toonify.images.color_transfer import transfer_color
from toonify.images.morph import morph
from toonify.images.resize import SLIGHTLY, resize_slightly
from toonify.images.upscale import upscale
from toonify.pipelines import graphs
from toonify.pipelines.batch import Outcome, draw_all, one_or_many
from toonify.pipelines.options import DrawOptions

MAX_DRAWN_PIXELS = 1_500_000  # what the network draws at once, in about 1 GB of memory
# How many times as fine as its surroundings a face's strokes may be before they are given steps.
MAX_STEP = 2.5
MAX_REFINEMENT = 1.4
MAX_RINGS = 2  # of surroundings between a face and the photo
RING_FEATHER = 0.6
FINE_SCALE = 1 / 3  # a photo drawn smaller than this has detail for faces of their own
# Of height and width, and px a side: those of the fast generator on single pixels also suit the
# full one; a network that works on patches takes that many times more.
MULTIPLE, MIN_SIDE = 8, 32
NETWORK_CODE = Path(__file__).parents[1] / "models" / "animegan.py"


@dataclasses.dataclass
class Toon:
    """A drawn photo.

    `image` has the upright photo's size; `faces` are all that were found, largest first, in its
    frame; `seconds` says how long each step took; `drawn_faces` counts those drawn on their own.
    `save` marks the file as a drawing, which `image.save` of Pillow does not.
    """

    image: Image.Image
    faces: list[Face]
    seconds: dict[str, float]
    drawn_faces: int

    def save(self, path: str | os.PathLike, quality: int = 95, *, mark: bool = True) -> Path:
        """Writes the image: see `images.save`.

        Args:
            path: ends in .jpg, .jpeg, .png, .webp, .avif, .bmp, .tif or .tiff.
            quality: 1 to 100 (default 95), for JPEG, WebP and AVIF.
            mark: whether the file says that it is a drawing; default True.

        Returns:
            The path.

        Raises:
            images.ImageError: another suffix, or an image that is too large for the format.
            OSError: the file cannot be written.
        """
        return images.save(self.image, path, quality, mark=mark)


class AnimeGANPipeline(SavingMixin):
    """Draws photos in one style. Safe to share between threads; they take turns at the network."""

    def __init__(self, engine: Engine, style: hub.Style, patch: int = 1, key: str | None = None):
        self.engine = engine
        self.style = style
        self.patch = patch  # side of the pixel blocks that the network works on
        self.key = key  # changes whenever the network does

    @classmethod
    def from_pretrained(
        cls,
        style: str | Path = hub.DEFAULT_STYLE,
        *,
        revision: str | None = None,
        device: str = "auto",
        quality: str = "best",
    ) -> "AnimeGANPipeline":
        """Opens a style.

        Args:
            style: the name of a bundled style, a folder, or owner/name on the Hub.
            revision: branch, tag or commit of a Hub style; default: its main branch.
            device: "auto" (default), "cpu", "cuda" or "cuda:N".
            quality: "best" (default), or "fast" if the style has a fast generator.

        Raises:
            ValueError: the style, revision, device or quality does not exist.
            PermissionError: the Hub repository needs a login.
            ConnectionError: the Hub is needed and does not answer.

        Example:
            >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
            >>> pipe.style.title
            'Comic'
        """
        folder = hub.resolve_model(style, revision)
        inner = hub.generator_folder(folder, quality)
        key = hub.fingerprint(*hub.generator_files(folder, quality), NETWORK_CODE)
        engine = open_engine(
            key,
            functools.partial(load_generator, inner),
            device,
            read_graph=functools.partial(graphs.read_graph, inner, NETWORK_CODE),
        )
        patch = hub.read_json(inner / hub.CONFIG).get("patch", 1)
        pipeline = cls(engine, hub.read_style(folder, style), patch, key)
        pipeline.folder = folder
        return pipeline

    def __call__(
        self,
        photo,
        *,
        options: DrawOptions | None = None,
        found: Sequence[Face] | None = None,
        progress: Callable[[float, str], None] | None = None,
        **keywords: Any,
    ) -> Toon:
        """Draws a photo.

        Args:
            photo: a path, the bytes of an image file, a binary file or a `PIL.Image`.
            options: the options of the drawing; None: the defaults.
            found: the faces of the upright photo, the largest first, if they are known already;
                None: they are searched for.
            progress: called with a fraction and a text between the steps.
            keywords: options by name, such as `faces="largest"`; they take precedence.

        Raises:
            images.ImageError: the photo cannot be read.
            ValueError: an option has a wrong value.

        Example:
            >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
            >>> toon = pipe("portrait.jpg", faces="largest", strength=0.8)
            >>> toon.image.size, len(toon.faces)
            ((512, 512), 1)
        """
        options = DrawOptions.merge(options, keywords)
        check_options(self.style, options)
        clock = Clock(progress)
        with clock("load", 0.0, "Opening the photo"):
            photo = images.load(photo)
        with clock("detect", 0.05, "Looking for faces"):
            faces = self.find(photo, options, found)
        canvas, scale = photo, 0.0
        if self.style.scope == "photo":
            with clock("draw", 0.15, "Drawing the photo"):
                scale = self.refine_scale(photo, faces, self.drawing_scale(photo, faces))
                canvas = self.draw(photo, scale)
        chosen = self.to_draw(faces[:1] if options.faces == "largest" else faces, scale)
        with clock("faces", 0.6, f"Drawing {len(chosen)} faces" if chosen else "Finishing"):
            canvas = self.draw_faces(photo, canvas, chosen, scale)
        with clock("blend", 0.95, "Finishing"):
            if options.keep_color:
                canvas = transfer_color(photo, canvas)
            if options.strength < 1:
                canvas = morph(photo, canvas, options.strength)
        clock.done()
        assert canvas.size == photo.size, (canvas.size, photo.size)
        marks.mark(canvas, options.source_type())
        return Toon(canvas, faces, clock.seconds, len(chosen))

    @staticmethod
    def find(
        photo: Image.Image, options: DrawOptions, known: Sequence[Face] | None = None
    ) -> list[Face]:
        """The faces that a drawing needs: those that are known, or else those of the photo."""
        if options.faces == "none":
            return []
        return detect(photo, small=True) if known is None else list(known)

    def map(
        self,
        photos: Iterable,
        *,
        options: DrawOptions | None = None,
        finish: Callable[[object, Toon], object] | None = None,
        **keywords: Any,
    ) -> Iterator[Outcome]:
        """Draws many photos, several at once, and yields an `Outcome` for each in their order.

        At most 50 million pixels of photos are in memory.

        Args:
            photos: as for a call.
            options: as for a call, and `keywords` too.
            finish: called with the photo and its `Toon` in the thread that drew it, for example to
                write the file; its return value becomes the outcome's `result`.

        Raises:
            ValueError: an option has a wrong value.

        Example:
            >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
            >>> for outcome in pipe.map(["portrait.jpg", "missing.jpg"]):
            ...     print(outcome.photo, "failed" if outcome.error else outcome.result.image.size)
            portrait.jpg (512, 512)
            missing.jpg failed
        """
        options = DrawOptions.merge(options, keywords)
        check_options(self.style, options)
        photos, many = one_or_many(photos)
        engine = self.engine.for_throughput() if many else self.engine
        pipeline = type(self)(engine, self.style, self.patch, self.key)
        return draw_all(functools.partial(pipeline, options=options), photos, finish)

    def drawing_scale(self, photo: Image.Image, found: list[Face]) -> float:
        """The scale, at most 1, that bounds the pixels and suits strokes and the largest face."""
        scale = min(1.0, (MAX_DRAWN_PIXELS / (photo.width * photo.height)) ** 0.5)
        if self.style.short_side:
            scale = min(scale, self.style.short_side / min(photo.size))
        if found:
            scale = min(scale, self.style.eye_distance[1] / frontal_eye_distance(found[0].points))
        return scale

    def refine_scale(self, photo: Image.Image, found: list[Face], scale: float) -> float:
        """The scale, raised by at most `MAX_REFINEMENT` where faces need finer strokes than it has.

        Their surroundings come nearer to them; the largest face stays in the style's range.
        """
        if not any(self.count_rings(face, scale) for face in found):
            return scale
        largest = self.style.eye_distance[1] / frontal_eye_distance(found[0].points)
        most = (MAX_DRAWN_PIXELS / (photo.width * photo.height)) ** 0.5
        return max(scale, min(MAX_REFINEMENT * scale, largest, most, 1.0))

    def draw(
        self, photo: Image.Image, scale: float = 1.0, size: tuple[int, int] | None = None
    ) -> Image.Image:
        """The whole photo drawn at `scale`, then upscaled to `size` (default: the photo's)."""
        width, height = (max(1, round(side * scale)) for side in photo.size)
        small = photo
        if (width, height) != photo.size:
            small = shrink_photo(photo, (width, height))
        sides = (padded(side, self.patch) for side in (height, width))
        whole = Image.fromarray(reflect_to(np.asarray(small), *sides))
        drawn = self.engine(images.to_tensor(whole))
        toon = images.to_pil(drawn[..., :height, :width])
        size = photo.size if size is None else size
        return toon if toon.size == size else upscale(toon, size)

    def to_draw(self, found: list[Face], scale: float) -> list[Face]:
        """Those of the faces that are too small, or coarse, in the photo drawn at `scale`."""
        least = self.least_eye_distance(scale)
        return [face for face in found if frontal_eye_distance(face.points) * scale < least]

    def least_eye_distance(self, scale: float) -> float:
        """Pixels between the eyes in a photo drawn at `scale`, below which a face is drawn anew."""
        low, high = self.style.eye_distance
        if self.style.scope == "face":
            return float("inf")
        # Below `FINE_SCALE` a drawing is enlarged so much that its strokes show.
        return (low * high) ** 0.5 if scale < FINE_SCALE else low

    def draw_faces(
        self, photo: Image.Image, canvas: Image.Image, chosen: list[Face], scale: float = 0.0
    ) -> Image.Image:
        """The canvas, drawn at `scale`, with each chosen face drawn on its own and pasted in.

        Where a face's strokes would be much finer than those around it, rings of its surroundings
        are drawn first, at scales between the two.
        """
        if not chosen:
            return canvas
        canvas = canvas.copy()
        for ring in range(MAX_RINGS, 0, -1):  # the outer ones first
            done: list[tuple[np.ndarray, float]] = []
            for face in chosen:
                steps = self.count_rings(face, scale) + 1
                if ring < steps:
                    size = self.crop_size(face, scale)
                    widen = self.coarseness(face, scale) ** (ring / steps)
                    center, side = (
                        face.points.mean(axis=0),
                        4 * frontal_eye_distance(face.points) * widen,
                    )
                    if not any(lies_within(center, side, *other) for other in done):
                        done.append((center, side))
                        self.draw_into(canvas, photo, face, size, widen)
        for face in reversed(chosen):  # The small ones are the far ones: near faces cover them.
            self.draw_into(canvas, photo, face, self.crop_size(face, scale))
        return canvas

    def draw_face(
        self, photo: Image.Image, canvas: Image.Image, face: Face, size: int
    ) -> Image.Image:
        """The canvas with a face of the photo drawn from a crop of `size` px a side, pasted in."""
        canvas = canvas.copy()
        self.draw_into(canvas, photo, face, size)
        return canvas

    def draw_into(
        self,
        canvas: Image.Image,
        photo: Image.Image,
        face: Face,
        size: int,
        widen: float = 1.0,
    ) -> None:
        """As `draw_face`, and changes the canvas; `widen` is as for `align`."""
        crop = align(photo, face, size, widen)
        side = max(size, round(crop.side))  # the face's own resolution
        feather = 0.25 if widen == 1.0 else RING_FEATHER
        paste_into(canvas, crop, self.draw(crop.image, size=(side, side)), feather=feather)

    def crop_size(self, face: Face, scale: float = 0.0) -> int:
        """Pixels a side of a face's crop: its own resolution, within what the style draws well.

        `scale` is that of the photo's drawing, 0 if there is none.
        """
        low, high = self.style.eye_distance
        # An FFHQ crop is four eye distances wide. Faces smaller than the style's range are drawn at
        # its middle, where lines have the right weight, and far ones at its lower end, as the lines
        # around them are much coarser.
        eyes = min(max(frontal_eye_distance(face.points), (low * high) ** 0.5), high)
        if self.is_far(face, scale):
            eyes = low
        return padded(round(4 * eyes), self.patch)

    def is_far(self, face: Face, scale: float) -> bool:
        """Whether a photo drawn at `scale`, so that it is enlarged, shows nothing of a face."""
        drawn = frontal_eye_distance(face.points) * scale
        return 0 < scale < FINE_SCALE and drawn < self.style.eye_distance[0] / 2

    def coarseness(self, face: Face, scale: float) -> float:
        """How many times as coarse as a far face's strokes those of the photo at `scale` are."""
        if not self.is_far(face, scale):
            return 1.0
        return self.crop_size(face, scale) / (4 * frontal_eye_distance(face.points) * scale)

    def count_rings(self, face: Face, scale: float) -> int:
        """Rings of surroundings that a face needs, each at most `MAX_STEP` finer than the next."""
        steps = math.ceil(math.log(max(self.coarseness(face, scale), 1.0), MAX_STEP))
        return min(max(steps - 1, 0), MAX_RINGS)


class Clock:
    """Times the steps of one photo and reports to `progress` when each begins."""

    def __init__(self, progress: Callable[[float, str], None] | None):
        self.seconds: dict[str, float] = {}
        # Not `or`: gradio's Progress is falsy until it has begun.
        self.progress = (lambda fraction, text: None) if progress is None else progress

    @contextlib.contextmanager
    def __call__(self, step: str, fraction: float, text: str):
        self.progress(fraction, text)
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start

    def done(self):
        self.progress(1.0, "Done")


def check_options(style: hub.Style, options: DrawOptions) -> None:
    """Raises ValueError for options that the style cannot draw with."""
    if options.faces == "none" and style.scope == "face":
        raise ValueError(f"faces='none': style {style.name!r} draws faces only; use all or largest")


def load_generator(folder: Path) -> torch.nn.Module:
    """The network in a style's folder. Imports diffusers, so it is called on a cold start only."""
    from toonify.models import PHOTO_MODELS

    return hub.load_model(folder, PHOTO_MODELS)


def lies_within(center: np.ndarray, side: float, other: np.ndarray, other_side: float) -> bool:
    """Whether a square can do without a ring of its own, as it lies in the middle of another."""
    near = float(np.abs(center - other).max()) < 0.25 * other_side
    return near and side < 1.25 * other_side


def padded(side: int, patch: int = 1) -> int:
    """The next length that a network takes which works on patches of `patch` x `patch` pixels."""
    multiple = MULTIPLE * patch
    return max(MIN_SIDE * patch, -(-side // multiple) * multiple)


def shrink_photo(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The photo at a smaller size; hardly smaller ones in a fifth of the time."""
    if min(size[0] / photo.width, size[1] / photo.height) >= SLIGHTLY:
        return resize_slightly(photo, size)
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def reflect_to(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels (H, W, C) continued below and to the right by reflection, as often as it takes."""
    below, right = height - pixels.shape[0], width - pixels.shape[1]
    if not below and not right:
        return pixels
    return cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REFLECT_101)
