"""Finds a face in w of a base generator: by its encoder, by refinement, or by both in turn."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from toonify import hub, images
from toonify.engines import Engine, open_engine
from toonify.latents import inversion

FROM_MEAN = 300  # steps of refinement that do without an encoder
NETWORK_CODE = Path(__file__).parents[1] / "models" / "encoder.py"


class Inverter:
    """Finds faces in w of one base generator.

    `encoder` is the folder of its encoder; None: refinement alone finds faces, from the mean face.
    `lock` is held while a network works.
    """

    def __init__(self, encoder: Path | None, device: str, lock: threading.RLock):
        self.folder = encoder
        self.device = device
        self._lock = lock
        self._encoder: Any | None = None
        self._engine: Engine | None = None
        self._perceptual_model: inversion.PerceptualModel | None = None

    def can_invert(self, steps: int) -> bool:
        """Whether a face can be found with so many steps of refinement."""
        return self.folder is not None or steps > 0

    def check(self, base: Any, steps: int, needed: bool = True) -> None:
        """ValueError for an encoder that is another base's, or if a face is `needed` and none can
        be found."""
        if needed and not self.can_invert(steps):
            raise ValueError(
                f"refine_steps={steps}: this base has no encoder, so faces are found by refinement"
                f" alone; expected more steps, such as {FROM_MEAN}, or an encoder"
            )
        if self.folder is None:
            return
        from toonify.models import Encoder

        _, config = hub.read_config(self.folder / hub.CONFIG, {"encoder": Encoder})
        try:
            inversion.check_encoder(config, base)
        except ValueError as error:
            raise ValueError(f"encoder={str(self.folder)!r}: {error}") from error

    def invert(
        self,
        base: Any,
        crop: Image.Image,
        steps: int = 0,
        *,
        full_resolution_synthesis: Callable[[torch.Tensor], torch.Tensor],
        visible: torch.Tensor | None = None,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> torch.Tensor:
        """w+ (1, L, D) of an FFHQ-aligned face, `crop`, as `StyleGANPipeline.invert` says.

        `full_resolution_synthesis` draws w+ at full size, (1, L, D) -> (1, 3, R, R).
        """
        self.check(base, steps)
        side = inversion.SIDE
        small = crop.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        face = images.to_tensor(small)
        if self.folder is not None:
            start = self.engine()(face)
        else:
            start = base.mapping.w_avg.cpu().expand(1, base.num_ws, -1)
        if not steps:
            return start
        with self._lock:
            refined = inversion.refine(
                face,
                start.to(self.device),
                base,
                self.perceptual_model(base),
                steps,
                side=inversion.side_for(base),
                full_resolution_synthesis=full_resolution_synthesis,
                visible=visible,
                progress=progress,
                cancelled=cancelled,
            )
        return refined.cpu()

    def perceptual_model(self, base: Any):
        """What leads a refinement: the encoder, or what does without one.

        The bundled encoder's first half, which has never seen a generator, compares the images.
        """
        if self.folder is not None:
            return self.encoder()
        with self._lock:
            if self._perceptual_model is None:
                eyes = self.load(hub.resolve_model(hub.DEFAULT_ENCODER))
                self._perceptual_model = inversion.make_perceptual_model(base, eyes.perceive)
            return self._perceptual_model

    def encoder(self) -> Any:
        """The encoder's network, loaded once; ValueError if there is none."""
        with self._lock:
            if self._encoder is None:
                if self.folder is None:
                    raise ValueError("this base has no encoder: name one with encoder=")
                self._encoder = self.load(self.folder)
            return self._encoder

    def engine(self) -> Engine:
        """What finds w+ (1, L, D) of a face (1, 3, 256, 256)."""
        folder = self.folder
        assert folder is not None
        with self._lock:
            if self._engine is None:
                key = hub.fingerprint(hub.weights_file(folder), NETWORK_CODE)
                shape = (1, 3, inversion.SIDE, inversion.SIDE)
                self._engine = open_engine(key, self.encoder, self.device, shape)
            return self._engine

    def load(self, folder: Path) -> Any:
        """The encoder in a folder."""
        from toonify.models import Encoder

        return hub.load_model(folder, {"encoder": Encoder}).requires_grad_(False).to(self.device)
