"""`python -m toonify video IN OUT`: draws a clip."""

import argparse
import os
import sys
from pathlib import Path

from toonify import hub
from toonify.cli.options import (
    INTERRUPTED,
    OK,
    UsageError,
    add_drawing_options,
    failed,
    whole,
)

HELP = """\
Draws a clip: a film with its sound, or an animated GIF, WebP or PNG. Every frame keeps its exact
time, sound and subtitles are copied as they are, and memory does not grow with the length.

The suffix of OUT says what it becomes: .mp4, .m4v, .mov or .mkv (H.264), .webm (VP9), or an
animation, .gif, .webp or .png. A run that was stopped or killed goes on when the same command is
given again: finished pieces wait in the folder .OUT.parts, which is removed at the end. What exists
already is skipped, and the clip itself is never replaced."""

EXAMPLES = """\
examples:
  python -m toonify video party.mp4 toons.mp4
  python -m toonify video party.mov toons.mp4 --style gouache --side-by-side --max-height 720
  python -m toonify video wave.gif toon.webp --strength 0.7 --keep-colour

exit status: 0 drawn or skipped, 1 failed, 2 wrong usage"""


def add_to(commands) -> None:
    """Adds the command and its options."""
    video = commands.add_parser(
        "video",
        help="draw a clip",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    video.set_defaults(run=run, parser=video)
    video.add_argument("source", metavar="IN", help="film or animation")
    video.add_argument("target", metavar="OUT", help="file to write")
    video.add_argument(
        "--style",
        default=hub.DEFAULT_STYLE,
        help="a name from `python -m toonify styles`, a folder, or owner/repo on the Hugging Face"
        " Hub (default: %(default)s)",
    )
    video.add_argument(
        "--faces",
        choices=("all", "largest", "none"),
        default="all",
        help="which faces get a drawing of their own where they are small; none does not look for"
        " faces (default: %(default)s)",
    )
    add_drawing_options(video, "clip")
    video.add_argument(
        "--side-by-side", action="store_true", help="the clip on the left, its drawing on the right"
    )
    video.add_argument(
        "--max-height", type=whole(16), metavar="PX", help="make a higher clip smaller"
    )
    video.add_argument(
        "--crf",
        type=whole(0),
        default=18,
        metavar="N",
        help="quality of films, 0 (best) to 51 (default: %(default)s)",
    )
    video.add_argument(
        "--no-stabilise", action="store_true", help="draw every frame as if it were alone"
    )
    video.add_argument(
        "--measure", action="store_true", help="say how much the drawings flicker; takes longer"
    )
    video.add_argument("--overwrite", action="store_true", help="draw again what exists")


def run(options: argparse.Namespace) -> int:
    """Draws the clip, unless it is there."""
    if options.crf > 51:
        raise UsageError(f"--crf {options.crf}: expected 0 (best) to 51")
    if not os.path.isfile(options.source):
        raise UsageError(f"{options.source}: there is no such file")
    if os.path.realpath(options.source) == os.path.realpath(options.target):
        raise UsageError(f"{options.target} is the clip itself, and clips are never replaced")
    from toonify.video.muxing import check_suffix  # here: it opens FFmpeg's libraries

    try:
        check_suffix(Path(options.target))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if os.path.isdir(options.target):
        raise UsageError(f"{options.target} is a folder: expected a file")
    if os.path.lexists(options.target) and not options.overwrite:
        print("skipped (there already; --overwrite draws it again)")
        return OK
    return draw(options)


def draw(options: argparse.Namespace) -> int:
    """Opens the style, draws, and says what came of it."""
    from toonify.video.decoding import open_clip

    try:
        open_clip(options.source)  # what is no clip is told before torch is loaded
    except ValueError as error:
        return failed(error)
    from toonify.pipelines.animegan import AnimeGANPipeline, check_options
    from toonify.pipelines.video import ClipOptions, draw_clip

    try:
        pipeline = AnimeGANPipeline.from_pretrained(
            options.style, device=options.device, quality=options.quality
        )
        settings = ClipOptions(
            options.faces,
            options.strength,
            options.keep_color,
            not options.no_stabilize,
            options.side_by_side,
            options.max_height,
            options.crf,
        )
        check_options(pipeline.style, settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:  # the style's weights cannot be had just now
        return failed(error)
    bar = Bar()
    try:
        with bar:
            clip = draw_clip(
                pipeline,
                options.source,
                options.target,
                settings,
                overwrite=options.overwrite,
                measure=options.measure,
                progress=bar.show,
            )
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except ValueError as error:
        return failed(error)
    except OSError as error:
        return failed(f"cannot write {options.target}: {error.strerror or error}")
    except (MemoryError, RuntimeError) as error:  # torch and OpenVINO run out of memory so
        return failed((str(error) or "out of memory").splitlines()[0])
    report(clip)
    return OK


def report(clip) -> None:
    """What came of it on stdout; what people should know of it on stderr."""
    for note in clip.notes:
        print(f"note: {note}", file=sys.stderr)
    if clip.damaged:
        print(f"note: {clip.damaged} damaged packets were passed over", file=sys.stderr)
    print(
        f"{clip.frames} frames, {clip.seconds:.2f} s; {clip.drawn} drawn,"
        f" {clip.fps:.2f} frames a second"
    )
    if clip.flicker is not None:
        kinds = {"source": clip.flicker.source, "drawings": clip.flicker.drawn}
        kinds["clip"] = clip.flicker.steady
        said = ", ".join(f"{kind} {value:.2f}" for kind, value in kinds.items())
        print(f"flicker in levels of 255: {said}; {clip.flicker.ratio:.2f} times the source's")


class Bar:
    """A bar with the time that is left on a terminal, and nothing in a log file."""

    def __enter__(self):
        self._bar = None
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def show(self, progress) -> None:
        """Brings the bar to where the clip is."""
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=progress.total or None,
                initial=progress.frames - 1,
                unit="frame",
                disable=None,
                file=sys.stderr,
            )
        self._bar.update(progress.frames - self._bar.n)
