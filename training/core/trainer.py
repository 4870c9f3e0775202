"""The training loop of all models: batch, discriminator, generator, EMA weights, clock.

Progress is counted in images, so that the batch size can change between two runs.
"""

import json
import math
import shutil
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast as broadcast_tensor
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from toonify.files import atomic_folder, discard_unfinished
from training.core import device, run_info, trackers
from training.core.checkpoint import (
    Progress,
    checkpoints,
    find_damage,
    find_sound_checkpoint,
    last_checkpoint,
    locked,
    save_checkpoint,
    trim_log,
    write_settings,
)
from training.core.ema import EMA
from training.core.hub_callback import HubCallback
from training.core.progress_bar import ProgressBar


class Objective(Protocol):
    """What is trained. A batch is what `dataset` yields, collated, on the device.

    - `optimizers` maps "g", "d" and "init" (the generator's without a discriminator) to optimizers.
      A parameter group may have a `share` of the learning rate that `schedule` returns.
    - `checkpointables` are further objects with state that a resumed run restores.
    - `discriminator` and `generator` return (loss, logs).
    - `counts`, if it has any, are the numbers of training images by kind, for the terminal, and
      `validation` says what it scores.
    - `styles`, if it has any, are the names of styles that it exports into folders of their own.
    - `validate` scores the EMA weights: metrics by name, of which the lowest `score` is the best;
      empty without validation images.
    """

    G: nn.Module
    D: nn.Module
    dataset: Dataset

    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...
    def checkpointables(self) -> list: ...
    def schedule(self, images: int) -> dict[str, float]: ...
    def uses_discriminator(self, images: int) -> bool: ...
    def preprocess(self, batch): ...
    def forward(self, G, batch): ...
    def discriminator(self, D, output, batch, images: int): ...
    def generator(self, D, output, batch, images: int): ...
    def sample(self, G, path: Path) -> None: ...
    def validate(self, G) -> dict[str, float]: ...
    def export(self, G, folder: Path, images: int) -> None: ...


class SignalHandler:
    """Turns the first Ctrl-C or SIGTERM into `stop_requested`; a second one interrupts at once.

    A context manager, which restores the previous handlers.
    """

    def __enter__(self):
        self.stop_requested = False
        signals = (signal.SIGINT, signal.SIGTERM)
        self.previous = {number: signal.signal(number, self.handle) for number in signals}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def handle(self, number, frame) -> None:
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True


def mean_logs(rows: list[dict[str, torch.Tensor]], prefix: str) -> dict[str, torch.Tensor]:
    """Means of the logs of a batch's parts, with a prefix before the names."""
    return {f"{prefix}{name}": sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def broadcast(accelerator: Accelerator, value: float) -> float:
    """The main process's value, in every process."""
    if accelerator.num_processes == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=accelerator.device)
    return float(broadcast_tensor(shared)[0])


class RunningMeans:
    """Means of logged values between two lines of the log."""

    def __init__(self):
        self.sums: dict[str, float] = {}
        self.steps: dict[str, int] = {}

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.steps[name] = self.steps.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means so far, rounded to six places; starts again."""
        means = {name: round(value / self.steps[name], 6) for name, value in self.sums.items()}
        self.sums, self.steps = {}, {}
        return means

    def state_dict(self) -> dict:
        return {"sums": dict(self.sums), "steps": dict(self.steps)}

    def load_state_dict(self, state: dict) -> None:
        self.sums, self.steps = state["sums"], state["steps"]


def all_reduce_logs(accelerator: Accelerator, values: dict[str, torch.Tensor], *flags: bool):
    """Means of the values over all processes, and whether each flag is set in any of them.

    Every process gets the same answer, so that all stop at the same step.
    """
    found = [torch.as_tensor(value, dtype=torch.float32).detach() for value in values.values()]
    row = torch.stack(
        [part.to(accelerator.device) for part in found]
        + [torch.tensor(float(flag), device=accelerator.device) for flag in flags]
    )
    if accelerator.num_processes > 1:
        row = accelerator.reduce(row, reduction="mean")
    row = row.tolist()
    means = dict(zip(values, row[: len(found)], strict=True))
    return means, *(flag > 0 for flag in row[len(found) :])


def refuse_nonfinite(logs: dict[str, float], images: int, run: Path) -> None:
    """Raises FloatingPointError that names the first loss that is not a finite number."""
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} after {images} images. The last good checkpoint is "
                f"{last_checkpoint(run)}; lower the learning rate or train with "
                "--precision fp32, then --resume."
            )


def check_run(run: Path, resume: bool, resume_from: str | None = None) -> Path | None:
    """The checkpoint to resume from; ValueError if the run's folder does not fit `resume`.

    A damaged one is named in a warning, and an older one is used, unless `resume_from` names it.
    """
    saved = checkpoints(run)
    if resume_from:
        named = Path(resume_from).expanduser().absolute()
        if damage := find_damage(named):
            raise ValueError(f"--resume-from {resume_from}: damaged: {damage}")
        if saved and named.parent.parent != run.absolute():
            raise ValueError(f"--out {run}: holds a run already; name another folder")
        return named
    if resume and not saved:
        raise ValueError(f"--resume: no checkpoint in {run}")
    if not resume and saved:
        raise ValueError(f"--out {run}: holds a run already; add --resume or name another folder")
    return find_sound_checkpoint(run)


class Trainer:
    """One run. Sample i of the dataset depends on i alone, so a resumed run starts at its count."""

    def __init__(
        self,
        objective: Objective,
        settings,
        resume: bool,
        preset: str,
        resume_from: str | None = None,
    ):
        self.objective, self.settings, self.resume = objective, settings, resume
        self.out = Path(settings.out)
        checkpoint = check_run(self.out, resume, resume_from)
        names = trackers.tracker_names(settings.trackers)
        self.accelerator = device.create_accelerator(settings, names)
        self.is_main = self.accelerator.is_main_process
        self.out.mkdir(parents=True, exist_ok=True)
        self.ema = EMA(objective.G, settings.ema_half_life_images)
        self.ema.network.to(self.accelerator.device)
        names, optimizers = zip(*objective.optimizers().items(), strict=True)
        self.G, self.D, *optimizers = self.accelerator.prepare(
            objective.G, objective.D, *optimizers
        )
        self.optimizers = dict(zip(names, optimizers, strict=True))
        self.progress, self.means = Progress(), RunningMeans()
        self.accelerator.register_for_checkpointing(
            self.ema, self.progress, self.means, *objective.checkpointables()
        )
        if checkpoint:
            self.accelerator.load_state(str(checkpoint))
        self.loader = self.accelerator.prepare_data_loader(
            DataLoader(
                Subset(objective.dataset, range(self.progress.images, settings.max_images)),
                settings.batch // self.accelerator.num_processes,
                drop_last=True,
                **device.loader_options(settings.workers, self.accelerator.device),
            ),
            device_placement=False,
        )
        self.about = run_info.about(settings, preset, self.accelerator)
        self.started, self.seconds_before = time.monotonic(), self.progress.seconds
        self.logged = self.progress.images, self.progress.seconds  # at the last line of the log
        kind = self.accelerator.device.type
        self.look_every = device.STEPS_BETWEEN_LOOKS.get(kind, device.DEFAULT_STEPS_BETWEEN_LOOKS)
        self.unread: list[dict[str, torch.Tensor]] = []  # losses of the steps since the last look
        self.steps, self.shown, self.rates = 0, {}, {}  # of this start; last losses; last rates

    def run(self) -> Progress:
        """Trains to the end, or until the clock or a signal stops it."""
        settings, progress = self.settings, self.progress
        self.bar = ProgressBar(settings, progress.images, self.is_main)
        hub_callback = HubCallback(settings, progress.images)
        lock = locked(self.out) if self.is_main else nullcontext()
        with lock, SignalHandler() as signals, self.bar, hub_callback:
            self.bar.say(self.describe())
            if self.is_main:
                write_settings(settings, self.out, self.about["preset"])
                trim_log(self.out / "log.jsonl", progress.images)
                trackers.start(self.accelerator, settings, self.out)
            if self.is_main and not self.resume:
                self.sample()
            for batch in self.loader:
                late, stopped = self.train_batch(batch, signals)
                over = late or progress.images + settings.batch > settings.max_images
                if self.finish_batch(over, stopped, hub_callback):
                    break
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return progress

    def describe(self) -> str:
        """The machine and the data, in a line."""
        counts = getattr(self.objective, "counts", {})
        data = "".join(f", {count:,} {what}" for what, count in counts.items())
        start = f", from {self.progress.images:,} images on" if self.progress.images else ""
        return device.describe(self.accelerator) + data + start

    def train_batch(self, batch, signals: SignalHandler) -> tuple[bool, bool]:
        """Takes a step of each network; returns whether time is up, and whether to stop."""
        objective, accelerator, progress = self.objective, self.accelerator, self.progress
        settings, images = self.settings, self.progress.images
        parts = device.split(batch, settings.gradient_accumulation_steps)
        parts = [objective.preprocess(device.move(part, accelerator.device)) for part in parts]
        self.set_rates(images)
        adversarial = objective.uses_discriminator(images)
        output, logs = self.train_discriminator(parts, images) if adversarial else (None, {})
        logs |= self.add_generator_gradients(parts, output, images, adversarial)
        self.unread.append(logs)
        late = stopped = False
        self.steps += 1
        if self.steps % self.look_every == 0:
            late, stopped = self.read_losses(self.bar.is_late(), signals.stop_requested)
        self.optimizers["g" if adversarial else "init"].step()
        progress.images += settings.batch
        progress.seconds = self.seconds_before + time.monotonic() - self.started
        self.ema.update(accelerator.unwrap_model(self.G), settings.batch, progress.images)
        self.bar.update("adversarial" if adversarial else "no discriminator", self.shown)
        return late, stopped

    def set_rates(self, images: int) -> None:
        """Sets the learning rates after `images`."""
        self.rates = self.objective.schedule(images)
        for name, rate in self.rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * group.get("share", 1.0)

    def train_discriminator(self, parts: list, images: int) -> tuple[object, dict]:
        """Takes a step of the discriminator.

        Returns:
            The generator's output with its graph, or None for a batch in several parts, whose
            graphs would take the memory that the parts are to save; and the logs.
        """
        accelerator, optimizer, rows = self.accelerator, self.optimizers["d"], []
        self.D.requires_grad_(True)
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            with accelerator.autocast(), torch.set_grad_enabled(len(parts) == 1):
                output = self.objective.forward(self.G, part)
            with accelerator.autocast():
                loss, values = self.objective.discriminator(self.D, output, part, images)
            accelerator.backward(loss / len(parts))
            rows.append(values)
        optimizer.step()
        self.D.requires_grad_(False)
        return (output if len(parts) == 1 else None), mean_logs(rows, "d_")

    def add_generator_gradients(
        self, parts: list, output, images: int, adversarial: bool
    ) -> dict[str, torch.Tensor]:
        """Computes the generator's gradients; returns the logs.

        `output` is that of the only part, if there is one.
        """
        accelerator, rows = self.accelerator, []
        # Without its wrapper, as the gradients of its weights are not needed and not shared.
        D = accelerator.unwrap_model(self.D) if adversarial else None
        self.optimizers["g" if adversarial else "init"].zero_grad(set_to_none=True)
        for part in parts:
            if output is None or len(parts) > 1:
                with accelerator.autocast():
                    output = self.objective.forward(self.G, part)
            with accelerator.autocast():
                loss, values = self.objective.generator(D, output, part, images)
            accelerator.backward(loss / len(parts))
            rows.append(values)
        return mean_logs(rows, "g_")

    def read_losses(self, *flags: bool) -> tuple[bool, ...]:
        """Reads the losses since the last time, and agrees on flags with the other processes.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        names = [(i, name) for i, logs in enumerate(self.unread) for name in logs]
        row = {key: self.unread[key[0]][key[1]] for key in names}
        values, *flags = all_reduce_logs(self.accelerator, row, *flags)
        for i in range(len(self.unread)):
            logs = {name: value for (step, name), value in values.items() if step == i}
            before = len(self.unread) - 1 - i
            refuse_nonfinite(logs, self.progress.images - before * self.settings.batch, self.out)
            self.means.add(logs)
            self.shown = logs
        self.unread = []
        return tuple(flags)

    def finish_batch(self, over: bool, stopped: bool, hub_callback: HubCallback) -> bool:
        """Scores, logs, samples and saves if due; returns whether the run ends here.

        A stopped run saves without scores and samples, as it may be killed soon.
        """
        settings, images = self.settings, self.progress.images
        finished, leaving = over and not stopped, over or stopped

        def due(every: int) -> bool:
            return images // every != (images - settings.batch) // every

        scores, logs = due(settings.validate_every_images), due(settings.log_every_images)
        samples, saves = due(settings.sample_every_images), due(settings.save_every_images)
        if self.unread and (leaving or scores or logs or samples or saves):
            self.read_losses()
        if scores or finished:
            if self.is_main:
                self.means.add(self.save_if_best())
            self.progress.best = broadcast(self.accelerator, self.progress.best)
        if (logs or leaving) and self.is_main:
            self.log()
        if (samples or finished) and self.is_main:
            self.sample()
        if saves or leaving:
            with self.bar.pause("save", "saving"):
                save_checkpoint(self.accelerator, self.out, images, settings.keep_checkpoints)
                if self.is_main:
                    self.export(self.out / "model")
                    hub_callback.on_export(images, last=leaving)
        return leaving

    def log(self) -> None:
        """Writes a line of log.jsonl."""
        images, seconds = self.progress.images, self.progress.seconds
        means = self.means.take()
        pace = (images - self.logged[0]) / max(seconds - self.logged[1], 1e-9)
        self.logged = images, seconds
        line = {"images": images, "seconds": round(seconds, 1), "images_per_second": round(pace, 3)}
        with open(self.out / "log.jsonl", "a") as log:
            log.write(json.dumps(line | means) + "\n")
        rates = {f"lr_{name}": rate for name, rate in self.rates.items()}
        more = {"images_per_second": line["images_per_second"]}
        self.accelerator.log(means | rates | more, step=images)

    def sample(self) -> None:
        """Draws the sample grid with the EMA weights."""
        images = self.progress.images
        path = self.out / "samples" / f"{images:09d}.jpg"
        with self.bar.pause("sample", "drawing the sample grid"):
            self.objective.sample(self.ema.network, path)
            trackers.log_samples(self.accelerator, path, images)

    def export(self, folder: Path) -> None:
        """Writes the folder of the EMA weights, with training.json.

        It is replaced as a whole, as somebody may be drawing with it. Other files in it stay.
        """
        images, seconds = self.progress.images, self.progress.seconds
        discard_unfinished([folder])  # of a process that was killed
        with atomic_folder(folder) as part:
            if folder.is_dir():
                shutil.copytree(folder, part, dirs_exist_ok=True)
            self.objective.export(self.ema.network, part, images)
            for name in getattr(self.objective, "styles", ()) or ("",):
                run_info.write(part / name, self.about, images, seconds)

    def save_if_best(self) -> dict[str, float]:
        """Scores the EMA weights; exports them to OUT/best if no earlier score was better."""
        what = getattr(self.objective, "validation", "images")
        with self.bar.pause("score", f"scoring {what}"):
            metrics = self.objective.validate(self.ema.network)
        if metrics and metrics["score"] < self.progress.best:
            self.progress.best = metrics["score"]
            self.export(self.out / "best")
        return {f"val_{name}": value for name, value in metrics.items()}


def train(
    objective: Objective,
    settings,
    *,
    resume: bool = False,
    resume_from: str | None = None,
    preset: str = "",
) -> Progress:
    """Trains until `max_images`, `max_minutes` or a signal, and always leaves a checkpoint.

    A resumed run gives the same weights as one that was never stopped.

    Args:
        objective: what to train.
        settings: the run's `RunSettings`.
        resume: continue the run in `settings.out`, which must hold one; without it, it must not.
        resume_from: the checkpoint to continue from; default: the newest sound one of the run. One
            of another run starts a run in `settings.out`.
        preset: the name of the preset that the settings come from, for training.json.

    Raises:
        ValueError: the run's folder does not fit `resume` or is in use, or the batch does not
            divide over the processes.
        FloatingPointError: a loss is not finite; the last good checkpoint stays.
        OSError: the disk is full; the last complete checkpoint stays.
    """
    return Trainer(objective, settings, resume, preset, resume_from).run()
