"""Live camera to cartoon: the handlers.

Frames are dropped, not queued. Gradio hands over one frame of a visitor at a time and keeps only
the newest of those that arrive meanwhile; our page sends the next frame when it has shown the last
drawing, so that none waits in a slow network either. A frame is never written to a file: it
arrives as a data: URL, is drawn, and goes back as one.
"""

import base64
import dataclasses
import io
import threading
import time
from collections.abc import Callable, Sequence

import gradio as gr
from PIL import Image

from toonify.hub import Style
from toonify.images import marks
from toonify.ui import i18n, inputs, text
from toonify.ui.handlers.styles import StyleHandlers
from toonify.ui.inputs import UserError
from toonify.ui.queueing import Turns

# px of the short side. Few, since an engine needs a moment for a size that is new to it.
SIDES = (128, 160, 192, 224, 256, 320, 384, 480)
FIRST_SIDE = 192
MAX_SIDE = {"best": 256, "fast": 480}
SLOW_S = 0.15  # a drawing that takes longer becomes smaller
MARGIN = 0.8  # of SLOW_S: what the next larger size may be expected to take
WINDOW = 4  # drawings at a size before it is judged; the first of them is not counted
MAX_SESSION_S = 120
MAX_SESSIONS = 3  # visitors, whose drawings take turns
IDLE_S = 30  # without a frame: the visitor has left
MAX_FRAME_BYTES = 2 * 2**20
FULL = (
    f"{MAX_SESSIONS} people are live now, which is all that this server can handle. Try again in a"
    " minute or two."
)
OVER = (
    f"Your {MAX_SESSION_S // 60} minutes are over, so that others get a turn. You can start again."
)


class SizeController:
    """Chooses the short side at which frames are drawn: smaller if a drawing takes longer than
    `SLOW_S`, and larger again if there is room.

    Args:
        largest: the largest short side, px.
    """

    def __init__(self, largest: int):
        self.sides = [side for side in SIDES if side <= largest]
        self.side = min(FIRST_SIDE, largest)
        self._seconds: list[float] = []

    def record(self, seconds: float) -> None:
        """Record how long a drawing took, with the wait for its turn."""
        self._seconds.append(seconds)
        if len(self._seconds) < WINDOW:
            return
        median = sorted(self._seconds[1:])[(WINDOW - 1) // 2]
        index = self.sides.index(self.side)
        if median > SLOW_S:
            index = max(0, index - 1)
        elif index + 1 < len(self.sides):
            index += median * (self.sides[index + 1] / self.side) ** 2 < MARGIN * SLOW_S
        self.side = self.sides[index]
        self._seconds.clear()

    def fit(self, frame: Image.Image) -> tuple[int, int]:
        """Return the width and height at which a frame is drawn; never larger than the frame."""
        scale = min(1.0, self.side / min(frame.size))
        return max(1, round(frame.width * scale)), max(1, round(frame.height * scale))


@dataclasses.dataclass(eq=False)
class Session:
    """A visitor whose camera runs. Times are of `time.monotonic`; `interval` is the usual time
    between two drawings in seconds."""

    began: float
    last: float
    sizes: dict[str, SizeController] = dataclasses.field(default_factory=dict)
    drawn: int = 0
    interval: float | None = None

    def get_size(self, quality: str) -> SizeController:
        """Return what chooses the size for a quality."""
        return self.sizes.setdefault(quality, SizeController(MAX_SIDE[quality]))

    def record(self, now: float) -> None:
        """Record that a drawing is ready."""
        if self.drawn:
            interval = now - self.last
            before = interval if self.interval is None else self.interval
            self.interval = 0.8 * before + 0.2 * interval
        self.drawn += 1
        self.last = now


class LiveHandlers(StyleHandlers):
    """The handlers of the tab. Sessions are gradio's.

    Args:
        styles: the styles to choose from. Those that draw only faces are left out: finding faces
            takes longer than drawing.
        load: gives the pipeline of a style: `load(name, quality)`.
    """

    def __init__(self, styles: Sequence[Style], load: Callable):
        super().__init__([style for style in styles if style.scope == "photo"], load)
        self.sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._turns = Turns()

    def show(self, frame, style, request: gr.Request):
        """Return the drawing of a frame as JPEG, and a report."""
        if frame is None:  # gradio sends this when the camera stops
            return gr.skip()
        session = self.get_session(inputs.get_session(request))
        style = inputs.get_style(self.styles, style)
        quality = style.fastest
        with inputs.explain_hub_errors():
            pipeline = self.load(style.name, quality)
        light = quality == "fast" or pipeline.patch > 1  # the network works on blocks of pixels
        size = session.get_size("fast" if light else "best")
        drawing = self.draw(read_frame(frame), pipeline, size)
        session.record(time.monotonic())
        report = text.format_size(drawing.size)
        if session.interval:
            rate = f"{1 / session.interval:.1f}"
            report = i18n.gettext("{count} frames per second", count=rate) + f" · {report}"
        return encode_jpeg(drawing), gr.update(value=report, visible=True)

    def draw(self, frame: Image.Image, pipeline: Callable, size: SizeController) -> Image.Image:
        """Return the drawing of a frame, on its visitor's turn."""
        small = frame.resize(size.fit(frame), Image.Resampling.BILINEAR, reducing_gap=2.0)
        start = time.perf_counter()
        with self._turns.wait():
            toon = pipeline(small, faces="none", strength=1.0, keep_color=False)
        size.record(time.perf_counter() - start)
        return toon.image

    def get_session(self, name: str) -> Session:
        """Return the visitor's session, which begins with the first frame.

        Raises:
            UserError: there are too many sessions, or this one has lasted too long.
        """
        now = time.monotonic()
        with self._lock:
            for other in [n for n, s in self.sessions.items() if now - s.last > IDLE_S]:
                del self.sessions[other]
            session = self.sessions.get(name)
            if session is None:
                if len(self.sessions) >= MAX_SESSIONS:
                    raise UserError(FULL)
                session = self.sessions[name] = Session(now, now)
            if now - session.began > MAX_SESSION_S + IDLE_S:  # gradio's time limit ends it sooner
                raise UserError(OVER)
            return session

    def end(self, request: gr.Request):
        """End a session whose camera stopped, and say so if its time was over."""
        session = self.sessions.get(inputs.get_session(request))
        self.leave(request)
        if session is None:
            return gr.skip()
        over = time.monotonic() - session.began > MAX_SESSION_S - 1
        return gr.update(value=i18n.translate(OVER) if over else "", visible=over)

    def leave(self, request: gr.Request):
        """Free the visitor's place."""
        with self._lock:
            self.sessions.pop(inputs.get_session(request), None)


def read_frame(frame: str | bytes) -> Image.Image:
    """Open a frame, upright RGB."""
    if len(frame) > MAX_FRAME_BYTES:
        raise UserError(f"A frame is larger than {MAX_FRAME_BYTES >> 20} MB.")
    return inputs.read_photo(frame)


def encode_jpeg(image: Image.Image) -> str:
    """Return the image as a data: URL."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85, **marks.encoder_options(marks.read_mark(image), "JPEG"))
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
