"""What the photos and the output of a command mean: which photo is drawn into which file."""

import dataclasses
import glob
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import click

from toonify import images

STREAM = "-"  # as an input stdin, as an output stdout
ALPHA_SAVES = tuple(suffix for suffix, form in images.SAVES.items() if form not in ("JPEG", "BMP"))


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo and where its drawing goes; None stands for stdin and for stdout."""

    source: Path | None
    target: Path | None

    @property
    def names(self) -> tuple[str, str]:
        """Both as they are typed."""
        return str(self.source or STREAM), str(self.target or STREAM)


def plan(
    inputs: Sequence[str], output: str, recursive: bool, alpha: bool = False
) -> tuple[list[Job], dict[str, str]]:
    """The jobs that inputs and output mean, and the inputs that mean nothing with the reason.

    With `alpha`, drawings are written in formats that can be transparent. Raises click.UsageError
    where the output cannot be what it has to be, or would replace an input.
    """
    if STREAM in (*inputs, output):
        return [plan_stream(inputs, output, alpha)], {}
    out = Path(output)
    is_folder = out.is_dir() or output.endswith((os.sep, "/"))
    if names_one_file(inputs) and out.suffix and not is_folder:
        check_suffix(output, ", or a / at the end for a folder", alpha)
        found, failures = search(inputs, out, recursive)
        jobs = [Job(source, out) for source, _ in found]
    else:
        check_folder(output)
        found, failures = search(inputs, out, recursive)
        names = name_results(found, alpha)
        jobs = [Job(source, out / name) for (source, _), name in zip(found, names, strict=True)]
    sources = {os.path.realpath(source) for source, _ in found}
    for job in jobs:
        if job.target is not None and os.path.realpath(job.target) in sources:
            raise click.UsageError(
                f"--output {output!r}: {job.target} is one of the photos, and photos are never"
                " replaced; choose another folder or name"
            )
    return jobs, failures


def check_folder(output: str) -> None:
    """Raises click.UsageError if the output is a file, or looks like one."""
    out = Path(output)
    if out.exists() and not out.is_dir():
        raise click.UsageError(f"--output {output!r} is a file: expected a folder for these inputs")
    is_folder = out.is_dir() or output.endswith((os.sep, "/"))
    if out.suffix.lower() in images.SAVES and not is_folder:
        raise click.UsageError(
            f"--output {output!r} looks like one file, and the input is not one photo:"
            " expected a folder (a / at the end makes it one)"
        )


def plan_stream(inputs: Sequence[str], output: str, alpha: bool = False) -> Job:
    """The job of a photo from stdin or a drawing to stdout; click.UsageError for other things."""
    if not names_one_file(inputs):
        where = "-o -" if output == STREAM else "IN -"
        raise click.UsageError(f"{where}: expected IN to be one photo, not several or a folder")
    [source] = inputs
    if source != STREAM:
        if not os.path.lexists(source):
            raise click.UsageError(f"{source}: there is no such file")
        return Job(Path(source), None)
    if output == STREAM:
        return Job(None, None)
    if os.path.isdir(output) or output.endswith((os.sep, "/")):
        raise click.UsageError(
            f"--output {output!r} is a folder: expected a file or -, as the photo from stdin has no"
            " name"
        )
    check_suffix(output, alpha=alpha)
    return Job(None, Path(output))


def check_suffix(output: str, otherwise: str = "", alpha: bool = False) -> None:
    """Raises click.UsageError for a file that no image, or none with alpha, can be written as."""
    suffix, expected = Path(output).suffix, ALPHA_SAVES if alpha else tuple(images.SAVES)
    if suffix.lower() not in expected:
        why = ", which cannot be transparent" if suffix.lower() in images.SAVES else ""
        raise click.UsageError(
            f"--output {output!r} ends in {suffix!r}{why}: expected one of"
            f" {', '.join(expected)}{otherwise}"
        )


def names_one_file(inputs: Sequence[str]) -> bool:
    """Whether what was typed is one file's name: not several, no folder, and no glob."""
    text = inputs[0]
    return len(inputs) == 1 and not is_glob(text) and not os.path.isdir(text)


def is_glob(text: str) -> bool:
    """Whether `*`, `?` or `[` stands behind the folders that exist under these very names."""
    path = Path(text)
    while not os.path.lexists(path):
        if glob.has_magic(path.name):
            return True
        path = path.parent
    return False


def expand(text: str) -> list[Path]:
    """The paths that a name or a glob stands for, sorted.

    A name that exists is that name, at every depth: `My [best] photos/*.jpg` looks into that very
    folder.
    """
    matches = [Path()] if text else []
    for part in Path(text).parts:
        folders = (path for path in matches if os.path.isdir(path))
        found = (path for folder in folders for path in match_part(folder, part))
        matches = list(dict.fromkeys(found))
    return sorted(matches)


def match_part(folder: Path, part: str) -> list[Path]:
    """What one part of a path stands for in a folder."""
    path = folder / part
    if os.path.lexists(path):
        return [path]
    pattern = os.path.join(glob.escape(str(folder)), part)
    return [Path(match) for match in glob.glob(pattern, recursive=True)]


def search(
    inputs: Sequence[str], out: Path, recursive: bool
) -> tuple[list[tuple[Path, Path]], dict[str, str]]:
    """Photos as (path, folder of the result below OUT), each once, and the inputs without any."""
    found: dict[str, tuple[Path, Path]] = {}
    failures = {}
    for text in inputs:
        exists = os.path.lexists(text)
        matches = [Path(text)] if exists else outside(out, expand(text))
        if not matches:
            failures[text] = "nothing matches" if is_glob(text) else "there is no such file"
        for match in matches:
            below = [(match, Path())]
            if match.is_dir():
                try:
                    listing = images.find_images(match, recursive)
                except OSError as error:
                    failures[str(match)] = f"cannot be searched: {error.strerror}"
                    continue
                paths = listing.paths
                if listing.left_out:
                    click.echo(f"{match}: left out {listing.describe()}", err=True)
                if inside(out, match):  # A second run must not draw the drawings.
                    paths = [path for path in paths if not inside(path, out)]
                below = [(path, path.parent.relative_to(match)) for path in paths]
                if not below:
                    deeper = "" if recursive else "; --recursive searches deeper folders too"
                    failures[str(match)] = f"no photo in this folder{deeper}"
            for path, at in below:
                found.setdefault(os.path.realpath(path), (path, at))
    return list(found.values()), failures


def outside(out: Path, matches: list[Path]) -> list[Path]:
    """A glob's matches that are not drawings in OUT; all, where nothing else matches."""
    own = os.path.realpath(out)
    return [m for m in matches if os.path.realpath(m) != own and not inside(m, out)] or matches


def inside(path: Path, folder: Path) -> bool:
    """Whether the path lies in the folder or deeper."""
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def name_results(found: Sequence[tuple[PurePath, PurePath]], alpha: bool = False) -> list[PurePath]:
    """Paths of drawings below OUT: the names of the photos, with -2, -3 if one is taken.

    Args:
        found: photos, and their folders below OUT.
        alpha: whether drawings are transparent.
    """
    suffixes = ALPHA_SAVES if alpha else images.SAVES

    def key(name: str) -> str:  # Some file systems do not tell A from a.
        return name.casefold()

    wanted = []
    for path, at in found:
        suffix = path.suffix if path.suffix.lower() in suffixes else ".png"
        wanted.append((at / path.stem, suffix))
    natural = {key(f"{name}{suffix}") for name, suffix in wanted}
    given: set[str] = set()
    results = []
    for name, suffix in wanted:
        result, number = f"{name}{suffix}", 1
        while key(result) in given or (number > 1 and key(result) in natural):
            number += 1
            result = f"{name}-{number}{suffix}"
        given.add(key(result))
        results.append(PurePath(result))
    return results
