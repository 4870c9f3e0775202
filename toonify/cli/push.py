"""`python -m toonify push FOLDER --repo-id owner/name`: a model goes to the Hugging Face Hub."""

import argparse

from toonify.cli import upload as upload_command
from toonify.hub import upload

HELP = """\
Publishes a model's folder as a repository on the Hugging Face Hub, in one commit: config.json,
weights, style.json, README.md, metrics.json, training.json, directions, and the pictures (.jpg,
.png) beside them, in samples/ and in pictures/. Nothing else is sent. The repository is created if
there is none. A push that fails leaves it as it was, and can be repeated.

style.json must say what the weights may be used for ("license") and what they were trained on
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
    push.add_argument("--message", default="", metavar="TEXT", help="what the commit says")
    upload_command.add_options(push, "repository")


def run(options: argparse.Namespace) -> int:
    """Publishes, and says what and where."""

    def commit(files: upload_command.Files) -> upload.Receipt:
        return upload.publish(
            options.folder,
            options.repo_id,
            files,
            private=options.private,
            message=options.message,
        )

    return upload_command.send(
        *("--repo-id", options.repo_id),
        lambda: upload.plan(options.folder, options.repo_id),
        None if options.dry_run else commit,
        ", ".join,
    )
