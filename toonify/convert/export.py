"""Writes networks as ONNX, OpenVINO IR, or StyleGAN2 checkpoints of other projects.

ONNX and IR files have free batch sizes, and for photos free heights and widths too. Of StyleGANs
and ToonGAN they hold the `synthesis`, which starts from w+. Each file is run at sizes that it was
not traced with, and kept only if its output matches that of torch.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from toonify import engines, hub
from toonify.convert import persistent, stylegan2
from toonify.convert.checkpoints import CRITIC
from toonify.convert.formats import PICKLE
from toonify.files import atomic_write, replace_file
from toonify.models import (
    FACE_MODELS,
    NOISE_MODELS,
    PHOTO_MODELS,
    DCGANGenerator,
    MobileStyleGAN,
    StyleGAN2Generator,
    ToonGANGenerator,
)

MAX_ERROR = 1e-3  # of an image in [-1, 1]
OPSET = 17  # supported since ONNX Runtime 1.13 of 2022
GENERATORS = {**PHOTO_MODELS, **FACE_MODELS, **NOISE_MODELS}


Run = Callable[[torch.Tensor], torch.Tensor]


class ParityError(ValueError):
    """The output of an exported file differs from that of torch."""


def export(source: str, out: Path) -> str:
    """Exports a network to ONNX or OpenVINO IR.

    Args:
        source: folder, name or repository of a generator.
        out: the file, .onnx or .xml; the weights of an .xml are written to .bin beside it.

    Returns:
        A line that describes the file.

    Raises:
        ValueError: `source` is not a generator.
        ParityError: the output differs from that of torch; no file is written.
    """
    folder = hub.resolve_model(source)
    network = hub.load_model(folder, GENERATORS).requires_grad_(False)
    part, name, shape = select_part(network)
    style = hub.read_style(folder, source)
    about = {"title": style.title, "license": style.license, "data": style.data}
    write, open_file = write_onnx, open_onnx
    if out.suffix.lower() == ".xml":
        write, open_file = write_ir, open_openvino
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        file = Path(beside, out.name)
        write(part, name, shape, about, file)
        runtime, run = open_file(file)
        error = compute_error(part, run, make_batch(network))
        if not error <= MAX_ERROR:
            raise ParityError(
                f"{out}: the output of {runtime} differs by {error:.2g} from that of torch, more"
                f" than {MAX_ERROR:g}; the file was not kept"
            )
        # The .bin first: an .xml without its weights cannot be opened.
        for made in sorted(Path(beside).iterdir(), key=lambda made: made.suffix == ".xml"):
            replace_file(made, out.with_name(made.name))
    sizes = " x ".join(name_free_axes(shape).get(i, str(n)) for i, n in enumerate(shape))
    return f"{name} ({sizes}) -> image; {runtime} differs by {error:.1e} from torch"


class AnySize(nn.Module):
    """A network that draws photos, with an input of any height and width.

    The photo is continued by its last row and column to a multiple of what the network needs, and
    the drawing is cut.
    """

    MULTIPLE = 8

    def __init__(self, network: Any):
        super().__init__()
        self.network = network
        self.multiple = self.MULTIPLE * network.config.get("patch", 1)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        height, width = photo.shape[2], photo.shape[3]
        # The network also needs more than one multiple: tiny photos get so many more.
        below, right = (
            (self.multiple - side % self.multiple) % self.multiple
            + self.multiple * (self.multiple // side)
            for side in (height, width)
        )
        whole = nn.functional.pad(photo, (0, right, 0, below), mode="replicate")
        return self.network(whole)[:, :, :height, :width]


def select_part(network: nn.Module) -> tuple[nn.Module, str, tuple[int, ...]]:
    """Selects the part of a generator to export.

    Returns:
        The part, the name of its input, and the input's shape with -1 for free sizes.
    """
    if isinstance(network, tuple(PHOTO_MODELS.values())):
        return AnySize(network), "photo", engines.IMAGE_SHAPE
    if isinstance(network, DCGANGenerator):
        return network, "z", (-1, network.config.z_dim)
    assert isinstance(network, StyleGAN2Generator | MobileStyleGAN | ToonGANGenerator)
    return network.synthesis, "w", (-1, network.num_ws, network.config.w_dim)


def name_free_axes(shape: tuple[int, ...]) -> dict[int, str]:
    """Maps each free axis to its name."""
    names = ("batch", "", "height", "width")
    return {i: names[i] for i, size in enumerate(shape) if size < 0}


@torch.inference_mode()
def make_batch(network: nn.Module) -> torch.Tensor:
    """Makes two seeded inputs of other sizes than `engines.EXAMPLE`."""
    noise = torch.Generator().manual_seed(0)
    if isinstance(network, tuple(PHOTO_MODELS.values())):
        return torch.rand(2, 3, 83, 57, generator=noise) * 2 - 1
    assert isinstance(
        network, DCGANGenerator | StyleGAN2Generator | MobileStyleGAN | ToonGANGenerator
    )
    z = torch.randn(2, network.config.z_dim, generator=noise)
    if isinstance(network, DCGANGenerator):
        return z
    return network.mapping(z)[:, None].repeat(1, network.num_ws, 1)


@torch.inference_mode()
def compute_error(part: nn.Module, run: Run, batch: torch.Tensor) -> float:
    """Computes the maximum difference of two outputs; infinite for other shapes, NaN for NaN."""
    expected, found = part(batch), run(batch)
    return (found - expected).abs().max().item() if found.shape == expected.shape else float("inf")


# Formats --------------------------------------------------------------------------------------


def write_onnx(part: nn.Module, name: str, shape: tuple, about: dict, file: Path) -> None:
    """Writes ONNX with a description in its properties."""
    free = name_free_axes(shape)
    sizes = zip(shape, engines.EXAMPLE, strict=False)
    example = torch.zeros(*(size if size > 0 else traced for size, traced in sizes))
    output = free if shape == engines.IMAGE_SHAPE else {0: "batch"}
    export_traced(part, (example,), file, [name], ["picture"], {name: free, "picture": output})
    import onnx

    model = onnx.load(file)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def export_traced(
    part: nn.Module,
    examples: tuple[torch.Tensor, ...],
    file: Path,
    inputs: list[str],
    outputs: list[str],
    free: dict[str, dict[int, str]],
) -> None:
    """Writes ONNX with torch's exporter of traced networks; the newer one needs more packages.

    Args:
        part: the network.
        examples: inputs to trace it with.
        file: the ONNX file.
        inputs, outputs: their names.
        free: name -> axis -> name of a free size.

    Raises:
        ValueError: the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"{file.name}: the package onnx is not installed; run: pip install onnx"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # deprecated, as is torch.jit.trace, which toonify.engines uses
        torch.onnx.export(
            part.eval(),
            examples,
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=free,
        )


def open_onnx(file: Path) -> tuple[str, Run]:
    """Opens ONNX with ONNX Runtime if it is installed, else with OpenVINO."""
    try:
        import onnxruntime
    except ImportError:
        return open_openvino(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())
    return "onnxruntime", lambda batch: torch.from_numpy(
        session.run(None, {name: batch.numpy()})[0]
    )


def write_ir(part: nn.Module, name: str, shape: tuple, about: dict, file: Path) -> None:
    """Writes the graph that `toonify.engines` runs, in full precision, to .xml and .bin."""
    import openvino

    graph = engines.simplify(engines.trace(part, shape))
    graph.input(0).set_names({name})
    graph.output(0).set_names({"picture"})
    for key, value in about.items():
        graph.set_rt_info(value, key)
    openvino.save_model(graph, file, compress_to_fp16=False)


def open_openvino(file: Path) -> tuple[str, Run]:
    """Opens ONNX or IR with OpenVINO."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    network = openvino.Core().compile_model(file, "CPU", settings)
    return "OpenVINO", lambda batch: torch.from_numpy(network(batch.numpy())[0].copy())


# StyleGAN2 of other projects ------------------------------------------------------------------


def write_states(source: str, out: Path, kind: str) -> str:
    """Writes a StyleGAN2 with the keys of another project.

    The discriminator in `critic.safetensors` is written too.

    Args:
        source: folder, name or repository of a StyleGAN2.
        out: the file: .pkl for NVlabs' programs, else as `torch.save` writes it.
        kind: "rosinality" or "nvlabs".

    Returns:
        A line that describes the file.

    Raises:
        ValueError: `source` is not a StyleGAN2, or its discriminator does not fit.
    """
    folder = hub.resolve_model(source)
    network = hub.load_model(folder, GENERATORS)
    if not isinstance(network, StyleGAN2Generator):
        raise ValueError(
            f"--to {kind}: {source} is a network of type {type(network).__name__}, expected"
            " StyleGAN2Generator"
        )
    discriminator = None
    if (folder / CRITIC).is_file():
        discriminator = {key: t.float() for key, t in load_file(folder / CRITIC).items()}
    if out.suffix.lower() == PICKLE:
        with atomic_write(out) as temporary:
            temporary.write_bytes(persistent.dump(network, discriminator))
        return "G, D, G_ema" + ("" if discriminator else f"; D is untrained: there is no {CRITIC}")
    state, clamp = network.state_dict(), network.config.conv_clamp
    held: dict[str, Any]
    if kind == "rosinality":
        names, convert = ("g_ema", "d"), stylegan2.to_rosinality
        more = {"latent_avg": state["mapping.w_avg"]}
    else:
        names, convert = ("G_ema", "D"), stylegan2.to_nvlabs
        more = {"conv_clamp": clamp}
    held = {names[0]: convert(state, "G"), **more}
    if discriminator:
        held[names[1]] = convert(discriminator, "D")
    with atomic_write(out) as temporary:
        torch.save(held, temporary)
    if clamp is None or kind == "nvlabs":
        return ", ".join(held)
    return f"{', '.join(held)}; {kind} has no conv_clamp, which is {clamp:g} here"
