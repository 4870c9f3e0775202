"""Faces and toons from latents: the base generator of `StyleGANPipeline` and its layer swaps."""

import collections
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from toonify import hub, images, latents
from toonify.engines import Engine, choose_device, open_engine
from toonify.hub.mixin import SavingMixin
from toonify.images import marks
from toonify.pipelines.layer_swap import LayerSwap, swap_for
from toonify.pipelines.options import PortraitOptions, old_name_of
from toonify.video import write_video

KEPT_ENGINES = 2  # the base and one blend; each takes about 750 MB at 1024 px
NETWORK_CODE = [
    Path(__file__).parents[1] / "models" / name
    for name in ("mobile_stylegan.py", "stylegan2.py", "layer_swap.py")
]


class FaceGenerator(SavingMixin):
    """Draws the faces and toons of latents. `base` is the folder of the base generator."""

    def __init__(self, base: Path, device: str = "auto"):
        self.folder = base
        self.device = choose_device(device)
        self.directions: dict[str, latents.Direction] = {}
        if (base / hub.DIRECTIONS).is_file():
            hub.check_bundled(base / hub.DIRECTIONS)
            self.directions = latents.load_directions(base / hub.DIRECTIONS)
        self._networks: dict[str | Path, Any] = {}
        self._engines: collections.OrderedDict[LayerSwap | None, Engine] = collections.OrderedDict()
        self._lock = threading.RLock()
        settings = hub.read_json(base / hub.CONFIG)
        self.name = hub.fingerprint(hub.weights_file(base))[:16]
        self._dimensions = int(settings.get("w_dim", 512))

    def sample(self, count: int = 1, seed: int = 0, truncation: float = 0.7) -> torch.Tensor:
        """Samples latents of people who do not exist.

        Args:
            count: how many; default 1.
            seed: the same seed gives the same people; default 0.
            truncation: 0 (the mean face) to 1 (all that the network draws); default 0.7.

        Returns:
            w (count, D).
        """
        noise = torch.Generator().manual_seed(seed)
        mapping = self.network("base").mapping
        with self._lock, torch.inference_mode():
            z = torch.randn(count, mapping.fc0.weight.shape[1], generator=noise)
            w = mapping(z.to(self.device)).cpu()
        return latents.truncate(w, self.w_avg, truncation)

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
        """Mixes the styles of faces.

        Args:
            coarse: w or w+ that gives the layers below `resolution`.
            fine: w or w+ that gives the other layers.
            resolution: pixels, 4 to the base's; default 32.

        Returns:
            w+ (N, L, D).

        Raises:
            ValueError: no layer has that resolution.
        """
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
            raise ValueError(f"low={low}, high={high}: no layer has such a size")
        return latents.sefa(weights, count)[0]

    def interpolate(
        self, start: torch.Tensor, end: torch.Tensor, frames: int, swap: LayerSwap | None = None
    ) -> Iterator[Image.Image]:
        """Draws the way from one latent to another.

        Args:
            start, end: w (D,), w (1, D) or w+ (1, L, D) each.
            frames: the number of images, 2 or more; the first and the last show the ends.
            swap: what draws them; default: the base.

        Yields:
            RGB images.

        Raises:
            ValueError: fewer than 2 frames, or a latent of another shape.
        """
        engine = self.engine(swap)
        for w in latents.interpolate(self.to_w_plus(start), self.to_w_plus(end), frames):
            yield marks.mark(images.to_pil(engine(w[None])), marks.GENERATED)

    def save_interpolation(
        self,
        start: torch.Tensor,
        end: torch.Tensor,
        path: str | Path,
        frames: int = 48,
        swap: LayerSwap | None = None,
        fps: int = 24,
        *,
        mark: bool = True,
    ) -> Path:
        """Writes the images of `interpolate` as a .mp4, .gif or .webp.

        Args:
            start, end, frames, swap: as for `interpolate`; default: 48 frames of the base.
            path: the file to write; its suffix gives the format.
            fps: frames a second; default 24.
            mark: whether the file says what it is; default True.

        Returns:
            The path.

        Raises:
            ValueError: the suffix, `frames` or `fps` is wrong.
        """
        return write_video(self.interpolate(start, end, frames, swap), path, fps, mark=mark)

    clip = old_name_of("save_interpolation")

    def to_w_plus(self, w: torch.Tensor) -> torch.Tensor:
        """w (D,), (N, D) or w+ (N, L, D) -> w+ (N, L, D); ValueError for other shapes."""
        return latents.to_w_plus(w, self.num_ws, self._dimensions)

    rows = old_name_of("to_w_plus")

    def save_latent(self, path: str | Path, w: torch.Tensor) -> None:
        """Writes a latent to a file, with the name of this generator.

        Args:
            path: a name that ends in `.safetensors`.
            w: w (1, D) or w+ (1, L, D).

        Raises:
            ValueError: another suffix, or a shape for several latents.

        Example:
            >>> from toonify import StyleGANPipeline
            >>> pipe = StyleGANPipeline.from_pretrained(device="cpu")
            >>> pipe.save_latent("face.safetensors", pipe.sample(1, seed=7))
            >>> pipe.load_latent("face.safetensors").shape
            torch.Size([1, 23, 512])
        """
        latents.save_latent(path, w, self.name)

    def load_latent(self, source: str | Path | bytes) -> torch.Tensor:
        """Reads a latent, also from a file of an untrusted source.

        Args:
            source: path or bytes of a `.safetensors` file or of an older `.npz`.

        Returns:
            w+ (1, L, D).

        Raises:
            ValueError: the file is damaged, or holds no latent of this base generator.
        """
        return latents.load_latent(source, self.num_ws, self._dimensions, self.name)

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
            style: a name, a folder or owner/repo; default: the first that is bundled.
            blend, blend_width, shape_from, edits: as in `PortraitOptions`.
            truncation: 0 (the mean face) to 1 (all that the base draws); default 0.7.

        Returns:
            The photograph, the toon, and w+ (1, L, D) before `edits`.
        """
        PortraitOptions(truncation=truncation)  # checks the value
        self.check_edits(edits)
        latent = self.to_w_plus(self.sample(1, seed, truncation))
        w = self.edited(latent, 1.0, edits)
        toon = self.toon(w, style, blend=blend, blend_width=blend_width, shape_from=shape_from)
        photo, drawing = (
            marks.mark(images.to_pil(face), marks.GENERATED) for face in (self.base(w), toon)
        )
        return photo, drawing, latent

    imagine = old_name_of("generate")

    def draw(self, w: torch.Tensor, swap: LayerSwap | None) -> torch.Tensor:
        """Images (N, 3, R, R) in [-1, 1] of w or w+: the base's for None, else a blend's."""
        engine = self.engine(swap)
        return torch.cat([engine(one[None]) for one in self.to_w_plus(w)]).clamp(-1, 1)

    @property
    def resolution(self) -> int:
        """Pixels a side of what the base draws."""
        return self.network("base").resolution

    @property
    def num_ws(self) -> int:
        """The number of layers of w+."""
        return self.network("base").num_ws

    @property
    def w_avg(self) -> torch.Tensor:
        """The mean face (D,)."""
        return self.network("base").mapping.w_avg.cpu()

    def network(self, part: str | Path) -> Any:
        """The network "base", or the one in a toon's folder; loaded once."""
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
        """Opens an engine. Only those of common swaps are cached on disk; others would fill it."""
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
                " generator that was fine-tuned from the base"
            ) from error

    def check_edits(self, edits: Mapping[str, float] | None) -> None:
        """Raises ValueError for amounts or directions that this base cannot apply."""
        latents.check_edits(edits, self.directions)
        for name in edits or ():
            vector, (_, last) = self.directions[name].vector, self.directions[name].layers
            if len(vector) != self._dimensions or last >= self.num_ws:
                raise ValueError(
                    f"edits: {name!r} moves layer {last} of w+ by {len(vector)} numbers, and the"
                    f" base has {self.num_ws} layers of {self._dimensions}: {hub.DIRECTIONS} in its"
                    " folder belongs to another base"
                )
