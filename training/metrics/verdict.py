"""A verdict in words on the metrics of a style."""

# Shares of the photos' style distance up to which drawings are in the style, or on the way to it.
IN_STYLE, HALFWAY = 0.4, 0.8
MAX_HUE_SHIFT = 6.0  # degrees, median over the faces
SOFT, SCRATCHED = 0.6, 1.7  # edge density of the drawings, as a share of the style's
MAX_LOST = 0.2  # share of faces that are not found again


def judge(figures: dict) -> str:
    """Says what the metrics mean, and what to do about it.

    Args:
        figures: what `training.animegan.evaluation.measure` returned.

    Returns:
        A sentence of a few parts, such as "in the style (0.24), skin kept, lines soft: ...".
    """
    found, advice = [], []
    for part, remedy in (judge_style(figures), judge_lines(figures), *judge_faces(figures)):
        found += [part] * bool(part)
        advice += [remedy] * bool(remedy)
    if figures.get("droplets", {}).get("drawings"):
        found.append(f"stains in {figures['droplets']['drawings']} drawings")
        advice.append("lower --lr-d")
    text = ", ".join(found) or "nothing to judge; --style names images of the style"
    return text + (f": {'; '.join(dict.fromkeys(advice))}" if advice else "")


def judge_style(figures: dict) -> tuple[str, str]:
    """How near the style is, and what to do; both empty where it was not measured."""
    ratio = figures.get("style_distance_mobilenet_v2", {}).get("ratio")
    if ratio is None:
        return "", ""
    if ratio < IN_STYLE:
        return f"in the style ({ratio:.2f} of the photos' distance)", ""
    if ratio < HALFWAY:
        return f"on the way to the style ({ratio:.2f} of the photos' distance)", "train longer"
    return (
        f"still a photo ({ratio:.2f} of the photos' distance)",
        "double --weight-style, or halve --weight-content",
    )


def judge_lines(figures: dict) -> tuple[str, str]:
    """Whether lines are as many as in the style, and what to do."""
    edges = figures.get("edge_density", {})
    if not edges.get("style"):
        return "", ""
    share = edges["drawings"] / edges["style"]
    if share < SOFT:
        return f"lines soft ({share:.2f} of the style's)", "more images of the style"
    if share > SCRATCHED:
        return f"lines scratched ({share:.2f} of the style's)", "raise --weight-variation"
    return "lines as in the style", ""


def judge_faces(figures: dict) -> list[tuple[str, str]]:
    """What became of skin and faces, and what to do."""
    parts = []
    hue = figures.get("skin_hue_shift_degrees", {}).get("all", {}).get("median")
    if hue is not None and hue > MAX_HUE_SHIFT:
        parts.append((f"skin tinted by {hue:.0f} degrees", "raise --weight-color"))
    elif hue is not None:
        parts.append(("skin kept", ""))
    faces, lost = figures.get("faces_in_photos", 0), figures.get("faces_lost_in_drawings", 0)
    if faces and lost / faces > MAX_LOST:
        parts.append((f"{lost} of {faces} faces no longer found", "raise --weight-content"))
    return parts
