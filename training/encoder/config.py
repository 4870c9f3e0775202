"""Settings and presets of the encoder."""

from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class EncoderSettings(RunSettings):
    """A run that teaches an encoder to find faces in w+ of a base generator."""

    FIXED = ("base", "free_layers", "linear", "hidden", "squeezed", "width", "heads")

    photos: str = setting("", "FFHQ-aligned faces: folder, zip, tar, or owner/name on the Hub")
    base: str = setting("portrait", "MobileStyleGAN or StyleGAN2 of faces: folder or name")
    start_from: str = setting("", "encoder to fine-tune: folder or name; empty: a new one")
    title: str = setting("", "name of the trained encoder")
    license: str = setting("", "license of the trained encoder, for its style.json")

    free_layers: int = setting(16, "layers of w+ with an offset each, in a new encoder", minimum=1)
    linear: int = setting(256, "rank of the linear path", minimum=1)
    hidden: int = setting(512, "width of the convolutional path's summary", minimum=1)
    squeezed: int = setting(128, "rank of the convolutional path", minimum=1)
    width: int = setting(64, "channels that each backbone stage is reduced to", minimum=1)
    ridge_faces: int = setting(3_000, "generated faces for the ridge regression; 0 for none")
    ridge_penalty: float = setting(0.3, "penalty of the ridge regression on unit-length features")

    generated_share: float = setting(0.5, "share of samples that are generated faces of known w+")
    truncation: tuple[float, float] = setting((0.5, 1.0), "truncation range of generated faces")
    mixed_share: float = setting(0.3, "share of generated faces with mixed latents", maximum=1)
    flips: bool = setting(True, "whether half of the photos are mirrored")
    reframed_share: float = setting(
        0.6, "share of photos that are rotated, scaled, shifted and relit", maximum=1
    )
    turn_degrees: float = setting(3.0, "maximum rotation in degrees")
    scale: float = setting(0.05, "maximum change of scale, as a share")
    shift: float = setting(0.015, "maximum shift, as a share of the side")
    light: float = setting(0.15, "maximum difference of gamma from 1")
    tint: float = setting(0.05, "maximum difference of a channel's factor from 1")
    blurred_share: float = setting(0.3, "share of faces that are blurred", maximum=1)
    noise: float = setting(0.06, "maximum noise; 2 is from black to white")

    heads: tuple[tuple[int, int], ...] = setting(
        ((0, 128), (16_000, 256)), "image head in px by number of images"
    )
    lr: float = setting(3e-4, "learning rate")
    relative_rate: float = setting(
        0.004, "learning rate of the linear path, relative to each tensor's root mean square"
    )
    warmup_images: int = setting(800, "images at the start over which learning rates rise")
    decay_images: int = setting(12_000, "images at the end over which they fall to 3 %")
    weight_pixels: float = setting(1.0, "weight of L1 to the photo, less around the face")
    weight_perceptual: float = setting(1.0, "weight of the feature distance to the photo")
    weight_pull: float = setting(0.004, "weight of the mean square distance to the mean w")
    weight_spread: float = setting(0.004, "weight of the variance over the layers of w+")
    weight_w: float = setting(0.15, "weight of the mean square distance to a generated face's w+")
    identity: str = setting(
        "", "face network that also compares, or empty", choices=("", "facenet")
    )
    weight_identity: float = setting(0.6, "weight of the squared distance of its embeddings")

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        for name in ("scale", "shift", "light", "tint", "generated_share"):
            self.refuse(getattr(self, name) >= 1, name, "a number, at least 0 and less than 1")
        self.refuse(not self.lr, "lr", "a number above 0")
        low, high = self.truncation
        self.refuse(not 0 <= low <= high, "truncation", "two numbers, 0 <= low <= high")
        few = self.ridge_faces and self.ridge_faces < max(2, self.linear) and not self.start_from
        self.refuse(bool(few), "ridge_faces", f"0, or at least --linear {self.linear}")
        heads = self.heads
        bad = not heads or heads[0][0] != 0 or list(heads) != sorted(heads)
        self.refuse(bad, "heads")


ENCODER_PRESETS: dict[str, EncoderSettings] = {
    # The recipe of the bundled encoder: hours on two cores.
    "portrait": EncoderSettings(
        max_images=24_000,
        ema_half_life_images=1_000.0,
        save_every_images=2_000,
        validate_every_images=4_000,
    ),
}
