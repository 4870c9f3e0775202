"""The one training loop: batch, discriminator, generator, slow copy, clock; counted in images."""

import dataclasses
import json
import math
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from training.ema import EMA


class Objective(Protocol):
    """What is being trained. Batches are what `dataset` gives, collated, on the device.

    `optimisers` maps names to optimisers; `discriminator` and `generator` return (loss, logs).
    """

    G: nn.Module
    D: nn.Module
    dataset: Dataset

    def optimisers(self) -> dict[str, torch.optim.Optimizer]: ...
    def schedule(self, images: int) -> dict[str, float]: ...
    def adversarial(self, images: int) -> bool: ...
    def unpack(self, batch): ...
    def draw(self, G, batch): ...
    def discriminator(self, D, drawn, batch): ...
    def generator(self, D, drawn, batch): ...
    def sample(self, G, path: Path) -> None: ...
    def export(self, G, folder: Path, images: int) -> None: ...


class Progress:
    """Images seen and seconds trained; saved with every checkpoint."""

    def __init__(self):
        self.images = 0
        self.seconds = 0.0

    def state_dict(self) -> dict:
        return {"images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state: dict) -> None:
        self.images, self.seconds = state["images"], state["seconds"]


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


def step(accelerator: Accelerator, optimiser, loss: torch.Tensor) -> None:
    """One descent step of one optimiser."""
    optimiser.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    optimiser.step()


def checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    return sorted(p for p in folder.glob("[0-9]*") if p.is_dir()) if folder.is_dir() else []


def save_checkpoint(accelerator: Accelerator, run: Path, images: int, keep: int) -> None:
    """Writes a checkpoint under a temporary name, renames it, and prunes the oldest."""
    folder = run / "checkpoints"
    part, whole = folder / f".part-{images:09d}", folder / f"{images:09d}"
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(part), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(whole, ignore_errors=True)
        os.replace(part, whole)
        for old in checkpoints(run)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def write_settings(settings, run: Path) -> None:
    """The resolved settings beside the run, through a temporary name."""
    part = run / "settings.json.part"
    part.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
    part.replace(run / "settings.json")


def trim_log(path: Path, images: int) -> None:
    """Drops lines of a log that lie after `images`: the resumed run writes them again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["images"] <= images]
        part = path.with_name(path.name + ".part")
        part.write_text("".join(line + "\n" for line in kept))
        part.replace(path)


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


class Tick:
    """Whether the last batch completed another `images` images."""

    def __init__(self, batch: int, progress: Progress):
        self.batch, self.progress = batch, progress

    def __call__(self, images: int) -> bool:
        return self.progress.images // images != (self.progress.images - self.batch) // images


def refuse_nonfinite(logs: dict[str, float], images: int, run: Path) -> None:
    """FloatingPointError that names the loss if one is not a finite number."""
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} after {images} images. The last good checkpoint is "
                f"{(checkpoints(run) or ['none'])[-1]}; lower the learning rate or train with "
                "--precision fp32, then --resume."
            )


def train(objective: Objective, settings, *, resume: bool = False) -> Progress:
    """Trains until `max_images`, `max_minutes` or a request to stop; always leaves a checkpoint.

    A fresh run refuses a folder that holds a run; `resume` refuses one that holds none. Resuming
    gives the same weights as not stopping.

    Raises:
        ValueError: the run's folder does not fit what was asked, or the batch the processes.
        FloatingPointError: a loss is not finite; the last good checkpoint stays.
    """
    run = Path(settings.out)
    saved = checkpoints(run)
    if resume and not saved:
        raise ValueError(f"--resume: no checkpoint in {run}")
    if not resume and saved:
        raise ValueError(f"--out {run}: holds a run already; add --resume or name another folder")
    accelerator = Accelerator(mixed_precision=pick_precision(settings.precision))
    if settings.batch % accelerator.num_processes:
        raise ValueError(
            f"--batch {settings.batch}: expected a multiple of the {accelerator.num_processes} "
            "processes"
        )
    run.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        write_settings(settings, run)

    ema = EMA(objective.G, settings.ema_half_life_images)
    ema.network.to(accelerator.device)
    names, optimisers = zip(*objective.optimisers().items(), strict=True)
    G, D, *optimisers = accelerator.prepare(objective.G, objective.D, *optimisers)
    optimisers = dict(zip(names, optimisers, strict=True))
    progress = Progress()
    accelerator.register_for_checkpointing(ema, progress)
    if resume:
        accelerator.load_state(str(saved[-1]))
        trim_log(run / "log.jsonl", progress.images)

    # Draw i depends on i alone, so going on is starting the count where it stopped.
    rest = Subset(objective.dataset, range(progress.images, settings.max_images))
    share = settings.batch // accelerator.num_processes
    loader = DataLoader(rest, share, shuffle=False, drop_last=True, num_workers=settings.workers)
    loader = accelerator.prepare(loader)

    tick = Tick(settings.batch, progress)
    sums = Means()
    started, before = time.monotonic(), progress.seconds
    bar = tqdm(
        total=settings.max_images,
        initial=progress.images,
        unit="image",
        disable=not accelerator.is_main_process,
        smoothing=0.05,
    )
    if accelerator.is_main_process and not resume:
        objective.sample(ema.network, run / "samples" / f"{0:09d}.jpg")
    with StopAsked() as stop, bar:
        for batch in loader:
            batch = objective.unpack(batch)
            for name, rate in objective.schedule(progress.images).items():
                for group in optimisers[name].param_groups:
                    group["lr"] = rate
            adversarial = objective.adversarial(progress.images)

            logs = {}
            with accelerator.autocast():
                drawn = objective.draw(G, batch)
            if adversarial:
                D.requires_grad_(True)
                with accelerator.autocast():
                    loss, parts = objective.discriminator(D, drawn, batch)
                logs |= {f"d_{name}": float(value) for name, value in parts.items()}
                step(accelerator, optimisers["d"], loss)
                D.requires_grad_(False)
            with accelerator.autocast():
                loss, parts = objective.generator(D if adversarial else None, drawn, batch)
            logs |= {f"g_{name}": float(value) for name, value in parts.items()}
            refuse_nonfinite(logs, progress.images, run)
            step(accelerator, optimisers["g" if adversarial else "init"], loss)

            progress.images += settings.batch
            progress.seconds = before + time.monotonic() - started
            ema.update(accelerator.unwrap_model(G), settings.batch, progress.images)
            sums.add(logs)
            bar.update(settings.batch)

            # Housekeeping.
            late = settings.max_minutes and progress.seconds - before > 60 * settings.max_minutes
            leaving = progress.images + settings.batch > settings.max_images or late or stop.asked
            if (tick(settings.log_every_images) or leaving) and accelerator.is_main_process:
                line = {"images": progress.images, "seconds": round(progress.seconds, 1)}
                with open(run / "log.jsonl", "a") as log:
                    log.write(json.dumps(line | sums.take()) + "\n")
            if (tick(settings.sample_every_images) or leaving) and accelerator.is_main_process:
                objective.sample(ema.network, run / "samples" / f"{progress.images:09d}.jpg")
            if tick(settings.save_every_images) or leaving:
                save_checkpoint(accelerator, run, progress.images, settings.keep_checkpoints)
                if accelerator.is_main_process:
                    objective.export(ema.network, run / "model", progress.images)
            if leaving:
                break
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return progress
