"""What a run makes of the machine: device, threads, precision, loading of images."""

import os
import shlex
import sys
from dataclasses import replace

import psutil
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import GradientAccumulationPlugin

from training.core import run_info

MAX_WORKERS = 8  # processes that prepare images for one GPU
PREFETCHED = 4  # batches that each of them has ready
# Steps between two looks at the losses. On a GPU, a look waits for all that it has been given.
STEPS_BETWEEN_LOOKS = {"cpu": 1}
DEFAULT_STEPS_BETWEEN_LOOKS = 16


def pick_device() -> torch.device:
    """The device of this process: its GPU, or the CPU."""
    return PartialState(cpu=not torch.accelerator.is_available()).device


def set_threads(threads: int) -> int:
    """Sets the number of PyTorch's threads for `--threads`; returns it.

    With 0, PyTorch's own choice stays, but for the one thread that `accelerate launch` gives each
    process by default: then the cores are shared by the processes of this machine.
    """
    if not threads and is_launched() and os.environ.get("OMP_NUM_THREADS") == "1":
        cores = min(len(os.sched_getaffinity(0)), psutil.cpu_count(logical=False) or 1)
        threads = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def is_launched() -> bool:
    """Whether `accelerate launch` has started this process."""
    return "ACCELERATE_MIXED_PRECISION" in os.environ


def follow_launcher(settings):
    """The settings with what options of `accelerate launch` ask for, unless they say it themselves.

    These are its --gradient_accumulation_steps and --mixed_precision.
    """
    steps = int(os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1"))
    if steps > 1 and settings.gradient_accumulation_steps == 1:
        settings = replace(settings, gradient_accumulation_steps=steps)
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked in ("bf16", "fp16") and settings.precision == "auto":
        settings = replace(settings, precision=asked)
    settings.check()
    return settings


def missing_processes() -> str:
    """What to do if `accelerate launch` was asked for several CPU processes; empty if it was not.

    It starts one, and leaves the address at which several would meet.
    """
    alone = "MASTER_PORT" in os.environ and "WORLD_SIZE" not in os.environ
    if not (is_launched() and alone and pick_device().type == "cpu"):
        return ""
    command = shlex.join(sys.argv)
    return (
        "accelerate launch starts one process on CPUs, however many are asked for. For two: "
        f"torchrun --standalone --nproc_per_node 2 {command}"
    )


def pick_precision(precision: str) -> str:
    """accelerate's `mixed_precision` for `--precision`; auto is bf16 where hardware computes it."""
    if precision != "auto":
        return "no" if precision == "fp32" else precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "no"


def create_accelerator(settings, log_with: list[str]) -> Accelerator:
    """The accelerator; ValueError if the batch does not divide over processes and parts.

    Args:
        settings: of the run.
        log_with: names of trackers.
    """
    device = pick_device()
    if device.type == "cuda":
        # TensorFloat-32 for what is in float32, and the fastest convolutions for fixed sizes.
        torch.set_float32_matmul_precision("highest" if settings.precision == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = settings.precision != "fp32"
        torch.backends.cudnn.benchmark = True
    accelerator = Accelerator(
        cpu=device.type == "cpu",  # two processes on CPUs need this to find each other
        mixed_precision=pick_precision(settings.precision),
        log_with=log_with or None,
        project_dir=settings.out,
        # The trainer accumulates itself, as it counts images and not calls.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        # Buffers of the discriminator are the same in all processes. To synchronize them between
        # its two uses in a step would change them under the backward pass.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    processes, parts = accelerator.num_processes, settings.gradient_accumulation_steps
    if settings.batch % (processes * parts):
        several = f" times {parts} of --gradient-accumulation-steps" if parts > 1 else ""
        raise ValueError(
            f"--batch {settings.batch}: expected a multiple of the {processes} processes{several}"
        )
    return accelerator


def loader_options(workers: int, device: torch.device) -> dict[str, object]:
    """Options of a DataLoader for `--workers`; -1 is none on a CPU, which has other things to do.

    Args:
        workers: number of processes, or -1.
        device: of the networks.
    """
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if workers < 0:
        workers = 0 if device.type == "cpu" else max(1, min(MAX_WORKERS, cores - 1))
    options: dict[str, object] = {"num_workers": workers, "pin_memory": device.type == "cuda"}
    if workers:
        # A worker forked from a process with threads can wait forever for a lock.
        options |= {"multiprocessing_context": "spawn", "prefetch_factor": PREFETCHED}
    return options


def move(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch on the device, but for its numbers that the CPU works with: seeds and places."""
    on_cpu = ("seed", "parts")
    return {
        name: value if name in on_cpu else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }


def split(batch: dict[str, torch.Tensor], parts: int) -> list[dict[str, torch.Tensor]]:
    """A batch in equal parts, in its order."""
    if parts == 1:
        return [batch]
    names = list(batch)
    chunks = zip(*(batch[name].chunk(parts) for name in names), strict=True)
    return [dict(zip(names, chunk, strict=True)) for chunk in chunks]


def describe(accelerator: Accelerator) -> str:
    """Device, threads, precision and processes, in a line."""
    device, count = accelerator.device, accelerator.num_processes
    kind = "CPU" if device.type == "cpu" else "GPU"
    threads = f", {torch.get_num_threads()} threads" if kind == "CPU" else ""
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    processes = "1 process" if count == 1 else f"{count} processes"
    return f"{kind} {run_info.processor(device)}{threads}, {precision}, {processes}"
