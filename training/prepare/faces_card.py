"""The card of a set of cartoon faces that DiceBear's styles drew."""

import shlex
from collections import Counter

from huggingface_hub import DatasetCardData

from toonify.hub import cards

SIZES = ("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000)
KINDS = ["unconditional-image-generation", "image-classification"]
# Configurations of the Hub's viewer: the images, and what is in each.
CONFIGS = [
    {"config_name": "images", "data_files": "images/*/*.png", "default": True},
    {"config_name": "attributes", "data_files": "attributes.csv"},
]


def card(
    settings: dict,
    count: int,
    licenses: dict[str, dict[str, str]],
    rows: list[dict],
    any_license: bool = False,
) -> str:
    """The card, as Markdown with front matter.

    `settings` are those of data.json, `licenses` what the styles' package states of each, and
    `rows` those of attributes.csv; `any_license` that they were drawn whatever the license.
    """
    names = {terms["license"].partition(", http")[0] for terms in licenses.values()}
    known = {cards.read_license(name)["license"] for name in names}
    size = next((size for size, end in SIZES if count < end), "1M<n<10M")
    values = {name: set() for row in rows for name in row if name not in ("file", "style", "seed")}
    for row in rows:
        for name in values.keys() & row.keys():
            values[name].add(row[name])
    front = DatasetCardData(
        license=sorted(known),
        pretty_name="Cartoon faces",
        size_categories=size,
        task_categories=KINDS,
        tags=["cartoon", "faces", "synthetic"],
        configs=CONFIGS,
    )
    return cards.fill(
        "dicebear_faces",
        front,
        count=count,
        settings=settings,
        licenses=licenses,
        kinds={name: len(found) for name, found in values.items()},
        skins=Counter(row["skin_color"] for row in rows if "skin_color" in row).most_common(),
        command=command(settings, count) + any_license * " --any-license",
    )


def command(settings: dict, count: int) -> str:
    """What draws the set again, with the same versions of the packages."""
    words = ["python", "-m", "training.prepare.cartoon_faces", "OUT"]
    for style in settings["styles"]:
        words += ["--style", style]
    words += ["--count", str(count)]
    for name in ("px", "background", "seed"):
        words += [f"--{name}", str(settings[name])]
    return shlex.join(words)
