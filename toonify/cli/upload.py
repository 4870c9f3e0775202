"""What `push` and `deploy` have in common: files go to the Hub in one commit, or are shown."""

import argparse
from collections.abc import Callable
from pathlib import Path

from toonify.cli.options import OK, UsageError, failed
from toonify.hub import upload

Files = dict[str, Path | bytes]


def add_options(command: argparse.ArgumentParser, what: str) -> None:
    """Adds --private and --dry-run; `what` is created if there is none."""
    command.add_argument(
        "--private", action="store_true", help=f"a new {what} is for its owner's eyes only"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be sent, and send nothing"
    )


def send(
    option: str,
    repo_id: str,
    collect: Callable[[], Files],
    commit: Callable[[Files], upload.Receipt] | None,
    told: Callable[[tuple[str, ...]], str],
) -> int:
    """Commits what `collect` gives and says where it is; without a `commit` it is only shown.

    `option` is what the repository's name was given by. `told` puts the changed files in words.

    Raises:
        UsageError: no repository's name.
    """
    try:
        upload.check_name(repo_id)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error
    try:
        files = collect()
        if commit is None:
            show(files, repo_id)
            return OK
        receipt = commit(files)
    except ValueError as error:
        return failed(error)
    except OSError as error:  # no right, no network, or a file that cannot be read
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)
    if receipt.changed:
        print(f"{receipt.url}, commit {receipt.commit}: {told(receipt.changed)}")
    else:
        print(f"{receipt.url}: all of it is there already, in commit {receipt.commit}")
    return OK


def show(files: Files, repo_id: str) -> None:
    """What would be sent, with its sizes."""
    sizes = {
        name: len(data) if isinstance(data, bytes) else data.stat().st_size
        for name, data in files.items()
    }
    for name, size in sizes.items():
        print(f"{size:>14,} bytes  {name}")
    print(f"{sum(sizes.values()):>14,} bytes would go to {repo_id}; nothing was sent")
