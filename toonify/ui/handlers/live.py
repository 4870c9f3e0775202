"""The camera, drawn while it runs: what happens with its frames.

They are dropped, not queued. Of a visitor, gradio hands over one at a time, and keeps only the
newest of those that come meanwhile; our page sends the next one when it has shown the last drawing,
so that none waits in a slow network either. A frame is never written to a file: it comes as a data:
URL, is drawn, and goes back as one.
"""

import base64
import dataclasses
import io
import threading
import time
from collections.abc import Callable

import gradio as gr
from PIL import Image

from toonify.ui import inputs, text
from toonify.ui.queueing import Turns

# px of the short side. Few, since an engine takes a moment for a size that is new to it.
SIDES = (128, 160, 192, 224, 256, 320, 384, 480)
FIRST = 192
LARGEST = {"best": 256, "fast": 480}
SLOW_S = 0.15  # a drawing that takes longer is made smaller
ROOM = 0.8  # of it: what the next larger one may be expected to take
LOOKS = 4  # drawings at a size before it is judged; the first of them is not counted
LASTS_S = 120
MOST_LIVE = 3  # visitors: their drawings take turns
GONE_S = 30  # without a frame: the visitor has left
MAX_FRAME_BYTES = 2 * 2**20
FULL = (
    f"{MOST_LIVE} people are live now, which is all that this server can draw. Try again in a"
    " minute or two."
)
OVER = f"{LASTS_S // 60} minutes are over, so that others have their turn. Start again if you like."


class Size:
    """The short side at which a visitor's frames are drawn: smaller where a drawing takes longer
    than `SLOW_S`, and larger again where there is room."""

    def __init__(self, largest: int):
        self.sides = [side for side in SIDES if side <= largest]
        self.side = min(FIRST, largest)
        self._took: list[float] = []

    def note(self, seconds: float) -> None:
        """A drawing at this size took so long, with the wait for its turn."""
        self._took.append(seconds)
        if len(self._took) < LOOKS:
            return
        usual = sorted(self._took[1:])[(LOOKS - 1) // 2]
        at = self.sides.index(self.side)
        if usual > SLOW_S:
            at = max(0, at - 1)
        elif at + 1 < len(self.sides):
            at += usual * (self.sides[at + 1] / self.side) ** 2 < ROOM * SLOW_S
        self.side = self.sides[at]
        self._took.clear()

    def of(self, frame: Image.Image) -> tuple[int, int]:
        """Width and height of the drawing of a frame; never larger than that."""
        scale = min(1.0, self.side / min(frame.size))
        return tuple(max(1, round(side * scale)) for side in frame.size)


@dataclasses.dataclass(eq=False)
class Session:
    """A visitor whose camera runs. Times are of `time.monotonic`; `apart` is the usual time in
    seconds from one drawing to the next, once there were two."""

    began: float
    seen: float
    sizes: dict[str, Size] = dataclasses.field(default_factory=dict)
    drawn: int = 0
    apart: float | None = None

    def size(self, quality: str) -> Size:
        """The size that suits a quality."""
        return self.sizes.setdefault(quality, Size(LARGEST[quality]))

    def shown(self, now: float) -> None:
        """A drawing is ready."""
        if self.drawn:
            apart = now - self.seen
            self.apart = apart if self.apart is None else 0.8 * self.apart + 0.2 * apart
        self.drawn += 1
        self.seen = now


class Handlers:
    """What happens with the frames of cameras. Sessions are gradio's."""

    def __init__(self, styles: list, load: Callable):
        # Without a look for faces, which takes longer than the drawing.
        self.styles = {style.name: style for style in styles if style.scope == "photo"}
        self.load = load
        self.sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._turns = Turns()

    def show(self, frame, style, request: gr.Request):
        """The drawing of a frame as JPEG, and a word on how it goes."""
        if frame is None:  # gradio says so when the camera stops
            return gr.skip()
        session = self.session(inputs.session_of(request))
        style = inputs.style(self.styles, style)
        quality = "fast" if style.fast else "best"
        with inputs.explained():
            pipeline = self.load(style.name, quality)
        drawing = self.draw(read(frame), pipeline, session.size(quality))
        session.shown(time.monotonic())
        said = text.pixels(drawing.size)
        if session.apart:
            said = f"{1 / session.apart:.1f} drawings a second · {said}"
        return jpeg(drawing), gr.update(value=said, visible=True)

    def draw(self, frame: Image.Image, pipeline: Callable, size: Size) -> Image.Image:
        """The frame drawn at the size of the hour, on its visitor's turn."""
        small = frame.resize(size.of(frame), Image.Resampling.BILINEAR, reducing_gap=2.0)
        start = time.perf_counter()
        with self._turns.turn():
            toon = pipeline(small, faces="none", strength=1.0, keep_color=False)
        size.note(time.perf_counter() - start)
        return toon.image

    def session(self, name: str) -> Session:
        """The visitor's session, begun with its first frame; refused where there are too many, and
        where it goes on for too long."""
        now = time.monotonic()
        with self._lock:
            for other in [n for n, s in self.sessions.items() if now - s.seen > GONE_S]:
                del self.sessions[other]
            session = self.sessions.get(name)
            if session is None:
                if len(self.sessions) >= MOST_LIVE:
                    raise inputs.refusal(FULL)
                session = self.sessions[name] = Session(now, now)
            if now - session.began > LASTS_S + GONE_S:  # gradio ends it sooner, where it is asked
                raise inputs.refusal(OVER)
            return session

    def end(self, request: gr.Request):
        """The camera stopped, by the visitor or by the clock: why, where it is not plain."""
        session = self.sessions.get(inputs.session_of(request))
        self.leave(request)
        if session is None:
            return gr.skip()
        over = time.monotonic() - session.began > LASTS_S - 1
        return gr.update(value=OVER if over else "", visible=over)

    def leave(self, request: gr.Request):
        """The visitor's place is free again."""
        with self._lock:
            self.sessions.pop(inputs.session_of(request), None)

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return text.about(self.styles.get(style))


def read(frame: str | bytes) -> Image.Image:
    """A frame, upright RGB."""
    if len(frame) > MAX_FRAME_BYTES:
        raise inputs.refusal(f"A frame is larger than {MAX_FRAME_BYTES >> 20} MB.")
    return inputs.read_photo(frame)


def jpeg(picture: Image.Image) -> str:
    """The picture as a data: URL."""
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
