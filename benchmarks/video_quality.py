"""Frames a second of a video beside a loop that draws frame by frame in eager float32, in one run.

    python -m benchmarks.video_quality [--quality best] [--seconds 30] [--source VIDEO]
        [--eager-frames 4]

Without `--source` a 720p video is made: a slow pan over a photo with sensor noise, and a tone. The
loop decodes, draws with the whole network in eager PyTorch, and encodes, on as many threads, at the
size that the style draws at. The report also has the flicker before and after stabilization,
whether times and sound are those of the source, and how memory grows.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from PIL import Image

from toonify import hub, images
from toonify.pipelines.animegan import AnimeGANPipeline, load_generator
from toonify.pipelines.video import VideoOptions, draw_video

PHOTO = Path(__file__).parents[1] / "hub_cards" / "faces" / "astronaut.jpg"
SIZE, RATE, NOISE = (1280, 720), Fraction(30000, 1001), 5.0


def make_video(path: Path, seconds: float) -> None:
    """A slow pan over a photo, with noise and sound, as a camera would compress it."""
    width, height = SIZE
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((1600, 1600)))
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as video:
        film = video.add_stream("libx264", rate=RATE, options={"crf": "20"})
        film.width, film.height, film.pix_fmt = width, height, "yuv420p"
        voice = video.add_stream("aac", rate=48000, layout="mono")
        count = round(seconds * RATE)
        for number in range(count):
            there = 100 * (1 - np.cos(number / 150))
            move = np.array([[1, 0, -60 - there], [0, 1, -120]], np.float32)
            seen = cv2.warpAffine(photo, move, SIZE, flags=cv2.INTER_CUBIC).astype(np.float32)
            seen += random.normal(0, NOISE, seen.shape)
            frame = av.VideoFrame.from_ndarray(np.clip(seen, 0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            video.mux(film.encode(frame))
            for block in range(number * 1602 // 1024, (number + 1) * 1602 // 1024):
                tone = (8000 * np.sin(np.arange(block * 1024, block * 1024 + 1024) / 15))[None]
                sound = av.AudioFrame.from_ndarray(tone.astype(np.int16), "s16", layout="mono")
                sound.sample_rate, sound.pts = 48000, block * 1024
                sound.time_base = Fraction(1, 48000)
                video.mux(voice.encode(sound))
        video.mux(film.encode())
        video.mux(voice.encode())


@dataclass(frozen=True)
class Spent:
    """Frames a second, and processor seconds a frame: those a busy machine leaves alone."""

    fps: float
    cpu_seconds: float

    @classmethod
    def since(cls, begun: tuple[float, float], frames: int) -> "Spent":
        wall, cpu = (now - then for now, then in zip(clocks(), begun, strict=True))
        return cls(frames / wall, cpu / frames)


def clocks() -> tuple[float, float]:
    """Seconds on the wall, and those of the processor in this process."""
    return time.perf_counter(), time.process_time()


def eager_loop(source: Path, target: Path, short_side: int | None, frames: int) -> Spent:
    """What the eager loop takes; its first frame is not counted."""
    network = load_generator(hub.resolve_model(hub.DEFAULT_STYLE)).eval()
    with av.open(str(source)) as video, av.open(str(target), "w") as out, torch.inference_mode():
        film = out.add_stream("libx264", rate=video.streams.video[0].average_rate)
        pictures = video.streams.video[0]
        film.width, film.height, film.pix_fmt = pictures.width, pictures.height, "yuv420p"
        begun, done = (), -1
        for _, frame in zip(range(frames + 1), video.decode(video=0), strict=False):
            photo = frame.to_image()
            scale = short_side / min(photo.size) if short_side else 1.0
            small = photo.resize([round(side * scale) // 8 * 8 for side in photo.size])
            toon = images.to_pil(network(images.to_tensor(small))).resize(photo.size)
            out.mux(film.encode(av.VideoFrame.from_image(toon)))
            begun, done = begun or clocks(), done + 1
        spent = Spent.since(begun, done)
        out.mux(film.encode())
    return spent


def packets(path: Path, kind: str) -> list[tuple]:
    """When the packets of a stream are shown, and the bytes of those of sound."""
    with av.open(str(path)) as video:
        return sorted(
            (p.pts * p.time_base, p.duration * p.time_base, bytes(p) if kind == "audio" else b"")
            for p in video.demux(getattr(video.streams, kind))
            if p.pts is not None
        )


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--eager-frames", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--quality", default="best", choices=hub.QUALITIES)
    parser.add_argument("--full-size", action="store_true", help="a loop at the video's size too")
    parser.add_argument("--draw-all", action="store_true", help="without stabilizing")
    options = parser.parse_args()
    source, target = options.source, options.work / "benchmark-drawn.mp4"
    if source is None:
        source = options.work / "benchmark-video.mp4"
        make_video(source, options.seconds)
    pipeline = AnimeGANPipeline.from_pretrained(device="cpu", quality=options.quality)
    pipeline.draw(Image.new("RGB", SIZE), 0.5)  # warms up

    def draw(**more):
        chosen = VideoOptions(stabilize=not options.draw_all)
        return draw_video(pipeline, source, target, chosen, overwrite=True, resume=False, **more)

    memory, begun = [], clocks()
    video = draw(progress=lambda progress: memory.append(resident()))
    spent = Spent.since(begun, video.frames)
    loops = {"same size": int(pipeline.style.short_side) or None}
    loops |= {"full size": None} if options.full_size else {}
    eager = {
        name: eager_loop(source, options.work / "benchmark-eager.mp4", side, options.eager_frames)
        for name, side in loops.items()
    }
    # Apart from the timing: measuring takes time of its own.
    measured = draw(measure=True)
    third = len(memory) // 3
    found = {
        "frames": video.frames,
        "drawn": video.drawn,
        "quality": options.quality,
        "Toonify": asdict(spent),
        "eager": {name: asdict(found) for name, found in eager.items()},
        "times_faster": {name: spent.fps / e.fps for name, e in eager.items()},
        "times_less_cpu": {name: e.cpu_seconds / spent.cpu_seconds for name, e in eager.items()},
        "same_times": packets(source, "video") == packets(target, "video"),
        "same_sound": packets(source, "audio") == packets(target, "audio"),
        "flicker": vars(measured.flicker) | {"ratio": measured.flicker.ratio},
        "resident_mb": {
            "most in the first third": max(memory[: third + 1]),
            "most in the last third": max(memory[-third - 1 :]),
        },
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
