"""The recipe of a portrait generator without `--preset`."""

import argparse
from statistics import median

from training.core.recipe import Recipe

SIDES = (64, 128, 256, 512, 1024)  # px, the published presets
ENOUGH = 5_000  # images to train a generator from noise on
LOOKED_AT = 30


def choose_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe for aligned images: `transfer`, or a published preset on a GPU with many images.

    Raises:
        ValueError: the options do not name aligned images.
    """
    from training.core.device import pick_device
    from training.data.images import spread
    from training.data.sources import find_pictures

    if not options.data or options.look:
        raise ValueError(
            "--preset: expected a preset, or --data with aligned images for the recipe that fits "
            "this machine; --help lists the presets"
        )
    pictures, _ = find_pictures(options.data, "aligned images")
    count, device = len(pictures), pick_device()
    if device.type != "cpu" and count >= ENOUGH:
        some = [min(picture.load().size) for picture in spread(pictures, LOOKED_AT)]
        side = max((px for px in SIDES if px <= median(some)), default=SIDES[0])
        reason = f"there is a GPU ({device}), and {count:,} images of about {side} px"
        return Recipe(str(side), f"{reason} suffice to train from noise")
    if device.type != "cpu":
        reason = f"{count:,} images are fewer than the {ENOUGH:,} that training from noise takes"
        return Recipe("transfer", reason)
    reason = "there is no GPU: it starts from the bundled generator and ends within an evening"
    changes = {
        "max_minutes": ("240", "an evening"),
        "sample_every_images": ("160", "a sample grid every few minutes"),
        "save_every_images": ("480", "a first model within half an hour"),
    }
    return Recipe("transfer", reason, changes)
