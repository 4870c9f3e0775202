"""`toonify deploy --space OWNER/NAME`: publishes the app as a Space on the Hub."""

from toonify.cli import options, upload
from toonify.cli.options import option
from toonify.hub import space
from toonify.hub import upload as publish


@options.command(
    examples="""
    deploy --space me/toonify --dry-run
    deploy --space me/toonify --private
    """,
    status="0 published, 1 not published",
)
@option("--space repo_id", "Space on the Hub, OWNER/NAME", required=True)
@upload.private
@upload.dry_run
def deploy(repo_id: str, private: bool, dry_run: bool) -> None:
    """Publishes the app as a Gradio Space on the Hugging Face Hub, in one commit: app.py, the
    package with its bundled weights, the examples, requirements, licenses, and README.md from
    hub_cards/space.md. The Space is created if it does not exist. In an existing Space, files of
    the folders toonify/ and hub_cards/ that are no longer here are removed.

    Log in with `hf auth login`, or set HF_TOKEN to a token with write access. The Space needs no
    secret and runs on CPU Basic and on ZeroGPU; its README.md lists the settings.
    """

    def commit(files: upload.Files) -> publish.Receipt:
        return publish.commit(
            repo_id,
            files,
            message="Deploy Toonify",
            repo_type="space",
            private=private,
            sdk="gradio",
            delete=("toonify/", "hub_cards/"),
        )

    upload.send(
        *("--space", repo_id),
        lambda: space.files(repo_id),
        None if dry_run else commit,
        lambda changed: f"{len(changed)} files changed",
    )
