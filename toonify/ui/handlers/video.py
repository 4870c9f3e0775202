"""Video to cartoon: the handlers.

One video is drawn at a time, frame by frame, and photos are drawn between its frames. A few others
wait here: in gradio's queue they would take the places of photos.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gradio as gr

from toonify.hub import Style
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.cancellation import Jobs, StopSignal
from toonify.ui.handlers.styles import StyleHandlers
from toonify.ui.inputs import UserError
from toonify.ui.queueing import Turns

MAX_SECONDS = 30
MAX_BYTES = 100 * 2**20
MAX_HEIGHT = 720  # px; taller videos are scaled down
MAX_VIDEOS = 4  # that are drawn or wait
MAX_WORK_S = 1800  # for a video: then it ends, so that others get a turn
MAX_ANIMATION_PIXELS = 1_000_000_000  # of all frames: 30 seconds of 1280x720 at 36 a second
FULL = f"{MAX_VIDEOS} videos are in progress or waiting. Try again in a few minutes."


@events.on_gpu
def draw(
    load: Callable, source: str, target: Path, stop: StopSignal, max_seconds: float, **options
):
    """Return the `DrawnVideo` of a visitor's file by the pipeline that `load` gives; None if it was
    stopped. Loads FFmpeg's libraries."""
    from toonify.pipelines.video import Cancelled, VideoOptions, draw_video

    report = inputs.track_progress(MAX_WORK_S)

    def progress(done):
        report(done.fraction, text.format_progress(done.frames, done.total, done.seconds_left))

    with inputs.explain_hub_errors():
        pipeline = load()
    with explain_video_errors(source):
        try:
            return draw_video(
                *(pipeline, source, target, VideoOptions(max_height=MAX_HEIGHT, **options)),
                resume=False,
                most_seconds=max_seconds,
                progress=progress,
                cancelled=stop,
            )
        except Cancelled:
            return None


@contextlib.contextmanager
def explain_video_errors(source: str) -> Iterator[None]:
    """Show the visitor why a file is not a video, without the folder that it lies in here."""
    from toonify.video.types import VideoError

    try:
        yield
    except VideoError as error:
        raise UserError(str(error).replace(source, Path(source).name)) from error


class Stopped(Exception):
    """The visitor pressed Stop before the turn came."""


class VideoHandlers(StyleHandlers):
    """The handlers of the tab. Videos come unread, as paths.

    Args:
        styles: the styles to choose from.
        load: gives the pipeline of a style: `load(name, quality)`.
        max_seconds: the longest video.
    """

    def __init__(self, styles: Sequence[Style], load: Callable, max_seconds: float = MAX_SECONDS):
        super().__init__(styles, load)
        self.max_seconds = max_seconds
        self.jobs = Jobs()
        self._turns = Turns(MAX_VIDEOS, FULL)

    def draw(self, request, source, style: str, quality: str, faces: str, **options):
        """Return the `DrawnVideo`; None if it was stopped. Leaves no other file."""
        inputs.get_style(self.styles, style, quality, faces)
        self.check(source)
        report = inputs.track_progress(MAX_WORK_S)
        target = outputs.make_parent(outputs.choose_path(source, style, ".mp4"))
        load = functools.partial(self.load, style, quality)
        options = {"faces": faces, **options}
        with self.jobs.run(inputs.get_session(request), MAX_WORK_S) as stop:

            def on_wait(ahead: int) -> None:
                if stop():
                    raise Stopped
                waiting = i18n.ngettext(
                    "Waiting: {count} video ahead of yours",
                    "Waiting: {count} videos ahead of yours",
                    ahead,
                )
                report(0.0, waiting)

            try:
                with self._turns.wait(on_wait):
                    return draw(load, source, target, stop, self.max_seconds, **options)
            except Stopped:
                return None
            finally:
                with contextlib.suppress(OSError):  # the video is in it
                    target.parent.rmdir()

    def check(self, source: str | bytes | None) -> None:
        """Refuse what is too large, too long or not a video, before it waits for its turn."""
        if source is None:
            raise UserError("Choose a video first: upload or record one.")
        if isinstance(source, bytes):
            raise UserError("Upload the video first.")
        size = os.path.getsize(source)
        if size > MAX_BYTES:
            raise UserError(
                f"The video has {size >> 20} MB: expected at most {MAX_BYTES >> 20} MB."
            )
        from toonify.video.animations import Animation
        from toonify.video.decoding import open_video  # loads FFmpeg's libraries

        with explain_video_errors(source):
            video = open_video(source)
        if isinstance(video, Animation) and video.pixels > MAX_ANIMATION_PIXELS:
            raise UserError(
                f"The animation has {video.pixels / 1e6:.0f} million pixels in all frames:"
                f" expected at most {MAX_ANIMATION_PIXELS // 10**6} million."
            )
        seconds = video.about.seconds
        if seconds > self.max_seconds:
            raise UserError(
                f"The video lasts {seconds:.0f} s: expected at most {self.max_seconds:g} s."
            )

    def toonify_video(
        self,
        video,
        style,
        quality="best",
        faces="all",
        side_by_side=False,
        request: gr.Request | None = None,
        sound=True,
        progress=events.PROGRESS,
    ):
        """Draw the cartoon of a video. Returns an MP4 with the same timing and sound.

        client.predict(handle_file("me.mp4"), "comic", api_name="/video")

        Parameters:
            video: MP4, MOV, MKV, WebM or AVI, or an animated GIF, WebP or PNG. The page shows the
                limits.
            style: a name that /styles returns.
            quality: "best", or "fast" if /styles says that the style has it.
            faces: "all", "largest" or "none": which faces are also drawn separately.
            side_by_side: put the original on the left.
            sound: keep the sound.
        """
        drawn = self.draw(
            request, video, style, quality, faces, side_by_side=side_by_side, sound=sound
        )
        if drawn is None:
            raise UserError(f"Stopped after {MAX_WORK_S // 60} minutes.")
        return str(drawn.path)

    def toonify_clip(
        self,
        clip,
        style,
        quality="best",
        faces="all",
        side_by_side=False,
        request: gr.Request | None = None,
        sound=True,
        progress=events.PROGRESS,
    ):
        """Do the same as /video, which was called /clip before."""
        return self.toonify_video(clip, style, quality, faces, side_by_side, request, sound)

    def show(
        self,
        video,
        style,
        quality,
        faces,
        side_by_side,
        request: gr.Request | None = None,
        sound=True,
        progress=events.PROGRESS,
    ):
        """Do the same for the page: the video, its download and a report."""
        drawn = self.draw(
            request, video, style, quality, faces, side_by_side=side_by_side, sound=sound
        )
        if drawn is None:
            i18n.show_info("Stopped. Nothing was saved.")
            return self.clear()
        done, rate = "{count} frames processed, {rate} per second", f"{drawn.fps:.1f}"
        parts = [i18n.gettext(done, count=drawn.frames, rate=rate)]
        parts += [i18n.ngettext("{count} face", "{count} faces", drawn.faces)] * (drawn.faces > 0)
        parts += map(i18n.translate, drawn.notes)
        return (
            str(drawn.path),
            gr.update(value=str(drawn.path), interactive=True),
            gr.update(value=" · ".join(parts), visible=True),
        )

    def clear(self):
        """Clear the result: it belongs to another video."""
        return None, gr.update(value=None, interactive=False), gr.update(visible=False)

    def begin(self):
        """Show the button that stops the work."""
        return gr.Button(i18n.gettext("Stop"), visible=True, interactive=True)

    def stop(self, request: gr.Request):
        """Stop the visitor's video."""
        stopped = self.jobs.stop(inputs.get_session(request))
        return gr.Button(i18n.gettext("Stopping…"), interactive=False) if stopped else gr.skip()

    def leave(self, request: gr.Request):
        """Stop the video of a visitor who closed the page."""
        self.jobs.stop(inputs.get_session(request))
