"""Reports whether a set of style images is good enough to train on, and what to fix.

    python -m training.prepare.style_report DATA/STYLE --photos DATA/train_photo --sheet sheet.png

The set is a style's folder (with style/ and smooth/ in it), or a folder, archive or Hub data set of
images. The command prints figures and a verdict, each sentence with the command that helps.
Nothing is changed. The published AnimeGANv2 sets (Hayao, Shinkai, Paprika) have 1,752, 1,445 and
1,284 images of 256 px.
"""

import argparse
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from toonify import faces as face_room
from toonify import images
from training.core import records
from training.data.images import Picture, folder_pictures, spread
from training.data.sources import find_pictures
from training.prepare import likeness

MIN_SIDE = 256  # px of the short side that training begins with
BORDER = 0.02  # share of a side from which a plain border counts
FLAT_SHARPNESS = 0.3  # sharpness below which a whole set is blurred; see likeness.sharpness
LEVELS = ("good", "note", "fix")
FRAMES = "python -m training.prepare.frames_from_video VIDEO OUT"
PUBLISHED = "published sets have 1,284 to 1,752"

# Figure -> (share of images tolerated, what is wrong, what is good, the command that helps).
PICTURE_RULES = {
    "unreadable": (
        0.0,
        "cannot be read and are skipped. Delete them or export them again",
        "Every image can be read.",
        "",
    ),
    "small": (
        0.05,
        f"are smaller than {MIN_SIDE} px: enlarging them teaches blur. Use larger ones",
        f"All images have a short side of {MIN_SIDE} px or more.",
        "",
    ),
    "blurred": (
        0.05,
        "are blurred: the discriminator learns the blur as style. Delete them",
        "No image is blurred.",
        f"{FRAMES} --min-sharpness 0.6",
    ),
    "bordered": (
        0.03,
        "have bars or a plain margin, which is learned as part of the style. Crop them",
        "No image has bars or margins.",
        f"{FRAMES} --crop-bars",
    ),
    "blank": (
        0.02,
        "are near black or of one color, and teach nothing. Delete them",
        "No image is blank.",
        "",
    ),
}
# Fewest different images -> level and sentence.
COUNT_RULES = (
    (1000, "good", "is a good number"),
    (300, "note", "is enough to begin with; more make the style hold on other photos"),
    (
        100,
        "fix",
        "is few: textures and lines can be learned, but motifs of single images appear in the "
        "output. Find more, or stop early and choose the checkpoint by its figures",
    ),
    (
        0,
        "fix",
        "is too few: the discriminator memorizes them, and the output copies their colors but "
        "few strokes. Find more, or train from pairs drawn by a teacher",
    ),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of one image. Colors are of its opaque pixels, 0 to 255."""

    name: str
    size: tuple[int, int]
    transparent: bool
    gray: bool
    blank: bool
    means: np.ndarray  # (3,) RGB
    brightness: float
    sharpness: float
    edges: float
    bordered: bool
    mark: likeness.Fingerprint
    content: int  # the same for the same pixels
    thumbnail: Image.Image


@dataclass(frozen=True)
class Finding:
    """A sentence of the verdict: its level, the figure it is about, and a command or none."""

    level: str
    about: str
    says: str
    command: str = ""


def measure(name: str, picture: Image.Image) -> Measured:
    """Measures an image, RGB or, if it has transparency, RGBA."""
    transparent = picture.mode == "RGBA"
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if transparent else None)
    pixels = np.asarray(flat)
    small = likeness.shrink(np.asarray(picture), 96)
    opaque = small[small[..., 3] > 127] if transparent else small.reshape(-1, 3)
    opaque = opaque[:, :3] if len(opaque) else np.full((1, 3), 255, np.uint8)
    height, width = pixels.shape[:2]
    left, top, right, bottom = likeness.plain_borders(pixels)
    bars = min(left, right) >= BORDER * width or min(top, bottom) >= BORDER * height
    thumbnail = flat.copy()
    thumbnail.thumbnail((128, 128), Image.Resampling.BOX)
    return Measured(
        name=name,
        size=picture.size,
        transparent=transparent,
        gray=likeness.is_gray(opaque[None]),
        blank=likeness.is_blank(pixels),
        means=opaque.mean(axis=0),
        brightness=float(cv2.cvtColor(opaque[None], cv2.COLOR_RGB2GRAY).mean()),
        sharpness=likeness.sharpness(pixels),
        edges=likeness.edge_density(pixels),
        bordered=bars and not transparent,  # the ground of a cut-out is no margin
        mark=likeness.fingerprint(pixels),
        content=hash((picture.size, picture.mode, picture.tobytes())),
        thumbnail=thumbnail,
    )


def list_pictures(source: str | Path, what: str) -> list[Picture]:
    """Images of a source, unread; ValueError if there are none."""
    found, _ = find_pictures(source, what)
    if not found:
        raise ValueError(f"{source}: contains no {what}; expected {', '.join(images.EXTENSIONS)}")
    return found


def measure_all(pictures: list[Picture], what: str) -> tuple[list[Measured], list[str]]:
    """Measures of the readable images, and why the others cannot be read."""
    measured, unreadable = [], []
    for picture in tqdm(pictures, desc=f"measuring {what}", unit="picture"):
        try:
            measured.append(measure(picture.name, picture.load(alpha=True)))
        except images.ImageError as error:
            unreadable.append(f"{picture.name}: {error}")
    return measured, unreadable


def find_duplicates(measured: list[Measured]) -> tuple[list[list[str]], list[list[str]]]:
    """Names of identical and of similar images (identical ones too), in groups of two and more.

    A group of similar images gathers around its first one.
    """
    album, same, similar = likeness.Album(), {}, {}
    for picture in measured:
        same.setdefault(picture.content, []).append(picture.name)
        like = album.alike(picture.mark)
        if not like:
            album.add(picture.name, picture.mark)
        similar.setdefault(like[0] if like else picture.name, []).append(picture.name)
    return tuple([names for names in g.values() if len(names) > 1] for g in (same, similar))


def face_share(pictures: list[Picture], sample: int, what: str) -> float | None:
    """Share of an even sample of the images in which a face is detected; None for no sample."""
    found = []
    for picture in tqdm(spread(pictures, sample) if sample else [], desc=f"faces in {what}"):
        try:
            photo = picture.load()
        except images.ImageError:
            continue
        found.append(bool(face_room.detect(photo, max_side=512, try_rotations=False)))
    return round(float(np.mean(found)), 3) if found else None


def compute_figures(measured: list[Measured], unreadable: list[str], **others) -> dict:
    """All figures of a set, ready for JSON. Shares are 0 to 1; None means not measured.

    `others`: figures that are measured elsewhere, by name.
    """
    short = [min(m.size) for m in measured]
    means = np.mean([m.means for m in measured], axis=0)
    brightness = [m.brightness for m in measured]
    sharpness = float(np.median([m.sharpness for m in measured]))
    blurred = max(likeness.BLURRED * sharpness, FLAT_SHARPNESS)
    same, similar = find_duplicates(measured)

    def names(test) -> list[str]:
        return [m.name for m in measured if test(m)]

    return {
        "count": len(measured),
        "different": len(measured) - sum(len(group) - 1 for group in similar),
        "unreadable": unreadable,
        "short_side": dict(smallest=min(short), median=float(np.median(short)), largest=max(short)),
        "small": names(lambda m: min(m.size) < MIN_SIDE),
        "gray": names(lambda m: m.gray),
        "transparent": names(lambda m: m.transparent),
        "blank": names(lambda m: m.blank),
        "blurred": names(lambda m: not m.blank and m.sharpness < blurred),
        "bordered": names(lambda m: m.bordered and not m.blank),
        "same": same,
        "similar": similar,
        "channel_means": {k: round(float(v), 2) for k, v in zip("rgb", means, strict=True)},
        "color_shift": {
            k: round(float(means.mean() - v), 2) for k, v in zip("rgb", means, strict=True)
        },
        "brightness": {
            "mean": round(float(np.mean(brightness)), 2),
            "spread": round(float(np.std(brightness)), 2),
        },
        "sharpness": round(sharpness, 3),
        "edge_density": median_edges(measured),
        **dict.fromkeys(("photo_edge_density", "face_share", "photo_face_share")),
        "without_smooth": None,
        **others,
    }


def median_edges(measured: list[Measured]) -> float:
    return round(float(np.median([m.edges for m in measured])), 4)


def verdict(found: dict, source: str) -> list[Finding]:
    """Judges the figures: what is good, what to know, and what to fix and how."""
    return [
        *_judge_number(found),
        *_judge_pictures(found),
        *_judge_color(found),
        *_judge_content(found),
        *_judge_smooth(found, source),
    ]


def _judge_number(found: dict) -> list[Finding]:
    different = found["different"]
    level, says = next((level, says) for least, level, says in COUNT_RULES if different >= least)
    count = Finding(level, "count", f"{different} different images {says} ({PUBLISHED}).", FRAMES)
    if not found["similar"]:
        return [count, Finding("good", "duplicates", "No image occurs twice.")]
    extra = found["count"] - different
    same = sum(len(group) - 1 for group in found["same"])
    examples = "; ".join(" = ".join(group[:3]) for group in found["similar"][:3])
    says = (
        f"{extra} images are similar to another one, {same} of them identical ({examples}). "
        "Keep one of each group; --json FILE lists all."
    )
    return [count, Finding("fix" if extra > 0.02 * found["count"] else "note", "duplicates", says)]


def _judge_pictures(found: dict) -> list[Finding]:
    findings, total = [], found["count"] + len(found["unreadable"])
    for about, (tolerated, bad, good, command) in PICTURE_RULES.items():
        names = [name.split(":")[0] for name in found[about]]
        if not names:
            findings.append(Finding("good", about, good))
            continue
        level = "fix" if len(names) > tolerated * total else "note"
        says = f"{len(names)} of {total} images {bad} ({', '.join(names[:3])})."
        findings.append(Finding(level, about, says, command))
    return findings


def _judge_color(found: dict) -> list[Finding]:
    count, findings = found["count"], []
    gray = len(found["gray"]) / count
    if gray > 0.95:
        says = "The set is black and white; photos keep colors only as far as the color loss does."
        findings.append(Finding("note", "gray", says))
    elif gray > 0.05:
        says = f"{gray:.0%} of the images are gray: colors fade in the output. Leave them out."
        findings.append(Finding("fix", "gray", says))
    text = ", ".join(f"{k.upper()} {v:+.1f}" for k, v in found["color_shift"].items())
    strongest = max(abs(value) for value in found["color_shift"].values())
    level, says = "good", "Colors are balanced"
    if strongest > 25:
        level, says = "fix", "Strong color cast: mix in other hues and keep the color shift on"
    elif strongest > 8:
        level, says = "note", "Color cast as in the published sets; the color shift removes it"
    findings.append(Finding(level, "color_shift", f"{says} ({text} levels)."))
    mean, spread_ = found["brightness"]["mean"], found["brightness"]["spread"]
    level, says = "good", "Brightness varies well"
    if not 70 <= mean <= 190:
        level = "fix"
        says = f"The images are very {'dark' if mean < 70 else 'bright'}; mix in others"
    elif count > 1 and spread_ < 12:
        level, says = "note", "All images are about equally bright; mix in day and night"
    says = f"{says} (mean {mean:.0f}, spread {spread_:.0f} of 255 levels)."
    findings.append(Finding(level, "brightness", says))
    if found["transparent"]:
        says = (
            f"{len(found['transparent'])} of {count} images are cut-outs; training lays them on "
            "painted backgrounds."
        )
        findings.append(Finding("note", "transparent", says))
    return findings


def _judge_content(found: dict) -> list[Finding]:
    findings = []
    if found["photo_edge_density"]:
        ratio = found["edge_density"] / found["photo_edge_density"]
        level, says = "good", "a match for the photos"
        if ratio < 0.5:
            level, says = "note", "raise the content weight if features are lost"
        elif ratio > 1.6:
            level, says = "note", "raise the total variation weight if skin gets scratches"
        says = f"The images have {ratio:.2f} times the edges of the photos: {says}."
        findings.append(Finding(level, "edge_density", says))
    faces, photos = found["face_share"], found["photo_face_share"]
    if faces is None:
        return findings
    says, command = f"Faces were detected in {faces:.0%} of the images", ""
    if photos is not None and photos - faces > 0.4:
        says += f", but in {photos:.0%} of the photos: add people, or train from pairs"
        command = "python -m training.prepare.cartoon_filter PHOTOS DATA"
    level = "good" if faces > 0.2 and not command else "note"
    return [*findings, Finding(level, "faces", f"{says} (drawn faces are often missed).", command)]


def _judge_smooth(found: dict, source: str) -> list[Finding]:
    missing = found["without_smooth"]
    if missing is None:
        return []
    if not missing:
        return [Finding("good", "without_smooth", "Every image has its edge-smoothed copy.")]
    says = (
        f"{len(missing)} of {found['count']} images have no edge-smoothed copy, such as "
        f"{missing[0]}. Make them, or train with --smooth computed."
    )
    command = f"python -m training.prepare.edge_smooth {source}"
    return [Finding("fix", "without_smooth", says, command)]


def draw_sheet(measured: list[Measured], found: dict, number: int = 60) -> Image.Image:
    """A contact sheet, RGB: faulty images first, labeled, then an even sample of the others."""
    labels: dict[str, list[str]] = {}
    for about in ("small", "gray", "blank", "blurred", "bordered"):
        for name in found[about]:
            labels.setdefault(name, []).append(about)
    for index, group in enumerate(found["similar"], 1):
        for name in group:
            labels.setdefault(name, []).append(f"similar {index}")
    wrong = sorted((m for m in measured if m.name in labels), key=lambda m: labels[m.name])
    plain = [m for m in measured if m.name not in labels]
    wrong = spread(wrong, max(number // 2, number - len(plain)))
    chosen = [*wrong, *spread(plain, number - len(wrong))][:number]
    columns, cell = 10, 132
    sheet = Image.new("RGB", (columns * cell, -(-len(chosen) // columns) * (cell + 14)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, picture in enumerate(chosen):
        x, y = index % columns * cell, index // columns * (cell + 14)
        sheet.paste(picture.thumbnail, (x + 2, y + 2))
        pen.text((x + 3, y + cell), ", ".join(labels.get(picture.name, [])), fill=(200, 0, 0))
    return sheet


def report_on(
    source: str, photos_source: str = "", sample: int = 40
) -> tuple[dict, list[Finding], list[Measured]]:
    """Measures and judges a style set.

    Args:
        source: a style's folder, or a folder, archive or Hub data set of images.
        photos_source: the photos to compare with, likewise; "" for none.
        sample: number of images in which faces are detected; 0 for none.

    Returns:
        Figures, verdict, and the measures of each image.

    Raises:
        ValueError: the source does not exist or has no readable image.
    """
    folder, smooth, others = Path(source), None, {}
    if (folder / "style").is_dir():
        smooth, folder = folder / "smooth", folder / "style"
    elif folder.is_dir() and folder.name == "style":
        smooth, source = folder.parent / "smooth", str(folder.parent)
    pictures = list_pictures(source if smooth is None else folder, "style images")
    measured, unreadable = measure_all(pictures, "style images")
    if not measured:
        raise ValueError(f"{source}: none of {len(pictures)} images can be read: {unreadable[0]}")
    if smooth is not None:
        copies = {p.name for p in folder_pictures(smooth)} if smooth.is_dir() else set()
        others["without_smooth"] = [m.name for m in measured if m.name not in copies]
    if photos_source:
        photos = list_pictures(photos_source, "photos")
        readable = measure_all(spread(photos, 200), "photos")[0]
        others["photo_edge_density"] = median_edges(readable) if readable else None
        others["photo_face_share"] = face_share(photos, sample, "photos")
    others["face_share"] = face_share(pictures, sample, "style images")
    found = compute_figures(measured, unreadable, **others)
    return found, verdict(found, source), measured


def as_text(found: dict, findings: list[Finding]) -> str:
    """The report for people."""
    count, short = found["count"], found["short_side"]
    counts = ("small", "gray", "transparent", "blank", "blurred", "bordered")
    edges, photo_edges = found["edge_density"], found["photo_edge_density"]
    rows = {
        "pictures": f"{count}, {found['different']} different, "
        f"{len(found['unreadable'])} unreadable",
        "short side": "{smallest} to {largest} px, median {median:g}".format(**short),
        **{name: f"{len(found[name])} ({len(found[name]) / count:.0%})" for name in counts},
        "sharpness": f"{found['sharpness']:.2f}",
        "color": " ".join(f"{k.upper()} {v:.0f}" for k, v in found["channel_means"].items()),
        "brightness": "mean {mean:.0f}, spread {spread:.0f}".format(**found["brightness"]),
        "edges": f"{edges:.1%} of pixels" + (f", photos {photo_edges:.1%}" if photo_edges else ""),
    }
    lines = [f"{name:>16}  {value}" for name, value in rows.items()]
    lines += ["", "VERDICT"]
    for finding in sorted(findings, key=lambda f: LEVELS.index(f.level)):
        lines.append(f"  {finding.level:<4}  {finding.says}")
        if finding.command and finding.level != "good":
            lines.append(f"        {finding.command}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("style", help="a style's folder, or a folder, archive or Hub data set")
    parser.add_argument("--photos", default="", help="photos to compare with (default: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for figures and verdict")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="file for a contact sheet")
    parser.add_argument(
        "--faces",
        type=int,
        default=40,
        metavar="N",
        help="number of images in which faces are detected, 0 for none (default: 40)",
    )
    parser.add_argument("--strict", action="store_true", help="exit status 1 if a fix is needed")
    options = parser.parse_args(arguments)
    if options.faces < 0:
        parser.error(f"--faces {options.faces}: expected 0 or more")
    if options.sheet and options.sheet.suffix.lower() not in images.SAVES:
        expected = ", ".join(images.SAVES)
        parser.error(f"--sheet {options.sheet}: expected a name ending in {expected}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found, findings, measured = report_on(options.style, options.photos, options.faces)
        for warning in caught:
            print(warning.message, file=sys.stderr)
        if options.json:
            content = {"figures": found, "verdict": [asdict(finding) for finding in findings]}
            records.write(content, options.json)
        if options.sheet:
            images.save(draw_sheet(measured, found), options.sheet)
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    print(as_text(found, findings))
    if options.strict and any(finding.level == "fix" for finding in findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
