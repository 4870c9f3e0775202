"""The recipe of a run without `--preset`: a preset and changes that fit machine and data."""

import argparse
from dataclasses import dataclass, field

from training.core.config import option_name


@dataclass
class Recipe:
    """A preset, and options that are used unless the command line has them.

    Args:
        preset: the preset.
        reason: why it was chosen: the end of a sentence "PRESET, because ...".
        changes: setting -> its value as on a command line, and why.
    """

    preset: str
    reason: str
    changes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def fill_in(self, options: argparse.Namespace) -> None:
        """Sets the preset and the options that the command line does not have."""
        options.preset = self.preset
        self.changes = {
            name: change for name, change in self.changes.items() if getattr(options, name) is None
        }
        for name, (value, _) in self.changes.items():
            setattr(options, name, value)

    def explain(self, options: argparse.Namespace) -> str:
        """What was chosen and why, for the terminal."""
        lines = [f"Recipe for this machine: --preset {self.preset}, because {self.reason}"]
        for name, (value, reason) in self.changes.items():
            lines.append(f"  {option_name(name)} {value}: {reason}")
        return "\n".join(lines)
