"""Says whether a set of style pictures is good enough to train on, and what to do about it.

    python -m training.prepare.style_report DATA/STYLE --photos DATA/train_photo --sheet sheet.png

takes a style's folder (with style/ and smooth/ in it), or a folder, archive or Hub data set of
pictures. It prints figures and a verdict in plain sentences, each with the command that helps.
Nothing is changed. The published AnimeGANv2 sets (Hayao, Shinkai, Paprika), against which numbers
are held, have 1,752, 1,445 and 1,284 pictures of 256 px.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from toonify import faces as face_room
from toonify import images
from training import records
from training.pictures import Picture, folder_pictures, spread
from training.prepare import likeness
from training.sources import find_pictures

SMALL = 256  # px, short side: what published sets have and training begins with
BORDER = 0.02  # share of a side from which a plain border counts
FLAT_SHARPNESS = 0.3  # sharpness below which a whole set is blurred; see likeness.sharpness
LEVELS = ("good", "note", "fix")


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of one picture. Colours are of its opaque pixels, 0 to 255."""

    name: str
    size: tuple[int, int]
    transparent: bool
    grey: bool
    blank: bool
    means: np.ndarray  # (3,) RGB
    light: float
    contrast: float
    sharpness: float
    edges: float
    bordered: bool
    mark: likeness.Fingerprint
    slopes: np.ndarray  # (2, 96, 96) float16, brightness steps across and down
    content: int  # the same for the same pixels
    small: Image.Image  # for the contact sheet


@dataclass(frozen=True)
class Finding:
    """A sentence of the verdict: "good", "note" or "fix"; what it is about; a command or none."""

    level: str
    about: str
    says: str
    command: str = ""


def measure(name: str, picture: Image.Image) -> Measured:
    """Measures a picture, RGB or, where it is transparent, RGBA."""
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    pixels = np.asarray(flat)
    small = likeness.shrink(np.asarray(picture), 96)
    seen = small[..., 3] > 127 if picture.mode == "RGBA" else np.ones(small.shape[:2], bool)
    opaque = small[seen][:, :3] if seen.any() else np.full((1, 3), 255, np.uint8)
    grey = cv2.cvtColor(opaque[None], cv2.COLOR_RGB2GRAY)
    square = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_AREA)
    square = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slopes = np.stack([cv2.Sobel(square, cv2.CV_32F, 1, 0), cv2.Sobel(square, cv2.CV_32F, 0, 1)])
    height, width = pixels.shape[:2]
    left, top, right, bottom = likeness.plain_borders(pixels)
    bars = min(left, right) >= BORDER * width or min(top, bottom) >= BORDER * height
    thumb = flat.copy()
    thumb.thumbnail((128, 128), Image.Resampling.BOX)
    return Measured(
        name=name,
        size=picture.size,
        transparent=picture.mode == "RGBA",
        grey=likeness.is_grey(opaque[None]),
        blank=likeness.is_blank(pixels),
        means=opaque.mean(axis=0),
        light=float(grey.mean()),
        contrast=float(grey.std()),
        sharpness=likeness.sharpness(pixels),
        edges=likeness.edge_density(pixels),
        # A cut-out stands before nothing, not between bars.
        bordered=bars and picture.mode != "RGBA",
        mark=likeness.fingerprint(pixels),
        slopes=(slopes / 8).astype(np.float16),
        content=hash((picture.size, picture.mode, picture.tobytes())),
        small=thumb,
    )


def listed(source: str | Path, what: str) -> list[Picture]:
    """Pictures of a source, unread; ValueError if there are none."""
    found, _ = find_pictures(source, what)
    if not found:
        raise ValueError(f"{source}: no {what} in it; expected {', '.join(images.EXTENSIONS)}")
    return found


def look_at(pictures: list[Picture], what: str) -> tuple[list[Measured], list[str]]:
    """Measures of the readable pictures, and why the others are not."""
    measured, unreadable = [], []
    for picture in tqdm(pictures, desc=f"looking at {what}", unit="picture"):
        try:
            measured.append(measure(picture.name, picture.load(alpha=True)))
        except images.ImageError as error:
            unreadable.append(f"{picture.name}: {error}")
    return measured, unreadable


def same_groups(measured: list[Measured]) -> list[list[str]]:
    """Names of pictures whose pixels are the same, in groups of two and more."""
    groups: dict[int, list[str]] = {}
    for picture in measured:
        groups.setdefault(picture.content, []).append(picture.name)
    return [names for names in groups.values() if len(names) > 1]


def near_groups(measured: list[Measured]) -> list[list[str]]:
    """Names of pictures that are much alike, the same ones too, in groups of two and more.

    A group gathers around its first picture: A like B and B like C do not make A like C.
    """
    album, groups = likeness.Album(), {}
    for picture in measured:
        like = album.alike(picture.mark)
        if like:
            groups[like[0]].append(picture.name)
        else:
            album.add(picture.name, picture.mark)
            groups[picture.name] = [picture.name]
    return [names for names in groups.values() if len(names) > 1]


def common_mark(measured: list[Measured]) -> float:
    """Share of the picture in which all pictures have the same edges, such as a watermark's.

    At such a place most pictures have a step of brightness, and the steps add up; elsewhere they
    cancel (the idea of Dekel et al., "On the effectiveness of visible watermarks", 2017). 0 for
    fewer than 20 pictures; those between bars and cut-outs are left out.
    """
    plain = [m for m in measured if not m.bordered and not m.transparent]
    if len(plain) < 20:
        return 0.0
    total, sizes, often = np.zeros((2, 96, 96)), np.zeros((96, 96)), np.zeros((96, 96))
    for picture in plain:
        slopes = picture.slopes.astype(np.float32)
        size = np.hypot(slopes[0], slopes[1])
        total, sizes, often = total + slopes, sizes + size, often + (size > 1)
    agreement = np.hypot(total[0], total[1]) / np.maximum(sizes, 1e-3)
    common = (sizes > 3 * len(plain)) & (often > 0.7 * len(plain))
    return float(((agreement > 0.85) & common).mean())


def face_share(pictures: list[Picture], sample: int, what: str) -> float | None:
    """Share of a spread sample of the pictures in which a face is found; None for no sample."""
    chosen = spread(pictures, sample) if sample else []
    found = looked_at = 0
    for picture in tqdm(chosen, desc=f"faces in {what}", unit="picture", leave=False):
        try:
            photo = picture.load()
        except images.ImageError:
            continue
        looked_at += 1
        found += bool(face_room.detect(photo, max_side=512, try_rotations=False))
    return found / looked_at if looked_at else None


def without_copy(pictures: list[Picture], smooth: Path) -> list[str]:
    """Names of the pictures that have no edge-smoothed copy."""
    copies = {picture.name for picture in folder_pictures(smooth)} if smooth.is_dir() else set()
    return [picture.name for picture in pictures if picture.name not in copies]


def figures(
    measured: list[Measured],
    unreadable: list[str],
    photos: list[Measured] | None = None,
    missing_smooth: list[str] | None = None,
    faces: float | None = None,
    photo_faces: float | None = None,
) -> dict:
    """All figures of a set, ready for JSON. Shares are 0 to 1; None is "not looked at"."""
    count = len(measured)
    short = np.array([min(m.size) for m in measured])
    means = np.mean([m.means for m in measured], axis=0)
    lights = np.array([m.light for m in measured])
    sharp = np.array([m.sharpness for m in measured])
    typical = float(np.median(sharp))
    same, near = same_groups(measured), near_groups(measured)
    edges = float(np.median([m.edges for m in measured]))
    photo_edges = float(np.median([m.edges for m in photos])) if photos else None

    def names(test) -> list[str]:
        return [m.name for m in measured if test(m)]

    return {
        "count": count,
        "different": count - sum(len(group) - 1 for group in near),
        "unreadable": unreadable,
        "short_side": {
            "smallest": int(short.min()),
            "median": float(np.median(short)),
            "largest": int(short.max()),
        },
        "small": names(lambda m: min(m.size) < SMALL),
        "grey": names(lambda m: m.grey),
        "transparent": names(lambda m: m.transparent),
        "blank": names(lambda m: m.blank),
        "channel_means": {k: round(float(v), 2) for k, v in zip("rgb", means, strict=True)},
        "colour_shift": {
            k: round(float(means.mean() - v), 2) for k, v in zip("rgb", means, strict=True)
        },
        "brightness": {"mean": round(float(lights.mean()), 2), "spread": round(lights.std(), 2)},
        "contrast": {
            "mean": round(float(np.mean([m.contrast for m in measured])), 2),
            "spread": round(float(np.std([m.contrast for m in measured])), 2),
        },
        "same": same,
        "alike": near,
        "sharpness": round(typical, 3),
        "blurred": names(
            lambda m: not m.blank and m.sharpness < max(likeness.BLURRED * typical, FLAT_SHARPNESS)
        ),
        "bordered": names(lambda m: m.bordered and not m.blank),
        "common_mark": round(common_mark(measured), 4),
        "edge_density": round(edges, 4),
        "photo_edge_density": None if photo_edges is None else round(photo_edges, 4),
        "face_share": None if faces is None else round(faces, 3),
        "photo_face_share": None if photo_faces is None else round(photo_faces, 3),
        "without_smooth": missing_smooth,
    }


def verdict(found: dict, source: str) -> list[Finding]:
    """What the figures mean: what is good, what to know and what to fix, and how."""
    return [
        *_of_number(found),
        *_of_single_pictures(found),
        *_of_colour(found),
        *_of_content(found),
        *_of_smooth(found, source),
    ]


def _of_number(found: dict) -> list[Finding]:
    different, frames = found["different"], "python -m training.prepare.frames_from_video FILM OUT"
    published = "published sets have 1,284 to 1,752"
    if different < 100:
        said = Finding(
            "fix",
            "count",
            f"{different} different pictures are too few ({published}): the discriminator learns "
            "them by heart, and what comes out is their colours and hardly a stroke. Find more, or "
            "train from pairs, for which a teacher draws the style.",
            frames,
        )
    elif different < 300:
        said = Finding(
            "fix",
            "count",
            f"{different} different pictures are few ({published}): textures and lines can be "
            "learnt, but motifs of single pictures will show up in photos. Find more, or stop "
            "early and choose the checkpoint by its figures.",
            frames,
        )
    elif different < 1000:
        said = Finding(
            "note",
            "count",
            f"{different} different pictures are enough to begin with ({published}); more of them "
            "make a style hold on photos of other content.",
            frames,
        )
    else:
        said = Finding("good", "count", f"{different} different pictures; {published}.")
    findings = [said]
    if found["alike"]:
        extra = found["count"] - different
        same = sum(len(group) - 1 for group in found["same"])
        examples = "; ".join(" = ".join(group[:3]) for group in found["alike"][:3])
        findings.append(
            Finding(
                "fix" if extra > 0.02 * found["count"] else "note",
                "duplicates",
                f"Pictures much like another one: {extra}, of them the very same: {same} "
                f"({examples}). They are learnt more than once: keep one of each group; --json "
                "FILE lists all.",
            )
        )
    else:
        findings.append(Finding("good", "duplicates", "No picture is there twice."))
    return findings


def _of_single_pictures(found: dict) -> list[Finding]:
    count, median = found["count"], found["short_side"]["median"]
    rules = (
        (
            "unreadable",
            0.0,
            "cannot be read and will be left out. Delete or export them again",
            "Every picture can be read.",
        ),
        (
            "small",
            0.05,
            f"are smaller than {SMALL} px: enlarged in training, they teach blur. Take larger ones "
            f"or leave them out; scaling them up does not help",
            f"All pictures have a short side of {SMALL} px or more (median {median:g}).",
        ),
        (
            "blurred",
            0.05,
            "are blurred, against the rest of the set or altogether: the discriminator takes blur "
            "for the style. Delete them",
            "No picture is blurred.",
        ),
        (
            "bordered",
            0.03,
            "stand between bars or in a plain margin, which will be learnt as part of the style. "
            "Cut it off; of films, take the frames again with --crop-bars",
            "No bars or margins.",
        ),
        (
            "blank",
            0.02,
            "are near black or of one colour, and teach nothing. Delete them",
            "No blank pictures.",
        ),
    )
    commands = {
        "bordered": "python -m training.prepare.frames_from_video FILM OUT --crop-bars",
        "blurred": "python -m training.prepare.frames_from_video FILM OUT --min-sharpness 0.6",
    }
    findings = []
    for about, tolerated, bad, good in rules:
        number = len(found[about])
        if not number:
            findings.append(Finding("good", about, good))
            continue
        total = count + len(found["unreadable"])
        examples = ", ".join(name.split(":")[0] for name in found[about][:3])
        level = "fix" if number > tolerated * total else "note"
        says = f"{number} of {total} pictures {bad} ({examples})."
        findings.append(Finding(level, about, says, commands.get(about, "")))
    return findings


def _of_colour(found: dict) -> list[Finding]:
    count, findings = found["count"], []
    grey, shift = len(found["grey"]) / count, found["colour_shift"]
    if grey > 0.95:
        says = (
            "The set is black and white. The style will be learnt without colour; photos keep "
            "theirs only as far as the colour loss holds it, so raise its weight."
        )
        findings.append(Finding("note", "grey", says))
    elif grey > 0.05:
        says = (
            f"{grey:.0%} of the pictures are grey among coloured ones: colours fade in what is "
            "drawn. Leave them out, or make a set of their own of them."
        )
        findings.append(Finding("fix", "grey", says))
    text = ", ".join(f"{name.upper()} {value:+.1f}" for name, value in shift.items())
    strongest = max(abs(value) for value in shift.values())
    if strongest > 25:
        says = (
            f"The set has a strong colour cast; AnimeGAN's colour shift takes it away ({text} "
            "levels), but single pictures will stay tinted. Mix in pictures of other hues, and "
            "keep the colour shift switched on."
        )
        findings.append(Finding("fix", "colour_shift", says))
    elif strongest > 8:
        says = f"A colour cast as in the published sets; the colour shift evens it out ({text})."
        findings.append(Finding("note", "colour_shift", says))
    else:
        findings.append(Finding("good", "colour_shift", f"Colours are in balance ({text})."))
    light, spread_ = found["brightness"]["mean"], found["brightness"]["spread"]
    if not 70 <= light <= 190:
        says = (
            f"The pictures are very {'dark' if light < 70 else 'bright'} (mean {light:.0f} of "
            "255), and so will be what is drawn. Mix in others."
        )
        findings.append(Finding("fix", "brightness", says))
    elif count > 1 and spread_ < 12:
        says = (
            f"All pictures are about equally bright (spread {spread_:.0f} levels): dark and bright "
            "photos will be pulled there. Mix in day and night."
        )
        findings.append(Finding("note", "brightness", says))
    else:
        says = f"Brightness varies well: mean {light:.0f}, spread {spread_:.0f} levels."
        findings.append(Finding("good", "brightness", says))
    if found["contrast"]["mean"] < 30:
        says = (
            f"Contrast is low ({found['contrast']['mean']:.0f} levels): the style will look washed "
            "out. Films with high dynamic range must be converted to standard range first."
        )
        findings.append(Finding("note", "contrast", says))
    if found["transparent"]:
        says = (
            f"{len(found['transparent'])} of {count} pictures are cut-outs; in training they are "
            "laid on painted grounds, so that no plain background is learnt."
        )
        findings.append(Finding("note", "transparent", says))
    return findings


def _of_content(found: dict) -> list[Finding]:
    findings = []
    if found["common_mark"] > 0.0015:
        says = (
            f"All pictures have the same edges in {found['common_mark']:.1%} of their area: a "
            "watermark, logo, caption or frame, or one layout. The first four will be drawn into "
            "every photo: cut them off."
        )
        findings.append(Finding("fix", "common_mark", says))
    if found["photo_edge_density"]:
        ratio = found["edge_density"] / found["photo_edge_density"]
        if ratio < 0.5:
            says = "drawings will be flat; raise the content weight if features are lost"
        elif ratio > 1.6:
            says = "skin and skies may get scratches; raise the total variation weight"
        else:
            says = "a match for the photos"
        level = "good" if 0.5 <= ratio <= 1.6 else "note"
        text = f"The pictures have {ratio:.2f} times the edges of the photos: {says}."
        findings.append(Finding(level, "edge_density", text))
    faces, photos = found["face_share"], found["photo_face_share"]
    if faces is not None:
        text = f"A face was found in {faces:.0%} of the pictures looked at"
        if photos is not None and photos - faces > 0.4:
            says = (
                f"{text}, but in {photos:.0%} of the photos. (Drawn faces are often missed.) If it "
                "really shows few people, portraits will be drawn poorly: add people, or train "
                "portraits from pairs."
            )
            command = "python -m training.prepare.toon_teacher PHOTOS DATA"
            findings.append(Finding("note", "faces", says, command))
        else:
            findings.append(Finding("good" if faces > 0.2 else "note", "faces", f"{text}."))
    return findings


def _of_smooth(found: dict, source: str) -> list[Finding]:
    missing = found["without_smooth"]
    if missing is None:
        return []
    if not missing:
        says = "Every picture has its edge-smoothed copy."
        return [Finding("good", "without_smooth", says)]
    says = (
        f"{len(missing)} of {found['count']} pictures have no edge-smoothed copy ({missing[0]} "
        "for one), from which the discriminator learns to want crisp lines. Make them, or train "
        "with --smooth computed."
    )
    command = f"python -m training.prepare.edge_smooth {source}"
    return [Finding("fix", "without_smooth", says, command)]


def draw_sheet(measured: list[Measured], found: dict, number: int = 60) -> Image.Image:
    """A contact sheet, RGB: pictures with something wrong first, labelled, then a spread of all."""
    labels: dict[str, list[str]] = {}
    for about in ("small", "grey", "blank", "blurred", "bordered"):
        for name in found[about]:
            labels.setdefault(name, []).append(about)
    for index, group in enumerate(found["alike"], 1):
        for name in group:
            labels.setdefault(name, []).append(f"alike {index}")
    wrong = sorted((m for m in measured if m.name in labels), key=lambda m: labels[m.name])
    plain = [m for m in measured if m.name not in labels]
    wrong = spread(wrong, max(number // 2, number - len(plain)))
    chosen = [*wrong, *spread(plain, number - len(wrong))][:number]
    columns, cell = 10, 132
    sheet = Image.new("RGB", (columns * cell, -(-len(chosen) // columns) * (cell + 14)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, picture in enumerate(chosen):
        x, y = index % columns * cell, index // columns * (cell + 14)
        sheet.paste(picture.small, (x + 2, y + 2))
        pen.text((x + 3, y + cell), ", ".join(labels.get(picture.name, [])), fill=(200, 0, 0))
    return sheet


def report_on(
    source: str, photos_source: str = "", sample: int = 40
) -> tuple[dict, list[Finding], list[Measured]]:
    """Figures, verdict and measures of a style set.

    Raises:
        ValueError: there is no such source, or no readable picture in it.
    """
    folder = Path(source)
    smooth = None
    if (folder / "style").is_dir():
        smooth, pictures_in, style = folder / "smooth", folder / "style", source
    elif folder.is_dir() and folder.name == "style":
        smooth, pictures_in, style = folder.parent / "smooth", folder, str(folder.parent)
    else:
        pictures_in, style = source, source
    pictures = listed(pictures_in, "style pictures")
    measured, unreadable = look_at(pictures, "style pictures")
    if not measured:
        raise ValueError(f"{source}: none of {len(pictures)} pictures can be read: {unreadable[0]}")
    missing = None
    if smooth is not None:
        readable = {m.name for m in measured}
        missing = without_copy([p for p in pictures if p.name in readable], smooth)
    photos = photo_faces = None
    if photos_source:
        photo_pictures = listed(photos_source, "photos")
        photos, _ = look_at(spread(photo_pictures, 200), "photos")
        photo_faces = face_share(photo_pictures, sample, "photos")
    faces = face_share(pictures, sample, "style pictures")
    found = figures(measured, unreadable, photos, missing, faces, photo_faces)
    return found, verdict(found, style), measured


def as_text(found: dict, findings: list[Finding]) -> str:
    """The report for people."""
    count, short = found["count"], found["short_side"]

    def share(about: str) -> str:
        return f"{len(found[about])} ({len(found[about]) / count:.0%})"

    means = " ".join(f"{k.upper()} {v:.0f}" for k, v in found["channel_means"].items())
    rows = {
        "pictures": f"{count}, {found['different']} different, "
        f"{len(found['unreadable'])} unreadable",
        "short side": f"{short['smallest']} to {short['largest']} px, median {short['median']:g}",
        f"below {SMALL} px": share("small"),
        "grey": share("grey"),
        "transparent": share("transparent"),
        "blank": share("blank"),
        "blurred": f"{share('blurred')}, typical sharpness {found['sharpness']:.2f}",
        "bars or margins": share("bordered"),
        "colour": f"means {means}",
        "brightness": "mean {mean:.0f}, spread {spread:.0f}".format(**found["brightness"]),
        "contrast": "mean {mean:.0f}, spread {spread:.0f}".format(**found["contrast"]),
        "edges": f"{found['edge_density']:.1%} of pixels"
        + (f", photos {found['photo_edge_density']:.1%}" if found["photo_edge_density"] else ""),
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
    parser.add_argument("--photos", default="", help="the photos to draw, to compare with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and verdict there")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw a contact sheet there")
    parser.add_argument(
        "--faces",
        type=int,
        default=40,
        metavar="N",
        help="pictures to look for faces in; 0 looks in none (default 40)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 if there is something to fix"
    )
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
            said = [vars(finding) for finding in findings]
            records.write({"figures": found, "verdict": said}, options.json)
        if options.sheet:
            images.save(draw_sheet(measured, found), options.sheet)
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    print(as_text(found, findings))
    if options.strict and any(finding.level == "fix" for finding in findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
