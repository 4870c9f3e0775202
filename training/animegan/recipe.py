"""The recipe of a style without `--preset`, and the bundled style that is nearest to images."""

import argparse
from pathlib import Path
from statistics import median

from training.animegan.config import AnimeGANSettings
from training.core.config import replace_settings
from training.core.recipe import Recipe

NEAREST = "nearest"
PHOTOS = 10  # that every bundled style draws to be compared
PICTURES, CROPS = 60, 120
SIDES = 192, 448  # px, limits of the side of what is compared


def choose_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe for photos and images of a style: `unpaired` on a GPU, else `quick`.

    Raises:
        ValueError: the options do not name photos and images of a style.
    """
    from training.core.device import pick_device

    if not (options.photos and options.pictures) or options.data:
        raise ValueError(
            "--preset: expected a preset, or --photos and --pictures for the recipe that fits this "
            "machine; --help lists the presets"
        )
    device = pick_device()
    if device.type == "cpu":
        reason = "there is no GPU: it starts from a bundled style and ends within an evening"
        recipe = Recipe("quick", reason)
    else:
        recipe = Recipe("unpaired", f"there is a GPU ({device}): the full recipe, from the start")
    if options.out:
        name = Path(options.out).absolute().name
        recipe.changes["style"] = name, "the name of the folder in --out"
    return recipe


def find_start(settings: AnimeGANSettings) -> AnimeGANSettings:
    """The settings with the name of the nearest bundled style for `--start-from nearest`."""
    if settings.start_from != NEAREST:
        return settings
    distances = compare_styles(settings)
    nearest = min(distances, key=distances.__getitem__)
    row = ", ".join(f"{name} {distance:.2f}" for name, distance in sorted(distances.items()))
    print(f"--start-from {nearest}: nearest to the style images ({row}; the photos 1.00)")
    return replace_settings(settings, start_from=nearest)


def compare_styles(settings: AnimeGANSettings) -> dict[str, float]:
    """Distances from the style images to what each bundled style draws of some photos.

    The unit is the distance of the photos themselves.
    """
    from toonify import hub
    from toonify.models import ANIMEGAN_MODELS
    from training.animegan.objective import stylize
    from training.core.perceptual import MobileNetV2Features
    from training.data.images import spread, square
    from training.data.sources import find_pictures
    from training.metrics.distances import STAGES, style_statistics

    def load(source: str, what: str, count: int) -> list:
        return [picture.load() for picture in spread(find_pictures(source, what)[0], count)]

    data, features = Path(settings.data), MobileNetV2Features(STAGES)
    pictures = settings.pictures or str(data / settings.style / "style")
    pictures = load(pictures, "style images", PICTURES)
    # Photos as large as the images: strokes are compared at one scale.
    px = int(min(max(median(min(picture.size) for picture in pictures), SIDES[0]), SIDES[1]))
    photos = load(settings.photos or str(data / "train_photo"), "photos", PHOTOS)
    photos = [square(photo, px) for photo in photos]
    drawn = {"photos": style_statistics(photos, features, CROPS)}
    for style in hub.styles():
        network = hub.load_model(hub.resolve_model(style.name), ANIMEGAN_MODELS)
        toons = [stylize(network, photo) for photo in photos]
        drawn[style.name] = style_statistics(toons, features, CROPS)
    theirs = style_statistics([square(picture, px) for picture in pictures], features, CROPS)
    return whitened_distances(theirs, drawn)


def whitened_distances(theirs, drawn: dict) -> dict[str, float]:
    """Distances of the means of two sets of rows, by what differs within each set of `drawn`.

    These sets show the same photos, so that what differs within one is what the images show, and
    counts little; what is left is how they are drawn (a linear discriminant analysis, with a
    covariance that is shrunk by a tenth).

    Args:
        theirs: (n, d).
        drawn: name -> (m, d), "photos" among them, whose distance is the unit.

    Returns:
        Name -> distance; without "photos".
    """
    import numpy as np

    within = np.concatenate([rows - rows.mean(0) for rows in drawn.values()])
    scale = within.std(0) + 1e-8
    covariance = np.cov((within / scale).T)
    covariance = 0.9 * covariance + 0.1 * np.eye(len(covariance))
    distances = {}
    for name, rows in drawn.items():
        step = (theirs.mean(0) - rows.mean(0)) / scale
        distances[name] = float(step @ np.linalg.solve(covariance, step))
    unit = distances.pop("photos")
    return {name: distance / unit for name, distance in distances.items()}
