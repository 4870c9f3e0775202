"""The one training loop: batch, discriminator, generator, slow copy, clock; counted in images."""

import dataclasses
import json
import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

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
    locked,
    save_checkpoint,
    trim_log,
    write_settings,
)
from training.core.ema import EMA
from training.core.hub_callback import HubCallback


class Objective(Protocol):
    """What is being trained. Batches are what `dataset` gives, collated, on the device.

    `optimizers` maps names to optimizers; `discriminator` and `generator` return (loss, logs). A
    group of parameters may have a `share` of the rate that `schedule` names. `memory` holds what
    else a resumed run must know: objects with `state_dict` and `load_state_dict`.
    `validate` measures the slow copy on photos kept out of training: figures by name, of which
    `score` decides (lower is better); no figures if there are no such photos.
    """

    G: nn.Module
    D: nn.Module
    dataset: Dataset

    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...
    def memory(self) -> list: ...
    def schedule(self, images: int) -> dict[str, float]: ...
    def adversarial(self, images: int) -> bool: ...
    def unpack(self, batch): ...
    def draw(self, G, batch): ...
    def discriminator(self, D, drawn, batch, images: int): ...
    def generator(self, D, drawn, batch, images: int): ...
    def sample(self, G, path: Path) -> None: ...
    def validate(self, G) -> dict[str, float]: ...
    def export(self, G, folder: Path, images: int) -> None: ...


class StopAsked:
    """True once Ctrl-C or SIGTERM came, so that the loop can save and leave; a second one is now.

    A context manager: the handlers that stood before are put back on leaving.
    """

    def __enter__(self):
        self.asked = False
        self.before = {n: signal.signal(n, self.note) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def pick_device() -> torch.device:
    """This process's device: its GPU, or the CPU."""
    return PartialState(cpu=not torch.accelerator.is_available()).device


def pick_precision(wanted: str) -> str:
    """accelerate's `mixed_precision` for `--precision`; auto is bf16 where a unit for it exists."""
    if wanted == "fp32":
        return "no"
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "no"


def step(accelerator: Accelerator, optimizer, loss: torch.Tensor) -> None:
    """One descent step of one optimizer."""
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    optimizer.step()


def open_books(accelerator: Accelerator, settings, run: Path, images: int) -> None:
    """Writes down the settings, here and for the trackers; the log goes on from `images`."""
    write_settings(settings, run)
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
    told = torch.tensor([value], dtype=torch.float64, device=accelerator.device)
    return float(broadcast_tensor(told)[0])


class Means:
    """Running means of logged values between two lines of the log."""

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


class Tick:
    """Whether the last batch completed another `images` images."""

    def __init__(self, batch: int, progress: Progress):
        self.batch, self.progress = batch, progress

    def __call__(self, images: int) -> bool:
        return self.progress.images // images != (self.progress.images - self.batch) // images


def pace(progress: Progress, since: tuple[int, float]) -> dict[str, float]:
    """Seconds trained, and images a second `since` some (images, seconds)."""
    images, seconds = progress.images - since[0], progress.seconds - since[1]
    return {
        "seconds": round(progress.seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 3),
    }


def agreed(accelerator: Accelerator, values: dict[str, torch.Tensor], *flags: bool):
    """Means of the values over all processes, and whether each flag is up in any of them.

    Every process gets the same answer, so that none goes on where another stops.
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
    return means, *(up > 0 for up in row[len(found) :])


def tracker_names(wanted: str) -> list[str]:
    """Names for accelerate's `log_with`; ValueError for one that is unknown or not installed."""
    if wanted == "none":
        return []
    known = {
        "tensorboard": is_tensorboard_available,
        # An installed W&B without an account would stop and ask for one.
        "wandb": is_wandb_available,
    }
    if wanted == "auto":
        ready = {"wandb": "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ}
        return [name for name, there in known.items() if there() and ready.get(name, True)]
    names = [name for name in wanted.replace(" ", "").split(",") if name]
    for name in names:
        if name not in known:
            raise ValueError(f"--trackers {name}: expected {', '.join(known)}, auto or none")
        if not known[name]():
            raise ValueError(f"--trackers {name}: not installed; pip install {name}")
    return names


def refuse_nonfinite(logs: dict[str, float], images: int, run: Path) -> None:
    """FloatingPointError that names the loss if one is not a finite number."""
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} after {images} images. The last good checkpoint is "
                f"{(checkpoints(run) or ['none'])[-1]}; lower the learning rate or train with "
                "--precision fp32, then --resume."
            )


def export(objective: Objective, G, folder: Path, progress: Progress, about: dict) -> None:
    """Writes the slow copy's folder, and in it how it was trained."""
    objective.export(G, folder, progress.images)
    run_info.write(folder, about, progress.images, progress.seconds)


def keep_best(
    objective: Objective, G, run: Path, progress: Progress, about: dict
) -> dict[str, float]:
    """Scores the slow copy; exports it to `run/best` if no earlier one was better."""
    figures = objective.validate(G)
    if figures and figures["score"] < progress.best:
        progress.best = figures["score"]
        export(objective, G, run / "best", progress, about)
    return {f"val_{name}": value for name, value in figures.items()}


def train(objective: Objective, settings, *, resume: bool = False, preset: str = "") -> Progress:
    """Trains until `max_images`, `max_minutes` or a request to stop; always leaves a checkpoint.

    A fresh run refuses a folder that holds a run; `resume` refuses one that holds none. Resuming
    gives the same weights as not stopping. `preset` is the name of the one the settings came from.

    Raises:
        ValueError: the run's folder does not fit what was asked or is in use, or the batch does
            not divide over the processes.
        FloatingPointError: a loss is not finite; the last good checkpoint stays.
        OSError: the disk is full; the last whole checkpoint stays.
    """
    run = Path(settings.out)
    saved = checkpoints(run)
    if resume and not saved:
        raise ValueError(f"--resume: no checkpoint in {run}")
    if not resume and saved:
        raise ValueError(f"--out {run}: holds a run already; add --resume or name another folder")
    # Nothing in a batch changes the critic's buffers in one process only; syncing them between
    # its two uses in a step would change them under the backward pass.
    accelerator = Accelerator(
        # Said aloud: two processes on CPUs do not find each other without it.
        cpu=pick_device().type == "cpu",
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
    run.mkdir(parents=True, exist_ok=True)
    ema = EMA(objective.G, settings.ema_half_life_images)
    ema.network.to(accelerator.device)
    names, optimizers = zip(*objective.optimizers().items(), strict=True)
    G, D, *optimizers = accelerator.prepare(objective.G, objective.D, *optimizers)
    optimizers = dict(zip(names, optimizers, strict=True))
    progress, sums = Progress(), Means()
    accelerator.register_for_checkpointing(ema, progress, sums, *objective.memory())
    if resume:
        accelerator.load_state(str(saved[-1]))

    # Draw i depends on i alone, so going on is starting the count where it stopped.
    rest = Subset(objective.dataset, range(progress.images, settings.max_images))
    share = settings.batch // accelerator.num_processes
    loader = DataLoader(
        *(rest, share),
        shuffle=False,
        drop_last=True,
        num_workers=settings.workers,
        # Forked off a process that has threads, as an extractor's engine starts them, a worker can
        # wait for ever on a lock that one of these held.
        multiprocessing_context="spawn" if settings.workers else None,
    )
    loader = accelerator.prepare(loader)

    tick = Tick(settings.batch, progress)
    started, before = time.monotonic(), progress.seconds
    logged = progress.images, progress.seconds
    bar = tqdm(
        total=settings.max_images,
        initial=progress.images,
        unit="image",
        disable=not accelerator.is_main_process,
        smoothing=0.05,
    )
    main = accelerator.is_main_process
    about = run_info.about(settings, preset, accelerator)
    hub_callback = HubCallback(settings, progress.images)
    with locked(run) if main else nullcontext(), StopAsked() as stop, bar, hub_callback:
        if main:
            open_books(accelerator, settings, run, progress.images)
        if main and not resume:
            objective.sample(ema.network, run / "samples" / f"{0:09d}.jpg")
        for batch in loader:
            batch = objective.unpack(batch)
            for name, rate in objective.schedule(progress.images).items():
                for group in optimizers[name].param_groups:
                    group["lr"] = rate * group.get("share", 1.0)
            adversarial = objective.adversarial(progress.images)

            logs = {}
            with accelerator.autocast():
                drawn = objective.draw(G, batch)
            if adversarial:
                D.requires_grad_(True)
                with accelerator.autocast():
                    loss, parts = objective.discriminator(D, drawn, batch, progress.images)
                logs |= {f"d_{name}": value for name, value in parts.items()}
                step(accelerator, optimizers["d"], loss)
                D.requires_grad_(False)
            # The bare critic: no slope of its weights is wanted, none has to be shared.
            critic = accelerator.unwrap_model(D) if adversarial else None
            with accelerator.autocast():
                loss, parts = objective.generator(critic, drawn, batch, progress.images)
            logs |= {f"g_{name}": value for name, value in parts.items()}
            late = settings.max_minutes and time.monotonic() - started > 60 * settings.max_minutes
            logs, late, asked = agreed(accelerator, logs, bool(late), stop.asked)
            refuse_nonfinite(logs, progress.images, run)
            step(accelerator, optimizers["g" if adversarial else "init"], loss)

            progress.images += settings.batch
            progress.seconds = before + time.monotonic() - started
            ema.update(accelerator.unwrap_model(G), settings.batch, progress.images)
            sums.add(logs)
            bar.update(settings.batch)

            # Housekeeping.
            # Who asks for a stop may kill soon after: the checkpoint does not wait for scores then.
            over = late or progress.images + settings.batch > settings.max_images
            finished, leaving = over and not asked, over or asked
            if tick(settings.validate_every_images) or finished:
                if main:
                    sums.add(keep_best(objective, ema.network, run, progress, about))
                progress.best = broadcast(accelerator, progress.best)
            if (tick(settings.log_every_images) or leaving) and main:
                means = sums.take()
                line = {"images": progress.images} | pace(progress, logged)
                logged = progress.images, progress.seconds
                with open(run / "log.jsonl", "a") as log:
                    log.write(json.dumps(line | means) + "\n")
                accelerator.log(means, step=progress.images)
            if (tick(settings.sample_every_images) or finished) and main:
                objective.sample(ema.network, run / "samples" / f"{progress.images:09d}.jpg")
            if tick(settings.save_every_images) or leaving:
                save_checkpoint(accelerator, run, progress.images, settings.keep_checkpoints)
                if main:
                    export(objective, ema.network, run / "model", progress, about)
                    hub_callback.on_export(progress.images, last=leaving)
            if leaving:
                break
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return progress
