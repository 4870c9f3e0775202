"""ToonGAN: a seed goes in, a new cartoon face comes out; also edits, mixes and loops of it."""

import dataclasses
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from PIL import Image

from toonify import hub, images, latents
from toonify.engines import Engine, choose_device, open_engine
from toonify.faces import Face, align, appearance, attributes, detect, inside, parse
from toonify.faces.attributes import AttributeReading
from toonify.hub.mixin import SavingMixin
from toonify.images import marks
from toonify.images.upscale import upscale
from toonify.pipelines import twins
from toonify.pipelines.options import old_name_of
from toonify.video import write_video

BATCH = 32  # faces drawn at once, in about 200 MB at 128 px
MAX_SEED = 2**62
MAX_FACES = 4096  # in one call
MIN_SIZE, MAX_SIZE = 16, 2048  # px of a face
Z = 0  # separates the noise of a face from other random numbers of its seed
SEEDS_OF_PHOTOS = 10**9  # as many as the app has numbers
NETWORK_CODE = [
    Path(__file__).parents[1] / "models" / name
    for name in ("toongan.py", "stylegan2.py", "dcgan.py")
]


@dataclasses.dataclass(frozen=True)
class MatchedFace:
    """A cartoon face to begin with, chosen by a portrait.

    latent: w+ (1, L, D), edits included.
    read: what was read of the portrait, by name (`toonify.faces.attributes`); empty without a face.
    choices: the variants that were chosen, by the names of attributes.
    edits: the amounts by which the directions of that name moved the face.
    seed: the face before that, at this `truncation`; it follows from the photo.
    note: what the face has of the portrait, and what it has not, for people.
    """

    latent: torch.Tensor
    read: dict[str, AttributeReading]
    choices: dict[str, str]
    edits: dict[str, float]
    seed: int
    truncation: float
    note: str


class ToonGANPipeline(SavingMixin):
    """Draws cartoon faces. Safe to share between threads; they take turns at the network.

    `generator` is the torch network, `directions` are the ways in which its faces can be moved,
    `attributes` what can be chosen of a face outright: name -> its variants.
    A network of the public Toon-Generator draws, and has no w: what needs one is refused.
    """

    def __init__(self, folder: Path, style: hub.Style, device: str = "auto"):
        from toonify.models import NOISE_MODELS  # takes seconds, of which other pipelines need none

        self.folder, self.style = folder, style
        self.device = choose_device(device)
        self.generator = hub.load_model(folder, NOISE_MODELS).requires_grad_(False).to(self.device)
        self.directions: dict[str, latents.Direction] = {}
        if (folder / hub.DIRECTIONS).is_file():
            hub.check_bundled(folder / hub.DIRECTIONS)
            self.directions = latents.load_directions(folder / hub.DIRECTIONS)
        self.attributes = style.attributes
        self._check_attributes(folder / hub.STYLE)
        self.name = hub.fingerprint(hub.weights_file(folder))[:16]
        self._key = hub.fingerprint(folder / hub.CONFIG, hub.weights_file(folder), *NETWORK_CODE)
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = hub.DEFAULT_FACES,
        *,
        revision: str | None = None,
        device: str = "auto",
    ) -> "ToonGANPipeline":
        """Opens a generator of cartoon faces.

        Args:
            source: a bundled name, a folder, or owner/name on the Hub.
            revision: branch, tag or commit of a Hub repository; default: its main branch.
            device: "auto" (default), "cpu", "cuda" or "cuda:N".

        Raises:
            ValueError, PermissionError, ConnectionError: as `hub.resolve_model`.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> sorted(pipe.attributes)[:2]
            ['beard', 'clothes']
        """
        folder = hub.resolve_model(source, revision)
        return cls(folder, hub.read_style(folder, source), device)

    def __call__(
        self,
        n: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        edits: Mapping[str, float] | None = None,
        choices: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> list[Image.Image]:
        """Draws new cartoon faces.

        Args:
            n: how many, 1 (default) to 4096.
            seed: the seed of the first face, 0 (default) or more; face i has `seed` + i.
            truncation: 0 (the mean face) to 1 (default: all that the network draws).
            edits: amounts by the names in `directions`, in standard deviations; default none.
            choices: variants by the names in `attributes`; default: those of the seed.
            size: px of a side, as for `draw`; default: the network's.

        Returns:
            RGB images.

        Raises:
            ValueError: an option has a wrong value.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> first, second = pipe(2, seed=7, choices={"mouth": "laugh"})
            >>> first.size
            (128, 128)
        """
        choices = current_choices(choices)
        self.check_options(n, seed, truncation, edits, choices)
        if self.styled:
            return self.draw(self.edited(self.latents(n, seed, truncation, choices), edits), size)
        return list(self._pictures(self._noise(n, seed), size))

    # w --------------------------------------------------------------------------------------

    def latents(
        self,
        n: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        choices: Mapping[str, str] | None = None,
    ) -> torch.Tensor:
        """The latents of the faces that a call with the same arguments draws.

        Args:
            n, seed, truncation, choices: as for a call.

        Returns:
            w+ (n, L, D).

        Raises:
            ValueError: an option has a wrong value, or the network has no w.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> pipe.latents(2, seed=7).shape
            torch.Size([2, 12, 256])
        """
        choices = current_choices(choices)
        self.check_options(n, seed, truncation, choices=choices)
        self.check_styled("latents")
        noise, mapping = self._noise(n, seed).to(self.device), self.generator.mapping
        with torch.inference_mode():
            # One by one: in a batch a product's last digits are others.
            w = torch.cat([mapping(one, *self._chosen(one, choices)) for one in noise.split(1)])
        # Not `to_w_plus`: as many w as w+ has layers would be taken for one w+.
        return latents.expand(
            latents.truncate(w.cpu(), mapping.w_avg.cpu(), truncation), self.generator.num_ws
        )

    def edited(self, w: torch.Tensor, edits: Mapping[str, float] | None) -> torch.Tensor:
        """w+ (N, L, D) of w or w+, moved along named directions by amounts, in deviations."""
        latents.check_edits(edits, self.directions)
        return latents.edited(self.to_w_plus(w), edits, self.directions)

    def mix(self, coarse: torch.Tensor, fine: torch.Tensor, resolution: int = 16) -> torch.Tensor:
        """Mixes the styles of faces.

        Args:
            coarse: w or w+ that gives the layers below `resolution`.
            fine: w or w+ that gives the other layers.
            resolution: pixels, 4 to the network's; default 16.

        Returns:
            w+ (N, L, D).

        Raises:
            ValueError: no layer has that resolution, or the network has no w.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> first, second = pipe.latents(2, seed=7).split(1)
            >>> pipe.draw(pipe.mix(first, second, 32))[0].size
            (128, 128)
        """
        self.check_styled("mix")
        layer = self.generator.first_layer(resolution)
        return latents.mix(self.to_w_plus(coarse), self.to_w_plus(fine), layer)

    def to_w_plus(self, w: torch.Tensor) -> torch.Tensor:
        """w (D,), (N, D) or w+ (N, L, D) -> w+ (N, L, D); ValueError for other shapes."""
        self.check_styled("w")
        return latents.to_w_plus(w, *self.generator.synthesis.shape)

    rows = old_name_of("to_w_plus")

    def save_latent(self, path: str | Path, w: torch.Tensor) -> None:
        """Writes a latent (1, D) or (1, L, D) as `.safetensors`, with the name of this network."""
        self.check_styled("save_latent")
        latents.save_latent(path, w, self.name)

    def load_latent(self, source: str | Path | bytes) -> torch.Tensor:
        """w+ (1, L, D) from the path or bytes of a `.safetensors` or an older `.npz`.

        The file may come from an untrusted source.

        Raises ValueError for what is no latent of this network.
        """
        self.check_styled("load_latent")
        num_ws, w_dim = self.generator.synthesis.shape
        return latents.load_latent(source, num_ws, w_dim, self.name)

    def match_photo(self, photo: str | Path | bytes | Image.Image) -> MatchedFace:
        """Finds a cartoon face with the attributes of the largest face in a photo.

        Attributes that can be chosen are chosen by their names (of colors, the nearest in CIELAB);
        others move the face along a direction.

        Args:
            photo: a path, the bytes of an image file, or an image.

        Returns:
            The face; the same photo gives the same face. Without a face in the photo, a face at
            random.

        Raises:
            images.ImageError: the photo cannot be read.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> pipe.draw(pipe.match_photo("portrait.jpg").latent)[0].size
            (128, 128)
        """
        self.check_styled("match_photo")
        photo = images.load(photo)
        found = detect(photo)
        read = self._read(photo, found[0]) if found else {}
        seed = seed_of(photo)
        choices, edits, used = {}, {}, []
        if found:
            choices = {
                name: variant
                for name, variant in twins.UNREAD.items()
                if variant in self.attributes.get(name, ())
            }
        for name, reading in read.items():
            if chosen := self._choices_of(name, reading):
                choices |= chosen
            elif name in self.directions:
                edits[name] = twins.MATCH_AMOUNT * reading.confidence * reading.value
            else:
                continue
            used.append(name)
        # Half way to the mean face lies what is no variant of anything.
        truncation = 1.0 if self.attributes else twins.MATCH_TRUNCATION
        latent = self.edited(self.latents(1, seed, truncation, choices), edits)
        note = describe_match(bool(found), read, used)
        return MatchedFace(latent, read, choices, edits, seed, truncation, note)

    twin = old_name_of("match_photo")

    # images -------------------------------------------------------------------------------

    def draw(self, w: torch.Tensor, size: int | None = None) -> list[Image.Image]:
        """Draws the faces of latents.

        Args:
            w: w (N, D) or w+ (N, L, D).
            size: px of a side, 16 to 2048; default: the network's. Larger faces are enlarged with
                sharp contours, as drawings are (`images.upscale`).

        Returns:
            RGB images.

        Raises:
            ValueError: latents of another shape, or another size.
        """
        return list(self._pictures(self.to_w_plus(w), size))

    def loop(
        self,
        keys: torch.Tensor | Sequence[torch.Tensor],
        path: str | Path,
        frames: int = 120,
        fps: int = 24,
        progress: Callable[[float], None] | None = None,
        *,
        mark: bool = True,
    ) -> Path:
        """Writes a looping video that goes through all keys and back to the first.

        Args:
            keys: two or more latents, as w (K, D) or w+ (K, L, D), or a list of such.
            path: a name that ends in .mp4, .gif or .webp.
            frames: the number of images, at least one for each key; default 120.
            fps: images per second, 1 to 60; default 24.
            progress: called with a fraction after each image.
            mark: whether the file says what it is; default True.

        Returns:
            The path.

        Raises:
            ValueError: fewer than two keys, too few frames, another suffix or a wrong fps.

        Example:
            >>> pipe = ToonGANPipeline.from_pretrained("faces", device="cpu")
            >>> pipe.loop(pipe.latents(2, seed=7), "loop.gif", frames=4).name
            'loop.gif'
        """
        if not isinstance(keys, torch.Tensor):
            keys = torch.cat([self.to_w_plus(key) for key in keys])
        way = latents.around(self.to_w_plus(keys), frames)
        pictures = self._pictures(way)
        frames_of = counted(pictures, frames, progress) if progress else pictures
        return write_video(frames_of, path, fps, mark=mark)

    def grid(self, pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
        """The images side by side, in rows of `columns`: see `images.grid`."""
        return images.grid(pictures, columns)

    # rooms below ----------------------------------------------------------------------------

    @property
    def styled(self) -> bool:
        """Whether the network draws from w."""
        return hasattr(self.generator, "mapping")

    @property
    def resolution(self) -> int:
        """Pixels a side of what is drawn."""
        return self.generator.resolution

    @property
    def engine(self) -> Engine:
        """Draws images (N, 3, R, R) of w+ (N, L, D), or of noise (N, D) without a mapping."""
        with self._lock:
            if self._engine is None:
                network, shape = self.generator, (-1, self.generator.config.z_dim)
                if self.styled:
                    network, shape = network.synthesis, (-1, *network.synthesis.shape)
                self._engine = open_engine(self._key, lambda: network, self.device, shape)
            return self._engine

    def _noise(self, n: int, seed: int) -> torch.Tensor:
        return latents.normals(range(seed, seed + n), Z, self.generator.config.z_dim)

    def _chosen(self, z: torch.Tensor, choices: Mapping[str, str] | None) -> list[torch.Tensor]:
        """The mapping's extra input for z (1, D): its classes, some of them replaced."""
        if not choices:
            return []
        chosen = self.generator.mapping.sample_classes(z)
        for place, (name, variants) in enumerate(self.attributes.items()):
            if name in choices:
                chosen[:, place] = variants.index(choices[name])
        return [chosen]

    def _read(self, photo: Image.Image, face: Face) -> dict[str, AttributeReading]:
        """What is plain to see of a face in a photo."""
        crop = align(photo, face, attributes.SIDE)
        visible = inside(crop, photo.size, attributes.SIDE)
        read = attributes.read(crop.image, crop.points, visible)
        if twins.MASKED & self.attributes.keys():
            hair = parse(crop.image, device=self.device).hair
            read |= appearance.read(crop.image, crop.points, hair, visible)
            if "sunglasses" in read:
                read.pop("glasses", None)
        return read

    def _choices_of(self, name: str, reading: AttributeReading) -> dict[str, str]:
        """The variants that a reading asks for, by their attributes; empty without any."""
        chosen = {}
        for attribute in twins.COLORED.get(name, ()):
            variants = self.attributes.get(attribute, ())
            table = self.style.colors.get(attribute) or {it: it for it in variants}
            nearest = attributes.nearest(reading.color, table.values())
            if nearest is not None:
                chosen[attribute] = next(it for it in table if table[it] == nearest)
        for attribute, patterns in twins.FITTING.get((name, reading.value), {}).items():
            variants = self.attributes.get(attribute, ())
            fit = (it for pattern in patterns for it in variants if fnmatchcase(it, pattern))
            if variant := next(fit, None):
                chosen[attribute] = variant
        return chosen

    def _check_attributes(self, file: Path) -> None:
        """ValueError if the names are not of what the network chooses among."""
        named = [len(variants) for variants in self.attributes.values()]
        known = list(getattr(self.generator.config, "num_classes", None) or ())
        if named and named != known:
            raise ValueError(
                f"{file}: attributes have {named} variants, expected the network's: {known}"
            )

    def _pictures(self, inputs: torch.Tensor, size: int | None = None) -> Iterator[Image.Image]:
        """Images of what the engine takes, a few at a time."""
        if size is not None:
            check_whole("size", size, MIN_SIZE, MAX_SIZE)
        for batch in inputs.split(BATCH):
            for face in self.engine(batch):
                picture = images.to_pil(face)
                if size is not None:
                    picture = upscale(picture, (size, size))
                yield marks.mark(picture, marks.GENERATED)

    def check_styled(self, what: str) -> None:
        """ValueError if the network has no w, which `what` needs."""
        if not self.styled:
            name = type(self.generator).__name__
            raise ValueError(f"{what}: {name} has no w: it only draws faces from seeds")

    def check_options(
        self,
        n: int,
        seed: int,
        truncation: float = 1.0,
        edits: Mapping[str, float] | None = None,
        choices: Mapping[str, str] | None = None,
    ) -> None:
        """ValueError for an option that no face can be drawn with."""
        check_whole("n", n, 1, MAX_FACES)
        check_whole("seed", seed, 0, MAX_SEED - n + 1)
        if not 0 <= truncation <= 1:
            raise ValueError(f"truncation={truncation!r}: expected a number from 0 to 1")
        if truncation != 1:
            self.check_styled(f"truncation={truncation!r}")
        if edits:
            self.check_styled("edits")
            latents.check_edits(edits, self.directions)
        for name, variant in current_choices(choices).items():
            among = self.attributes.get(name)
            if among is None:
                known = ", ".join(self.attributes) or "none, for these faces"
                raise ValueError(f"choices: {name!r} is not an attribute; expected one of {known}")
            if variant not in among:
                raise ValueError(f"choices: {name}={variant!r}: expected one of {', '.join(among)}")


def current_choices(choices: Mapping[str, str] | None) -> dict[str, str]:
    """Choices by the current names of attributes; an older name gives a DeprecationWarning."""
    for name in choices or {}:
        if (new := hub.current_name(name)) != name:
            warnings.warn(
                f"choices: {name!r} is now called {new!r}", DeprecationWarning, stacklevel=3
            )
    return {hub.current_name(name): variant for name, variant in (choices or {}).items()}


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """ValueError for what is no whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: expected a whole number from {low} to {high}")


def seed_of(photo: Image.Image) -> int:
    """The seed that follows from an RGB photo's pixels."""
    digest = hashlib.sha256(f"{photo.size}".encode() + photo.tobytes()).digest()
    return int.from_bytes(digest[:8], "big") % SEEDS_OF_PHOTOS


def describe_match(face: bool, read: Mapping[str, AttributeReading], names: Sequence[str]) -> str:
    """What a twin has of its portrait, which are the readings of these names, and what not."""
    if not face:
        return "No face was found: the photo as a whole chose a face by chance."
    used = ", ".join(reading.words for name, reading in read.items() if name in names)
    idle = ", ".join(reading.words for name, reading in read.items() if name not in names)
    if not used:
        return f"A face by chance: it cannot be moved by what was read ({idle or 'nothing'})."
    return f"Taken from the photo: {used}." + (f" Read, and not to be moved: {idle}." * bool(idle))


def counted(
    pictures: Iterator[Image.Image], count: int, progress: Callable[[float], None]
) -> Iterator[Image.Image]:
    """The same images; `progress` gets the share that was consumed."""
    for number, picture in enumerate(pictures, 1):
        yield picture
        progress(number / count)
