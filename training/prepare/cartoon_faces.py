"""Writes a data set of cartoon faces with known attributes: drawn ones, or Google's Cartoon Set.

    python -m training.prepare.cartoon_faces OUT --style toon-head --style personas --count 10000

draws faces with DiceBear's styles (`pip install dicebear-core dicebear-styles resvg_py`). Every
attribute is drawn evenly and independently of the others. Face i depends on the settings and on i
alone. The command writes

- `OUT/images/000/000123.png`: RGB squares of `--px`, a thousand to a folder;
- `OUT/attributes.csv`: one row an image; `none` is a part that is absent or hidden, an empty cell
  an attribute that the image's style does not have;
- `OUT/LICENSES.md`: who drew the styles and under which licenses; keep it with the images;
- `OUT/data.json`: the settings;
- `OUT/README.md`: the card of the data set.

Styles whose license does not plainly allow training and redistribution are refused.

    python -m training.prepare.cartoon_faces OUT --cartoon-set cartoonset10k.tgz

writes the same, without the card, from Google's Cartoon Set as it is distributed. The command can
be stopped and run again: only what is missing is drawn, and the files are equal to the byte.
"""

import argparse
import csv
import functools
import io
import json
import multiprocessing
import os
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from toonify import hub, images
from training.core import records
from training.data.images import Picture, square
from training.prepare import cartoon_set, faces_card
from training.prepare.dicebear_faces import (
    BACKGROUNDS,
    PACKAGES,
    PORTRAITS,
    Portrait,
    Settings,
    check_licenses,
    choose,
    describe,
    draw,
    license_of,
)

MAX_COUNT = 1_000_000  # what the names of the files are made for
CHUNK = 16  # faces that a process takes at once


def draw_faces(
    settings: Settings,
    folder: Path,
    count: int,
    *,
    processes: int = 1,
    any_license: bool = False,
) -> int:
    """Draws faces 0 to `count` into `folder`, with their table, licenses and card.

    Args:
        settings: what the faces depend on.
        folder: where the set is written; it may hold a part of it.
        count: number of faces, 1 to 1,000,000.
        processes: number of processes that draw.
        any_license: also draw styles whose license does not plainly allow training.

    Returns:
        The number of faces drawn by this run.

    Raises:
        ValueError: a setting or license cannot be used, packages are missing, or the folder was
            made with other settings or has more faces.
    """
    _check(count, settings.px, processes)
    if settings.background not in BACKGROUNDS:
        raise ValueError(f"--background {settings.background}: expected {', '.join(BACKGROUNDS)}")
    if settings.seed < 0:
        raise ValueError(f"--seed {settings.seed}: expected 0 or more")
    if not settings.styles or len(set(settings.styles)) < len(settings.styles):
        raise ValueError(f"--style {' '.join(settings.styles)}: expected each style once")
    licenses = {style: license_of(style) for style in settings.styles}
    if not any_license:
        check_licenses(settings.styles)
    made_by = {
        **asdict(settings),
        "portraits": {style: asdict(PORTRAITS.get(style, Portrait())) for style in licenses},
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
    rows = []
    for index in range(count):
        style, options = choose(settings, index)
        rows.append({"style": style, "seed": options["seed"]} | describe(style, options))
    picture = functools.partial(_draw_face, settings)
    new = _write_set(folder, made_by, licenses, rows, picture, range(count), processes)
    card = faces_card.card(made_by, count, licenses, rows, any_license)
    records.write_text(card, folder / "README.md")
    return new


def _draw_face(settings: Settings, index: int) -> Image.Image:
    return draw(settings, index)


def crop_cartoon_set(
    source: str | Path,
    folder: Path,
    *,
    px: int = 128,
    crop: float = 0.8,
    count: int | None = None,
    processes: int = 1,
) -> int:
    """Writes Cartoon Set as `draw_faces` writes its faces.

    Args:
        source: folder or archive; see `cartoon_set.read_cartoon_set`.
        folder: where the set is written.
        px: side of the images, 16 to 1024 px.
        crop: share of the side that is kept, 0.2 to 1. The published images have a wide margin:
            0.8 keeps nearly all hair, 1 keeps the margin.
        count: number of images, the first ones; None for all.
        processes: number of processes that crop.

    Returns:
        The number of images written by this run.

    Raises:
        ValueError: a setting cannot be used, or the source is not Cartoon Set.
    """
    if not 0.2 <= crop <= 1:
        raise ValueError(f"--crop {crop}: expected a share of the side, 0.2 to 1")
    _check(count or 1, px, processes)
    pictures, table = cartoon_set.read_cartoon_set(source)
    names = zlib.crc32("\n".join(picture.name for picture in pictures).encode())
    made_by = {"cartoon_set": len(pictures), "names_crc32": names, "px": px, "crop": crop}
    pictures = pictures[: min(count or MAX_COUNT, len(pictures))]
    rows = [
        {"style": "cartoon-set", "seed": picture.stem}
        | {name: values[index] for name, values in table.items()}
        for index, picture in enumerate(pictures)
    ]
    task = functools.partial(_crop_picture, px, crop)
    licenses = {"cartoon-set": cartoon_set.LICENSE}
    return _write_set(folder, made_by, licenses, rows, task, pictures, processes)


def _crop_picture(px: int, share: float, picture: Picture) -> Image.Image:
    return square(picture.load(), px, share)


def file_of(index: int) -> str:
    """Where image `index` lies below the folder of its set."""
    return f"images/{index // 1000:03d}/{index:06d}.png"


def _check(count: int, px: int, processes: int) -> None:
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"--count {count}: expected 1 to {MAX_COUNT}")
    if not 16 <= px <= 1024:
        raise ValueError(f"--px {px}: expected 16 to 1024 px")
    if processes < 1:
        raise ValueError(f"--processes {processes}: expected at least 1")


def _write_set(
    folder: Path, settings: dict, licenses: dict, rows: list[dict], draw_one, items, processes: int
) -> int:
    """Writes settings, licenses, missing images and table; returns the number of new images.

    `draw_one(item)` gives the image of each of `items`.
    """
    with _lock(folder):
        _write_settings(folder, settings, len(rows))
        records.write_text(_license_text(licenses), folder / "LICENSES.md")
        missing = [
            (index, item)
            for index, item in enumerate(items)
            if not (folder / file_of(index)).exists()
        ]
        task = functools.partial(_save_pictures, draw_one, folder)
        _run_in_processes(task, missing, processes)
        for index, row in enumerate(rows):
            rows[index] = {"file": file_of(index), **row}
        _write_table(rows, folder)
    return len(missing)


def _save_pictures(draw_one: Callable, folder: Path, items: list[tuple]) -> int:
    for index, item in items:
        images.save(draw_one(item), folder / file_of(index))
    return len(items)


@contextmanager
def _lock(folder: Path):
    """Keeps two runs out of one folder; sweeps up after one that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise ValueError(f"{folder}: another process is writing there") from None
    try:
        for part in folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _write_settings(folder: Path, settings: dict, count: int) -> None:
    """Notes the settings, or sees that they are those of the run that goes on here."""
    settings = json.loads(json.dumps(settings))
    known = records.read(folder / "data.json")
    # Sets of older versions spell the colors of a style's portrait otherwise.
    before = json.loads(json.dumps(known.get("settings", settings)).replace("colours", "colors"))
    if before != settings:
        other = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        old = ", ".join(f"{name} {before.get(name)}" for name in other)
        raise ValueError(f"{folder}: made with other settings ({old[:300]}); take another folder")
    if known.get("count", 0) > count:
        raise ValueError(
            f"--count {count}: {folder} is a set of {known['count']} images; expected as many or "
            "more, or another folder"
        )
    records.write({"count": count, "settings": settings}, folder / "data.json")


def _run_in_processes(task: Callable, items: list, processes: int) -> None:
    """Hands the items to `task` in small lists, in other processes if there are to be several."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    bar = tqdm(total=len(items), desc="drawing", unit="picture", disable=not items)
    with bar:
        if processes == 1 or len(chunks) < 2:
            for chunk in chunks:
                bar.update(task(chunk))
            return
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(chunks)), spawn, _end_with_parent)
        try:
            for done in pool.map(task, chunks):
                bar.update(done)
        except BrokenProcessPool as error:
            raise ValueError("a process was killed; run the command again to continue") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process when the one that started it was killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _license_text(licenses: dict[str, dict[str, str]]) -> str:
    lines = [
        "# Licenses",
        "",
        "The images are made of the parts of the styles below, put together by chance, colored",
        "and cropped. Where a license asks for credit, it goes with the images.",
    ]
    for style, terms in licenses.items():
        lines += ["", f"## {style}", ""]
        lines += [f"- {name}: {' '.join(text.split())}" for name, text in terms.items()]
    return "\n".join(lines) + "\n"


def _write_table(rows: list[dict], folder: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    records.write_text(text.getvalue(), folder / "attributes.csv")


def read_attributes(folder: str | Path) -> tuple[list[str], dict[str, list]]:
    """Names of the attributes of a set, and its table: column -> one value for each image.

    The table also has the columns `file` (below the folder), `style` and `seed`. Columns of whole
    numbers come back as such.

    Raises:
        ValueError: there is no such table, or it is damaged.
    """
    path = Path(folder) / "attributes.csv"
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: cannot be read ({reason})") from error
    names = [hub.current_name(name) for name in rows[0]] if rows else []
    if names[:3] != ["file", "style", "seed"] or len(set(names)) < len(names):
        raise ValueError(f"{path}: expected a table with the columns file, style, seed, ...")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ValueError(f"{path}, row {number}: {len(row)} cells; expected {len(names)}")
    table = {name: [row[at] for row in rows[1:]] for at, name in enumerate(names)}
    for name in names[3:]:
        if table[name] and all(text.isascii() and text.isdigit() for text in table[name]):
            table[name] = [int(text) for text in table[name]]
    return names[3:], table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the images and their table")
    parser.add_argument(
        "--style",
        action="append",
        metavar="NAME",
        help="DiceBear style, may be repeated (default: toon-head); made for faces: "
        f"{', '.join(PORTRAITS)}",
    )
    parser.add_argument(
        "--count", type=int, help="number of images (default: 10000, or all of Cartoon Set)"
    )
    parser.add_argument("--px", type=int, default=128, help="side of an image (default: 128)")
    parser.add_argument("--background", choices=BACKGROUNDS, help="background (default: white)")
    parser.add_argument("--seed", type=int, help="random seed of the faces (default: 0)")
    parser.add_argument("--processes", type=int, default=2, help="drawing processes (default: 2)")
    parser.add_argument(
        "--any-license", action="store_true", help="permission for styles of any license"
    )
    parser.add_argument("--any-licence", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--cartoon-set", metavar="SOURCE", help="Cartoon Set to crop instead: folder, zip or tar"
    )
    parser.add_argument(
        "--crop", type=float, help="share of Cartoon Set's images that is kept (default: 0.8)"
    )
    options = parser.parse_args(arguments)
    if options.any_licence:
        warnings.warn("--any-licence is now --any-license", DeprecationWarning, stacklevel=2)
    for name in ("style", "background", "seed") if options.cartoon_set else ("crop",):
        if getattr(options, name) is not None:
            problem = "cannot be used with" if options.cartoon_set else "requires"
            parser.error(f"--{name} {problem} --cartoon-set")
    try:
        if options.cartoon_set:
            new = crop_cartoon_set(
                *(options.cartoon_set, options.out),
                px=options.px,
                crop=0.8 if options.crop is None else options.crop,
                count=options.count,
                processes=options.processes,
            )
        else:
            styles, background = options.style or ["toon-head"], options.background or "white"
            new = draw_faces(
                Settings(tuple(styles), options.px, background, options.seed or 0),
                options.out,
                10000 if options.count is None else options.count,
                processes=options.processes,
                any_license=options.any_license or options.any_licence,
            )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{options.out}: {error.strerror or error}; run again to continue")
    print(f"{new} images written to {options.out}; their attributes are in attributes.csv")


if __name__ == "__main__":
    main()
