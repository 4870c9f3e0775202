"""Converts metrics.json to Markdown for a card and to results for its front matter."""

import shlex

from huggingface_hub import EvalResult

START, END = "<!-- figures -->", "<!-- /figures -->"
TITLES = {"fd": "Frechet", "kd": "kernel", "fid": "FID", "kid": "KID"}
DISTANCES = {"fd": "Frechet distance", "kd": "kernel distance", "fid": "FID", "kid": "KID"}


def format_report(report: dict) -> str:
    """Writes the figures of metrics.json for a card, which shows them between `START` and `END`."""
    if "validation" in report["figures"]:
        return validation_block(report)
    return noise_block(report) if "models" in report["figures"] else photo_block(report)


def list_results(report: dict) -> list[EvalResult]:
    """Lists the figures for the model index, each named with its feature extractor."""
    figures, words = report["figures"], shlex.split(report["command"])
    if "validation" in figures:
        return []  # scores of a training are not comparable

    def read_option(option: str) -> str:
        return words[words.index(option) + 1] if option in words else ""

    if "models" in figures:
        task, source = "unconditional-image-generation", read_option("--data")
        count = f"{figures['samples']:,} images"
        first = next(iter(figures["models"].values()))
        found = {key: value for key, value in first.items() if is_distance(key)}
    else:
        task, source = "image-to-image", read_option("--photos")
        count = f"{figures['photos']:,} photos"
        found = {key: of["drawings"] for key, of in figures.items() if is_distance(key)}
        found["ssim_luminance"] = figures["ssim_luminance_mean"]
    return [
        EvalResult(
            task_type=task,
            dataset_type=source or "pictures",
            dataset_name=f"{source or 'pictures'}, {count}",
            metric_type=key,
            metric_name=name_metric(key),
            metric_value=value,
        )
        for key, value in found.items()
    ]


def is_distance(key: str) -> bool:
    """Whether a figure is a distance between two sets of images, and not its standard error."""
    return key.partition("_")[0] in DISTANCES and not key.endswith("_standard_error")


def name_metric(key: str) -> str:
    """Names a figure: `fd_mobilenet_v2` -> `Frechet distance (mobilenet_v2)`, `fid` -> `FID`."""
    kind, _, extractor = key.partition("_")
    if kind in ("fid", "kid"):
        return DISTANCES[kind]
    return f"{DISTANCES[kind]} ({extractor})" if kind in DISTANCES else "SSIM of luminance, mean"


def validation_block(report: dict) -> str:
    """Writes the scores of a training on validation images."""
    lines = [
        f"Measured during training, {report['date']} (`{report['command']}`). A lower `score` is"
        " better.",
        "",
        "| | |",
        "|---|---|",
    ]
    scores = report["figures"]["validation"].items()
    return "\n".join(lines + [f"| {name.replace('_', ' ')} | {value} |" for name, value in scores])


# Styles for photos ------------------------------------------------------------------------------


def photo_block(report: dict) -> str:
    """Writes the figures of a style for photos, without rows for those not measured."""
    figures = report["figures"]
    lines = [
        f"Measured on {report['date']} on {figures['photos']} photos"
        + (f" and {figures['style_pictures']} style images" if "style_pictures" in figures else "")
        + f": `{report['command']}`",
        "",
        "| portraits | |" if "scenes" in figures else "| | |",
        "|---|---|",
        *rows(figures),
    ]
    if tones := figures.get("skin_hue_shift_degrees"):
        lines += ["", "| skin | faces | hue shift, median | 95th percentile |", "|---|---|---|---|"]
        lines += [
            f"| {tone} | {of['faces']} | {of['median']}° | {of['p95']}° |"
            for tone, of in tones.items()
        ]
    if scenes := figures.get("scenes"):
        lines += ["", f"| {scenes['photos']} scenes | |", "|---|---|", *rows(scenes)]
    if notes := figures.get("notes"):
        lines += ["", *(f"* {note}" for note in notes)]
    return "\n".join(lines)


def rows(figures: dict) -> list[str]:
    """Writes the table rows of one group of photos."""
    lines = []

    def row(label: str, value: str) -> None:
        lines.append(f"| {label} | {value} |")

    if found := figures.get("style_distance_mobilenet_v2"):
        row(
            "style distance (kernel, `mobilenet_v2` strokes): drawings, photos, ratio",
            f"{found['drawings']}, {found['photos']}, **{found['ratio']}**",
        )
    for key, found in figures.items():
        kind, _, extractor = key.partition("_")
        if kind in ("fid", "fd"):
            label = "FID" if kind == "fid" else f"Frechet distance, `{extractor}`"
            row(
                f"{label} to the style: drawings, photos", f"{found['drawings']}, {found['photos']}"
            )
        elif kind in ("kid", "kd"):
            label = "KID" if kind == "kid" else f"kernel distance, `{extractor}`"
            row(
                f"{label} to the style (standard error): drawings, photos",
                f"{found['drawings']} ({found['drawings_standard_error']}),"
                f" {found['photos']} ({found['photos_standard_error']})",
            )
    row("luminance SSIM with the photo, mean", f"{figures['ssim_luminance_mean']}")
    if found := figures.get("edge_density"):
        row(
            "pixels on edges: " + ", ".join(found),
            ", ".join(f"{100 * value:.1f} %" for value in found.values()),
        )
    if found := figures.get("chroma_ratio"):
        row("chroma, drawing to photo: median, 5th to 95th percentile", format_spread(found))
    if found := figures.get("skin_roughness"):
        row(
            f"skin detail, drawing to photo ({found['discs']} smooth places): median, 95th"
            " percentile",
            f"{found['median']}, {found['p95']}",
        )
    if "faces_in_photos" in figures:
        found = figures["faces_in_photos"]
        kept = found - figures["faces_lost_in_drawings"]
        row("faces that a detector still finds in the drawing", f"{kept} of {found}")
    if figures.get("landmark_shift_eye_distances_median") is not None:
        row(
            "shift of eyes, nose and mouth, median, in eye distances",
            f"{figures['landmark_shift_eye_distances_median']}",
        )
    stuck = figures["droplets"]
    row("drawings with droplets or stuck color", f"{stuck['drawings']} of {figures['photos']}")
    row("seconds a photo, on the machine that measured", f"{figures['seconds_per_photo']}")
    if "parameters" in figures:
        size = figures["weights_bytes"] / 1e6
        row("parameters, weights", f"{figures['parameters']:,}, {size:.1f} MB")
    return lines


def format_spread(found: dict) -> str:
    """Formats a median and two percentiles."""
    return f"{found['median']}, {found['p5']} to {found['p95']}"


# Generators from noise ---------------------------------------------------------------------------


def format_cells(report: dict) -> tuple[list[str], dict[str, list[str]]]:
    """Returns the column titles, and name of a model -> figures as text, with the floor last."""
    keys = [key for key in report["floor"] if not key.endswith("_standard_error")]
    several = len({key.split("_", 1)[1] for key in keys}) > 1
    titles = []
    for key in keys:
        kind, _, extractor = key.partition("_")
        title = TITLES.get(kind, kind)
        titles.append(f"{title} ({extractor})" if several else title)
    rows = {**report["models"], "real images": report["floor"]}
    return titles, {name: [f"{figures[key]:.4g}" for key in keys] for name, figures in rows.items()}


def noise_block(report: dict) -> str:
    """Writes the figures of a generator from noise beside those of its baselines."""
    figures = report["figures"]
    titles, rows = format_cells(figures)
    name, first = next(iter(figures["models"].items()))
    names = ", ".join(f"`{extractor}`" for extractor in report["extractors"])
    lines = [
        f"Measured on {report['date']} through {names} over {figures['samples']:,} samples, seeds"
        f" from {figures['seed']}, truncation 1.0: `{report['command']}`",
        "",
        f"| | {' | '.join(titles)} |",
        f"|---|{'---|' * len(titles)}",
        *(f"| {row} | {' | '.join(values)} |" for row, values in rows.items()),
        "",
    ]
    for other, found in figures.get("ratios", {}).items():
        ratios = ", ".join(f"{key} **{value:.3g}**" for key, value in found.items())
        lines.append(f"* {name} over {other}: {ratios}")
    size = first["weights_bytes"] / 1e6
    lines.append(f"* parameters, weights: {first['parameters']:,}, {size:.1f} MB")
    return "\n".join([*lines, *(f"* {note}" for note in figures["notes"])])
