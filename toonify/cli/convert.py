"""`toonify convert SOURCE OUT`: checkpoints of other projects, and files for other programs."""

import os
from pathlib import Path

import click
from click import Choice

from toonify import hub
from toonify.cli import options
from toonify.cli.options import option
from toonify.convert.formats import KINDS, OLD_MODES, PICKLE, PUBLISHED, WRITABLE

EXPORTS = (".onnx", ".xml")
STATES = (".pt", ".pth")
FROM, TO = "For a checkpoint of another project", "For a file for another project"

HELP = f"""Converts a checkpoint of another project to a folder, or a folder to a file for another
program.

SOURCE is a checkpoint (a file, a folder, or the name of published weights, which are downloaded:
{", ".join(PUBLISHED)}) and OUT a folder. The kind of the checkpoint is detected from its content,
and no code in it is executed.

\b
{chr(10).join(f"{kind:18} {title}" for kind, title in KINDS.items())}

Or SOURCE is a folder, a name from `toonify styles`, or OWNER/NAME on the Hugging Face Hub, and OUT
is a file.

\b
FILE.onnx          ONNX
FILE.xml           OpenVINO IR, with FILE.bin beside it
FILE.pt            tensors of a StyleGAN2 with the names of --to
FILE.pkl           StyleGAN2 for NVlabs' programs, with --to nvlabs

ONNX and IR files take photos of any height and width, or w+ (StyleGAN, ToonGAN), in batches of any
size. Each is tested and only kept if it draws what torch draws."""


def read_mode(context: click.Context, parameter: click.Parameter, mode: str | None) -> str | None:
    """Converts an upsampling mode of an older release, with a warning."""
    if mode in OLD_MODES:
        options.warn_renamed(f"--upsample {mode}", OLD_MODES[mode])
    return OLD_MODES.get(mode or "", mode)


@options.command(
    examples="""
    convert face_paint_512_v2 styles/face_paint
    convert GeneratorV2_gldv2_Hayao.pt styles/hayao --title Hayao
    convert stylegan2-ffhq-config-f.pt networks/ffhq
    convert comic comic.onnx
    convert networks/ffhq ffhq.pt --to rosinality
    convert networks/ffhq ffhq.pkl --to nvlabs
    """,
    status="0 written, 1 not written",
    help=HELP,
)
@click.argument("source", metavar="SOURCE", help="File, folder or name")
@click.argument("out", metavar="OUT", help="Folder or file")
@options.overwrite
@option("--kind", "Kind of the checkpoint", Choice(tuple(KINDS)), FROM, show_default="detected")
@option("--title", "Title of the style", None, FROM, show_default="name of OUT")
@option("--license", "License of the weights", None, FROM, show_default="the known one")
@option(
    "--upsample",
    "Upsampling of an AnimeGANv2 network: align_corners, half_pixel, or tf1 (TensorFlow's)",
    None,
    FROM,
    callback=read_mode,
    show_default="that of the project",
)
@option("--fp32", "Weights of 32 bits instead of 16", None, FROM, is_flag=True)
@option("--to", "Project whose names the tensors of OUT get", Choice(WRITABLE), TO)
def convert(source: str, out: str, overwrite: bool, to: str | None, **values) -> None:
    check(source, out, overwrite, to)
    target = Path(out)
    with options.reported(ValueError):
        if to:
            from toonify.convert import export  # here: torch takes seconds

            print(f"{target}: {export.write_states(source, target, to)}")
        elif target.suffix.lower() in EXPORTS:
            from toonify.convert import export

            print(f"{target}: {export.export(source, target)}")
        else:
            import_checkpoint(source, target, **values)


def import_checkpoint(source: str, out: Path, kind, title, license, upsample, fp32) -> None:
    """Converts a checkpoint of another project to a folder."""
    from toonify.convert import checkpoints

    if out.exists() and (unrelated := checkpoints.find_unrelated(out)):
        raise ValueError(
            f"OUT {str(out)!r} contains {unrelated[0]}, not from a conversion: expected a new"
            " folder or a converted one"
        )
    found = checkpoints.read(source, kind, upsample)
    license = checkpoints.write(found, out, title or "", license or "", fp32)
    print(f"{out}: {type(found.network).__name__}, from {KINDS[found.kind]}")
    for note in (*found.notes, f"license: {license}"):
        print(f"  {note}")


def check(source: str, out: str, overwrite: bool, to: str | None) -> None:
    """Raises click.UsageError for options that contradict each other, or an impossible OUT."""
    target, suffix = Path(out), Path(out).suffix.lower()
    folders = (Path(source), hub.BUNDLED / source)
    if to or suffix in EXPORTS:
        options.refuse("kind title license upsample fp32", "only for a checkpoint as SOURCE")
        suffixes = (*STATES, PICKLE) if to == "nvlabs" else STATES
        if to and suffix not in suffixes:
            known = ", ".join(suffixes)
            raise click.UsageError(f"OUT {out!r}: with --to {to} expected one of {known}")
        published = source in PUBLISHED and not Path(source).exists()
        if published or Path(source).is_file():
            raise click.UsageError(
                f"SOURCE {source!r} is a checkpoint: convert it to a folder first, and that to"
                f" {out!r}"
            )
    elif any((folder / hub.CONFIG).is_file() for folder in folders):
        raise click.UsageError(
            f"SOURCE {source!r} is a converted folder already: expected an OUT in .onnx or .xml, or"
            " --to and an OUT in .pt"
        )
    elif suffix in (*STATES, PICKLE):
        raise click.UsageError(f"OUT {out!r}: expected a folder, or --to and a folder as SOURCE")
    elif target.exists() and not target.is_dir():
        raise click.UsageError(f"OUT {out!r} is a file: expected a folder")
    for path in [target, target.with_suffix(".bin")] if suffix == ".xml" else [target]:
        if os.path.lexists(path) and not overwrite:
            raise click.UsageError(f"OUT {str(path)!r} exists already; --overwrite replaces it")
        if suffix and path.is_dir() and (to or suffix in EXPORTS):
            raise click.UsageError(f"OUT {str(path)!r} is a folder: expected a file")
