"""Settings and presets of the face parser."""

from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class ParserSettings(RunSettings):
    """A run that teaches a parser the masks of person, hair, skin and clothes."""

    data: str = setting("", "folder that training/prepare/parser_masks.py has written")
    scenes: str = setting("", "photos without people: folder, zip, tar, or owner/name on the Hub")
    drawings: str = setting("", "folder that the teacher has written: LOOK/style; empty: none")
    start_from: str = setting("", "parser to fine-tune: folder or name; empty: ImageNet's encoder")
    title: str = setting("", "name of the trained parser")
    license: str = setting("", "license of the trained parser, for its style.json")

    crop_sizes: tuple[tuple[int, int], ...] = setting(
        ((0, 256),), "side of the crops in px by number of images"
    )
    scale: tuple[float, float] = setting((0.4, 1.6), "range of the photo's size, 1 fills the crop")
    turn_degrees: float = setting(25.0, "maximum rotation in degrees", maximum=180)
    empty_share: float = setting(0.08, "share of samples without people", maximum=1)
    group_share: float = setting(0.15, "share of samples with two or three people", maximum=1)
    ground_share: float = setting(0.5, "share of people with another background", maximum=1)
    drawn_share: float = setting(0.15, "share of people that are drawn", maximum=1)
    recolor_share: float = setting(
        0.25, "share of people with other colors of hair, skin and clothes", maximum=1
    )

    lr: float = setting(1.5e-3, "learning rate of the decoder")
    encoder_rate: float = setting(0.25, "learning rate of the encoder, relative to the decoder's")
    frozen_stages: int = setting(
        2, "first stages of the encoder that keep their weights", maximum=4
    )
    warmup_images: int = setting(1_000, "images at the start over which learning rates rise")
    decay_images: int = setting(8_000, "images at the end over which they fall to 2 %")
    weight_cross_entropy: float = setting(1.0, "weight of the binary cross-entropy")
    weight_dice: float = setting(0.5, "weight of the Dice loss")
    edge_weight: float = setting(4.0, "extra weight of pixels at the masks' edges")

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        self.refuse(not self.lr, "lr", "a number above 0")
        self.refuse(not 0 < self.scale[0] <= self.scale[1], "scale")
        sizes = self.crop_sizes
        bad = not sizes or sizes[0][0] != 0 or list(sizes) != sorted(sizes)
        bad = bad or any(px % 32 or px < 32 for _, px in sizes)
        self.refuse(bad, "crop_sizes", "growing pairs IMAGES:PX from 0, PX a multiple of 32")


PARSER_PRESETS: dict[str, ParserSettings] = {
    # Not tried in full: the card of the bundled parser has the options of its shorter runs.
    "parser": ParserSettings(
        batch=8,
        max_images=40_000,
        crop_sizes=((0, 128), (26_000, 192), (34_000, 256)),
        ema_half_life_images=1_500.0,
        save_every_images=4_000,
        sample_every_images=4_000,
        validate_every_images=8_000,
    ),
}
