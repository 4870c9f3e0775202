"""Settings of an encoder's run, and the presets that they start from."""

from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class EncoderSettings(RunSettings):
    """A run that teaches an encoder to find faces in w+ of a base generator."""

    photos: str = setting("", "FFHQ-aligned faces: folder, zip, tar, or owner/name on the Hub")
    base: str = setting("portrait", "MobileStyleGAN or StyleGAN2 of faces: folder or name")
    start_from: str = setting("", "encoder to start from: folder or name; empty: a new one")
    title: str = setting("", "what the trained encoder is called")
    license: str = setting("", "license of the trained encoder, written into its style.json")

    free_rows: int = setting(16, "rows of w+ with offsets of their own, in a new encoder")
    linear: int = setting(256, "rank of its linear path")
    hidden: int = setting(512, "width of its convolutional path's summary")
    squeezed: int = setting(128, "rank of its convolutional path")
    width: int = setting(64, "channels that it reads each stage of the backbone by")
    ridge_faces: int = setting(3_000, "generated faces that its linear path is fitted to; 0: none")
    ridge_penalty: float = setting(0.3, "of that ridge regression; features have unit length")

    generated_share: float = setting(0.5, "share of draws that are generated faces of known w+")
    truncation: tuple[float, float] = setting((0.5, 1.0), "least and most, of generated faces")
    mixed_share: float = setting(0.3, "share of them whose rows past a random one are another's")
    flips: bool = setting(True, "true or false: half of the photos are shown mirrored")
    reframed_share: float = setting(0.6, "share of photos turned, scaled, shifted and relit")
    turn_degrees: float = setting(3.0, "most that they are turned by, either way")
    scale: float = setting(0.05, "most that they are scaled by, either way, as a part")
    shift: float = setting(
        0.015, "most that they are shifted by, either way, as a part of the side"
    )
    light: float = setting(0.15, "most that their gamma differs from 1")
    tint: float = setting(0.05, "most that a channel's factor differs from 1")
    blurred_share: float = setting(0.3, "share of faces that the encoder sees unsharp")
    noise: float = setting(0.06, "most noise that it sees them with; 2 is from black to white")

    heads: tuple[tuple[int, int], ...] = setting(
        ((0, 128), (16_000, 256)), "IMAGES:PX, ...: the base's image head by time"
    )
    lr: float = setting(3e-4, "learning rate")
    relative_rate: float = setting(
        0.004, "learning rate of the linear path, as a part of each tensor's root mean square"
    )
    warm_images: int = setting(800, "images at the start over which learning rates rise")
    decay_images: int = setting(12_000, "images at the end over which they fall to 0.03 of that")
    weight_pixels: float = setting(1.0, "of L1 to the photo, less around the face")
    weight_perceptual: float = setting(1.0, "of feature distance to the photo, likewise")
    weight_pull: float = setting(0.004, "of the mean square distance of w+ from the mean face")
    weight_spread: float = setting(0.004, "of the mean square distance of its rows from their mean")
    weight_w: float = setting(0.15, "of the mean square distance from a generated face's w+")
    identity: str = setting("", "facenet: a face network also compares; empty: none")
    weight_identity: float = setting(0.6, "of the squared distance of its embeddings")


ENCODER_PRESETS: dict[str, EncoderSettings] = {
    # The recipe of the bundled encoder: hours on two cores.
    "portrait": EncoderSettings(
        max_images=24_000,
        ema_half_life_images=1_000.0,
        save_every_images=2_000,
        validate_every_images=4_000,
    ),
}

IDENTITIES = ("", "facenet")


def refuse_nonsense(settings: EncoderSettings) -> EncoderSettings:
    """The settings; ValueError, naming the option, if they make no sense."""
    s = settings

    def refuse(name: str, expected: str) -> None:
        option = name.replace("_", "-")
        raise ValueError(f"--{option} {getattr(s, name)}: expected {expected}")

    for name in ("free_rows", "linear", "hidden", "squeezed"):
        if getattr(s, name) < 1:
            refuse(name, "at least 1")
    for name in ("scale", "shift", "light", "tint", "generated_share"):
        if getattr(s, name) >= 1:
            refuse(name, "0 or more, less than 1")
    for name in ("warm_images", "decay_images"):
        if getattr(s, name) < 0:
            refuse(name, "0 or more")
    if not s.lr:
        refuse("lr", "more than 0")
    if not 0 <= s.truncation[0] <= s.truncation[1]:
        refuse("truncation", "0 <= least <= most")
    if s.ridge_faces and s.ridge_faces < max(2, s.linear) and not s.start_from:
        refuse("ridge_faces", f"0, or at least --linear {s.linear}")
    if not s.heads or s.heads[0][0] != 0 or list(s.heads) != sorted(s.heads):
        refuse("heads", "growing pairs IMAGES:PX from 0")
    if s.identity not in IDENTITIES:
        refuse("identity", "facenet, or nothing")
    return settings
