"""The machine's own limits: matrix products, 3x3 convolutions, memory.

    python -m benchmarks.limits [--rounds 7] [--json FILE]

Other benchmarks let these run in turns with theirs, so that a share of a limit is of one run too.
"""

from functools import partial

from benchmarks.report import command
from benchmarks.runner import Benchmark, Case, Unavailable, Workload

SIDE = 4096  # of the matrices
CHANNELS, PIXELS, CONVOLUTIONS = 128, 256, 8
COPIED = 2**28  # bytes: many times what caches hold


def matmul(dtype: str, side: int = SIDE) -> Workload:
    """Product of two square matrices in torch, in "float32" or "bfloat16"."""
    import torch

    if dtype == "bfloat16":
        refuse_slow_bf16()
    a, b = torch.randn(2, side, side, dtype=getattr(torch, dtype))
    product = torch.empty_like(a)
    return Workload(lambda: torch.mm(a, b, out=product), {"TFLOP": 2 * side**3 / 1e12})


def convolutions(pixels: int):
    """A network of convolutions in a row, and the TFLOP it takes. A row, and the mean at its end,
    because handing an image in and out would take as long as one convolution does."""
    import torch
    from torch import nn

    class Row(nn.Sequential):
        def forward(self, x):
            return super().forward(x).mean((2, 3))

    torch.manual_seed(0)
    layers = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(CONVOLUTIONS)]
    flop = 2 * CONVOLUTIONS * 9 * CHANNELS**2 * pixels**2
    return Row(*layers).requires_grad_(False), flop / 1e12


def conv_torch(dtype: str, pixels: int = PIXELS) -> Workload:
    """Convolutions in torch, channels last."""
    import torch

    if dtype == "bfloat16":
        refuse_slow_bf16()
    network, flop = convolutions(pixels)
    layout = dict(dtype=getattr(torch, dtype), memory_format=torch.channels_last)
    network, x = network.to(**layout), torch.randn(1, CHANNELS, pixels, pixels).to(**layout)
    return Workload(torch.inference_mode()(lambda: network(x)), {"TFLOP": flop})


def conv_openvino(precision: str, pixels: int = PIXELS) -> Workload:
    """Convolutions in OpenVINO, as the engine runs a network; `precision` is "f32" or "bf16"."""
    import numpy as np

    from toonify import engines

    if engines.openvino is None:
        raise Unavailable("there is no OpenVINO here")
    core = engines.openvino.Core()
    if precision.upper() not in ("F32", *core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")):
        raise Unavailable("this processor has no bf16 arithmetic")
    network, flop = convolutions(pixels)
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": engines.cores(),
    }
    shape = (1, CHANNELS, pixels, pixels)
    request = core.compile_model(
        engines.trace(network, shape), "CPU", settings
    ).create_infer_request()
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    return Workload(lambda: request.infer([x], share_inputs=True), {"TFLOP": flop})


def copying(size: int = COPIED) -> Workload:
    """A copy from memory to memory: each byte is read once and written once."""
    import torch

    source = torch.zeros(size // 4)
    target = torch.ones_like(source)
    return Workload(lambda: target.copy_(source), {"GB": 2 * size / 1e9})


def refuse_slow_bf16() -> None:
    """Unavailable where bf16 is emulated: a product would take minutes."""
    import torch

    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        raise Unavailable("this processor has no bf16 arithmetic")


MATMUL = {
    name: Case(f"matmul {SIDE} x {SIDE}, {name}", partial(matmul, dtype))
    for name, dtype in (("fp32", "float32"), ("bf16", "bfloat16"))
}
CONVOLUTION = {
    name: Case(f"conv 3x3, {name}, OpenVINO", partial(conv_openvino, precision))
    for name, precision in (("fp32", "f32"), ("bf16", "bf16"))
}


def make_benchmark(quick: bool = False) -> Benchmark:
    """All limits; none is measured by another."""
    cases = (
        *MATMUL.values(),
        *CONVOLUTION.values(),
        *(
            Case(f"conv 3x3, {name}, torch", partial(conv_torch, dtype))
            for name, dtype in (("fp32", "float32"), ("bf16", "bfloat16"))
        ),
        Case("copy of 256 MB, read and written", copying),
    )
    title = f"Limits; convolutions {CHANNELS} to {CHANNELS} channels at {PIXELS}x{PIXELS}"
    return Benchmark(title, cases, rounds=3 if quick else 7, ratios=False)


def main() -> None:
    command(__doc__, lambda: [make_benchmark()])


if __name__ == "__main__":
    main()
