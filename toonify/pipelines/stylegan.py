"""StyleGAN: the faces of a photo are aligned, inverted to w, drawn as toons and pasted back."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from toonify import hub, images
from toonify.faces import (
    Crop,
    Face,
    align,
    detect,
    frontal_eye_distance,
    inside,
    paste,
    paste_order,
)
from toonify.faces.appearance import wears_sunglasses
from toonify.faces.backdrop import keep_background, keep_surroundings
from toonify.faces.likeness import apply_gamma, exposure, local_difference
from toonify.images import marks
from toonify.images.color import is_gray
from toonify.images.color_transfer import match_tone, transfer_color
from toonify.images.morph import morph
from toonify.latents import inversion
from toonify.pipelines.animegan import Clock, Toon
from toonify.pipelines.batch import Outcome, draw_all
from toonify.pipelines.face_generator import FaceGenerator
from toonify.pipelines.inverter import Inverter
from toonify.pipelines.layer_swap import LayerSwap, find_toon, swap_for
from toonify.pipelines.options import PortraitOptions

BASE = hub.DEFAULT_BASE  # what `from_pretrained` opens
EXPRESSIONS = {"smile"}  # edits that leave hair and clothes where they are
FEATHER = 0.4  # of the way from the crop's edge to its center, over which the toon fades in
TURNED = 0.6  # of the eye distance that the nose may lie aside: about 50 degrees
MIN_CROP = 48  # px a side in the photo; there is nothing to find in fewer
MIN_GAMMA = 0.25  # of the brightening; less would show nothing but noise
TOO_DARK = "too dark"
SUNGLASSES = "behind sunglasses"
UNREACHED = "covered, or unlike the faces that the generator knows"


@dataclasses.dataclass
class Portrait:
    """One face on its way.

    `crop` is the photo's own, `latent` (1, L, D) the w+ found for it and `inversion` what the base
    draws from that; `w` is the latent after truncation and edits, `toon` what was drawn from it.
    `gamma` is below 1 for a dark face: the exponent that brightened what the latent was found for.
    All three images are RGB squares of the base's resolution.
    """

    face: Face
    crop: Crop
    latent: torch.Tensor
    w: torch.Tensor
    inversion: Image.Image
    toon: Image.Image
    gamma: float = 1.0


@dataclasses.dataclass
class PortraitToon(Toon):
    """A photo whose faces were drawn.

    Beside what `Toon` has: `portraits`, one for each drawn face, in the order of `faces`;
    `left_alone`, the faces that were not drawn, each with the reason; and `latents`, w+ (1, L, D)
    for each face that was looked for in w, None where it was left alone: what `latent` takes.
    """

    portraits: list[Portrait] = dataclasses.field(default_factory=list)
    left_alone: list[tuple[Face, str]] = dataclasses.field(default_factory=list)
    latents: list[torch.Tensor | None] = dataclasses.field(default_factory=list)


class StyleGANPipeline(FaceGenerator):
    """Draws the faces of photos as toons, through w of a base generator.

    Threads can share a pipeline; they take turns at the networks.

    Args:
        base: folder of the base generator.
        encoder: folder of its encoder; None: refinement alone finds faces, from the mean face.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, base: Path, encoder: Path | None, device: str = "auto"):
        super().__init__(base, device)
        self.encoder_folder = encoder
        self.max_difference: float | None = None  # read at the first face
        self.inverter = Inverter(encoder, self.device, self._lock)

    @classmethod
    def from_pretrained(
        cls,
        base: str | Path = BASE,
        *,
        encoder: str | Path | None = None,
        revision: str | None = None,
        device: str = "auto",
    ) -> "StyleGANPipeline":
        """Opens a base generator (MobileStyleGAN or StyleGAN2) and its encoder.

        Weights are loaded at the first call.

        Args:
            base: a bundled name, a folder, or owner/name on the Hub.
            encoder: the same of the encoder; default: the folder `encoder` in the base's folder,
                else the bundled encoder if the base has the bundled base's architecture, else none.
            revision: branch, tag or commit of a base on the Hub; default: its main branch.
            device: "auto" (default), "cpu", "cuda" or "cuda:N".

        Raises:
            ValueError, PermissionError, ConnectionError: as `hub.resolve_model`.

        Example:
            >>> pipe = StyleGANPipeline.from_pretrained(device="cpu")
            >>> pipe.sample(2, seed=1).shape
            torch.Size([2, 512])
        """
        folder = named("base", base, revision)
        found = named("encoder", encoder) if encoder else hub.encoder_of(folder)
        return cls(folder, found, device)

    def __call__(
        self,
        photo,
        style: str | Path | None = None,
        *,
        options: PortraitOptions | None = None,
        latent: torch.Tensor | Sequence[torch.Tensor | None] | None = None,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        **keywords: Any,
    ) -> PortraitToon:
        """Draws the faces of a photo as toons.

        Faces that are turned aside, too small, too dark or covered are listed with the reason.

        Args:
            photo: a path, the bytes of an image file or a `PIL.Image`.
            style: a toon generator: a name, a folder or owner/repo; None: the first that is
                bundled.
            options: the options of the drawing; None: the defaults. Without an encoder,
                `refine_steps` has to be above 0.
            latent: (1, D) or (1, L, D) in place of the largest face's own; a list of them in place
                of the largest faces', with None for a face's own. Given ones are always drawn.
            progress: called with a fraction and a text between the steps.
            cancelled: called between refinement steps, which end early once it returns True.
            keywords: options by name, such as `truncation=0.8`; they take precedence.

        Raises:
            images.ImageError: `photo` is not a usable photo.
            ValueError: an option has a wrong value.

        Example:
            >>> result = StyleGANPipeline.from_pretrained(device="cpu")("portrait.jpg", "animated")
            >>> result.image.size, len(result.portraits)
            ((512, 512), 1)
        """
        options = PortraitOptions.merge(options, keywords)
        given = self.check_latents(latent)
        self.check_options(options, len(given))
        swap = swap_for(style, options.blend, options.blend_width, options.shape_from)
        clock = Clock(progress)
        with clock("load", 0.0, "Opening the photo"):
            photo = images.load(photo)
        with clock("detect", 0.02, "Looking for faces"):
            found = detect(photo)
        chosen, left_alone = self.choose(found, options, len(given))
        drawn = self.draw_portraits(photo, chosen, given, swap, options, clock, cancelled)
        portraits, missed, latents = drawn
        with clock("blend", 0.95, "Finishing"):
            canvas = paste_portraits(photo, portraits, keeps_hair(swap, options))
            if options.keep_color and portraits:
                canvas = transfer_color(photo, canvas)
            if options.strength < 1:
                canvas = morph(photo, canvas, options.strength)
        clock.done()
        assert canvas.size == photo.size, (canvas.size, photo.size)
        marks.mark(canvas, options.source_type())
        toon = PortraitToon(canvas, found, clock.seconds, len(portraits), portraits=portraits)
        toon.left_alone, toon.latents = left_alone + missed, latents
        return toon

    def map(
        self,
        photos: Iterable,
        style: str | Path | None = None,
        *,
        options: PortraitOptions | None = None,
        finish: Callable[[object, PortraitToon], object] | None = None,
        latent: torch.Tensor | Sequence[torch.Tensor | None] | None = None,
        **keywords: Any,
    ) -> Iterator[Outcome]:
        """Draws many photos, and yields an `Outcome` for each in their order.

        The networks use every core for one face after the other; the other steps overlap.

        Args:
            photos: as for a call; `style`, `options`, `latent` and `keywords` too.
            finish: as for `AnimeGANPipeline.map`.

        Raises:
            ValueError: an option has a wrong value.
        """
        options = PortraitOptions.merge(options, keywords)
        self.check_options(options)
        stop = threading.Event()
        draw = functools.partial(
            self, style=style, options=options, latent=latent, cancelled=stop.is_set
        )
        # Refinement is torch's, for one face at a time.
        threads = None if options.refine_steps else 1
        return draw_all(draw, photos, finish, threads=threads, stop=stop)

    def choose(
        self, found: list[Face], options: PortraitOptions, given: int = 0
    ) -> tuple[list[Face], list[tuple[Face, str]]]:
        """The faces that can be drawn, and the others with the reason.

        Args:
            found: faces of a photo, largest first.
            options: the options of the call.
            given: the number of latents that were given in place of the first faces' own.
        """
        chosen, left_alone = [], []
        for face in found[:1] if options.faces == "largest" else found:
            if 4 * frontal_eye_distance(face.points) < MIN_CROP:
                left_alone.append((face, "too small"))
            elif turned(face) > TURNED:
                left_alone.append((face, "turned too far aside"))
            else:
                chosen.append(face)
        if not self.inverter.can_invert(options.refine_steps):
            left_alone += [(face, "needs refinement to be found") for face in chosen[given:]]
            chosen = chosen[:given]
        return chosen, left_alone

    def draw_portraits(
        self,
        photo: Image.Image,
        chosen: list[Face],
        given: list[torch.Tensor | None],
        swap: LayerSwap,
        options: PortraitOptions,
        clock: Clock,
        cancelled: Callable[[], bool] | None,
    ) -> tuple[list[Portrait], list[tuple[Face, str]], list[torch.Tensor | None]]:
        """Aligns, inverts and draws each chosen face; `given` are the first faces' latents.

        Returns:
            What was drawn, the faces whose inversion cannot be used, with the reason, and a latent
            or None for each face.
        """
        with clock("engine", 0.05, "Getting ready" if chosen else "Finishing"):
            draw_toon = self.engine(swap) if chosen else None
        portraits: list[Portrait] = []
        missed: list[tuple[Face, str]] = []
        latents: list[torch.Tensor | None] = []
        source_type = marks.DRAWN if options.mark else None
        for number, face in enumerate(chosen):
            assert draw_toon is not None
            share = 0.85 / len(chosen)
            begin = 0.1 + share * number
            with clock(f"invert {number + 1}", begin, f"Finding face {number + 1} in w"):
                crop = align(photo, face, self.resolution)
                gamma = exposure(crop)
                own = given[number] if number < len(given) else None
                reason = self.why_not_invertible(crop, gamma) if own is None else None
                if reason:
                    latents.append(None)
                    missed.append((face, reason))
                    continue
                if own is None:
                    report = functools.partial(report_refinement, clock.progress, begin, share)
                    latent = self.find_latent(
                        photo, crop, options.refine_steps, report, cancelled, gamma
                    )
                else:
                    latent = own
            with clock(f"draw {number + 1}", begin + 0.8 * share, f"Drawing face {number + 1}"):
                inverted = marks.mark(images.to_pil(self.base(latent)), source_type)
                usable = own is not None or self.is_reached(photo, crop, inverted, gamma)
                latents.append(latent if usable else None)
                if not usable:
                    missed.append((face, UNREACHED))
                    continue
                w = self.edited(latent, options.truncation, options.edits)
                toon = marks.mark(images.to_pil(draw_toon(w)), source_type)
            portraits.append(Portrait(face, crop, latent, w, inverted, toon, gamma))
        return portraits, missed, latents

    def limit(self) -> float:
        """The difference from which on an inversion does not show the person; 0: any is drawn."""
        if self.max_difference is None:
            folder = self.encoder_folder
            self.max_difference = hub.read_style(folder).max_difference if folder else 0.0
        return self.max_difference

    def why_not_invertible(self, crop: Crop, gamma: float) -> str | None:
        """Why a face cannot be found in w, as far as its crop tells; None: it can be tried.

        An encoder whose style.json states no `max_difference` tries any face.
        """
        if not self.limit():
            return None
        if gamma < MIN_GAMMA:
            return TOO_DARK
        lit = apply_gamma(crop.image, gamma)
        return SUNGLASSES if wears_sunglasses(lit, crop.points) else None

    def is_reached(
        self, photo: Image.Image, crop: Crop, inverted: Image.Image, gamma: float
    ) -> bool:
        """Whether an inversion is near enough to its face to be pasted in as a toon."""
        if not self.limit():
            return True
        lit = dataclasses.replace(crop, image=apply_gamma(crop.image, gamma))
        return local_difference(photo.size, lit, inverted) <= self.limit()

    def invert(
        self,
        crop: Image.Image,
        steps: int = 0,
        *,
        visible: torch.Tensor | None = None,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> torch.Tensor:
        """Finds the latent that draws a face: the encoder's, refined by optimization.

        Args:
            crop: an FFHQ-aligned face as `faces.align` makes it, square RGB of any size.
            steps: optimization steps, 0 (default) or more; without an encoder they start from the
                mean face, and 0 is too few.
            visible: (S, S) with S = `compared`, 0 where the crop shows nothing to compare with,
                else 1; default: all of it counts.
            progress: called with a fraction before each step.
            cancelled: called before each step; True ends the refinement early.

        Returns:
            w+ (1, L, D).

        Raises:
            ValueError: `steps` is below 0, or 0 without an encoder.

        Example:
            >>> from toonify import faces, images
            >>> photo = images.load("portrait.jpg")
            >>> pipe = StyleGANPipeline.from_pretrained(device="cpu")
            >>> pipe.invert(faces.align(photo, faces.detect(photo)[0]).image).shape
            torch.Size([1, 23, 512])
        """
        return self.inverter.invert(
            self.network("base"),
            crop,
            steps,
            full_resolution_synthesis=lambda ws: self.base(ws.cpu()).to(self.device),
            visible=visible,
            progress=progress,
            cancelled=cancelled,
        )

    @property
    def compared(self) -> int:
        """Pixels a side at which refinement compares the base's images with a face."""
        return inversion.side_for(self.network("base"))

    def find_latent(
        self,
        photo: Image.Image,
        crop: Crop,
        steps: int,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool] | None,
        gamma: float = 1.0,
    ) -> torch.Tensor:
        """w+ (1, L, D) of a face of a photo, as `invert`, compared only where the photo is."""
        visible = torch.from_numpy(inside(crop, photo.size, self.compared))
        # A small base draws less of the face than is looked at.
        small = self.resolution < inversion.SIDE
        seen = align(photo, crop.face, inversion.SIDE) if small else crop
        return self.invert(
            apply_gamma(seen.image, gamma),
            steps,
            visible=visible,
            progress=progress,
            cancelled=cancelled,
        )

    def network(self, part: str | Path) -> Any:
        """The network of a part, "base" or "encoder", or in a toon's folder; loaded once."""
        return self.inverter.encoder() if part == "encoder" else super().network(part)

    def check_latents(
        self, latent: torch.Tensor | Sequence[torch.Tensor | None] | None
    ) -> list[torch.Tensor | None]:
        """The `latent` of a call as a list of w+ (1, L, D); ValueError for other shapes."""
        several = [] if latent is None else [latent] if isinstance(latent, torch.Tensor) else latent
        given = [None if one is None else self.to_w_plus(one) for one in several]
        for one in given:
            if one is not None and len(one) != 1:
                raise ValueError(f"latent has {len(one)} faces: expected one, or a list of such")
        return given

    def check_options(self, options: PortraitOptions, given: int | None = None) -> None:
        """Raises ValueError for options that this base cannot draw with.

        Args:
            options: the options of a call.
            given: the number of latents that were given, so that those faces are not searched for;
                None: no face is searched for.
        """
        self.check_edits(options.edits)
        if given is not None:
            self.inverter.check(self.network("base"), options.refine_steps, needed=not given)


def named(option: str, source: str | Path, revision: str | None = None) -> Path:
    """As `hub.resolve_model`; its errors begin with the name of the option."""
    try:
        return hub.resolve_model(source, revision)
    except ValueError as error:
        raise ValueError(f"{option}={str(source)!r}: {error}") from error


def turned(face: Face) -> float:
    """How far the nose lies aside of the eyes' middle, in eye distances: 0 ahead, 1 in profile."""
    left, right, nose, *_ = face.points
    distance = max(face.eye_distance, 1e-6)
    return abs(float((nose - (left + right) / 2) @ (right - left))) / distance**2


def keeps_hair(swap: LayerSwap, options: PortraitOptions) -> bool:
    """Whether a portrait has the photo's own hair: its head neither turns nor ages."""
    changed = {name for name, amount in (options.edits or {}).items() if amount}
    stays = options.truncation == 1 and changed <= EXPRESSIONS
    return stays and find_toon(swap.style).hair == "photo"


def paste_portraits(
    photo: Image.Image, portraits: list[Portrait], own_hair: bool = False
) -> Image.Image:
    """The photo with the toons in place of the faces. The far ones come first: near faces cover
    them. Gray photos get gray toons. With `own_hair`, hair and clothes are the photo's, painted."""
    canvas = photo
    for index in paste_order([portrait.crop for portrait in portraits]):
        part = portraits[index]
        toned = match_tone(part.toon, part.inversion, apply_gamma(part.crop.image, part.gamma))
        toned = apply_gamma(toned, 1 / part.gamma)
        if own_hair:
            eyes = (part.crop.points[:2] + 0.5) / part.crop.image.width
            toned = keep_surroundings(toned, part.crop.image, eyes)
        else:
            toned = keep_background(toned, part.crop.image)
        if is_gray(part.crop.image):  # the base knows only faces in color
            toned = toned.convert("L").convert("RGB")
        canvas = paste(canvas, part.crop, toned, feather=FEATHER)
    return canvas


def report_refinement(progress, begin: float, share: float, fraction: float) -> None:
    """Reports a refinement's fraction as the photo's."""
    progress(begin + 0.8 * share * fraction, "Refining the likeness")
