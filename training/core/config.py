"""Settings of a training run: a preset and the options that override it, as one frozen record."""

import argparse
import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from training.core import records

PAIRS, RANGE, NUMBERS = tuple[tuple[int, int], ...], tuple[float, float], tuple[int, ...]
METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", bool: "{true,false}"}
METAVARS |= {PAIRS: "IMAGES:PX,...", RANGE: "LOW,HIGH", NUMBERS: "INT,..."}
EXPECTED = {
    bool: "true or false",
    PAIRS: "growing pairs IMAGES:PX from 0 images, like 0:128,8000:256",
    RANGE: "two numbers, 0 < low <= high, like 0.5,1.0",
    NUMBERS: "whole numbers, like 6,10",
}

# Old name -> new name of settings, values and presets; accepted for one more release.
OLD_SETTINGS = {
    "centred_gram": "centered_gram",
    "colour_shift": "color_shift",
    "critic": "discriminator",
    "critic_base": "d_base",
    "critic_channels": "d_channels",
    "critic_fake": "weight_d_fake",
    "critic_from": "d_from",
    "critic_grey": "weight_d_gray",
    "critic_max": "d_max",
    "critic_real": "weight_d_real",
    "critic_smooth": "weight_d_smooth",
    "critic_width": "d_width",
    "free_rows": "free_layers",
    "licence": "license",
    "optimiser": "optimizer",
    "recolour_share": "permute_share",
    "redraw": "reconstruction_share",
    "warm_images": "warmup_images",
    "weight_colour": "weight_color",
    "weight_match": "weight_moments",
    "weight_recover": "weight_latent_nll",
    "weight_redraw": "weight_reconstruction",
    "weight_variety": "weight_diversity",
}
OLD_VALUES = {"upsample": {"tf": "tf1", "align": "align_corners", "half": "half_pixel"}}
SETTINGS = "settings.json"  # in a run's folder: its settings, and the preset they come from
OLD_PRESETS = {"distil": "distill", "lite": "fast", "seed": "dcgan", "table": "conditional"}


def setting(default, help: str, *, choices=(), minimum: float = 0, maximum: float = math.inf):
    """A field of a settings class.

    Args:
        default: the value that presets and options override.
        help: a noun phrase, the option's help text.
        choices: the allowed values of a text setting; empty: any text.
        minimum: the least value of a number (default 0).
        maximum: the largest value of a number (default: unlimited).
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class RunSettings:
    """What every training loop needs; a unit is in the name where it could be mistaken.

    A resumed run keeps the settings in `FIXED`, which say what the networks are.
    """

    FIXED: ClassVar[tuple[str, ...]] = ()

    out: str = setting("", "folder of the run: log, samples, checkpoints, model")
    seed: int = setting(0, "random seed")
    batch: int = setting(8, "images per step, over all processes", minimum=1)
    max_images: int = setting(200_000, "number of images to train on", minimum=1)
    max_minutes: float = setting(0.0, "time after which the run saves and stops; 0 for no limit")
    precision: str = setting(
        "auto",
        "number format; fp16 needs a GPU, auto is bf16 where the hardware has it",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    log_every_images: int = setting(200, "images between two lines of log.jsonl", minimum=1)
    sample_every_images: int = setting(2_000, "images between two sample grids", minimum=1)
    save_every_images: int = setting(5_000, "images between two checkpoints", minimum=1)
    keep_checkpoints: int = setting(2, "number of checkpoints to keep", minimum=1)
    ema_half_life_images: float = setting(1_500.0, "half-life of the EMA weights, in images")
    threads: int = setting(
        0, "threads of each process on a CPU; 0 for all cores, shared by the processes"
    )
    workers: int = setting(0, "processes that prepare images; 0 for the training process itself")
    trackers: str = setting(
        "auto", "tensorboard, wandb, both separated by a comma, none, or auto: those installed"
    )
    validate: str = setting(
        "", "images kept out of training, for scores; the best checkpoint goes into OUT/best"
    )
    validate_every_images: int = setting(5_000, "images between two scores", minimum=1)
    data_statement: str = setting(
        "", "what the images are, whose, and what that allows, for style.json"
    )
    push_to_hub: str = setting("", "repository owner/name on the Hub that the model is pushed to")
    push_every_images: int = setting(0, "images between two pushes; 0 for one at the end")
    push_private: bool = setting(False, "whether a new repository is private")

    def check(self) -> None:
        """Checks the values.

        Raises:
            ValueError: one is out of range; the message names the option and what it expects.
        """
        for item in dataclasses.fields(self):
            value, rules = getattr(self, item.name), item.metadata
            if isinstance(value, int | float):
                bad = not (math.isfinite(value) and rules["minimum"] <= value <= rules["maximum"])
            else:
                bad = bool(rules["choices"]) and value not in rules["choices"]
            self.refuse(bad, item.name)
        self.refuse(not self.out, "out", "the folder of the run")
        self.refuse(self.save_every_images < self.batch, "save_every_images", "at least --batch")

    def refuse(self, bad: bool, name: str, expected: str = "") -> None:
        """Raises ValueError "--name VALUE: expected ..." if the setting's value is bad."""
        if bad:
            expected = expected or describe_expected(type(self).__dataclass_fields__[name])
            value = format_value(getattr(self, name))
            raise ValueError(f"{option_name(name)} {value}: expected {expected}")


def option_name(name: str) -> str:
    """The option of a setting."""
    return "--" + name.replace("_", "-")


def format_value(value) -> str:
    """A value as it is typed on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        parts = (":".join(map(str, part)) if isinstance(part, tuple) else part for part in value)
        return ",".join(map(str, parts)) or "''"
    return str(value) or "''"


def describe_expected(item: dataclasses.Field) -> str:
    """What an option expects, for an error: "adam or muon", "a whole number, at least 1"."""
    rules = item.metadata
    if rules["choices"]:
        *most, last = rules["choices"]
        return f"{', '.join(most)} or {last}"
    if item.type not in (int, float):
        return EXPECTED.get(item.type, rules["help"])
    kind = "a whole number" if item.type is int else "a number"
    if rules["maximum"] < math.inf:
        return f"{kind} from {rules['minimum']:g} to {rules['maximum']:g}"
    return f"{kind}, at least {rules['minimum']:g}"


def parse_value(kind, text: str):
    """A command line's text as the type of a setting.

    Raises:
        ValueError, KeyError: the text does not fit.
    """
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind in (int, float, str):
        return kind(text.replace("_", "") if kind is int else text)
    parts = [part for part in text.replace(" ", "").split(",") if part]
    if kind == PAIRS:
        pairs = tuple(tuple(int(n) for n in part.split(":")) for part in parts)
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(text)
        return pairs
    if kind == RANGE:
        low, high = (float(part) for part in parts)
        return low, high
    return tuple(int(part) for part in parts)


def add_settings(
    parser: argparse.ArgumentParser,
    presets: dict[str, RunSettings],
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
    shown: str | None = None,
) -> None:
    """Adds `--preset` and an option for every setting; the value of an absent one is None.

    Args:
        parser: the parser to add to.
        presets: settings by preset; their classes may differ.
        leave_out: settings that get no option.
        default: the preset that is used without `--preset`; the only one if there is one.
        shown: the preset whose values the help shows (default: `default`, or the first).
    """
    default = next(iter(presets)) if len(presets) == 1 else default
    chosen = presets[shown if shown in presets else default or next(iter(presets))]
    parser.add_argument(
        "--preset",
        choices=sorted(presets),
        default=default,
        required=default is None,
        type=find_preset,
        help="settings to start from" + (f" (default: {default})" if default else ""),
    )
    offered = {k: v for k, v in known_settings(presets).items() if k not in leave_out}
    for name, item in offered.items():
        value = format_value(getattr(chosen, name)) if hasattr(chosen, name) else "not used"
        choices = item.metadata["choices"]
        parser.add_argument(
            option_name(name),
            metavar=f"{{{','.join(choices)}}}" if choices else METAVARS[item.type],
            help=f"{item.metadata['help']} (default: {value})".replace("%", "%%"),
        )
    for old, name in OLD_SETTINGS.items():
        if name in offered and old not in offered:
            action = {"dest": name, "action": OldSetting, "help": argparse.SUPPRESS}
            parser.add_argument(option_name(old), **action)


class OldSetting(argparse.Action):
    """Stores the value under the setting's new name, with a warning."""

    def __call__(self, parser, namespace, value, flag=None):
        warn_renamed(flag, option_name(self.dest))
        setattr(namespace, self.dest, value)


def warn_renamed(old: str, new: str) -> None:
    """Warns on the terminal that an old name is accepted for one more release."""
    print(f"DeprecationWarning: {old} is now {new}", file=sys.stderr)


def find_preset(name: str) -> str:
    """The name of a preset in this version, with a warning for an old one."""
    if name in OLD_PRESETS:
        warn_renamed(f"--preset {name}", OLD_PRESETS[name])
    return OLD_PRESETS.get(name, name)


def known_settings(presets: dict[str, RunSettings]) -> dict[str, dataclasses.Field]:
    """The fields of all presets by name."""
    known = {}
    for preset in presets.values():
        for item in dataclasses.fields(preset):
            known.setdefault(item.name, item)
    return known


def resolve(options: argparse.Namespace, presets: dict[str, RunSettings]) -> RunSettings:
    """The settings of a command line.

    Args:
        options: what a parser of `add_settings` returned.
        presets: settings by preset.

    With `--resume`, they are those of the run in `--out`, with the options of the command line, and
    what differs is printed.

    Raises:
        ValueError: a value does not fit, or a resumed run cannot have it; the message names the
            option and what it expects.
    """
    saved = read_settings(options, presets)
    chosen = saved or presets[options.preset]
    own, changes = {item.name: item for item in dataclasses.fields(chosen)}, {}
    for name in known_settings(presets):
        text = getattr(options, name, None)
        if text is None:
            continue
        given = f"{option_name(name)} {text}"
        if name not in own:
            raise ValueError(f"{given}: preset {options.preset} has no such setting")
        if text in OLD_VALUES.get(name, {}):
            text = OLD_VALUES[name][text]
            warn_renamed(given, text)
        try:
            changes[name] = parse_value(own[name].type, text)
        except (ValueError, KeyError):
            raise ValueError(f"{given}: expected {describe_expected(own[name])}") from None
    settings = replace_settings(chosen, **changes)
    if saved:
        report_changes(saved, settings)
    return settings


def saved_preset(options: argparse.Namespace) -> str | None:
    """The preset of the run in `--out` that `--resume` continues; None if that is not known."""
    content = read_saved(options)
    return OLD_PRESETS.get(content.get("preset"), content.get("preset"))


def read_saved(options: argparse.Namespace) -> dict:
    """settings.json of the run that `--resume` continues; empty without one."""
    if not (getattr(options, "resume", False) and options.out):
        return {}
    return records.read(Path(options.out).expanduser() / SETTINGS)


def read_settings(options: argparse.Namespace, presets: dict) -> RunSettings | None:
    """The settings of the run that `--resume` continues; None without settings.json.

    Settings that this version does not know are left out, and new ones have the preset's values.

    Raises:
        ValueError: the run has another preset, or a value does not fit.
    """
    content = read_saved(options)
    if not content:
        return None
    preset = saved_preset(options)
    if preset is not None and preset != options.preset:
        raise ValueError(
            f"--preset {options.preset}: the run in {options.out} has preset {preset}; leave the "
            "option out, or train into another folder"
        )
    chosen = presets[options.preset]
    known = {item.name for item in dataclasses.fields(chosen)}
    values = {}
    for key, value in content.items():
        name = OLD_SETTINGS.get(key, key)
        if name in known:
            value = to_tuples(value)
            values[name] = OLD_VALUES.get(name, {}).get(value, value)
    return replace_settings(chosen, **values | {"out": options.out})


def to_tuples(value):
    """A value of JSON with its lists as tuples."""
    return tuple(map(to_tuples, value)) if isinstance(value, list) else value


def report_changes(saved: RunSettings, settings: RunSettings) -> None:
    """Prints the settings in which a resumed run differs from the one so far.

    Raises:
        ValueError: one of them cannot change.
    """
    for item in dataclasses.fields(saved):
        before, now = getattr(saved, item.name), getattr(settings, item.name)
        if before == now:
            continue
        given = f"{option_name(item.name)} {format_value(now)}"
        if item.name in saved.FIXED:
            raise ValueError(
                f"{given}: the run in {saved.out} has {format_value(before)}, which a resumed run "
                "keeps; leave the option out, or train into another folder"
            )
        print(f"From now on {given} instead of {format_value(before)}")


def replace_settings(settings, **changes):
    """The settings with some changed, checked.

    Raises:
        ValueError: see `RunSettings.check`.
    """
    changed = dataclasses.replace(settings, **changes)
    changed.check()
    return changed


def describe(settings: RunSettings) -> str:
    """All settings, one per line."""
    rows = dataclasses.asdict(settings)
    return "\n".join(f"  {key:<22} {value}" for key, value in rows.items())
