"""`python -m toonify deploy --space owner/name`: the app becomes a Space on the Hub."""

import argparse

from toonify.cli import upload as upload_command
from toonify.hub import space, upload

HELP = """\
Publishes the app as a Gradio Space on the Hugging Face Hub, in one commit: app.py, the package with
its bundled weights, the examples, requirements, licenses, and README.md from hub_cards/space.md.
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
    upload_command.add_options(deploy, "Space")


def run(options: argparse.Namespace) -> int:
    """Publishes, and says where."""

    def commit(files: upload_command.Files) -> upload.Receipt:
        return upload.commit(
            options.space,
            files,
            message="Deploy Toonify",
            repo_type="space",
            private=options.private,
            sdk="gradio",
            delete=("toonify/", "hub_cards/"),
        )

    return upload_command.send(
        *("--space", options.space),
        lambda: space.files(options.space),
        None if options.dry_run else commit,
        lambda changed: f"{len(changed)} files changed",
    )
