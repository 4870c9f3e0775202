"""A folder of ours -> a file for other programs: ONNX, OpenVINO IR, or StyleGAN2 by other names.

Drawing networks are written with free batch sizes, photo networks with free heights and widths too.
StyleGANs and ToonGAN are written from w+ on: their `synthesis`. What is written is run at other
sizes than it was traced with, and kept only if it draws what torch draws.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from toonify import engines, hub
from toonify.convert import persistent, stylegan2
from toonify.convert.checkpoints import CRITIC
from toonify.convert.formats import PICKLE
from toonify.models import FACE_MODELS, NOISE_MODELS, PHOTO_MODELS, DCGANGenerator
from toonify.models.stylegan2 import StyleGAN2Generator

sys.modules.setdefault("openvino_telemetry", None)  # nobody is told; see toonify.engines

LARGEST_ERROR = 1e-3  # of a picture in [-1, 1]
OPSET = 17  # ONNX Runtime 1.13 of 2022 and all since then know it
GENERATORS = {**PHOTO_MODELS, **FACE_MODELS, **NOISE_MODELS}


class ParityError(ValueError):
    """What was written does not draw what torch draws."""


def export(source: str, out: Path) -> str:
    """Writes the network that `source` names to `out`, .onnx or .xml, and says what came of it.

    Raises:
        ValueError: there is no such network, or it doesn't draw.
        ParityError: it draws something else: no file is left.
    """
    folder = hub.resolve_model(source)
    network = hub.load_model(folder, GENERATORS).requires_grad_(False)
    part, name, shape = drawing_part(network)
    style = hub.read_style(folder, source)
    about = {"title": style.title, "license": style.license, "data": style.data}
    write, run = (
        (write_ir, openvino_run) if out.suffix.lower() == ".xml" else (write_onnx, onnx_run)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        file = Path(beside, out.name)
        write(part, name, shape, about, file)
        runtime, drawn_by = run(file)
        error = difference(part, drawn_by, example(network, shape))
        if not error <= LARGEST_ERROR:
            raise ParityError(
                f"{out}: what {runtime} draws with it differs by {error:.2g} from what torch draws,"
                f" more than {LARGEST_ERROR:g}; the file was not kept"
            )
        # The numbers first: an .xml without its .bin would be half a network.
        for made in sorted(Path(beside).iterdir(), key=lambda made: made.suffix == ".xml"):
            os.replace(made, out.with_name(made.name))
    sizes = " x ".join(axes(shape).get(i, str(n)) for i, n in enumerate(shape))
    return f"{name} ({sizes}) -> picture; {runtime} draws it within {error:.1e} of torch"


def drawing_part(network: nn.Module) -> tuple[nn.Module, str, tuple[int, ...]]:
    """What of a network draws, the name of its input, and its shape, -1 where it is free."""
    if isinstance(network, tuple(PHOTO_MODELS.values())):
        return network, "photo", engines.PICTURES
    if isinstance(network, DCGANGenerator):
        return network, "z", (-1, network.config.z_dim)
    return network.synthesis, "w", (-1, network.num_ws, network.config.w_dim)


def axes(shape: tuple[int, ...]) -> dict[int, str]:
    """Axis -> name of those that are free."""
    names = ("batch", "", "height", "width")
    return {i: names[i] for i, size in enumerate(shape) if size < 0}


@torch.inference_mode()
def example(network: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    """What a network draws two pictures of: other sizes than `engines.EXAMPLE`, seeded."""
    noise = torch.Generator().manual_seed(0)
    if shape == engines.PICTURES:
        return torch.rand(2, 3, 80, 56, generator=noise) * 2 - 1
    z = torch.randn(2, network.config.z_dim, generator=noise)
    if isinstance(network, DCGANGenerator):
        return z
    return network.mapping(z)[:, None].repeat(1, network.num_ws, 1)


@torch.inference_mode()
def difference(
    part: nn.Module, drawn_by: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor
) -> float:
    """The largest difference of two drawings; infinite for other shapes, NaN for NaN."""
    expected, drawn = part(batch), drawn_by(batch)
    return (drawn - expected).abs().max().item() if drawn.shape == expected.shape else float("inf")


# The formats ----------------------------------------------------------------------------------


def write_onnx(part: nn.Module, name: str, shape: tuple, about: dict, file: Path) -> None:
    """By torch's exporter of traced networks: the newer one needs two packages more."""
    try:
        import onnx
    except ImportError as error:
        raise ValueError(
            f"{file.name}: ONNX is written with the package onnx: pip install onnx"
        ) from error
    free = axes(shape)
    sizes = zip(shape, engines.EXAMPLE, strict=False)
    picture = free if shape == engines.PICTURES else {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, as torch.jit.trace, which engines use too
        torch.onnx.export(
            part.eval(),
            (torch.zeros(*(size if size > 0 else some for size, some in sizes)),),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=[name],
            output_names=["picture"],
            dynamic_axes={name: free, "picture": picture},
        )
    model = onnx.load(file)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def onnx_run(file: Path) -> tuple[str, Callable[[torch.Tensor], torch.Tensor]]:
    """ONNX Runtime where it is installed, else OpenVINO, which reads ONNX too."""
    try:
        import onnxruntime
    except ImportError:
        return openvino_run(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())
    return "onnxruntime", lambda batch: torch.from_numpy(
        session.run(None, {name: batch.numpy()})[0]
    )


def write_ir(part: nn.Module, name: str, shape: tuple, about: dict, file: Path) -> None:
    """The graph that our engine runs, in full precision; an .xml, and a .bin beside it."""
    import openvino

    graph = engines.simplify(engines.trace(part, shape))
    graph.input(0).set_names({name})
    graph.output(0).set_names({"picture"})
    for key, value in about.items():
        graph.set_rt_info(value, key)
    openvino.save_model(graph, file, compress_to_fp16=False)


def openvino_run(file: Path) -> tuple[str, Callable[[torch.Tensor], torch.Tensor]]:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    network = openvino.Core().compile_model(file, "CPU", settings)
    return "OpenVINO", lambda batch: torch.from_numpy(network(batch.numpy())[0].copy())


# StyleGAN2 by other names ---------------------------------------------------------------------


def write_states(source: str, out: Path, kind: str) -> str:
    """Writes StyleGAN2 by rosinality's or NVlabs' names; says what is in it.

    `out` in .pkl is a pickle that NVlabs' programs open; else it is as `torch.save` writes. A
    `critic.safetensors` in the folder goes along.

    Raises:
        ValueError: `source` is no StyleGAN2, or its discriminator is not one.
    """
    folder = hub.resolve_model(source)
    network = hub.load_model(folder, GENERATORS)
    if not isinstance(network, StyleGAN2Generator):
        raise ValueError(
            f"--to {kind}: {source} is a {type(network).__name__}, expected a StyleGAN2Generator"
        )
    convert = {"rosinality": stylegan2.to_rosinality, "nvlabs": stylegan2.to_nvlabs}[kind]
    state, clamp = network.state_dict(), network.config.conv_clamp
    critic = None
    if (folder / CRITIC).is_file():
        critic = {key: t.float() for key, t in load_file(folder / CRITIC).items()}
    if out.suffix.lower() == PICKLE:
        data = persistent.pickled(network, critic)
        write_whole(lambda file: file.write_bytes(data), out)
        return "G, D, G_ema" + ("" if critic else "; D is untrained, as the folder has no critic")
    held = {"g_ema" if kind == "rosinality" else "G_ema": convert(state, "G")}
    if kind == "rosinality":
        held["latent_avg"] = state["mapping.w_avg"]
    else:
        held["conv_clamp"] = clamp
    if critic:
        held["d" if kind == "rosinality" else "D"] = convert(critic, "D")
    write_whole(lambda file: torch.save(held, file), out)
    told = ", ".join(held)
    if clamp is not None and kind == "rosinality":
        told += f"; {kind} has no conv_clamp, and this network's is {clamp:g}"
    return told


def write_whole(write: Callable[[Path], object], out: Path) -> None:
    """Has a file written beside `out` and renamed: it is whole or not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        write(Path(beside, out.name))
        os.replace(Path(beside, out.name), out)
