"""`toonify deploy --space OWNER/NAME`: publishes the app as a Space on the Hub."""

import tempfile
from pathlib import Path

import click

from toonify.cli import options, upload, web
from toonify.cli.options import option
from toonify.hub import space
from toonify.hub import upload as publish


@options.command(
    examples="""
    deploy --space me/toonify --dry-run
    deploy --space me/toonify --private
    deploy --static me/toonify-browser
    """,
    status="0 published, 1 not published",
)
@option("--space repo_id", "Space with the Gradio app, OWNER/NAME")
@option("--static static_id", "Static Space with the app for browsers, OWNER/NAME")
@web.style
@web.runtime
@upload.private
@upload.dry_run
def deploy(
    repo_id: str | None,
    static_id: str | None,
    styles: tuple[str, ...],
    runtime: Path | None,
    private: bool,
    dry_run: bool,
) -> None:
    """Publishes the app as a Space on the Hugging Face Hub, in one commit. The Space is created if
    it does not exist.

    --space publishes the Gradio app: app.py, the package with its bundled weights, the examples,
    requirements, licenses, and README.md from hub_cards/space.md. In an existing Space, files of
    the folders toonify/ and hub_cards/ that are no longer here are removed. --static publishes what
    `toonify web` writes, which needs no server; --style and --runtime are those of that command.

    Log in with `hf auth login`, or set HF_TOKEN to a token with write access. The Space needs no
    secret and runs on CPU Basic and on ZeroGPU; its README.md lists the settings.
    """
    if (repo_id is None) == (static_id is None):
        raise click.UsageError("expected either --space or --static, with OWNER/NAME")
    if static_id:
        return deploy_static(static_id, styles, runtime, private, dry_run)
    options.refuse("styles runtime", "only for --static")

    def commit(files: upload.Files) -> publish.Receipt:
        return publish.commit(
            str(repo_id),
            files,
            message="Deploy Toonify",
            repo_type="space",
            private=private,
            sdk="gradio",
            delete=("toonify/", "hub_cards/"),
        )

    upload.send(
        *("--space", str(repo_id)),
        lambda: space.files(str(repo_id)),
        None if dry_run else commit,
        count_changed,
    )


def deploy_static(
    repo_id: str, styles: tuple[str, ...], runtime: Path | None, private: bool, dry_run: bool
) -> None:
    """Builds the app for browsers, and publishes it as a static Space."""

    def commit(files: upload.Files) -> publish.Receipt:
        from toonify.web.space import FOLDERS

        return publish.commit(
            repo_id,
            files,
            message="Deploy Toonify for browsers",
            repo_type="space",
            private=private,
            sdk="static",
            delete=FOLDERS,
        )

    with tempfile.TemporaryDirectory() as place:

        def collect() -> upload.Files:
            from toonify import web as browser  # here: torch takes seconds

            folder = Path(place, "site")
            return browser.space_files(folder, browser.find_runtime(runtime), styles)

        upload.send("--static", repo_id, collect, None if dry_run else commit, count_changed)


def count_changed(changed: tuple[str, ...]) -> str:
    """Says how many files a commit has changed."""
    return f"{len(changed)} files changed"
