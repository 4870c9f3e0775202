"""A video of 1280x720, in frames/s: a frame-by-frame loop in eager PyTorch beside Toonify.

    python -m benchmarks.video [--style comic] [--rounds 2] [--json FILE]

The baseline reads with PyAV, draws each frame whole, and writes H.264, once at the video's size
and once drawing at that of the style's strokes, as Toonify does. Toonify also
follows faces and stabilizes the frames.
"""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.faces import group_photo
from benchmarks.photo import refuse_missing
from benchmarks.report import STYLE, command
from benchmarks.runner import Benchmark, Case, Unavailable, Workload
from toonify import hub

SIZE = (1280, 720)
FACES = (("random_001", 0.5, 0.1, 0.3), ("random_003", 0.3, 1.0, 0.3))
STEP = 4  # px that the image moves a frame


def write_source(file: Path, frames: int, size: tuple[int, int]) -> None:
    """A video in which a group photo moves sideways."""
    from toonify.video import write_video

    photo = group_photo((size[0] + STEP * frames, size[1]), FACES)
    views = (photo.crop((STEP * i, 0, STEP * i + size[0], size[1])) for i in range(frames))
    write_video(views, file, fps=24)


def prepare_baseline(
    style: str, frames: int, size: tuple[int, int], short_side: float = 0
) -> Workload:
    """Read, draw, write, one frame after the other; drawn with `short_side` px unless that is 0."""
    import av

    from benchmarks.baseline import BaselinePipeline

    pipe, folder = BaselinePipeline(style), tempfile.TemporaryDirectory()
    source, target = (Path(folder.name, name) for name in ("source.mp4", "drawn.mp4"))
    write_source(source, frames, size)

    def run(folder=folder):  # which is there as long as it may run
        with av.open(str(source)) as video, av.open(str(target), "w") as drawn:
            stream = drawn.add_stream("libx264", rate=24)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for frame in video.decode(video=0):
                photo = frame.to_image()
                if short_side:
                    scale = short_side / min(size)
                    photo = photo.resize([round(side * scale) for side in size])
                toon = pipe.draw(photo).resize(size)
                drawn.mux(stream.encode(av.VideoFrame.from_image(toon)))
            drawn.mux(stream.encode())

    return Workload(run, {"frames": frames}, pipe.note)


def prepare_toonify(style: str, frames: int, size: tuple[int, int], quality: str) -> Workload:
    """The pipeline's function for videos."""
    try:
        from toonify.pipelines.video import draw_video
    except ImportError as error:
        raise Unavailable(f"left out: this Toonify draws no videos ({error.name})") from error
    refuse_missing(style, quality)
    from toonify.pipelines.animegan import AnimeGANPipeline

    pipe = AnimeGANPipeline.from_pretrained(style, device="cpu", quality=quality)
    folder = tempfile.TemporaryDirectory()
    source, target = (Path(folder.name, name) for name in ("source.mp4", "drawn.mp4"))
    write_source(source, frames, size)

    def run(folder=folder):  # which is there as long as it may run
        draw_video(pipe, source, target, overwrite=True)

    return Workload(run, {"frames": frames})


def make_benchmark(
    quick: bool = False,
    style: str = hub.DEFAULT_STYLE,
    frames: int = 16,
    size: tuple[int, int] = SIZE,
) -> Benchmark:
    few = 1 if quick else 4  # eager frames take seconds each, and all the same
    strokes = hub.read_style(hub.resolve_model(style), style).short_side
    cases = [
        Case(
            "baseline loop: PyAV, eager PyTorch, fp32",
            partial(prepare_baseline, style, few, size),
        )
    ]
    if 0 < strokes < min(size):
        same_size = partial(prepare_baseline, style, few, size, strokes)
        cases.append(Case(f"the same, drawn {strokes:g} px high", same_size))
    for quality in hub.QUALITIES:
        draw = partial(prepare_toonify, style, frames // 2 if quick else frames, size, quality)
        cases.append(Case(f"draw_video, {quality}", draw, compiles=True))
    title = f"A video of {size[0]}x{size[1]}, style {Path(style).name}"
    return Benchmark(title, tuple(cases), rounds=1 if quick else 3)


def main() -> None:
    command(__doc__, lambda style: [make_benchmark(style=style)], style=STYLE)


if __name__ == "__main__":
    main()
