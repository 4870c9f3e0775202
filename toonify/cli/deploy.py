"""`python -m toonify deploy --space owner/name`: the app becomes a Space on the Hub."""

import argparse

from toonify import publish, space
from toonify.cli.options import OK, UsageError, failed
from toonify.cli.push import show

HELP = """\
Publishes the app as a Gradio Space on the Hugging Face Hub, in one commit: app.py, the package with
its bundled weights, the examples, requirements, licences, and README.md from hub_cards/space.md.
The Space is created if there is none. One that is there is brought up to date: in its folders
toonify/ and hub_cards/ what is no longer here goes.

You are known by a token that may write, from `hf auth login` or HF_TOKEN. The Space needs no secret
and starts on CPU Basic and on ZeroGPU; its README.md says what can be set there."""

EXAMPLES = """\
examples:
  python -m toonify deploy --space me/toonify --dry-run
  python -m toonify deploy --space me/toonify --private

exit status: 0 it is there, 1 it is not, 2 wrong usage"""


def add_to(commands) -> None:
    """Adds the command and its options."""
    deploy = commands.add_parser(
        "deploy",
        help="publish the app as a Space",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deploy.set_defaults(run=run, parser=deploy)
    deploy.add_argument("--space", required=True, metavar="OWNER/NAME", help="where it goes")
    deploy.add_argument(
        "--private", action="store_true", help="a new Space is for its owner's eyes only"
    )
    deploy.add_argument(
        "--dry-run", action="store_true", help="show what would be sent, and send nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Publishes, and says where."""
    try:
        publish.check_name(options.space)
    except ValueError as error:
        raise UsageError(f"--space {error}") from error
    try:
        files = space.files(options.space)
        if options.dry_run:
            show(files, options.space)
            return OK
        receipt = publish.commit(
            options.space,
            files,
            message="Deploy Toonify",
            repo_type="space",
            private=options.private,
            sdk="gradio",
            delete=("toonify/", "hub_cards/"),
        )
    except ValueError as error:
        return failed(error)
    except OSError as error:  # no right, no network, or a file that cannot be read
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)
    if receipt.changed:
        print(f"{receipt.url}, commit {receipt.commit}: {len(receipt.changed)} files changed")
    else:
        print(f"{receipt.url}: all of it is there already, in commit {receipt.commit}")
    return OK
