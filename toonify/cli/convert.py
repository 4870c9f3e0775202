"""`python -m toonify convert SOURCE OUT`: checkpoints from elsewhere, and files for elsewhere."""

import argparse
import os
from pathlib import Path

from toonify import hub
from toonify.cli.options import OK, UsageError, failed
from toonify.convert.formats import BACK, KINDS, PICKLE, PUBLISHED

EXPORTS = (".onnx", ".xml")
STATES = (".pt", ".pth")

HELP = f"""\
Makes a folder of Toonify's from a checkpoint of another project, or a file for another program
from a folder of Toonify's.

From elsewhere, SOURCE is a file, a folder or the name of published weights
({", ".join(PUBLISHED)}: they are downloaded), and OUT
is the folder. What SOURCE is, is told by its content, of which nothing is run:
""" + "".join(f"\n  {kind:18} {title}" for kind, title in KINDS.items())

HELP += """

To elsewhere, SOURCE is a folder, a name from `python -m toonify styles`, or owner/repo, and OUT is
  FILE.onnx          ONNX
  FILE.xml           OpenVINO IR, with FILE.bin beside it
  FILE.pt            a StyleGAN2's tensors by other names, with --to
  FILE.pkl           a StyleGAN2 that NVlabs' programs open, with --to nvlabs
ONNX and IR are tried out at once, and only kept if they draw what torch draws. They draw photos of
any height and width, or from w+ (StyleGANs, ToonGAN), in batches of any size."""

EXAMPLES = """\
examples:
  python -m toonify convert face_paint_512_v2 styles/face_paint
  python -m toonify convert GeneratorV2_gldv2_Hayao.pt styles/hayao --title Hayao
  python -m toonify convert stylegan2-ffhq-config-f.pt networks/ffhq
  python -m toonify convert comic comic.onnx
  python -m toonify convert networks/ffhq ffhq.pt --to rosinality
  python -m toonify convert networks/ffhq ffhq.pkl --to nvlabs

exit status: 0 written, 1 not written, 2 wrong usage"""


def add_to(commands) -> None:
    """Adds the command and its options."""
    convert = commands.add_parser(
        "convert",
        help="take checkpoints from other projects, and write ONNX and OpenVINO files",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.set_defaults(run=run, parser=convert)
    convert.add_argument("source", metavar="SOURCE", help="file, folder or name")
    convert.add_argument("out", metavar="OUT", help="folder or file to write")
    convert.add_argument("--overwrite", action="store_true", help="replace an OUT that exists")
    taking = convert.add_argument_group("from elsewhere")
    taking.add_argument(
        "--kind", choices=tuple(KINDS), help="what SOURCE is, if its content doesn't tell"
    )
    taking.add_argument("--title", metavar="TEXT", help="of the style (default: OUT's name)")
    taking.add_argument(
        "--licence",
        metavar="TEXT",
        help="of the weights; unless told or known, style.json asks for it",
    )
    taking.add_argument(
        "--upsample",
        metavar="RULE",
        help="how an AnimeGANv2 network doubles: align, half, or tf for weights that TensorFlow"
        " trained (default: as its project does)",
    )
    taking.add_argument(
        "--fp32",
        action="store_true",
        default=None,
        help="keep 32 bits of each number: twice the size (default: 16)",
    )
    giving = convert.add_argument_group("to elsewhere")
    giving.add_argument("--to", choices=BACK, help="whose names the tensors in OUT get")


def run(options: argparse.Namespace) -> int:
    """Converts, and says what was written."""
    check(options)
    out = Path(options.out)
    try:
        if options.to:
            from toonify.convert import export  # here: torch takes seconds

            print(f"{out}: {export.write_states(options.source, out, options.to)}")
        elif out.suffix.lower() in EXPORTS:
            from toonify.convert import export

            print(f"{out}: {export.export(options.source, out)}")
        else:
            take(options, out)
    except ValueError as error:
        return failed(error)
    except OSError as error:  # no network, no permission, or the disk is full
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)
    except (MemoryError, RuntimeError) as error:  # torch and OpenVINO run out of memory so
        return failed((str(error) or "out of memory").splitlines()[0])
    return OK


def take(options: argparse.Namespace, out: Path) -> None:
    """A checkpoint from elsewhere becomes a folder."""
    from toonify.convert import checkpoints

    if out.exists() and (strange := checkpoints.strangers(out)):
        raise ValueError(f"{out} holds {strange[0]}, which no conversion wrote: choose another OUT")
    found = checkpoints.read(options.source, options.kind, options.upsample)
    title, license = options.title or "", options.license or ""
    license = checkpoints.write(found, out, title, license, bool(options.fp32))
    print(f"{out}: {type(found.network).__name__}, from {KINDS[found.kind]}")
    for note in (*found.notes, f"license: {license}"):
        print(f"  {note}")


def check(options: argparse.Namespace) -> None:
    """UsageError for options that contradict each other, or an OUT that cannot be theirs."""
    out, suffix = Path(options.out), Path(options.out).suffix.lower()
    places = (Path(options.source), hub.BUNDLED / options.source)
    ours = any((place / hub.CONFIG).is_file() for place in places)
    if options.to or suffix in EXPORTS:
        names = ("kind", "title", "license", "upsample", "fp32")
        if typed := [f"--{name}" for name in names if vars(options)[name] is not None]:
            raise UsageError(f"{', '.join(typed)}: only for a SOURCE from elsewhere")
        pickles = (PICKLE,) if options.to == "nvlabs" else ()
        if options.to and suffix not in (*STATES, *pickles):
            known = ", ".join((*STATES, *pickles))
            raise UsageError(f"OUT {options.out!r}: with --to {options.to} expected one of {known}")
        published = options.source in PUBLISHED and not Path(options.source).exists()
        if published or Path(options.source).is_file():
            raise UsageError(
                f"SOURCE {options.source!r} is a checkpoint: convert it to a folder first, and that"
                f" to {options.out!r}"
            )
    elif ours:
        raise UsageError(
            f"SOURCE {options.source!r} is a folder of Toonify's already: expected an OUT in .onnx"
            " or .xml, or --to and an OUT in .pt"
        )
    elif suffix in (*STATES, PICKLE):
        raise UsageError(f"OUT {options.out!r}: expected a folder, or --to and a SOURCE of ours")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"OUT {options.out!r} is a file: expected a folder")
    written = [out, out.with_suffix(".bin")] if suffix == ".xml" else [out]
    for path in written:
        if os.path.lexists(path) and not options.overwrite:
            raise UsageError(f"OUT {str(path)!r} is there already; --overwrite replaces it")
        if suffix and path.is_dir() and (options.to or suffix in EXPORTS):
            raise UsageError(f"OUT {str(path)!r} is a folder: expected a file")
