"""StyleGAN: faces of a photo are cut out, found in w, drawn as toons and laid back into it."""

import collections
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from toonify import hub, images, latents
from toonify.engines import Engine, choose_device, open_engine
from toonify.faces import Crop, Face, align, detect, inside, paste, paste_order
from toonify.hub.mixin import SavingMixin
from toonify.images.color_transfer import match_tone, transfer_color
from toonify.images.morph import morph
from toonify.latents import inversion
from toonify.pipelines.animegan import Clock, Toon, frontal_eye_distance
from toonify.pipelines.batch import Outcome, draw_all
from toonify.pipelines.inverter import Inverter
from toonify.pipelines.layer_swap import LayerSwap, swap_for
from toonify.pipelines.options import PortraitOptions, old_name_of
from toonify.video import write_video

BASE = hub.DEFAULT_BASE  # what `from_pretrained` opens
FEATHER = 0.4  # of the way from the crop's edge to its center, over which the toon fades in
TURNED = 0.6  # of the eye distance that the nose may lie aside: about 50 degrees
MIN_CROP = 48  # px a side in the photo; there is nothing to find in fewer
KEPT_ENGINES = 2  # the base and one blend; each takes about 750 MB at 1024 px
NETWORK_CODE = [
    Path(__file__).parents[1] / "models" / name
    for name in ("mobile_stylegan.py", "stylegan2.py", "layer_swap.py")
]


@dataclasses.dataclass
class Portrait:
    """One face on its way.

    `crop` is the photo's own, `latent` (1, L, D) the w+ found for it and `inversion` what the base
    draws from that; `w` is the latent after truncation and edits, `toon` what was drawn from it.
    All three pictures are RGB squares of the base's resolution.
    """

    face: Face
    crop: Crop
    latent: torch.Tensor
    w: torch.Tensor
    inversion: Image.Image
    toon: Image.Image


@dataclasses.dataclass
class PortraitToon(Toon):
    """A photo whose faces were drawn.

    Beside what `Toon` has: `portraits`, one for each drawn face, in the order of `faces`, and
    `left_alone`, the faces that were not drawn, each with the reason.
    """

    portraits: list[Portrait] = dataclasses.field(default_factory=list)
    left_alone: list[tuple[Face, str]] = dataclasses.field(default_factory=list)


class StyleGANPipeline(SavingMixin):
    """Draws faces through w. Safe to share between threads; they take turns at the networks.

    `base` and `encoder` are the folders of two networks; with an encoder of None faces are found by
    refinement alone, from the mean face.
    """

    def __init__(self, base: Path, encoder: Path | None, device: str = "auto"):
        self.folder, self.encoder_folder = base, encoder
        self.device = choose_device(device)
        self.directions: dict[str, latents.Direction] = {}
        if (base / hub.DIRECTIONS).is_file():
            self.directions = latents.load_directions(base / hub.DIRECTIONS)
        self._networks: dict[str | Path, Any] = {}
        self._engines: collections.OrderedDict[LayerSwap | None, Engine] = collections.OrderedDict()
        self._lock = threading.RLock()
        self.inverter = Inverter(encoder, self.device, self._lock)
        settings = hub.read_json(base / hub.CONFIG)
        self.name = hub.fingerprint(hub.weights_file(base))[:16]
        self._dimensions = int(settings.get("w_dim", 512))

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
        latent: torch.Tensor | Sequence[torch.Tensor] | None = None,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        **keywords: Any,
    ) -> PortraitToon:
        """Draws the faces of a photo as toons.

        Faces that are turned far aside or too small are left alone, and listed with the reason.

        Args:
            photo: a path, the bytes of an image file or a `PIL.Image`.
            style: a toon generator: a name, a folder or owner/repo; None: the first that is
                bundled.
            options: the options of the drawing; None: the defaults. Without an encoder,
                `refine_steps` has to be above 0.
            latent: (1, D) or (1, L, D) in place of the largest face's own; a list of them in place
                of the largest faces'.
            progress: called with a fraction and a text between the steps.
            cancelled: called between refinement steps, which end early once it returns True.
            keywords: options by name, such as `truncation=0.8`; they take precedence.

        Raises:
            images.ImageError: `photo` is not a usable photo.
            ValueError: an option has a wrong value.
        """
        options = PortraitOptions.merge(options, keywords)
        several = [] if latent is None else [latent] if isinstance(latent, torch.Tensor) else latent
        self.check_options(options, len(several))
        swap = swap_for(style, options.blend, options.blend_width, options.shape_from)
        given = [self.to_w_plus(one) for one in several]
        for one in given:
            if len(one) != 1:
                raise ValueError(f"latent has {len(one)} faces: expected one, or a list of such")
        clock = Clock(progress)
        with clock("load", 0.0, "Opening the photo"):
            photo = images.load(photo)
        with clock("detect", 0.02, "Looking for faces"):
            found = detect(photo)
        chosen, left_alone = self.choose(found[:1] if options.faces == "largest" else found)
        if not self.inverter.can_invert(options.refine_steps):
            left_alone += [(face, "needs refinement to be found") for face in chosen[len(given) :]]
            chosen = chosen[: len(given)]
        with clock("engine", 0.05, "Getting ready" if chosen else "Finishing"):
            draw_toon = self.engine(swap) if chosen else None
        portraits = []
        for number, face in enumerate(chosen):
            assert draw_toon is not None
            share = 0.85 / len(chosen)
            begin = 0.1 + share * number
            with clock(f"invert {number + 1}", begin, f"Finding face {number + 1} in w"):
                crop = align(photo, face, self.resolution)
                if number < len(given):
                    found_w = given[number]
                else:
                    report = functools.partial(tell_refining, clock.progress, begin, share)
                    visible = torch.from_numpy(inside(crop, photo.size, self.compared))
                    # A small base draws less of the face than is looked at.
                    small = self.resolution < inversion.SIDE
                    seen = align(photo, face, inversion.SIDE) if small else crop
                    found_w = self.invert(
                        seen.image,
                        options.refine_steps,
                        visible=visible,
                        progress=report,
                        cancelled=cancelled,
                    )
            with clock(f"draw {number + 1}", begin + 0.8 * share, f"Drawing face {number + 1}"):
                inversion_picture = images.to_pil(self.base(found_w))
                w = self.edited(found_w, options.truncation, options.edits)
                toon = images.to_pil(draw_toon(w))
            portraits.append(Portrait(face, crop, found_w, w, inversion_picture, toon))
        with clock("blend", 0.95, "Finishing"):
            canvas = photo
            # The far ones first: near faces cover them.
            for index in paste_order([portrait.crop for portrait in portraits]):
                part = portraits[index]
                toned = match_tone(part.toon, part.inversion, part.crop.image)
                canvas = paste(canvas, part.crop, toned, feather=FEATHER)
            if options.keep_color and portraits:
                canvas = transfer_color(photo, canvas)
            if options.strength < 1:
                canvas = morph(photo, canvas, options.strength)
        clock.done()
        assert canvas.size == photo.size, (canvas.size, photo.size)
        return PortraitToon(
            canvas, found, clock.seconds, len(portraits), portraits=portraits, left_alone=left_alone
        )

    def map(
        self,
        photos: Iterable,
        style: str | Path | None = None,
        *,
        options: PortraitOptions | None = None,
        finish: Callable[[object, PortraitToon], object] | None = None,
        latent: torch.Tensor | Sequence[torch.Tensor] | None = None,
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

    # w --------------------------------------------------------------------------------------

    def sample(self, count: int = 1, seed: int = 0, truncation: float = 0.7) -> torch.Tensor:
        """w (count, D) of people who do not exist; the same seed gives the same ones.

        `truncation` goes from 0, the mean face, to 1, all the network can draw.
        """
        noise = torch.Generator().manual_seed(seed)
        mapping = self.network("base").mapping
        with self._lock, torch.inference_mode():
            z = torch.randn(count, mapping.fc0.weight.shape[1], generator=noise)
            w = mapping(z.to(self.device)).cpu()
        return latents.truncate(w, self.w_avg, truncation)

    def invert(
        self,
        crop: Image.Image,
        steps: int = 0,
        *,
        visible: torch.Tensor | None = None,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> torch.Tensor:
        """w+ (1, L, D) of an FFHQ-aligned face: the encoder's, refined by `steps` of optimization.

        Without an encoder the steps begin at the mean face. `crop` is square RGB of any size, and
        looked at with 256 px; refinement compares `compared` px, and leaves out where `visible`
        (compared, compared) is 0. `progress` gets a fraction; when `cancelled()` turns true,
        what is reached is returned. ValueError for steps below 0, or 0 without an encoder.
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

    def edited(
        self, w: torch.Tensor, truncation: float = 1.0, edits: Mapping[str, float] | None = None
    ) -> torch.Tensor:
        """w+ (N, L, D) pulled towards the mean face, then moved along named directions.

        `truncation` 1 keeps it, 0 is the mean; `edits` are amounts by the names in `directions`.
        """
        if truncation != 1:
            w = latents.truncate(w, self.w_avg, truncation)
        return latents.edited(w, edits, self.directions)

    def mix(self, coarse: torch.Tensor, fine: torch.Tensor, resolution: int = 32) -> torch.Tensor:
        """Style mixing: w+ (N, L, D) with the layers below `resolution` px of `coarse`,
        the others of `fine`; both w or w+. ValueError for a size that no layer has."""
        layer = self.network("base").synthesis.first_layer(resolution)
        return latents.mix(self.to_w_plus(coarse), self.to_w_plus(fine), layer)

    def sefa(self, count: int = 8, low: int = 8, high: int = 1024) -> torch.Tensor:
        """Unit directions (count, D) that change layers of `low` to `high` px most (SeFa).

        Raises ValueError where no layer is of such a size.
        """
        from toonify.models.layer_swap import side_of

        synthesis = self.network("base").synthesis
        weights = [
            module.weight
            for name, module in synthesis.named_modules()
            if name.endswith(("affine", "up")) and low <= side_of(name.split(".")[0]) <= high
        ]
        if not weights:
            raise ValueError(f"low={low}, high={high}: no layer lies between them")
        return latents.sefa(weights, count)[0]

    def interpolate(
        self, start: torch.Tensor, end: torch.Tensor, frames: int, swap: LayerSwap | None = None
    ) -> Iterator[Image.Image]:
        """Yields `frames` (2 or more) pictures from one latent to another, each as `base` takes it.

        They are drawn by the base, or by a `LayerSwap`; the first and the last are the ends.
        """
        engine = self.engine(swap)
        for w in latents.interpolate(self.to_w_plus(start), self.to_w_plus(end), frames):
            yield images.to_pil(engine(w[None]))

    def clip(
        self,
        start: torch.Tensor,
        end: torch.Tensor,
        path: str | Path,
        frames: int = 48,
        swap: LayerSwap | None = None,
        fps: int = 24,
    ) -> Path:
        """Writes the way from one latent to another as .mp4, .gif or .webp, and returns its path.

        As `interpolate` draws it, `fps` frames a second; ValueError as `video.write_video`.
        """
        return write_video(self.interpolate(start, end, frames, swap), path, fps)

    def to_w_plus(self, w: torch.Tensor) -> torch.Tensor:
        """w (D,), (N, D) or w+ (N, L, D) -> w+ (N, L, D); ValueError for other shapes."""
        return latents.to_w_plus(w, self.num_ws, self._dimensions)

    rows = old_name_of("to_w_plus")

    def save_latent(self, path: str | Path, w: torch.Tensor) -> None:
        """Writes a latent (1, D) or (1, L, D) and the name of this generator as `.safetensors`."""
        latents.save_latent(path, w, self.name)

    def load_latent(self, source: str | Path | bytes) -> torch.Tensor:
        """w+ (1, L, D) from the path or bytes of a `.safetensors` or an older `.npz`.

        The file may come from an untrusted source.

        Raises ValueError for what is no latent of this base generator.
        """
        return latents.load_latent(source, self.num_ws, self._dimensions, self.name)

    # pictures -------------------------------------------------------------------------------

    def base(self, w: torch.Tensor) -> torch.Tensor:
        """Photographic faces (N, 3, R, R) in [-1, 1] from w (N, D) or w+ (N, L, D)."""
        return self.draw(w, None)

    def toon(
        self,
        w: torch.Tensor,
        style: str | Path | None = None,
        *,
        blend: int | None = None,
        blend_width: float = 0.0,
        shape_from: str = "toon",
    ) -> torch.Tensor:
        """Toons (N, 3, R, R) in [-1, 1] from w (N, D) or w+ (N, L, D)."""
        return self.draw(w, swap_for(style, blend, blend_width, shape_from))

    def generate(
        self,
        seed: int,
        style: str | Path | None = None,
        *,
        blend: int | None = None,
        blend_width: float = 0.0,
        shape_from: str = "toon",
        truncation: float = 0.7,
        edits: Mapping[str, float] | None = None,
    ) -> tuple[Image.Image, Image.Image, torch.Tensor]:
        """Generates a person from a seed, as a photograph and as a toon.

        Args:
            seed: 0 or more; the same seed gives the same person.
            style: a name or a folder; default: the style of the pipeline.
            blend, blend_width, shape_from, edits: as in `PortraitOptions`.
            truncation: 0 (the mean face) to 1 (all that the base draws); default 0.7.

        Returns:
            The photograph, the toon, and w+ (1, L, D) before `edits`.
        """
        self.check_options(PortraitOptions(truncation=truncation, edits=edits))
        latent = self.to_w_plus(self.sample(1, seed, truncation))
        w = self.edited(latent, 1.0, edits)
        toon = self.toon(w, style, blend=blend, blend_width=blend_width, shape_from=shape_from)
        return images.to_pil(self.base(w)), images.to_pil(toon), latent

    imagine = old_name_of("generate")

    def draw(self, w: torch.Tensor, swap: LayerSwap | None) -> torch.Tensor:
        """Pictures (N, 3, R, R) in [-1, 1] of w or w+: the base's for None, else a blend's."""
        engine = self.engine(swap)
        return torch.cat([engine(one[None]) for one in self.to_w_plus(w)]).clamp(-1, 1)

    # rooms below ----------------------------------------------------------------------------

    @property
    def resolution(self) -> int:
        """Pixels a side of what the base draws."""
        return self.network("base").resolution

    @property
    def compared(self) -> int:
        """Pixels a side at which refinement compares the base's pictures with a face."""
        return inversion.side_for(self.network("base"))

    @property
    def num_ws(self) -> int:
        """Rows of w+."""
        return self.network("base").num_ws

    @property
    def w_avg(self) -> torch.Tensor:
        """The mean face (D,)."""
        return self.network("base").mapping.w_avg.cpu()

    def network(self, part: str | Path) -> Any:
        """The network of a part, "base" or "encoder", or in a toon's folder; loaded once."""
        if part == "encoder":
            return self.inverter.encoder()
        folder = self._require_folder() if part == "base" else part
        with self._lock:
            if folder not in self._networks:
                from toonify.models import FACE_MODELS

                network = hub.load_model(folder, FACE_MODELS).requires_grad_(False)
                self._networks[folder] = network.to(self.device)
            return self._networks[folder]

    def engine(self, swap: LayerSwap | None) -> Engine:
        """What draws w+ (1, L, D): the base for None, else the blend of base and toon."""
        with self._lock:
            if swap not in self._engines:
                self._engines[swap] = self.open(swap)
            self._engines.move_to_end(swap)
            while len(self._engines) > KEPT_ENGINES:
                self._engines.popitem(last=False)
            return self._engines[swap]

    def open(self, swap: LayerSwap | None) -> Engine:
        """An engine made anew. The common ones are kept on disk, others would fill it."""
        shape = (1, self.num_ws, self._dimensions)
        folder = self._require_folder()
        files = [hub.weights_file(folder), folder / hub.CONFIG]
        common = swap is None or swap == swap_for(swap.style)
        if swap is not None:
            files.append(hub.weights_file(hub.resolve_model(swap.style)))
        key = f"{hub.fingerprint(*files, *NETWORK_CODE)} {swap}" if common else None
        return open_engine(key, lambda: self.generator(swap).synthesis, self.device, shape)

    def generator(self, swap: LayerSwap | None) -> Any:
        """The base for None, else base and toon blended, in torch."""
        if swap is None:
            return self.network("base")
        from toonify.models.layer_swap import blend

        base, toon = self.network("base"), self.network(hub.resolve_model(swap.style))
        try:
            return blend(base, toon, swap.resolution, swap.width, swap.shape_from)
        except ValueError as error:
            raise ValueError(
                f"style={swap.style!r} and this base cannot be mixed: {error}; expected a toon"
                " generator that was tuned from the base"
            ) from error

    def choose(self, found: list[Face]) -> tuple[list[Face], list[tuple[Face, str]]]:
        """The faces that can be drawn, and the others with the reason."""
        chosen, left_alone = [], []
        for face in found:
            if 4 * frontal_eye_distance(face) < MIN_CROP:
                left_alone.append((face, "too small"))
            elif turned(face) > TURNED:
                left_alone.append((face, "turned too far aside"))
            else:
                chosen.append(face)
        return chosen, left_alone

    def check_options(self, options: PortraitOptions, given: int | None = None) -> None:
        """Raises ValueError for options that this base cannot draw with.

        Args:
            options: the options of a call.
            given: the number of latents that were given, so that those faces are not searched for;
                None: no face is searched for.
        """
        latents.check_edits(options.edits, self.directions)
        for name in options.edits or ():
            vector, (_, last) = self.directions[name].vector, self.directions[name].layers
            if len(vector) != self._dimensions or last >= self.num_ws:
                raise ValueError(
                    f"edits: {name!r} moves layer {last} of w+ by {len(vector)} numbers, and the"
                    f" base has {self.num_ws} layers of {self._dimensions}: {hub.DIRECTIONS} in its"
                    " folder is that of another base"
                )
        if given is not None:
            self.inverter.check(self.network("base"), options.refine_steps, needed=not given)


def named(option: str, source: str | Path, revision: str | None = None) -> Path:
    """As `hub.resolve_model`; what it says of a wrong source begins with the option's name."""
    try:
        return hub.resolve_model(source, revision)
    except ValueError as error:
        raise ValueError(f"{option}={str(source)!r}: {error}") from error


def turned(face: Face) -> float:
    """How far the nose lies aside of the eyes' middle, in eye distances: 0 ahead, 1 in profile."""
    left, right, nose, *_ = face.points
    distance = max(face.eye_distance, 1e-6)
    return abs(float((nose - (left + right) / 2) @ (right - left))) / distance**2


def tell_refining(progress, begin: float, share: float, fraction: float) -> None:
    """Passes a refinement's fraction on as the photo's."""
    progress(begin + 0.8 * share * fraction, "Refining the likeness")
