"""The command line of a training: an option for every setting, in groups."""

import argparse
from fnmatch import fnmatch

from training.core.config import (
    NUMBERS,
    OLD_PRESETS,
    OLD_SETTINGS,
    PAIRS,
    RANGE,
    RunSettings,
    format_value,
    known_settings,
    option_name,
    warn_renamed,
)

METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", bool: "{true,false}"}
METAVARS |= {PAIRS: "IMAGES:PX,...", RANGE: "LOW,HIGH", NUMBERS: "INT,..."}

OTHER = "other settings"
# Title of a group in the help -> patterns of the settings in it; the first that fits counts.
GROUPS = {
    "data": (
        *("data", "style", "photos", "scenes", "pictures", "smooth", "drawings", "look"),
        *("validate", "data_statement", "title", "license", "cache_gb"),
    ),
    "run": ("out", "seed", "max_*", "epochs", "init_images", "warmup_images", "start_from", "base"),
    "log, samples and checkpoints": (
        *("*_every_images", "keep_checkpoints", "trackers", "score_samples", "extractor*"),
    ),
    "machine": (*("batch", "gradient_accumulation_steps", "precision", "threads", "workers"),),
    "learning rates and averages": (
        *("lr*", "decay*", "optimizer", "beta*", "relative_rate*", "encoder_rate"),
        *("ema_*", "keep_start", "freeze_*", "frozen_*"),
    ),
    "networks": (
        *(
            "model",
            "width",
            "depth",
            "patch",
            "levels",
            "noise_inputs",
            "photo_skip",
            "edge_kernel",
            "upsample",
        ),
        *("discriminator", "d_width", "d_patch", "d_base", "d_max", "d_from", "d_channels"),
        *("spectral_norm", "mbstd_group", "resolution", "channel*", "latent", "mapping_layers"),
        *("conv_clamp", "noise", "z_dim", "w_dim", "attributes", "free_layers", "linear"),
        *("hidden", "squeezed", "heads", "window", "perceptual", "identity"),
    ),
    "what the networks see": (
        *("crop_sizes", "zoom", "mirror", "*_share", "augment*", "ada_*", "eyes", "color_shift"),
        *("mixing", "ridge_*", "truncation", "flips", "*_degrees", "scale", "shift", "light"),
        *("tint", "code_dropout"),
    ),
    "losses": (
        *("weight_*", "*_weight", "loss", "gamma", "r1_*", "r2", "path_*", "*_stages", "*_unit"),
        *("anchor", "centered_gram", "label_smoothing", "classifier"),
    ),
    "Hugging Face Hub": ("push_*",),
    OTHER: ("*",),
}


def find_group(name: str) -> str:
    """The title of the help's group that a setting belongs to."""
    return next(
        title
        for title, patterns in GROUPS.items()
        if any(fnmatch(name, pattern) for pattern in patterns)
    )


def add_settings(
    parser: argparse.ArgumentParser,
    presets: dict[str, RunSettings],
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
    shown: str | None = None,
    recipe: str = "",
) -> None:
    """Adds `--preset` and an option for every setting; the value of an absent one is None.

    Args:
        parser: the parser to add to.
        presets: settings by preset; their classes may differ.
        leave_out: settings that get no option.
        default: the preset that is used without `--preset`; the only one if there is one.
        shown: the preset whose values the help shows (default: `default`, or the first).
        recipe: what is used without `--preset` where there is no default; empty: nothing is, and
            the option is required.
    """
    default = next(iter(presets)) if len(presets) == 1 else default
    chosen = presets[shown if shown in presets else default or next(iter(presets))]
    parser.add_argument(
        "--preset",
        choices=sorted(presets),
        default=default,
        required=default is None and not recipe,
        type=find_preset,
        help=f"settings to start from (default: {default or recipe})"
        if default or recipe
        else "settings to start from",
    )
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    offered = {k: v for k, v in known_settings(presets).items() if k not in leave_out}
    for name, item in offered.items():
        value = format_value(getattr(chosen, name)) if hasattr(chosen, name) else "not used"
        choices = item.metadata["choices"]
        groups[find_group(name)].add_argument(
            option_name(name),
            metavar=f"{{{','.join(choices)}}}" if choices else METAVARS[item.type],
            help=f"{item.metadata['help']} (default: {value})".replace("%", "%%"),
        )
    for old, name in OLD_SETTINGS.items():
        if name in offered and old not in offered:
            action = {"dest": name, "action": OldSetting, "help": argparse.SUPPRESS}
            parser.add_argument(option_name(old), **action)
    refused = {"action": RefusedCompile, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    parser.add_argument("--compile", nargs="?", **refused)


class RefusedCompile(argparse.Action):
    """Says why there is no `--compile`, which other trainings have."""

    def __call__(self, parser, namespace, value, flag=None):
        parser.error(
            "--compile: torch.compile has no second derivatives, which R1 and the path penalty"
            " need; leave it out"
        )


class OldSetting(argparse.Action):
    """Stores the value under the setting's new name, with a warning."""

    def __call__(self, parser, namespace, value, flag=None):
        warn_renamed(flag, option_name(self.dest))
        setattr(namespace, self.dest, value)


def find_preset(name: str) -> str:
    """The name of a preset in this version, with a warning for an old one."""
    if name in OLD_PRESETS:
        warn_renamed(f"--preset {name}", OLD_PRESETS[name])
    return OLD_PRESETS.get(name, name)
