"""What `push` and `deploy` share: files are uploaded to the Hub in one commit, or listed."""

from collections.abc import Callable
from pathlib import Path

import click

from toonify.cli.options import option, reported
from toonify.hub import upload

Files = dict[str, Path | bytes]

private = option("--private", "Private visibility, if it does not exist yet", is_flag=True)
dry_run = option("--dry-run", "List of files and sizes, without an upload", is_flag=True)


def send(
    option: str,
    repo_id: str,
    collect: Callable[[], Files],
    commit: Callable[[Files], upload.Receipt] | None,
    describe: Callable[[tuple[str, ...]], str],
) -> None:
    """Commits the files and prints where they are.

    Args:
        option: the option that gave `repo_id`.
        repo_id: OWNER/NAME.
        collect: returns the files.
        commit: uploads them; None: they are only listed.
        describe: puts the names of the changed files in words.

    Raises:
        click.UsageError: `repo_id` is not a valid repository ID.
        click.ClickException: the files could not be published.
    """
    try:
        upload.check_name(repo_id)
    except ValueError as error:
        raise click.UsageError(f"{option} {error}") from error
    with reported(ValueError):
        files = collect()
        if commit is None:
            return show(files, repo_id)
        receipt = commit(files)
    if receipt.changed:
        print(f"{receipt.url}, commit {receipt.commit}: {describe(receipt.changed)}")
    else:
        print(f"{receipt.url}: all files are there already, in commit {receipt.commit}")


def show(files: Files, repo_id: str) -> None:
    """Prints the files with their sizes."""
    sizes = {
        name: len(data) if isinstance(data, bytes) else data.stat().st_size
        for name, data in files.items()
    }
    for name, size in sizes.items():
        print(f"{size:>14,} bytes  {name}")
    print(f"{sum(sizes.values()):>14,} bytes would go to {repo_id}; nothing was sent")
