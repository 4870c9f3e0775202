"""A clip to a drawn clip: what happens when somebody presses something.

One clip is drawn at a time, frame by frame, and photos are drawn between its frames. The others
wait here, a few of them: in gradio's queue they would take the places of photos.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from toonify.ui import components, events, inputs, outputs, text
from toonify.ui.cancellation import Stop, Stops
from toonify.ui.queueing import Turns

MOST_SECONDS = 30
MAX_BYTES = 100 * 2**20
MAX_HEIGHT = 720  # px; a higher clip becomes smaller
MOST_CLIPS = 4  # that are drawn or wait
WORK_S = 1800  # for a clip: then it ends, so that others have their turn
FULL = f"{MOST_CLIPS} clips are being drawn or wait already. Try again in a few minutes."


@events.on_gpu
def draw(load: Callable, source: str, target: Path, stop: Stop, most_seconds: float, **options):
    """The `DrawnClip` of a visitor's file by the pipeline that `load` gives; None if it was
    stopped. FFmpeg's libraries are opened here."""
    from toonify.pipelines.video import Cancelled, ClipOptions, draw_clip

    told = inputs.told()

    def progress(done):
        told(done.fraction, text.frames_done(done.frames, done.total, done.seconds_left))

    with inputs.explained():
        pipeline = load()
    with named(source):
        try:
            return draw_clip(
                *(pipeline, source, target, ClipOptions(max_height=MAX_HEIGHT, **options)),
                resume=False,
                most_seconds=most_seconds,
                progress=progress,
                cancelled=stop,
            )
        except Cancelled:
            return None


@contextlib.contextmanager
def named(source: str):
    """Refuses what is no clip in words, by the file's name: our folders are nobody's business."""
    from toonify.video.types import ClipError

    try:
        yield
    except ClipError as error:
        raise inputs.refusal(str(error).replace(source, Path(source).name)) from error


class Stopped(Exception):
    """The visitor pressed Stop before the turn came."""


class Handlers:
    """What happens when somebody presses something. Clips come as paths, unread."""

    def __init__(self, styles: list, load: Callable, most_seconds: float = MOST_SECONDS):
        self.styles = {style.name: style for style in styles}
        self.load = load
        self.most_seconds = most_seconds
        self.running = Stops()
        self._turns = Turns(MOST_CLIPS, FULL)

    def drawn(self, request, source, style: str, quality: str, faces: str, side_by_side: bool):
        """The `DrawnClip`; None if the visitor stopped it. Nothing else is left on the disk."""
        style = inputs.style(self.styles, style, quality, faces)
        self.check(source)
        session, told = inputs.session_of(request), inputs.told()
        target = outputs.made(outputs.placed(source, style.name, ".mp4"))
        load = functools.partial(self.load, style.name, quality)
        options = {"faces": faces, "side_by_side": side_by_side}
        with self.running.during(session, WORK_S) as stop:

            def waiting(before: int) -> None:
                if stop():
                    raise Stopped
                told(0.0, f"Waiting: {text.clips(before)} before yours")

            try:
                with self._turns.turn(waiting):
                    return draw(load, source, target, stop, self.most_seconds, **options)
            except Stopped:
                return None
            finally:
                with contextlib.suppress(OSError):  # the clip is in it
                    target.parent.rmdir()

    def check(self, source: str | bytes | None) -> None:
        """Refuses what is too large, too long or no clip, before anybody waits for it."""
        if source is None:
            raise inputs.refusal("Choose a clip first: upload one or record one.")
        if isinstance(source, bytes):
            raise inputs.refusal("Upload the clip first.")
        size = os.path.getsize(source)
        if size > MAX_BYTES:
            raise inputs.refusal(
                f"The clip has {size >> 20} MB: expected at most {MAX_BYTES >> 20} MB."
            )
        from toonify.video.decoding import open_clip  # opens FFmpeg's libraries

        with named(source):
            seconds = open_clip(source).about.seconds
        if seconds > self.most_seconds:
            raise inputs.refusal(
                f"The clip lasts {seconds:.0f} s: expected at most {self.most_seconds:g} s."
            )

    def clip(
        self,
        clip,
        style,
        quality="best",
        faces="all",
        side_by_side=False,
        request: gr.Request = None,
        progress=events.TRACKED,
    ):
        """Draw a clip. Returns an MP4 with the same times and the same sound.

        client.predict(handle_file("me.mp4"), "comic", api_name="/clip")

        Parameters:
            clip: a film (MP4, MOV, MKV, WebM, AVI) or an animated GIF, WebP or PNG. How long it may
                be stands on the screen.
            style: one of the names that /styles returns.
            quality: "best", or "fast" where /styles says that the style has it.
            faces: "all", "largest" or "none": which faces get a drawing of their own.
            side_by_side: put the clip on the left of its drawing.
        """
        drawn = self.drawn(request, clip, style, quality, faces, side_by_side)
        if drawn is None:
            raise inputs.refusal(f"Stopped after {WORK_S // 60} minutes.")
        return str(drawn.path)

    def show(
        self,
        clip,
        style,
        quality,
        faces,
        side_by_side,
        request: gr.Request = None,
        progress=events.TRACKED,
    ):
        """The same for the screen: the clip to look at, the download, a line of text."""
        drawn = self.drawn(request, clip, style, quality, faces, side_by_side)
        if drawn is None:
            gr.Info("Stopped. Nothing of the drawing is kept.")
            return self.forget()
        parts = [f"{drawn.frames} frames drawn, {drawn.fps:.1f} a second"]
        parts += [text.count(drawn.faces)] * (drawn.faces > 0) + list(drawn.notes)
        return (
            str(drawn.path),
            gr.update(value=str(drawn.path), interactive=True),
            gr.update(value=" · ".join(parts), visible=True),
        )

    def forget(self):
        """Clear the result: it belongs to another clip."""
        return None, gr.update(value=None, interactive=False), gr.update(visible=False)

    def begin(self):
        """Draw was pressed: the button that stops it."""
        return gr.Button("Stop", visible=True, interactive=True)

    def stop(self, request: gr.Request):
        """Stop was pressed."""
        pressed = self.running.press(inputs.session_of(request))
        return gr.Button("Stopping", interactive=False) if pressed else gr.skip()

    def leave(self, request: gr.Request):
        """The visitor went: nobody waits for the clip."""
        self.running.press(inputs.session_of(request))

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return text.about(self.styles.get(style))

    def choose(self, style: str):
        """What a style is, as Markdown, and the choice of quality where it has a fast generator."""
        return self.about(style), components.quality_of(self.styles.get(style))
