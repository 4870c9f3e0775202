"""`toonify push FOLDER --repo-id OWNER/NAME`: publishes a model on the Hugging Face Hub."""

import click

from toonify.cli import options, upload
from toonify.cli.options import option
from toonify.hub import upload as publish


@options.command(
    examples="""
    push runs/mine/model --repo-id me/mine --dry-run
    push runs/mine/model --repo-id me/mine --private
    """,
    status="0 published, 1 not published",
)
@click.argument("folder", metavar="FOLDER", help="Folder of the model")
@option("--repo-id", "Repository on the Hub, OWNER/NAME", required=True)
@option("--message", "Commit message", default="", show_default="Publish TITLE")
@upload.private
@upload.dry_run
def push(folder: str, repo_id: str, message: str, private: bool, dry_run: bool) -> None:
    """Publishes the folder of a model, as training or `toonify convert` wrote it, in one commit:
    config.json, weights, style.json, README.md, metrics.json, training.json, directions, and the
    images (.jpg, .png) beside them, in samples/ and in pictures/. Nothing else is uploaded. The
    repository is created if it does not exist. A push that fails changes nothing and can be
    repeated.

    style.json must name the license of the weights and the data that they were trained on. Log in
    with `hf auth login`, or set HF_TOKEN to a token with write access.
    """

    def commit(files: upload.Files) -> publish.Receipt:
        return publish.publish(folder, repo_id, files, private=private, message=message)

    upload.send(
        *("--repo-id", repo_id),
        lambda: publish.plan(folder, repo_id),
        None if dry_run else commit,
        ", ".join,
    )
