"""The recipe of a cartoon face generator without `--preset`."""

import argparse
from pathlib import Path

from training.core.recipe import Recipe

TABLE = "attributes.csv"


def choose_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe for cartoon faces: by their table of attributes, or by the images alone.

    Raises:
        ValueError: the options do not name images.
    """
    from training.core.device import pick_device

    if not options.data:
        raise ValueError("--data: expected a folder or archive of cartoon faces")
    if Path(options.data).expanduser().joinpath(TABLE).is_file():
        recipe = Recipe("conditional", f"{options.data} has a table of attributes, {TABLE}")
    else:
        recipe = Recipe("laptop", f"{options.data} has no table of attributes, {TABLE}")
    if pick_device().type == "cpu":
        recipe.changes = {
            "max_minutes": ("240", "an evening without a GPU"),
            "sample_every_images": ("1000", "a sample grid every few minutes"),
            "save_every_images": ("2000", "a first model within half an hour"),
        }
        if recipe.preset == "laptop":
            recipe.changes |= {
                "max_images": ("100000", "what a CPU draws in an evening"),
                "decay_images": ("40000", "learning rates fall before the end"),
            }
    return recipe
