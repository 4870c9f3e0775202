"""An image that can be opened later, in a folder or in place in a zip or tar archive.

Archives are read in place: no member is ever written to a path that the archive names, and a
member's declared size is checked before it is read. A compressed tar has no random access, so it
is decompressed once, as one file, into the cache ($TOONIFY_CACHE, else ~/.cache/toonify), where
data sets from the Hub are noted too.
"""

import bz2
import errno
import functools
import gzip
import hashlib
import lzma
import os
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.files import atomic_write
from toonify.images.folders import why_left_out

ZIPS = (".zip",)
COMPRESSED = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
ARCHIVES = (*ZIPS, *TARS)

# What reading a damaged archive or a damaged member of one raises.
_DAMAGED = (
    *(OSError, EOFError, ValueError, ArithmeticError, NotImplementedError, RuntimeError),
    *(KeyError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_UNPACKERS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
# Images hardly shrink when packed: a tar that grows beyond this is a bomb.
_BOMB_BYTES, _BOMB_RATIO = 2**30, 100


@dataclass(frozen=True)
class Picture:
    """An image that can be opened, here or in another process.

    `name` is its path below the source, without suffix, with forward slashes. `file` is its file,
    or the archive it lies in: as `member` of a zip, or as `length` bytes from `start` of a tar.
    `size` is width and height in px, upright; `transparent` says that some pixel is not opaque.
    """

    name: str
    file: Path
    member: str = ""
    start: int = 0
    length: int = -1
    size: tuple[int, int] = (0, 0)
    transparent: bool = False

    @property
    def stem(self) -> str:
        """The name without the folders before it."""
        return self.name.rpartition("/")[2]

    def load(self, alpha: bool = False) -> Image.Image:
        """The image as `images.load` gives it: upright RGB, or RGBA if `alpha` and transparent.

        Raises images.ImageError, which names the image, if it cannot be read any more.
        """
        if not self.member and self.length < 0:
            return images.load(self.file, alpha=alpha)
        try:
            return images.load(self.read(images.MAX_BYTES + 1), alpha=alpha)
        except images.ImageError as error:
            fault = str(error).removeprefix("The file")
            raise images.ImageError(self.name + fault if fault != str(error) else fault) from error

    def read(self, limit: int = -1) -> bytes:
        """Up to `limit` bytes of its file (all, if negative), so that `images.load` takes it."""
        try:
            if self.member:
                with _opened_zip(self.file, _stamp(self.file), os.getpid()).open(
                    self.member
                ) as file:
                    return file.read(limit)
            with open(self.file, "rb") as file:
                file.seek(self.start)
                most = limit if self.length < 0 else self.length
                return file.read(min(most, limit) if limit >= 0 else most)
        except _DAMAGED as error:
            reason = getattr(error, "strerror", None) or error
            raise images.ImageError(f"{self.name} cannot be read ({reason}).") from error


def spread(items: list, limit: int) -> list:
    """Up to `limit` of the items (0: all), evenly spread, in their order."""
    if not 0 < limit < len(items):
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def square(image: Image.Image, px: int, share: float = 1.0) -> Image.Image:
    """The middle of an image, `share` of its short side wide, `px` wide and high; Lanczos."""
    side = share * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((px, px), Image.Resampling.LANCZOS, box=box)


def shown(picture: Picture) -> str:
    """What to call an image in a message: no control characters."""
    name = PurePosixPath(picture.member).name or (picture.stem if picture.length >= 0 else "")
    name = name or picture.file.name
    return name if name.isprintable() else repr(name)


# Folders --------------------------------------------------------------------------------------


def folder_pictures(folder: Path) -> list[Picture]:
    """Everything below a folder that is called like an image, in the order of the paths.

    A warning counts what else lies there.
    """
    listing = images.find_images(folder)
    if listing.left_out:
        warnings.warn(f"{folder}: left out {listing.describe()}", stacklevel=3)
    paths = ((path, path.relative_to(folder).as_posix()) for path in listing.paths)
    return [Picture(without_suffix(inner), path) for path, inner in paths]


def is_picture(path: str) -> bool:
    """Whether a path, with forward slashes, is called like an image; not so what macOS adds."""
    return not why_left_out(path)


def without_suffix(path: str) -> str:
    """A path, with forward slashes, without its last suffix."""
    return path[: len(path) - len(PurePosixPath(path).suffix)]


# Archives -------------------------------------------------------------------------------------


def archive_pictures(path: Path) -> tuple[list[Picture], list[str]]:
    """The images of a zip or tar archive in the order of their paths, and why others are not.

    Raises ValueError if it is damaged, or grows like no archive of images does.
    """
    try:
        members = _zip_members if path.name.lower().endswith(ZIPS) else _tar_members
        listing = list(members(path))
    except _DAMAGED as error:
        if is_full_disk(error):
            raise ValueError(
                f"{path}: no room to decompress it in {cache_folder()}; free some, or set "
                "TOONIFY_CACHE to a folder on another disk"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path}: cannot be read as an archive ({reason}); expected a whole {path.suffix} file"
        ) from error
    found, refused = [], []
    for inner, size, fault, where in listing:
        parts = [part for part in inner.replace("\\", "/").split("/") if _harmless(part)]
        clean = "/".join(parts)
        if not is_picture(clean):
            continue
        if size > images.MAX_BYTES:
            fault = f"is larger than {images.MAX_BYTES / 2**20:.3g} MB"
        picture = Picture(without_suffix(clean), **{"file": path, **where})
        if fault:
            refused.append(f"{shown(picture)} {fault}")
        else:
            found.append((parts, picture))
    found.sort(key=lambda pair: pair[0])
    return [picture for _, picture in found], refused


def _harmless(part: str) -> bool:
    """Whether a part of a member's path may be part of an image's name."""
    return part not in ("", ".", "..") and not part.endswith(":")


def _zip_members(path: Path):
    """(path inside, declared bytes, what is wrong with it, where it lies) of every file."""
    for entry in _opened_zip(path, _stamp(path), os.getpid()).infolist():
        fault = ""
        if entry.flag_bits & 1:
            fault = "is encrypted"
        elif entry.compress_type not in _UNPACKERS:
            fault = f"is packed by a method that is not read ({entry.compress_type})"
        if not entry.is_dir():
            yield entry.filename, entry.file_size, fault, {"member": entry.filename}


@functools.lru_cache(maxsize=8)
def _opened_zip(path: Path, stamp: tuple, process: int) -> zipfile.ZipFile:
    """An archive, opened once per process: forked processes would share one reading position."""
    return zipfile.ZipFile(path)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is replaced."""
    about = path.stat()
    return about.st_mtime_ns, about.st_size


class _Forward:
    """A file that tarfile may only walk forward in, by small reads.

    Headers may declare any size, a negative one too: without this they cost memory or loop for
    ever.
    """

    def __init__(self, file):
        self.file, self.furthest = file, 0
        self.size = os.fstat(file.fileno()).st_size

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, position: int) -> None:
        if not self.furthest <= position <= self.size:
            raise tarfile.ReadError("a member ends outside of the file")
        self.furthest = position
        self.file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= 2**20:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self.file.read(size)
        self.furthest = self.file.tell()
        return data


def _tar_members(path: Path):
    """(path inside, bytes, what is wrong with it, where it lies) of every plain file."""
    plain = path if path.name.lower().endswith(".tar") else _decompressed(path)
    with open(plain, "rb") as file, tarfile.open(fileobj=_Forward(file), mode="r:") as archive:
        for member in archive:
            if member.size < 0:
                raise tarfile.ReadError(f"a member of {member.size} bytes")
            if member.isreg() and not member.issparse():
                where = {"file": plain, "start": member.offset_data, "length": member.size}
                yield member.name, member.size, "", where
        file.seek(archive.offset)
        if file.read(512).strip(b"\0"):  # tarfile ends in silence at a damaged header
            raise tarfile.ReadError(f"damaged at byte {archive.offset}")


def _decompressed(path: Path) -> Path:
    """A compressed tar as a plain one in the cache; made once, again if the archive changes."""
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    state = hashlib.sha256(repr(_stamp(path)).encode()).hexdigest()[:16]
    folder = cache_folder() / "archives"
    target = folder / f"{place}-{state}.tar"
    if target.exists():
        return target
    most = _BOMB_BYTES + _BOMB_RATIO * path.stat().st_size
    bar = tqdm(desc=f"decompressing {path.name}", unit="B", unit_scale=True, leave=False, delay=2)
    with atomic_write(target) as part, bar:
        with COMPRESSED[path.suffix.lower()](path, "rb") as packed, open(part, "wb") as file:
            while block := packed.read(2**20):
                bar.update(len(block))
                if bar.n > most:
                    raise ValueError(f"more than {most / 2**30:.1f} GB come out of it")
                file.write(block)
        for old in folder.glob(f"{place}-*.tar"):
            old.unlink(missing_ok=True)
    return target


def is_full_disk(error: Exception) -> bool:
    """Whether an error says that no room is left, on the disk or in the user's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Where decompressed tars and data sets are kept: $TOONIFY_CACHE, else ~/.cache/toonify."""
    folder = Path(os.environ.get("TOONIFY_CACHE") or "~/.cache/toonify").expanduser()
    return folder / "datasets"
