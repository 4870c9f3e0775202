"""The bar of a run on the terminal: phase, losses, speed, and when it ends."""

import sys
import time
from contextlib import contextmanager

from tqdm import tqdm

SHOWN_LOSSES = 5
WARM_UP_STEPS = 2  # the first ones allocate memory, and do not count for the speed
MEASURED_STEPS = 4  # after which the speed is first told
SMOOTHING = 0.05  # weight of the newest step in the speed
PIPE_SECONDS = 10  # between two lines where no terminal redraws them


def format_seconds(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 2 h 5 min."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class ProgressBar:
    """The bar, and the clock of a run: how fast it is and how long it still takes.

    A context manager. It remembers how long pauses take (scores, sample grids, checkpoints), so
    that `--max-minutes` can be kept.

    Args:
        settings: of the run.
        images: number of images at the start.
        visible: whether to draw it; the clock runs in any case.
    """

    def __init__(self, settings, images: int, visible: bool):
        self.settings, self.images, self.started = settings, images, time.monotonic()
        self.seconds_per_image = 0.0
        self.steps, self.paused, self.last = 0, 0.0, time.monotonic()
        self.pauses: dict[str, float] = {}
        self.bar = tqdm(
            total=settings.max_images,
            initial=images,
            disable=not visible,
            bar_format="{desc} {percentage:3.0f}% |{bar:12}| {n_fmt}/{total_fmt}{postfix}",
            mininterval=0.1 if sys.stderr.isatty() else PIPE_SECONDS,
            dynamic_ncols=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def elapsed(self) -> float:
        """Seconds since the bar was made."""
        return time.monotonic() - self.started

    def update(self, phase: str, losses: dict[str, float]) -> None:
        """Counts a step, and shows its phase and losses."""
        now, batch = time.monotonic(), self.settings.batch
        pace = (now - self.last - self.paused) / batch
        self.last, self.paused = now, 0.0
        self.steps += 1
        self.images += batch
        if self.steps > WARM_UP_STEPS:
            first = self.steps == WARM_UP_STEPS + 1
            weight = 1.0 if first else max(SMOOTHING, 1 / (self.steps - WARM_UP_STEPS))
            self.seconds_per_image += weight * (pace - self.seconds_per_image)
        named = [f"{name} {value:.3g}" for name, value in list(losses.items())[:SHOWN_LOSSES]]
        self.bar.set_description_str(phase, refresh=False)
        self.bar.set_postfix_str(", ".join([*named, *self.describe_speed()]), refresh=False)
        self.bar.update(batch)
        if self.steps == WARM_UP_STEPS + MEASURED_STEPS:
            self.say(self.describe_plan())

    def describe_speed(self) -> list[str]:
        """Images a second, and the time that is left."""
        if not self.seconds_per_image:
            return []
        return [f"{1 / self.seconds_per_image:.3g} images/s", f"{format_seconds(self.left())} left"]

    def left(self) -> float:
        """Seconds to the nearer of `--max-images` and `--max-minutes`, with pauses."""
        s = self.settings
        images = max(0, s.max_images - self.images)
        seconds = images * self.seconds_per_image
        every = {"sample": s.sample_every_images, "save": s.save_every_images}
        if s.validate:
            every["score"] = s.validate_every_images
        seconds += sum(images / n * self.pauses.get(name, 0.0) for name, n in every.items())
        if s.max_minutes:
            seconds = min(seconds, 60 * s.max_minutes - self.elapsed())
        return max(0.0, seconds)

    def closing_seconds(self) -> float:
        """How long the last score, sample grid and checkpoint take, by the ones so far."""
        sample = self.pauses.get("sample", 0.0)
        # A score draws several times as many images as a sample grid has.
        score = self.pauses.get("score", 4 * sample) if self.settings.validate else 0.0
        return sample + score + self.pauses.get("save", 0.0)

    def is_late(self) -> bool:
        """Whether the run has to end now to end within `--max-minutes`."""
        limit = 60 * self.settings.max_minutes
        step = self.seconds_per_image * self.settings.batch
        return 0 < limit < self.elapsed() + step + self.closing_seconds()

    def describe_plan(self) -> str:
        """What comes when, at the speed so far."""
        s, pace = self.settings, self.seconds_per_image

        def wait(every: int) -> str:
            return format_seconds((every - self.images % every) * pace)

        end = "--max-images"
        if s.max_minutes and self.left() < (s.max_images - self.images) * pace:
            end = "--max-minutes"
        return (
            f"At {1 / pace:.3g} images/s: next sample grid in {wait(s.sample_every_images)}, next "
            f"checkpoint and model in {wait(s.save_every_images)}, end in "
            f"{format_seconds(self.left())} ({end})"
        )

    @contextmanager
    def pause(self, name: str, what: str):
        """Says on the bar what is done meanwhile, and measures how long it takes.

        Args:
            name: sample, score or save.
            what: what is done, in words.
        """
        started = time.monotonic()
        self.bar.set_description_str(what, refresh=True)
        yield
        seconds = time.monotonic() - started
        self.pauses[name] = seconds
        self.paused += seconds

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        if not self.bar.disable:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()
