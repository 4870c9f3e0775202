"""`toonify video IN OUT`: draws a video."""

import contextlib
import os
import sys
from pathlib import Path

import click
from click import IntRange

from toonify import hub
from toonify.cli import options, results
from toonify.cli.options import option
from toonify.cli.results import Results

INTERRUPTED = 130
NUMBERS = ("frames", "seconds", "drawn", "fps", "faces", "damaged")  # of a result for programs
FLICKER = ("source", "drawn", "steady", "ratio")


@options.command(
    examples="""
    video party.mp4 toons.mp4
    video party.mov toons.mp4 --style gouache --side-by-side --max-height 720
    video wave.gif toon.webp --strength 0.7 --keep-color
    """,
    status="0 drawn or skipped, 1 failed",
)
@click.argument("source", metavar="IN", help="Video or animation")
@click.argument("target", metavar="OUT", help="File")
@options.model_option("--style", hub.DEFAULT_STYLE)
@options.drawing("video")
@option("--side-by-side", "Video on the left, drawing on the right", is_flag=True)
@option("--max-height", "Pixels to which a taller video is reduced", IntRange(16))
@option("--crf", "Compression of the video, 0 (best quality) to 51", IntRange(0, 51), default=18)
@option("--stabilize/--no-stabilize", "Stable drawing where nothing changes", default=True)
@option("--sound/--no-sound", "Sound of the video", default=True)
@option("--measure", "Report on the flicker of the drawings; slower", is_flag=True)
@options.overwrite
@options.mark
@results.as_json
def video(source: str, target: str, overwrite: bool, as_json: bool, **values) -> int:
    """Draws a video with its sound, or an animated GIF, WebP or PNG. Every frame keeps its
    exact time, sound and subtitles are copied where OUT can hold them, other sound is
    re-encoded, and memory use does not grow with the length.

    The suffix of OUT gives the format: .mp4, .m4v, .mov or .mkv (H.264), .webm (VP9), or an
    animation, .gif, .webp or .png. After an interruption, the same command continues: finished
    pieces are in the folder .OUT.parts, which is removed at the end. An existing OUT is skipped,
    and the video itself is never replaced.
    """
    shown, names = Results(as_json), {"input": source, "output": target}
    if not os.path.isfile(source):
        raise click.UsageError(f"{source}: there is no such file")
    if os.path.realpath(source) == os.path.realpath(target):
        raise click.UsageError(f"{target} is the video itself, and videos are never replaced")
    from toonify.video.decoding import open_video
    from toonify.video.muxing import check_suffix  # here: it opens FFmpeg's libraries

    with options.reported():
        check_suffix(Path(target))
    if os.path.isdir(target):
        raise click.UsageError(f"{target} is a folder: expected a file")
    if os.path.lexists(target) and not overwrite:
        shown.add(results.SKIPPED, **names)
        shown.say("skipped (there already; --overwrite draws it again)")
        return 0
    with shown.failing(**names):
        with options.reported(ValueError):
            open_video(source)  # reports what is not a video before torch is loaded
        return draw(source, target, overwrite, shown, values)


def draw(source: str, target: str, overwrite: bool, shown: Results, values: dict) -> int:
    """Opens the style, draws, and prints what came of it."""
    from toonify.pipelines.animegan import AnimeGANPipeline, check_options
    from toonify.pipelines.video import VideoOptions, draw_video

    with options.reported():
        settings = options.pick(VideoOptions, values)
        pipeline = AnimeGANPipeline.from_pretrained(
            values["style"], device=values["device"], quality=values["quality"]
        )
        check_options(pipeline.style, settings)
    try:
        with progress_bar() as show, options.reported(ValueError):
            drawn = draw_video(
                pipeline,
                source,
                target,
                settings,
                overwrite=overwrite,
                measure=values["measure"],
                progress=show,
            )
    except KeyboardInterrupt:
        print("interrupted; the same command continues from here", file=sys.stderr)
        return INTERRUPTED
    report(drawn, shown)
    shown.add(results.DRAWN, input=source, output=target, **describe(drawn))
    return 0


def describe(drawn) -> dict:
    """The result for programs."""
    numbers = {name: getattr(drawn, name) for name in NUMBERS}
    flicker = None
    if drawn.flicker:
        flicker = {name: getattr(drawn.flicker, name) for name in FLICKER}
    return numbers | {"flicker": flicker, "notes": list(drawn.notes)}


def report(drawn, shown: Results) -> None:
    """Prints the result, and to stderr what the user should know of it."""
    for note in drawn.notes:
        print(f"note: {note}", file=sys.stderr)
    if drawn.damaged:
        print(f"note: {drawn.damaged} damaged packets were skipped", file=sys.stderr)
    shown.say(
        f"{drawn.frames} frames, {drawn.seconds:.2f} s; {drawn.drawn} drawn,"
        f" {drawn.fps:.2f} frames a second"
    )
    if flicker := drawn.flicker:
        shown.say(
            f"flicker in levels of 255: source {flicker.source:.2f}, drawings {flicker.drawn:.2f},"
            f" video {flicker.steady:.2f}; {flicker.ratio:.2f} times the source's"
        )


@contextlib.contextmanager
def progress_bar():
    """A function that shows the progress on a terminal, and nothing in a log file."""
    from tqdm import tqdm

    with tqdm(unit="frame", disable=None, file=sys.stderr) as bar:

        def show(progress) -> None:
            if not bar.n:  # frames of an earlier run were not drawn in this one
                bar.initial = bar.n = progress.frames - 1
            bar.total = progress.total or None
            bar.update(progress.frames - bar.n)

        yield show
