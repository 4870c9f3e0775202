"""`toonify web OUT`: the app for browsers, as a folder that any static host can serve."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toonify.cli import options
from toonify.cli.options import option

if TYPE_CHECKING:
    from toonify.web.site import Part

style = option(
    "--style styles",
    "Style: a name, a folder, or OWNER/NAME on the Hub; may be repeated, the first is preselected",
    multiple=True,
    show_default="all bundled ones",
)
runtime = option(
    "--runtime",
    "Folder of the npm package onnxruntime-web",
    click.Path(exists=True, file_okay=False, path_type=Path),
    show_default="found in node_modules, or downloaded by npm",
)


@options.command(
    examples="""
    web site
    web site --style comic --style runs/mine/model
    """,
    status="0 written, 1 not written",
)
@click.argument("out", metavar="OUT", help="Folder")
@style
@runtime
@options.overwrite
def web(out: str, styles: tuple[str, ...], runtime: Path | None, overwrite: bool) -> None:
    """Writes the app for browsers into a folder: pages, networks as ONNX files with weights of 16
    bits, and ONNX Runtime Web. Each style is drawn by its fast generator if it has one. Photos stay
    on the visitor's device.

    Any static host can serve the folder; to try it: python -m http.server -d OUT
    """
    target = Path(out)
    if target.exists() and (not overwrite or not target.is_dir()):
        raise click.UsageError(f"OUT {out!r} exists already; --overwrite replaces a folder")
    from toonify import web as browser  # here: torch takes seconds

    with options.reported(ValueError):
        dist = browser.find_runtime(runtime)
    with options.reported():
        show(browser.build(target, dist, styles))
    print(f"{target}: to try it, run: python -m http.server -d {target}")


def show(parts: "Iterable[Part]") -> None:
    """Prints the sizes of the parts of the app."""
    for part in parts:
        print(f"{part.size:>12,} bytes  {part.name} ({part.when})")
