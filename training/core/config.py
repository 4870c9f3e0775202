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
    gradient_accumulation_steps: int = setting(
        1, "parts that a batch is computed in, one after the other, to save memory", minimum=1
    )
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
    workers: int = setting(
        -1,
        "processes that prepare images; 0 for the training process itself, -1 for 0 on a CPU and "
        "up to 8 on a GPU",
        minimum=-1,
    )
    trackers: str = setting(
        "auto",
        "tensorboard, wandb, trackio, several separated by a comma, none, or auto: those installed",
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


def known_settings(presets: dict[str, RunSettings]) -> dict[str, dataclasses.Field]:
    """The fields of all presets by name."""
    known = {}
    for preset in presets.values():
        for item in dataclasses.fields(preset):
            known.setdefault(item.name, item)
    return known


def warn_renamed(old: str, new: str) -> None:
    """Warns on the terminal that an old name is accepted for one more release."""
    print(f"DeprecationWarning: {old} is now {new}", file=sys.stderr)


def resolve(options: argparse.Namespace, presets: dict[str, RunSettings]) -> RunSettings:
    """The settings of a command line.

    Args:
        options: what a parser of `options.add_settings` returned.
        presets: settings by preset.

    With `--resume`, they are those of the run in `--out`, with the options of the command line, and
    what differs is printed. With `--config`, the file's settings are between preset and options.

    Raises:
        ValueError: a value does not fit, or a resumed run cannot have it; the message names the
            option and what it expects.
    """
    saved = read_settings(options, presets)
    chosen = saved or read_config(options, presets) or presets[options.preset]
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


def resumed_run(options: argparse.Namespace) -> Path | None:
    """The folder of the run that `--resume` or `--resume-from` continues; None for a new run.

    Raises:
        ValueError: there is no such checkpoint.
    """
    if checkpoint := getattr(options, "resume_from", None):
        folder = Path(checkpoint).expanduser().absolute()
        if not folder.is_dir():
            raise ValueError(f"--resume-from {checkpoint}: expected RUN/checkpoints/IMAGES")
        return folder.parent.parent
    if getattr(options, "resume", False) and options.out:
        return Path(options.out).expanduser()
    return None


def saved_preset(options: argparse.Namespace) -> str | None:
    """The preset of the run to continue, or of `--config`; None if that is not known."""
    run, preset = resumed_run(options), None
    if run:
        preset = records.read(run / SETTINGS).get("preset")
    elif getattr(options, "config", None):
        preset = read_file(options.config).get("preset")
    return OLD_PRESETS.get(preset, preset)


def read_file(path: str) -> dict:
    """The settings in a file, by name: JSON, such as a run's settings.json, or YAML.

    Raises:
        ValueError: there is no such file, or it does not hold names with values.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"--config {path}: expected a file, settings.json or YAML")
    if file.suffix == ".json":
        return records.read(file)
    import yaml  # here: most runs have no such file

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path}: not a YAML file ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected names with values, as in settings.json")
    return {str(name).replace("-", "_"): value for name, value in content.items()}


def read_config(options: argparse.Namespace, presets: dict) -> RunSettings | None:
    """The preset with the settings of `--config`; None without it.

    Raises:
        ValueError: the file has an unknown setting, another preset than `--preset`, or a value that
            does not fit.
    """
    path = getattr(options, "config", None)
    if not path or resumed_run(options):
        return None
    content, preset = read_file(path), saved_preset(options)
    if preset not in (None, options.preset):
        raise ValueError(f"--preset {options.preset}: {path} has preset {preset}; leave one out")
    chosen = presets[options.preset]
    own, values = {item.name: item for item in dataclasses.fields(chosen)}, {}
    for key, value in content.items():
        name = OLD_SETTINGS.get(key, key)
        if name == "preset":
            continue
        if name not in own:
            raise ValueError(f"--config {path}: preset {options.preset} has no setting {key!r}")
        values[name] = convert(value, own[name], f"--config {path}, {key}")
    # The folder of the run that a settings.json is from is that run's.
    return replace_settings(chosen, **values | {"out": options.out or values.get("out", "")})


def convert(value, item: dataclasses.Field, where: str):
    """A value of JSON or YAML in the type of a setting; ValueError if it does not fit."""
    value = to_tuples(value)
    text = "" if value in (None, ()) else value if isinstance(value, str) else format_value(value)
    try:
        return parse_value(item.type, OLD_VALUES.get(item.name, {}).get(text, text))
    except (ValueError, KeyError):
        raise ValueError(f"{where}: {value!r}, expected {describe_expected(item)}") from None


def read_settings(options: argparse.Namespace, presets: dict) -> RunSettings | None:
    """The settings of the run to continue; None for a new run, or without settings.json.

    Settings that this version does not know are left out, and new ones have the preset's values.

    Raises:
        ValueError: the run has another preset, or a value does not fit.
    """
    run = resumed_run(options)
    content = records.read(run / SETTINGS) if run else {}
    if not content:
        return None
    preset = saved_preset(options)
    if preset is not None and preset != options.preset:
        raise ValueError(
            f"--preset {options.preset}: the run in {run} has preset {preset}; leave the "
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
    return replace_settings(chosen, **values | {"out": options.out or str(run)})


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
