"""The training loop of all models: batch, discriminator, generator, EMA weights, clock.

Progress is counted in images, so that the batch size can change between two runs.
"""

import dataclasses
import json
import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import psutil
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import broadcast as broadcast_tensor
from accelerate.utils import is_tensorboard_available, is_wandb_available
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from training.core import run_info
from training.core.checkpoint import (
    Progress,
    checkpoints,
    find_sound_checkpoint,
    last_checkpoint,
    locked,
    save_checkpoint,
    trim_log,
    write_settings,
)
from training.core.ema import EMA
from training.core.hub_callback import HubCallback


class Objective(Protocol):
    """What is trained. A batch is what `dataset` yields, collated, on the device.

    - `optimizers` maps "g", "d" and "init" (the generator's without a discriminator) to optimizers.
      A parameter group may have a `share` of the learning rate that `schedule` returns.
    - `checkpointables` are further objects with state that a resumed run restores.
    - `discriminator` and `generator` return (loss, logs).
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


def pick_device() -> torch.device:
    """The device of this process: its GPU, or the CPU."""
    return PartialState(cpu=not torch.accelerator.is_available()).device


def set_threads(threads: int) -> int:
    """Sets the number of PyTorch's threads for `--threads`; returns it.

    With 0, PyTorch's own choice stays, but for the one thread that `accelerate launch` gives each
    process by default: then the cores are shared by the processes of this machine.
    """
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ
    if not threads and launched and os.environ.get("OMP_NUM_THREADS") == "1":
        cores = min(len(os.sched_getaffinity(0)), psutil.cpu_count(logical=False) or 1)
        threads = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def pick_precision(precision: str) -> str:
    """accelerate's `mixed_precision` for `--precision`; auto is bf16 where hardware computes it."""
    if precision != "auto":
        return "no" if precision == "fp32" else precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "no"


def step(accelerator: Accelerator, optimizer, loss: torch.Tensor) -> None:
    """Takes one step of one optimizer."""
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    optimizer.step()


def start_logging(accelerator: Accelerator, settings, run: Path, images: int, preset: str) -> None:
    """Writes settings.json and starts the trackers; log.jsonl continues after `images`."""
    write_settings(settings, run, preset)
    trim_log(run / "log.jsonl", images)
    if accelerator.log_with:
        plain = (int, float, str, bool)
        rows = dataclasses.asdict(settings).items()
        accelerator.init_trackers(
            run.name, {key: v if isinstance(v, plain) else str(v) for key, v in rows}
        )


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


def tracker_names(trackers: str) -> list[str]:
    """Names for accelerate's `log_with`.

    Raises:
        ValueError: a tracker is unknown or not installed.
    """
    if trackers == "none":
        return []
    known = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available}
    if trackers == "auto":
        # Without an account, an installed W&B would stop and ask for one.
        ready = {"wandb": "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ}
        return [name for name, installed in known.items() if installed() and ready.get(name, True)]
    names = [name for name in trackers.replace(" ", "").split(",") if name]
    for name in names:
        if name not in known:
            raise ValueError(f"--trackers {name}: expected {', '.join(known)}, auto or none")
        if not known[name]():
            raise ValueError(f"--trackers {name}: not installed; pip install {name}")
    return names


def refuse_nonfinite(logs: dict[str, float], images: int, run: Path) -> None:
    """Raises FloatingPointError that names the first loss that is not a finite number."""
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} after {images} images. The last good checkpoint is "
                f"{last_checkpoint(run)}; lower the learning rate or train with "
                "--precision fp32, then --resume."
            )


def check_run(run: Path, resume: bool) -> Path | None:
    """The checkpoint to resume from; ValueError if the run's folder does not fit `resume`.

    A damaged one is named in a warning, and an older one is used.
    """
    saved = checkpoints(run)
    if resume and not saved:
        raise ValueError(f"--resume: no checkpoint in {run}")
    if not resume and saved:
        raise ValueError(f"--out {run}: holds a run already; add --resume or name another folder")
    return find_sound_checkpoint(run)


def create_accelerator(settings) -> Accelerator:
    """The accelerator; ValueError if the batch does not divide over the processes."""
    # Buffers of the discriminator are the same in all processes. To synchronize them between its
    # two uses in a step would change them under the backward pass.
    accelerator = Accelerator(
        cpu=pick_device().type == "cpu",  # two processes on CPUs need this to find each other
        mixed_precision=pick_precision(settings.precision),
        log_with=tracker_names(settings.trackers) or None,
        project_dir=settings.out,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if settings.batch % accelerator.num_processes:
        raise ValueError(
            f"--batch {settings.batch}: expected a multiple of the {accelerator.num_processes} "
            "processes"
        )
    return accelerator


class Trainer:
    """One run. Sample i of the dataset depends on i alone, so a resumed run starts at its count."""

    def __init__(self, objective: Objective, settings, resume: bool, preset: str):
        self.objective, self.settings, self.resume = objective, settings, resume
        self.out = Path(settings.out)
        checkpoint = check_run(self.out, resume)
        self.accelerator = create_accelerator(settings)
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
        self.loader = self.accelerator.prepare(
            DataLoader(
                Subset(objective.dataset, range(self.progress.images, settings.max_images)),
                settings.batch // self.accelerator.num_processes,
                drop_last=True,
                num_workers=settings.workers,
                # A worker forked from a process with threads can wait forever for a lock.
                multiprocessing_context="spawn" if settings.workers else None,
            )
        )
        self.about = run_info.about(settings, preset, self.accelerator)
        self.started, self.seconds_before = time.monotonic(), self.progress.seconds
        self.logged = self.progress.images, self.progress.seconds  # at the last line of the log

    def run(self) -> Progress:
        """Trains to the end, or until the clock or a signal stops it."""
        settings, progress = self.settings, self.progress
        bar = tqdm(
            total=settings.max_images,
            initial=progress.images,
            unit="image",
            disable=not self.is_main,
            smoothing=0.05,
        )
        hub_callback = HubCallback(settings, progress.images)
        lock = locked(self.out) if self.is_main else nullcontext()
        with lock, SignalHandler() as signals, bar, hub_callback:
            if self.is_main:
                preset = self.about["preset"]
                start_logging(self.accelerator, settings, self.out, progress.images, preset)
            if self.is_main and not self.resume:
                self.sample()
            for batch in self.loader:
                late, stopped = self.train_batch(batch, signals)
                bar.update(settings.batch)
                over = late or progress.images + settings.batch > settings.max_images
                if self.finish_batch(over, stopped, hub_callback):
                    break
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return progress

    def train_batch(self, batch, signals: SignalHandler) -> tuple[bool, bool]:
        """Takes a step of each network; returns whether time is up, and whether to stop."""
        objective, accelerator, progress = self.objective, self.accelerator, self.progress
        settings, images = self.settings, self.progress.images
        batch = objective.preprocess(batch)
        for name, rate in objective.schedule(images).items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * group.get("share", 1.0)
        adversarial = objective.uses_discriminator(images)
        logs = {}
        with accelerator.autocast():
            output = objective.forward(self.G, batch)
        if adversarial:
            self.D.requires_grad_(True)
            with accelerator.autocast():
                loss, parts = objective.discriminator(self.D, output, batch, images)
            logs |= {f"d_{name}": value for name, value in parts.items()}
            step(accelerator, self.optimizers["d"], loss)
            self.D.requires_grad_(False)
        # Without its wrapper, as the gradients of its weights are not needed and not shared.
        D = accelerator.unwrap_model(self.D) if adversarial else None
        with accelerator.autocast():
            loss, parts = objective.generator(D, output, batch, images)
        logs |= {f"g_{name}": value for name, value in parts.items()}
        minutes = (time.monotonic() - self.started) / 60
        flags = 0 < settings.max_minutes < minutes, signals.stop_requested
        logs, late, stopped = all_reduce_logs(accelerator, logs, *flags)
        refuse_nonfinite(logs, images, self.out)
        step(accelerator, self.optimizers["g" if adversarial else "init"], loss)
        progress.images += settings.batch
        progress.seconds = self.seconds_before + time.monotonic() - self.started
        self.ema.update(accelerator.unwrap_model(self.G), settings.batch, progress.images)
        self.means.add(logs)
        return late, stopped

    def finish_batch(self, over: bool, stopped: bool, hub_callback: HubCallback) -> bool:
        """Scores, logs, samples and saves if due; returns whether the run ends here.

        A stopped run saves without scores and samples, as it may be killed soon.
        """
        settings, images = self.settings, self.progress.images
        finished, leaving = over and not stopped, over or stopped

        def due(every: int) -> bool:
            return images // every != (images - settings.batch) // every

        if due(settings.validate_every_images) or finished:
            if self.is_main:
                self.means.add(self.save_if_best())
            self.progress.best = broadcast(self.accelerator, self.progress.best)
        if (due(settings.log_every_images) or leaving) and self.is_main:
            self.log()
        if (due(settings.sample_every_images) or finished) and self.is_main:
            self.sample()
        if due(settings.save_every_images) or leaving:
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
        self.accelerator.log(means, step=images)

    def sample(self) -> None:
        """Draws the sample grid with the EMA weights."""
        path = self.out / "samples" / f"{self.progress.images:09d}.jpg"
        self.objective.sample(self.ema.network, path)

    def export(self, folder: Path) -> None:
        """Writes the folder of the EMA weights, with training.json."""
        images, seconds = self.progress.images, self.progress.seconds
        self.objective.export(self.ema.network, folder, images)
        for name in getattr(self.objective, "styles", ()) or ("",):
            run_info.write(folder / name, self.about, images, seconds)

    def save_if_best(self) -> dict[str, float]:
        """Scores the EMA weights; exports them to OUT/best if no earlier score was better."""
        metrics = self.objective.validate(self.ema.network)
        if metrics and metrics["score"] < self.progress.best:
            self.progress.best = metrics["score"]
            self.export(self.out / "best")
        return {f"val_{name}": value for name, value in metrics.items()}


def train(objective: Objective, settings, *, resume: bool = False, preset: str = "") -> Progress:
    """Trains until `max_images`, `max_minutes` or a signal, and always leaves a checkpoint.

    A resumed run gives the same weights as one that was never stopped.

    Args:
        objective: what to train.
        settings: the run's `RunSettings`.
        resume: continue the run in `settings.out`, which must hold one; without it, it must not.
        preset: the name of the preset that the settings come from, for training.json.

    Raises:
        ValueError: the run's folder does not fit `resume` or is in use, or the batch does not
            divide over the processes.
        FloatingPointError: a loss is not finite; the last good checkpoint stays.
        OSError: the disk is full; the last complete checkpoint stays.
    """
    return Trainer(objective, settings, resume, preset).run()
