"""Settings of a training run: preset plus overrides -> one frozen record."""

import argparse
import dataclasses
import math
import warnings
from dataclasses import dataclass, field


def setting(default, help: str):
    """A field whose `help` becomes the command line's."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class RunSettings:
    """What every training loop needs; a unit is in the name where it could be mistaken."""

    out: str = setting("", "folder of the run: log, samples, checkpoints, model")
    seed: int = setting(0, "of every random choice")
    batch: int = setting(8, "images a step, over all processes")
    max_images: int = setting(200_000, "images to train on in all")
    max_minutes: float = setting(0.0, "stop, with a checkpoint, after this time; 0: never")
    precision: str = setting("auto", "fp32, bf16, fp16 (GPU only), or auto: bf16 where it is fast")
    log_every_images: int = setting(200, "images between two lines of log.jsonl")
    sample_every_images: int = setting(2_000, "images between two sample grids")
    save_every_images: int = setting(5_000, "images between two checkpoints")
    keep_checkpoints: int = setting(2, "newest checkpoints kept")
    ema_half_life_images: float = setting(1_500.0, "half-life of the slow copy")
    workers: int = setting(0, "processes that prepare pictures; 0: the training process itself")
    trackers: str = setting("auto", "tensorboard, wandb, both, none, or auto: those installed")
    validate: str = setting(
        "", "photos kept out of training; the checkpoint that scores best stays"
    )
    validate_every_images: int = setting(5_000, "images between two scores")
    data_statement: str = setting(
        "", "what the pictures are, whose, and what that allows; written into style.json"
    )
    push_to_hub: str = setting("", "owner/name of the Hub's repository that the model goes to")
    push_every_images: int = setting(0, "images between two pushes; 0: at the end only")
    push_private: bool = setting(False, "true or false: a new repository is private")


# Old name -> new name of a setting, and of a preset; read for one more release.
OLD_SETTINGS = {
    "centred_gram": "centered_gram",
    "colour_shift": "color_shift",
    "critic_grey": "critic_gray",
    "licence": "license",
    "optimiser": "optimizer",
    "recolour_share": "recolor_share",
    "weight_colour": "weight_color",
}
OLD_VALUES = {"upsample": {"tf": "tf1", "align": "align_corners", "half": "half_pixel"}}
OLD_PRESETS: dict[str, str] = {}

CHOICES = {
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "smooth": ("paired", "independent", "computed"),
    "decay": ("linear", "cosine"),
    "optimizer": ("adam", "muon"),
    "upsample": ("tf1", "align_corners", "half_pixel"),
}


def parse_value(kind, text: str):
    """A command line's text as the type of a setting; ValueError if it does not fit."""
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind in (int, float, str):
        return kind(text.replace("_", "") if kind is int else text)
    parts = [part for part in text.replace(" ", "").split(",") if part]
    if kind == tuple[tuple[int, int], ...]:
        pairs = tuple(tuple(int(n) for n in part.split(":")) for part in parts)
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(text)
        return pairs
    if kind == tuple[float, float]:
        low, high = (float(part) for part in parts)
        return low, high
    return tuple(int(part) for part in parts)


def add_settings(
    parser: argparse.ArgumentParser,
    presets: dict,
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
) -> None:
    """`--preset` and one option for every setting but some; an absent one is None.

    `default` is the preset that is taken unless told otherwise, or the only one there is.
    """
    default = next(iter(presets)) if len(presets) == 1 else default
    parser.add_argument(
        "--preset",
        choices=sorted(presets),
        default=default,
        required=default is None,
        type=current_preset,
    )
    offered = {k: v for k, v in known_settings(presets).items() if k not in leave_out}
    for name, item in offered.items():
        parser.add_argument("--" + name.replace("_", "-"), help=item.metadata["help"])
    for old, name in OLD_SETTINGS.items():
        if name in offered:
            flag = "--" + old.replace("_", "-")
            parser.add_argument(flag, dest=name, action=OldSetting, help=argparse.SUPPRESS)


class OldSetting(argparse.Action):
    """Stores the value under the setting's new name, with a DeprecationWarning."""

    def __call__(self, parser, namespace, value, flag=None):
        new = "--" + self.dest.replace("_", "-")
        warnings.warn(f"{flag} is now {new}", DeprecationWarning, stacklevel=2)
        setattr(namespace, self.dest, value)


def current_preset(name: str) -> str:
    """The name of a preset in this version; an old name gives a DeprecationWarning."""
    if name in OLD_PRESETS:
        warnings.warn(
            f"--preset {name} is now {OLD_PRESETS[name]}", DeprecationWarning, stacklevel=2
        )
    return OLD_PRESETS.get(name, name)


def known_settings(presets: dict) -> dict[str, dataclasses.Field]:
    """The settings of all presets, by name; presets may be records of unlike kinds."""
    known = {}
    for preset in presets.values():
        for item in dataclasses.fields(preset):
            known.setdefault(item.name, item)
    return known


def resolve(options: argparse.Namespace, presets: dict):
    """Preset plus overrides -> one frozen record; ValueError names the option that is wrong."""
    chosen = presets[options.preset]
    changes = {}
    for name in known_settings(presets):
        given = getattr(options, name, None)
        if given is not None and not hasattr(chosen, name):
            raise ValueError(
                f"--{name.replace('_', '-')} {given}: preset {options.preset} has no such setting"
            )
    for item in dataclasses.fields(chosen):
        text = getattr(options, item.name, None)
        if text is None:
            continue
        try:
            changes[item.name] = parse_value(item.type, text)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"--{item.name.replace('_', '-')} {text}: expected {item.metadata['help']}, "
                f"like {getattr(chosen, item.name)!r}"
            ) from error
    return replace_settings(chosen, **changes)


def check(settings):
    """The settings, if they make sense; ValueError names the option, the value and the range."""
    name = {item.name: "--" + item.name.replace("_", "-") for item in dataclasses.fields(settings)}
    for key, values in OLD_VALUES.items():
        if (old := getattr(settings, key, None)) in values:
            warnings.warn(f"{name[key]} {old} is now {values[old]}", DeprecationWarning, 2)
            settings = dataclasses.replace(settings, **{key: values[old]})
    counts = ("batch", "max_images", "log_every_images", "sample_every_images", "r1_every")
    for key in (*counts, "validate_every_images", "width", "depth", "critic_width"):
        if getattr(settings, key, 1) < 1:
            raise ValueError(f"{name[key]} {getattr(settings, key)}: expected at least 1")
    if settings.save_every_images < settings.batch or settings.keep_checkpoints < 1:
        raise ValueError(
            "--save-every-images and --keep-checkpoints: expected at least a batch and at least 1"
        )
    if not settings.out:
        raise ValueError("--out: expected the run's folder")
    sizes = getattr(settings, "crop_sizes", ((0, 64),))
    if (
        sizes[0][0] != 0
        or list(sizes) != sorted(sizes)
        or any(px % 8 or px < 32 for _, px in sizes)
    ):
        raise ValueError(
            f"--crop-sizes {sizes}: expected growing pairs IMAGES:PX from 0, PX a multiple of 8 "
            "and at least 32"
        )
    for key, allowed in CHOICES.items():
        if getattr(settings, key, allowed[0]) not in allowed:
            raise ValueError(
                f"{name[key]} {getattr(settings, key)}: expected {', '.join(allowed[:-1])} or "
                f"{allowed[-1]}"
            )
    for key, item in vars(settings).items():
        if isinstance(item, float) and not (math.isfinite(item) and item >= 0):
            raise ValueError(f"{name[key]} {item}: expected a finite number of at least 0")
        if key.endswith("_share") and item > 1:
            raise ValueError(f"{name[key]} {item}: expected a share, 0 to 1")
    zoom = getattr(settings, "zoom", (1.0, 1.0))
    if not 0 < zoom[0] <= zoom[1]:
        raise ValueError(f"--zoom {zoom}: expected 0 < least <= most")
    return settings


def replace_settings(settings, **changes):
    """The settings with some changed, checked like those of a command line."""
    return check(dataclasses.replace(settings, **changes))


def describe(settings) -> str:
    """All settings, one a line, for the terminal."""
    rows = dataclasses.asdict(settings)
    return "\n".join(f"  {key:<22} {value}" for key, value in rows.items())
