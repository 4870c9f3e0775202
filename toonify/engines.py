"""Runs a network: OpenVINO on CPUs, torch on GPUs, behind one call that any thread may make."""

import contextlib
import hashlib
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from toonify.files import atomic_write

# OpenVINO reports its use to Google Analytics from the moment it is imported, unless this module of
# its is missing; then it uses a stub of its own. A photo app sends no telemetry.
cast(dict, sys.modules).setdefault("openvino_telemetry", None)

try:
    import openvino
except ImportError:  # No wheel for this platform: torch runs everything, only slower.
    openvino = None
else:
    # The first call of this, which every drawing makes, fills a table. Two threads that both come
    # first wait for each other for ever: one has the table's lock, the other the interpreter's.
    openvino.Type.f32.to_dtype()

IMAGE_SHAPE = (-1, 3, -1, -1)  # any number of images of any height and width
MAX_CONCURRENCY = 4  # concurrent calls of an engine; each takes the memory of an image
EXAMPLE = (1, 3, 64, 96)  # what a free size is while the network is traced
# The variables of torchrun and accelerate, Intel MPI and MPICH, Open MPI, MVAPICH.
LOCAL_RANKS = {
    "LOCAL_RANK": "LOCAL_WORLD_SIZE",
    "MPI_LOCALRANKID": "MPI_LOCALNRANKS",
    "OMPI_COMM_WORLD_LOCAL_RANK": "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_RANK": "MV2_COMM_WORLD_LOCAL_SIZE",
}
BLOB_FORMAT = 2  # part of every cache key: raise it when the graph is built in another way


class Engine:
    """A network ready to run, for callers on any thread: float32 in, float32 out.

    Calls wait for each other, since one call uses every core. For many photos use
    `for_throughput()`.

    Args:
        name: what runs it, such as "openvino-bf16" or "torch-cuda".
        runs: functions that run it, each for one call at a time.
        shape: the shape of the input, -1 where it is free; default: images.
        for_throughput: opens the same network for concurrent calls; default: it cannot.
    """

    def __init__(
        self,
        name: str,
        *runs: Callable[[torch.Tensor], torch.Tensor],
        shape: tuple = IMAGE_SHAPE,
        for_throughput: Callable[[], "Engine"] | None = None,
    ):
        self.name = name
        self.shape = shape
        self.concurrency = len(runs)
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        for run in runs:
            self._free.put(run)
        self._open_for_throughput = for_throughput
        self._for_throughput: Engine | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        fits = batch.ndim == len(self.shape) and batch.dtype == torch.float32
        fits = fits and all(b == s or s < 0 for b, s in zip(batch.shape, self.shape, strict=True))
        assert fits, (batch.shape, batch.dtype, self.shape)
        run = self._free.get()  # waits for the first to be free
        try:
            return run(batch)
        finally:
            self._free.put(run)

    def for_throughput(self) -> "Engine":
        """The same network for concurrent calls, each on its own cores; it is opened once.

        Returns:
            An engine in which one call takes longer and many take less; this engine where that
            gains nothing (a GPU, a single core) or if it was opened without a key.
        """
        if self._open_for_throughput is None:
            return self
        with self._lock:
            if self._for_throughput is None:
                self._for_throughput = self._open_for_throughput()
            return self._for_throughput

    def __repr__(self):
        return f"Engine({self.name!r})"


def open_engine(
    key: str | None,
    build: Callable[[], nn.Module],
    device: str = "auto",
    shape: tuple[int, ...] = IMAGE_SHAPE,
    exact: bool = False,
    read_graph: Callable[[], "openvino.Model | None"] = lambda: None,
) -> Engine:
    """Opens an engine for a network.

    Args:
        key: text that changes with the network's weights, settings and code. On a CPU the compiled
            graph is cached on disk under it; None: it is not cached.
        build: returns the network; called only if there is no cached graph.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".
        shape: the shape of the input, -1 where it is free; default: images.
        exact: whether a CPU computes in float32 throughout; default False.
        read_graph: returns the network's graph for OpenVINO without building the network, or None,
            which is the default.

    Raises:
        ValueError: there is no such device.
    """
    device = choose_device(device)
    if device.startswith("cuda"):
        return open_torch(build(), device, shape)
    if openvino is None:
        return open_torch(build(), "cpu", shape)
    return open_openvino(key, build, shape, exact, read_graph)


def choose_device(device: str) -> str:
    """The device to run on: "auto" is the GPU where there is one, else the CPU.

    "cuda" is torch's current GPU; of several processes that were launched together, each its own.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdigit()) or device.endswith(":"):
        raise ValueError(f"device={device!r}: expected auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no CUDA GPU here; expected auto or cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise ValueError(f"device={device!r}: expected an index below {torch.cuda.device_count()}")
    rank, world = local_place()
    if not index and world > 1:
        return f"cuda:{rank % torch.cuda.device_count()}"
    return device


def open_torch(network: nn.Module, device: str, shape: tuple[int, ...] = IMAGE_SHAPE) -> Engine:
    """The network itself, channels last; on a GPU in bfloat16 (half precision on older ones)."""
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)
    kind = torch.device(device).type
    half = (
        torch.float16 if kind == "cuda" and not torch.cuda.is_bf16_supported() else torch.bfloat16
    )

    @torch.inference_mode()
    def run(batch):
        batch = batch.to(device)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(kind, dtype=half, enabled=kind == "cuda"):
            drawn = network(batch)
        return drawn.float().cpu().contiguous()

    return Engine(f"torch-{device}", run, shape=shape)


def open_openvino(
    key: str | None,
    build: Callable[[], nn.Module],
    shape: tuple[int, ...] = IMAGE_SHAPE,
    exact: bool = False,
    read_graph: Callable[[], "openvino.Model | None"] = lambda: None,
) -> Engine:
    """OpenVINO on the CPU, from the compiled graph on disk where there is one."""
    core = openvino.Core()
    # OpenVINO names BF16 only where the processor multiplies in it. With AMX that is 6 times faster
    # than eager torch; with AVX-512 BF16 alone it still beats f32 by 1.9.
    multiplies = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision = "bf16" if "BF16" in multiplies and not exact else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cores(),
    }
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    parts = (BLOB_FORMAT, key, shape, openvino.__version__, torch.__version__, precision, processor)
    file = cache_folder() / "engines" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.blob"

    def compiled(**more):
        blob = read_blob(core, file, settings | more) if key else None
        if blob is not None:
            return blob
        graph = read_graph() or simplify(trace(build(), shape))
        ready = core.compile_model(graph, "CPU", settings | more)
        if key:
            write_blob(file, ready)
        return ready

    name, streams = f"openvino-{precision}", min(cores(), MAX_CONCURRENCY)

    def for_throughput():
        many = compiled(PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS=streams)
        return Engine(name, *requests(many, streams), shape=shape)

    # Without a key `build` may hold a network in memory, which must not be kept.
    later = for_throughput if key and streams > 1 else None
    return Engine(name, *requests(compiled(), 1), shape=shape, for_throughput=later)


def requests(compiled, count: int) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """`count` functions that run a compiled graph, each for one call at a time."""

    def make():
        request = compiled.create_infer_request()

        def run(batch):
            request.infer([batch.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(request.get_output_tensor().data.copy())

        return run

    return [make() for _ in range(count)]


def cores() -> int:
    """Processor cores that this process may use: its affinity, cut by a container's quota.

    Of several processes that were launched together on this machine, each has its part of them.
    $TOONIFY_CORES, where it is set, is the most that are used.
    """
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with contextlib.suppress(OSError, ValueError):  # No such file, or "max" for no quota.
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, -(-int(quota) // int(period)))
    most = os.environ.get("TOONIFY_CORES", "")
    if most.isdecimal():
        count = min(count, int(most))
    return max(1, count // local_place()[1])


def local_place() -> tuple[int, int]:
    """The number of this process among those that a launcher started here, and their count."""
    for rank_name, size_name in LOCAL_RANKS.items():
        rank, size = os.environ.get(rank_name, ""), os.environ.get(size_name, "")
        if rank.isdecimal():  # a launcher may set the one and not the other
            return int(rank), max(int(size) if size.isdecimal() else 1, int(rank) + 1)
    return 0, 1


def trace(network: nn.Module, shape: tuple[int, ...] = IMAGE_SHAPE) -> "openvino.Model":
    """The network as an OpenVINO graph for inputs of `shape`, where -1 is any size."""
    sizes = zip(shape, EXAMPLE, strict=False)
    example = torch.zeros(*(size if size > 0 else some for size, some in sizes))
    with warnings.catch_warnings():
        # torch.jit.trace is deprecated, and still what OpenVINO reads best with free H and W.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network.eval(), example, check_trace=False)
        return openvino.convert_model(traced, example_input=example, input=list(shape))


def simplify(graph: "openvino.Model") -> "openvino.Model":
    """The same function in operations that the CPU plugin has fast kernels for; changes `graph`.

    Layer norm over C, H and W comes as a group norm, which is run on a flattened copy: two changes
    of memory layout each. TensorFlow's upsampling comes as pad, resize and cut. Together they
    cost a third of the AnimeGANv2 generator's time.
    """
    from openvino import opset13 as ops

    for node in graph.get_ordered_ops():
        kind, settings = node.get_type_name(), node.get_attributes()
        if kind == "GroupNormalization" and settings["num_groups"] == 1:
            image, gain, bias = (node.input_value(i) for i in range(3))
            flat = ops.mvn(image, np.array([1, 2, 3]), True, settings["epsilon"], "inside_sqrt")
            gain, bias = (ops.reshape(v, np.array([1, -1, 1, 1]), False) for v in (gain, bias))
            node.output(0).replace(ops.add(ops.multiply(flat, gain), bias).output(0))
        elif is_upsample2x(node, settings):
            (cut,) = node.output(0).get_target_inputs()
            resized = ops.interpolate(
                node.input_value(0).get_node().input_value(0),
                np.array([2, 2], np.float32),
                mode="linear_onnx",
                shape_calculation_mode="scales",
                coordinate_transformation_mode="asymmetric",
                axes=np.array([2, 3]),
            )
            cut.get_node().output(0).replace(resized.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def is_upsample2x(node: "openvino.Node", settings: dict) -> bool:
    """Whether the node is the resize in "repeat the last row and column, resize to 2H + 1, cut"."""
    if node.get_type_name() != "Interpolate":
        return False
    pad = node.input_value(0).get_node()
    users = [user.get_node() for user in node.output(0).get_target_inputs()]
    return (
        settings["coordinate_transformation_mode"] == "align_corners"
        and (pad.get_type_name(), pad.get_attributes().get("pad_mode")) == ("Pad", "edge")
        and constants(pad, 1, 2) == [[0, 0, 0, 0], [0, 0, 1, 1]]
        and [user.get_type_name() for user in users] == ["Slice"]
        and constants(users[0], 1, 2, 3, 4) == [[0, 0], [-1, -1], [1, 1], [2, 3]]
    )


def constants(node: "openvino.Node", *places: int) -> list:
    """The values of a node's inputs; None for those that are not constants."""
    sources = [node.input_value(place).get_node() for place in places]
    return [s.data.tolist() if s.get_type_name() == "Constant" else None for s in sources]


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
    """Keeps the compiled graph, written atomically so that no process reads half a file."""
    blob = compiled.export_model().getvalue()
    # A cache that cannot be written costs time at the next start and nothing else.
    with contextlib.suppress(OSError), atomic_write(file) as temporary:
        temporary.write_bytes(hashlib.sha256(blob).digest() + blob)
