"""Photos and drawings in buckets and data sets, by their URLs: the file systems of fsspec."""

import contextlib
import glob
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import fsspec

from toonify import images
from toonify.images.folders import why_left_out

PARQUET = ".parquet"
# Their objects appear whole: a write that is cut off leaves nothing.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "memory"}


def is_url(text: str) -> bool:
    """Whether a name is a URL, such as s3://bucket/folder."""
    return "://" in text


def open_file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        ValueError: no installed package reads such URLs.
    """
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # fsspec names the package that is missing
        raise ValueError(f"{url}: {error}") from error


def normalize(name: str) -> str:
    """The one spelling of a URL, and the path in a file:// URL; other names as they are.

    Raises:
        ValueError: no installed package reads such URLs.
    """
    if not is_url(name):
        return name
    system, path = open_file_system(name)
    return path if name.startswith("file://") else system.unstrip_protocol(path)


def find(url: str, recursive: bool) -> list[tuple[str, PurePosixPath]]:
    """The photos and Parquet files that a URL stands for, each with its path below the URL.

    The rules are those of folders on the disk: hidden and generated files are left out.

    Args:
        url: a file, a folder, or a glob.
        recursive: whether deeper folders are searched too.

    Raises:
        OSError: it cannot be read.
        ValueError: no installed package reads such URLs.
    """
    system, root = open_file_system(url)
    if system.isfile(root):
        return [(url, PurePosixPath(PurePosixPath(root).name))]
    if glob.has_magic(root):
        paths = {path: PurePosixPath(path).name for path in system.glob(root)}
    else:
        found = system.find(root, maxdepth=None if recursive else 1)
        paths = {path: path.removeprefix(root).lstrip("/") for path in found}
    return [
        (system.unstrip_protocol(path), PurePosixPath(below))
        for path, below in sorted(paths.items())
        if not (reason := why_left_out(below))
        or (reason == "of other kinds" and below.endswith(PARQUET))
    ]


def list_folder(url: str) -> set[str]:
    """The URLs of all files below a folder; empty if there is none yet."""
    system, root = open_file_system(url)
    return {system.unstrip_protocol(path) for path in system.find(root)}


def exists(url: str) -> bool:
    """Whether there is such a file now."""
    system, path = open_file_system(url)
    return system.exists(path)


def read(url: str) -> bytes:
    """A photo's bytes, at most one more than a photo may have.

    Raises:
        images.ImageError: it cannot be read.
    """
    try:
        system, path = open_file_system(url)
        return system.cat_file(path, end=images.MAX_BYTES + 1)
    except OSError as error:
        missing = "no such file" if isinstance(error, FileNotFoundError) else ""
        reason = error.strerror or missing or str(error) or type(error).__name__
        raise images.ImageError(f"{PurePosixPath(url).name} cannot be read ({reason}).") from error


def write(url: str, content: bytes) -> None:
    """Writes a file that appears whole under its name or not at all.

    Raises:
        OSError: it cannot be written.
    """
    system, path = open_file_system(url)
    names = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    if names & OBJECT_STORES:
        return system.pipe_file(path, content)
    folder = PurePosixPath(path).parent
    part = str(folder / f".{uuid.uuid4().hex}.part")
    system.makedirs(str(folder), exist_ok=True)
    system.pipe_file(part, content)
    system.mv(part, path)


# Parquet ----------------------------------------------------------------------------------------

IMAGE_COLUMNS = ("image", "bytes", "image_bytes", "jpg", "png", "webp", "content")
NAME_COLUMNS = ("path", "file_name", "filename", "name", "key", "__key__")


def count_rows(url: str) -> list[int]:
    """The rows of each row group of a Parquet file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file, or has no column of images.
    """
    with open_table(url) as table:
        find_columns(table.schema_arrow, url)
        return [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]


def read_rows(url: str, group: int) -> Iterator[tuple[str, bytes]]:
    """The photos of a row group: their names, empty if there are none, and their bytes."""
    with open_table(url) as table:
        image, name = find_columns(table.schema_arrow, url)
        columns = [column for column in (image, name) if column]
        for batch in table.iter_batches(16, row_groups=[group], columns=columns):
            for row in batch.to_pylist():
                content, own = row[image], row.get(name)
                if isinstance(content, dict):  # an image column of the Hub's `datasets`
                    content, own = content["bytes"], own or content.get("path")
                yield str(own or ""), content or b""


def find_columns(schema: Any, url: str) -> tuple[str, str | None]:
    """The columns of a table that hold images and their names; None where there are no names."""
    import pyarrow

    def holds_bytes(kind) -> bool:
        if pyarrow.types.is_struct(kind):
            fields = {field.name: field.type for field in kind}
            return "bytes" in fields and holds_bytes(fields["bytes"])
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    images_of = {field.name for field in schema if holds_bytes(field.type)}
    image = next((name for name in IMAGE_COLUMNS if name in images_of), None)
    if image is None:
        raise ValueError(
            f"{url}: no column of images among {', '.join(schema.names)}; expected the bytes of"
            f" image files in one called {', '.join(IMAGE_COLUMNS)}"
        )
    return image, next((name for name in NAME_COLUMNS if name in schema.names), None)


@contextlib.contextmanager
def open_table(url: str) -> Iterator[Any]:
    """A Parquet file that is open for reading.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file.
    """
    import pyarrow.parquet

    system, path = open_file_system(url)
    with system.open(path) as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{url}: {error}") from error
        yield table
