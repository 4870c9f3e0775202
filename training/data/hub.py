"""Images of a data set on the Hub: its files, or image columns streamed through `datasets`.

`owner/name` is looked up once. The commit that it had then is noted in the cache and used from
then on, without a question to the Hub: a run that is resumed sees the images it began with. To
follow the Hub, name a newer commit, as `owner/name@revision`, or delete the note.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tqdm import tqdm

from toonify import images
from training.core import records
from training.core.run_info import HUB_DATASET
from training.data.images import (
    ARCHIVES,
    Picture,
    archive_pictures,
    cache_folder,
    is_full_disk,
    is_picture,
    spread,
    without_suffix,
)

TIMEOUT = 20.0  # seconds for the one question
LIMIT = "TOONIFY_HUB_IMAGES"  # environment variable: images taken of a data set; default: all
DOWNLOADS = 8  # files at a time


@dataclass(frozen=True)
class Listing:
    """What a data set holds at one commit: paths of images, archives and parquet files."""

    commit: str
    pictures: list[str]
    archives: list[str]
    parquet: list[str]


def hub_pictures(source: str, what: str, limit: int) -> tuple[list[Picture], list[str]]:
    """The images of a data set, fetched where they are not here yet; and why others are not.

    Plain images come as the files they are, evenly spread over the data set if there are more
    than `limit` (0: all, or as many as $TOONIFY_HUB_IMAGES says, with a note); then zip and tar
    archives, one by one, until there are enough. What only lies in parquet files is streamed in its
    order through the library `datasets`, to the cache, where an interrupted transfer goes on.

    Raises ValueError (no such data set, revision or column; no images; `datasets` missing),
    PermissionError (a login is needed) or ConnectionError (needed, and the Hub is away).
    """
    parts = HUB_DATASET.fullmatch(source).groupdict()
    repo, column = parts["repo"], parts["column"]
    listing = look_up(source, repo, parts["revision"])
    most = limit or find_limit()
    if not limit and len(listing.pictures) > most:
        print(f"{source}: {most:,} of {len(listing.pictures):,} images, as {LIMIT} says")
    files = listing.pictures or listing.archives
    begun = folder_of(repo) / listing.commit  # streamed before: so it stays, whatever is installed
    if column or not files or (listing.parquet and (_datasets() or begun.exists())):
        return streamed_pictures(source, repo, listing.commit, column, most), []
    # The library `datasets` is not here: a few images beside the parquet files are seldom it.
    refused = [f"{name} needs `pip install datasets`" for name in listing.parquet]
    chosen = spread(listing.pictures, most)
    found = [
        Picture(without_suffix(name), path)
        for name, path in zip(chosen, fetch(source, repo, listing.commit, chosen), strict=True)
    ]
    for name in listing.archives:
        if len(found) >= most:
            break
        (path,) = fetch(source, repo, listing.commit, [name])
        inside, faults = archive_pictures(path)
        folder = without_suffix(name).removesuffix(".tar")
        several = len(listing.archives) > 1 or chosen
        found += [replace(p, name=f"{folder}/{p.name}") if several else p for p in inside]
        refused += faults
    return found[:most], refused


def find_limit() -> int:
    """How many images are taken of a data set; ValueError if $TOONIFY_HUB_IMAGES is no number."""
    text = os.environ.get(LIMIT, "")
    if text and not (text.isdecimal() and int(text)):
        raise ValueError(f"{LIMIT}={text}: expected a whole number, at least 1")
    return int(text) if text else sys.maxsize


def look_up(source: str, repo: str, revision: str | None) -> Listing:
    """What the data set holds: as noted in the cache, else as the Hub says, noted then."""
    note = folder_of(repo) / f"{quote(revision or 'main', safe='')}.json"
    try:
        return Listing(**json.loads(note.read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError):
        note.unlink()
    from huggingface_hub import HfApi

    def ask():
        return HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT)

    info = asked(source, repo, ask)
    # The order of paths, as in a folder.
    names = (s.rfilename for s in info.siblings or [] if ".." not in s.rfilename.split("/"))
    names = sorted(names, key=lambda name: name.split("/"))
    listing = Listing(
        info.sha,
        [name for name in names if is_picture(name)],
        [name for name in names if name.lower().endswith(ARCHIVES)],
        [name for name in names if name.lower().endswith(".parquet")],
    )
    records.write_text(json.dumps(vars(listing)), note)
    return listing


def fetch(source: str, repo: str, commit: str, names: list[str]) -> list[Path]:
    """The local copies of files of a data set; what is in the client's cache costs no request."""
    from huggingface_hub import hf_hub_download

    def one(name: str) -> Path:
        return Path(hf_hub_download(repo, name, repo_type="dataset", revision=commit))

    def all_of_them() -> list[Path]:
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            waiting = [pool.submit(one, name) for name in names]
            try:
                bar = tqdm(waiting, f"fetching {repo}", unit="file", leave=False, delay=2)
                return [answer.result() for answer in bar]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return asked(source, repo, all_of_them)


def asked(source: str, repo: str, question):
    """The answer of `question()`; what the Hub's client raises, in words that help."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return question()
    except HFValidationError as error:
        raise ValueError(f"{source}: not a name on the Hub ({error})") from error
    except GatedRepoError as error:
        raise PermissionError(
            f"{source}: access is restricted; ask for access at "
            f"{constants.ENDPOINT}/datasets/{repo} and log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{source}: there is no such folder or archive here, and no such data set on the Hub; "
            "if it is private, log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{source}: the data set has no such revision") from error
    except (OSError, httpx2.HTTPError, EntryNotFoundError) as error:
        if is_full_disk(error):
            raise ValueError(
                f"{source}: no room left for it; free some, or set TOONIFY_CACHE and HF_HOME to "
                "folders on another disk"
            ) from error
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise ValueError(
                f"{source}: one of its files no longer exists on the Hub ({error})"
            ) from error
        why = (
            "HF_HUB_OFFLINE is set"
            if constants.HF_HUB_OFFLINE
            else f"the Hub at {constants.ENDPOINT} does not answer ({type(error).__name__})"
        )
        raise ConnectionError(
            f"{source}: there is no such folder or archive here; as a data set it is not whole on "
            f"this machine yet, and {why}"
        ) from error


# Streaming ------------------------------------------------------------------------------------


def streamed_pictures(
    source: str, repo: str, commit: str, column: str | None, limit: int
) -> list[Picture]:
    """The first `limit` images of an image column, streamed into the cache.

    Beside the images lies pictures.jsonl, one line a row; an interrupted transfer goes on after
    its last one.
    """
    from filelock import FileLock

    folder = folder_of(repo) / commit / quote(column or "pictures", safe="")
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "pictures.jsonl"
    with FileLock(folder / ".lock"):  # two processes of one run wait for each other
        rows = read_rows(index)
        have = [row for row in rows if row.get("file")]
        if len(have) < limit and not (rows and rows[-1].get("done")):
            if not _datasets():
                raise ValueError(
                    f"{source}: the data set holds no image files and no zip or tar archives; "
                    "to read its tables, `pip install datasets`"
                )
            records.write_text("".join(json.dumps(row) + "\n" for row in rows), index)

            def go_on():
                return copy_rows(source, repo, commit, column, folder, rows, limit - len(have))

            have += asked(source, repo, go_on)
    return [Picture(row["name"], folder / row["file"]) for row in have[:limit]]


def copy_rows(
    source: str, repo: str, commit: str, column: str | None, folder: Path, rows: list, most: int
) -> list[dict]:
    """Streams up to `most` more images into `folder`, after `rows`; returns their lines."""
    import datasets
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("offline on purpose")  # `datasets` would call it a missing file
    try:
        splits = datasets.load_dataset(repo, revision=commit, streaming=True)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{source}: the library datasets cannot read it: {error}") from error
    stream = splits["train" if "train" in splits else next(iter(splits))]
    features = stream.features or {}
    of_images = [n for n, feature in features.items() if isinstance(feature, datasets.Image)]
    for name in of_images:
        stream = stream.cast_column(name, datasets.Image(decode=False))
    taken, names = [], {row["name"] for row in rows if row.get("name")}
    bar = tqdm(
        desc=f"streaming {repo}",
        total=most if most < 2**31 else None,
        unit="picture",
        leave=False,
        delay=2,
    )
    with open(folder / "pictures.jsonl", "a", encoding="utf-8") as index, bar:
        for number, row in enumerate(stream.skip(len(rows)), len(rows)):
            column = column or only_column(source, of_images, row)
            if column not in row:
                raise ValueError(f"{source}: expected a column out of {', '.join(row)}")
            data, path = embedded(row[column])
            line = {"row": number}
            if data and len(data) <= images.MAX_BYTES:
                name = f"{number:07d}"
                # Names tell pairs and faces; a data set that repeats one has numbers.
                own = "/".join(p for p in path.split("/") if p not in ("", ".", ".."))
                if is_picture(own) and "::" not in own and without_suffix(own) not in names:
                    name = without_suffix(own)
                names.add(name)
                suffix = PurePosixPath(own).suffix.lower() if is_picture(own) else ".img"
                line |= {"name": name, "file": f"{number:07d}{suffix}"}
                records.write_bytes(data, folder / line["file"])
                taken.append(line)
                bar.update()
            index.write(json.dumps(line) + "\n")
            index.flush()
            if len(taken) >= most:
                return taken
        index.write('{"done": true}\n')
    return taken


def only_column(source: str, of_images: list[str], row: dict) -> str:
    """The column that holds the images; ValueError if that is not clear."""
    columns = of_images or [n for n, v in row.items() if isinstance(v, dict) and "bytes" in v]
    if len(columns) != 1:
        raise ValueError(
            f"{source}: columns with images are {', '.join(columns) or 'none'}, of "
            f"{', '.join(row)}; name one: {source}#COLUMN"
        )
    return columns[0]


def embedded(value) -> tuple[bytes, str]:
    """The bytes of an image in a cell, and its path; b"" if there are none.

    A path alone is not followed: it could name any file of this machine.
    """
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
        return (data if isinstance(data, bytes) else b""), path if isinstance(path, str) else ""
    return (value if isinstance(value, bytes) else b""), ""


def read_rows(index: Path) -> list[dict]:
    """The whole lines of an index; a last one that was cut off is dropped."""
    rows = []
    for line in index.read_text(encoding="utf-8").splitlines() if index.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _datasets() -> bool:
    """Whether the library `datasets` can be imported."""
    try:
        import datasets  # noqa: F401
    except ImportError:
        return False
    return True


def folder_of(repo: str) -> Path:
    """Where notes and streamed images of a data set are kept."""
    return cache_folder() / repo.replace("/", "--")
