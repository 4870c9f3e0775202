"""`python -m toonify push FOLDER --repo-id owner/name`: a model goes to the Hugging Face Hub."""

import argparse
from pathlib import Path

from toonify import publish
from toonify.cli.options import OK, UsageError, failed

HELP = """\
Publishes a model's folder as a repository on the Hugging Face Hub, in one commit: config.json,
weights, style.json, README.md, metrics.json, training.json, directions, and the pictures (.jpg,
.png) beside them, in samples/ and in pictures/. Nothing else is sent. The repository is created if
there is none. A push that fails leaves it as it was, and can be repeated.

style.json must say what the weights may be used for ("licence") and what they were trained on
("data"). You are known by a token that may write, from `hf auth login` or HF_TOKEN."""

EXAMPLES = """\
examples:
  python -m toonify push runs/mine/model --repo-id me/mine --dry-run
  python -m toonify push runs/mine/model --repo-id me/mine --private

exit status: 0 it is there, 1 it is not, 2 wrong usage"""


def add_to(commands) -> None:
    """Adds the command and its options."""
    push = commands.add_parser(
        "push",
        help="publish a model on the Hugging Face Hub",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    push.set_defaults(run=run, parser=push)
    push.add_argument("folder", metavar="FOLDER", help="what training or `convert` wrote")
    push.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="where it goes")
    push.add_argument(
        "--private", action="store_true", help="a new repository is for its owner's eyes only"
    )
    push.add_argument("--message", default="", metavar="TEXT", help="what the commit says")
    push.add_argument(
        "--dry-run", action="store_true", help="show what would be sent, and send nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Publishes, and says what and where."""
    try:
        publish.check_name(options.repo_id)
    except ValueError as error:
        raise UsageError(f"--repo-id {error}") from error
    try:
        if options.dry_run:
            show(publish.plan(options.folder, options.repo_id), options.repo_id)
            return OK
        receipt = publish.publish(
            options.folder, options.repo_id, private=options.private, message=options.message
        )
    except ValueError as error:
        return failed(error)
    except OSError as error:  # no right, no network, or a file that cannot be read
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)
    if receipt.changed:
        print(f"{receipt.url}, commit {receipt.commit}: {', '.join(receipt.changed)}")
    else:
        print(f"{receipt.url}: all of it is there already, in commit {receipt.commit}")
    return OK


def show(files: dict[str, Path | bytes], repo_id: str) -> None:
    """What would be sent, with its sizes."""
    sizes = {
        name: len(data) if isinstance(data, bytes) else data.stat().st_size
        for name, data in files.items()
    }
    for name, size in sizes.items():
        print(f"{size:>14,} bytes  {name}")
    print(f"{sum(sizes.values()):>14,} bytes would go to {repo_id}; nothing was sent")
