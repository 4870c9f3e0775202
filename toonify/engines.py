"""Runs a network: OpenVINO on CPUs, torch on GPUs, behind one call that any thread may make."""

import contextlib
import hashlib
import os
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

try:
    import openvino
except ImportError:  # No wheel for this platform: torch runs everything, only slower.
    openvino = None

BLOB_FORMAT = 1  # part of every cache key: raise it when the graph is built in another way


class Engine:
    """A network ready to run: float32 (N, 3, H, W) in, float32 of the network's output size out.

    `name` says what runs it, for example "openvino-bf16" or "torch-cuda". Calls wait for each
    other: one drawing uses every core already, and two at once would need twice the memory.
    """

    def __init__(self, name: str, run: Callable[[torch.Tensor], torch.Tensor]):
        self.name = name
        self._run = run
        self._lock = threading.Lock()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        assert batch.ndim == 4 and batch.dtype == torch.float32, (batch.shape, batch.dtype)
        with self._lock:
            return self._run(batch)

    def __repr__(self):
        return f"Engine({self.name!r})"


def open_engine(key: str, build: Callable[[], nn.Module], device: str = "auto") -> Engine:
    """An engine for the network that `build` makes, on `device`: "auto", "cpu", "cuda" or "cuda:N".

    `key` is text that changes whenever the network does (weights, settings, code). On a CPU the
    compiled graph is kept on disk under it, and `build` is only called when it is not there yet.
    Raises ValueError for a device that does not exist.
    """
    device = choose_device(device)
    if device.startswith("cuda"):
        return open_torch(build(), device)
    if openvino is None:
        return open_torch(build(), "cpu")
    return open_openvino(key, build)


def choose_device(device: str) -> str:
    """The device to run on: "auto" is the GPU where there is one, else the CPU."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdigit()) or device.endswith(":"):
        raise ValueError(f"device={device!r}: expected auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no CUDA GPU here; expected auto or cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise ValueError(f"device={device!r}: expected an index below {torch.cuda.device_count()}")
    return device


def open_torch(network: nn.Module, device: str) -> Engine:
    """The network itself, channels last; on a GPU in bfloat16 (half precision on older ones)."""
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    kind = torch.device(device).type
    half = (
        torch.float16 if kind == "cuda" and not torch.cuda.is_bf16_supported() else torch.bfloat16
    )

    @torch.inference_mode()
    def run(batch):
        batch = batch.to(device, memory_format=torch.channels_last)
        with torch.autocast(kind, dtype=half, enabled=kind == "cuda"):
            drawn = network(batch)
        return drawn.float().cpu().contiguous()

    return Engine(f"torch-{device}", run)


def open_openvino(key: str, build: Callable[[], nn.Module]) -> Engine:
    """OpenVINO on the CPU, from the compiled graph on disk where there is one."""
    core = openvino.Core()
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    parts = (BLOB_FORMAT, key, openvino.__version__, torch.__version__, precision, processor)
    file = cache_folder() / "engines" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.blob"
    compiled = read_blob(core, file, settings)
    if compiled is None:
        compiled = core.compile_model(trace(build()), "CPU", settings)
        write_blob(file, compiled)
    request = compiled.create_infer_request()

    def run(batch):
        request.infer([batch.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(request.get_output_tensor().data.copy())

    return Engine(f"openvino-{precision}", run)


def trace(network: nn.Module) -> "openvino.Model":
    """The network as an OpenVINO graph for any batch size, height and width."""
    with warnings.catch_warnings():
        # torch.jit.trace is deprecated, and still what OpenVINO reads best with free H and W.
        warnings.simplefilter("ignore")
        return openvino.convert_model(
            network.eval(), example_input=torch.zeros(1, 3, 64, 96), input=[-1, 3, -1, -1]
        )


def cache_folder() -> Path:
    """Where compiled graphs are kept: $TOONIFY_CACHE, else ~/.cache/toonify."""
    return Path(os.environ.get("TOONIFY_CACHE") or "~/.cache/toonify").expanduser()


def read_blob(core: "openvino.Core", file: Path, settings: dict):
    """The compiled graph in `file`, or None where there is none that can be used."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, blob = content[:32], content[32:]
    if hashlib.sha256(blob).digest() != digest:
        return None
    try:
        return core.import_model(blob, "CPU", settings)
    except RuntimeError:  # written by another build of OpenVINO
        return None


def write_blob(file: Path, compiled) -> None:
    """Keeps the compiled graph; under another name first, so that nobody reads half a file."""
    blob = compiled.export_model().getvalue()
    # A cache that cannot be written costs time at the next start and nothing else.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as target:
                target.write(hashlib.sha256(blob).digest() + blob)
            os.replace(name, file)
        except OSError:
            os.unlink(name)
            raise
