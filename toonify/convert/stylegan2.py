"""StyleGAN2 by other names: those of NVlabs' stylegan2-ada-pytorch and of rosinality's port.

A state is a dict of tensors, a network "G" or "D": `StyleGAN2Generator` or the discriminator that
it trains with. Our names are NVlabs', without the filters, which are constants here. Tensors keep
their values and type; some of rosinality's have axes of one more. The config comes from the shapes
alone. It leaves out `conv_clamp`, of which they know nothing: NVlabs' networks trained in half
precision have 256, rosinality's none.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mode

import torch

from toonify.convert.nvlabs_pickle import modules
from toonify.convert.random_face import mean_w
from toonify.convert.unpickling import Record, read_torch
from toonify.models.stylegan2 import RESOLUTIONS, MappingNetwork, StyleGAN2Generator

State = dict[str, torch.Tensor]
Shape = tuple[int, ...]

NETWORKS = ("G", "D")

# Part of a layer, ours -> rosinality's.
STYLED = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
}
CONVOLUTION = {**STYLED, "bias": "activate.bias", "noise_strength": "noise.weight"}
RGB = {**STYLED, "bias": "bias"}
RESIDUAL = {
    "fromrgb.weight": "convs.0.0.weight",
    "fromrgb.bias": "convs.0.1.bias",
    "conv0.weight": "convs.{}.conv1.0.weight",
    "conv0.bias": "convs.{}.conv1.1.bias",
    "conv1.weight": "convs.{}.conv2.1.weight",
    "conv1.bias": "convs.{}.conv2.2.bias",
    "skip.weight": "convs.{}.skip.1.weight",
}
EPILOGUE = {
    "conv.weight": "final_conv.0.weight",
    "conv.bias": "final_conv.1.bias",
    "fc.weight": "final_linear.0.weight",
    "fc.bias": "final_linear.0.bias",
    "out.weight": "final_linear.1.weight",
    "out.bias": "final_linear.1.bias",
}


def sides(resolution: int) -> list[int]:
    """Pixels of the features of each block, smallest first: 4, 8, ... resolution."""
    return [4 << i for i in range(resolution.bit_length() - 2)]


def rosinality_name(key: str, network: str, resolution: int) -> str | None:
    """Rosinality's name of our key; None for `mapping.w_avg`, which its states do not hold."""
    room, _, rest = key.partition(".")
    if network == "D":
        side = int(room.removeprefix("b"))
        # Counted from the picture on; 0 is the layer that reads it.
        block = resolution.bit_length() - side.bit_length() + 1
        return EPILOGUE[rest] if side == 4 else RESIDUAL[rest].format(block)
    if room == "mapping":
        layer, _, part = rest.partition(".")
        return f"style.{int(layer.removeprefix('fc')) + 1}.{part}" if part else None
    block, layer, *part = rest.split(".", 2)
    if layer == "const":
        return "input.input"
    octave = int(block.removeprefix("b")).bit_length() - 3
    if layer == "torgb":
        return f"to_rgbs.{octave - 1}.{RGB[part[0]]}" if octave else f"to_rgb1.{RGB[part[0]]}"
    number = 2 * octave - 1 + int(layer.removeprefix("conv"))
    if part[0] == "noise_const":
        return f"noises.noise_{number}"
    return (f"convs.{number - 1}." if number else "conv1.") + CONVOLUTION[part[0]]


def rosinality_shape(key: str, shape: Shape) -> Shape:
    """Rosinality's shape of the tensor that has this key and shape with us."""
    part = key.rpartition(".")[2]
    if not key.startswith("synthesis.") or ".affine." in key:
        return shape
    if part == "noise_const":
        return (1, 1, *shape)
    if part == "bias":
        return (1, *shape, 1, 1) if ".torgb." in key else shape
    return (1, *shape)


def nvlabs_filters(network: str, resolution: int) -> dict[str, float]:
    """Key of each filter that NVlabs' networks store -> the sum of its taps."""
    if network == "G":
        blocks, parts = sides(resolution), ("", ".conv0", ".conv1")
        keys = [f"synthesis.b{side}{part}" for side in blocks for part in parts]
        keys.remove("synthesis.b4.conv0")
    else:
        blocks, parts = sides(resolution)[1:], ("", ".conv0", ".conv1", ".skip")
        keys = [f"b{side}{part}" for side in blocks for part in parts]
        keys += [f"b{resolution}.fromrgb", "b4.conv"]
    return {f"{key}.resample_filter": 1.0 for key in keys}


def rosinality_filters(network: str, resolution: int) -> dict[str, float]:
    """Key of each filter that rosinality's networks store -> the sum of its taps."""
    blocks = range(len(sides(resolution)) - 1)
    if network == "G":
        keys = [(f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel") for i in blocks]
        return {key: 4.0 for pair in keys for key in pair}
    keys = [(f"convs.{i + 1}.conv2.0.kernel", f"convs.{i + 1}.skip.0.kernel") for i in blocks]
    return {key: 1.0 for pair in keys for key in pair}


@dataclass(frozen=True)
class Format:
    """How a project names and shapes what we have by our own names.

    `block` finds the number of a block in a key, from which `pixels` makes its size; `layer` finds
    the number of a mapping layer.
    """

    title: str
    block: dict[str, str]
    pixels: dict[str, Callable[[int], int]]
    layer: str
    name: Callable[[str, str, int], str | None]
    shape: Callable[[str, Shape], Shape]
    filters: Callable[[str, int], dict[str, float]]


OURS = Format(
    title="ours",
    block={"G": r"synthesis\.b(\d{1,5})\.", "D": r"b(\d{1,5})\."},
    pixels={"G": int, "D": int},
    layer=r"mapping\.fc(\d{1,5})\.",
    name=lambda key, network, resolution: key,
    shape=lambda key, shape: shape,
    filters=lambda network, resolution: {},
)
NVLABS = replace(OURS, title="NVlabs'", filters=nvlabs_filters)
ROSINALITY = Format(
    title="rosinality's",
    block={"G": r"to_rgbs\.(\d{1,2})\.", "D": r"convs\.(\d{1,2})\."},
    pixels={"G": lambda i: 8 << i, "D": lambda i: 4 << i},
    layer=r"style\.(\d{1,5})\.",
    name=rosinality_name,
    shape=rosinality_shape,
    filters=rosinality_filters,
)


def critic_shapes(resolution: int, channel_base: int, channel_max: int) -> dict[str, Shape]:
    """Our keys and shapes of a discriminator; the class is the training's."""
    shapes = {}
    for side in reversed(sides(resolution)[1:]):
        inputs, outputs = (min(channel_base // s, channel_max) for s in (side, side // 2))
        if side == resolution:
            shapes[f"b{side}.fromrgb.weight"] = (inputs, 3, 1, 1)
            shapes[f"b{side}.fromrgb.bias"] = (inputs,)
        shapes[f"b{side}.conv0.weight"] = (inputs, inputs, 3, 3)
        shapes[f"b{side}.conv0.bias"] = (inputs,)
        shapes[f"b{side}.conv1.weight"] = (outputs, inputs, 3, 3)
        shapes[f"b{side}.conv1.bias"] = (outputs,)
        shapes[f"b{side}.skip.weight"] = (outputs, inputs, 1, 1)
    return shapes | {
        "b4.conv.weight": (outputs, outputs + 1, 3, 3),
        "b4.conv.bias": (outputs,),
        "b4.fc.weight": (outputs, outputs * 16),
        "b4.fc.bias": (outputs,),
        "b4.out.weight": (1, outputs),
        "b4.out.bias": (1,),
    }


def shapes_of(network: str, config: dict) -> dict[str, Shape]:
    """Our keys and shapes of a network."""
    if network == "D":
        return critic_shapes(**config)
    with torch.device("meta"):
        state = StyleGAN2Generator(**config).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


# Of a block, parts and the axis of each that is as long as the block has channels.
CHANNELS = {
    "G": {"conv1.bias": 0, "conv1.affine.bias": 0, "torgb.affine.bias": 0},
    "D": {"conv0.bias": 0, "conv0.weight": 0, "skip.weight": 1},
    "D last": {"conv.bias": 0, "fc.bias": 0, "conv.weight": 0},
}


def config_of(state: Mapping[str, torch.Tensor], network: str, form: Format) -> dict:
    """The sizes that the shapes tell of; each is that which most of its witnesses tell."""
    blocks = [found for key in state if (found := re.match(form.block[network], key))]
    resolution = max((form.pixels[network](int(found[1])) for found in blocks), default=0)
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"{network} by {form.title} names: its keys tell of {resolution} px, expected one of"
            f" {RESOLUTIONS}"
        )

    def length(witnesses: dict[str, int]) -> int:
        told = []
        for key, axis in witnesses.items():
            tensor = state.get(form.name(key, network, resolution))
            if tensor is not None and tensor.ndim > axis:
                told.append(tensor.shape[axis])
        if not told:
            name = form.name(next(iter(witnesses)), network, resolution)
            raise ValueError(f"{network} by {form.title} names: {name} is missing")
        return mode(told)

    channels = {}
    for side in sides(resolution):
        prefix = f"synthesis.b{side}." if network == "G" else f"b{side}."
        parts = CHANNELS["D last" if network == "D" and side == 4 else network]
        channels[side] = length({prefix + part: axis for part, axis in parts.items()})
    config = {
        "resolution": resolution,
        "channel_base": max(side * count for side, count in channels.items()),
        "channel_max": max(channels.values()),
    }
    if network == "D":
        return config
    layers = len({found[1] for key in state if (found := re.match(form.layer, key))})
    return config | {
        "mapping_layers": max(layers, 1),
        "z_dim": length({"mapping.fc0.weight": 1}),
        "w_dim": length(
            {f"mapping.fc{i}.bias": 0 for i in range(max(layers, 1))}
            | {"synthesis.b4.conv1.affine.weight": 1}
        ),
    }


def taps(total: float) -> torch.Tensor:
    """The filter [1, 3, 3, 1] along both axes, (4, 4), with this sum."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row) * (total / 64)


def read(state: Mapping[str, torch.Tensor], network: str, form: Format) -> tuple[dict, State]:
    """Config and our state, all but what `form` has no name for."""
    if network not in NETWORKS:
        raise ValueError(f"network={network!r}: expected one of {', '.join(NETWORKS)}")
    whose = f"{network} by {form.title} names"
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{whose}: {key!r} is of {type(tensor)}, expected a tensor")
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise ValueError(f"{whose}: {key} is {tensor.layout} {tensor.dtype}, expected floats")
    config = config_of(state, network, form)
    resolution, found, used = config["resolution"], {}, set()
    for key, shape in shapes_of(network, config).items():
        name = form.name(key, network, resolution)
        if name is None:
            continue
        if name not in state:
            raise ValueError(f"{whose}: {name} is missing")
        told, expected = tuple(state[name].shape), form.shape(key, shape)
        if told != expected:
            raise ValueError(f"{whose}: {name} has shape {told}, expected {expected}")
        found[key] = state[name].detach().reshape(shape)
        used.add(name)
    filters = form.filters(network, resolution)
    for key, tensor in state.items():
        if key in filters:
            wanted = taps(filters[key])
            if tensor.shape != (4, 4) or not torch.allclose(tensor.float().cpu(), wanted):
                raise ValueError(f"{whose}: {key} is another filter than [1, 3, 3, 1]")
        elif key not in used:
            raise ValueError(f"{whose}: {key} is unexpected")
    return config, found


def write(state: Mapping[str, torch.Tensor], network: str, form: Format) -> State:
    """Our state by other names, with the filters that they have."""
    config, state = read(state, network, OURS)
    out = {}
    for key, tensor in state.items():
        name = form.name(key, network, config["resolution"])
        if name is not None:
            out[name] = tensor.reshape(form.shape(key, tuple(tensor.shape)))
    filters = form.filters(network, config["resolution"])
    return out | {key: taps(total) for key, total in filters.items()}


def from_nvlabs(state: Mapping[str, torch.Tensor], network: str = "G") -> tuple[dict, State]:
    """Config and state of ours from a state with NVlabs' names; unconditional networks only.

    Filters may be left out. Tensors share memory with those that came in.

    Raises:
        ValueError: a key is missing, unexpected, mis-shaped or not a tensor: it names the first.
    """
    return read(state, network, NVLABS)


def to_nvlabs(state: Mapping[str, torch.Tensor], network: str = "G") -> State:
    """A state with NVlabs' names, filters included, from ours; ValueError as `from_nvlabs`."""
    return write(state, network, NVLABS)


def clamp_of(network: Record) -> float | None:
    """What the layers of NVlabs' generator are clamped to, which no tensor says."""
    held = [layer.state for _, layer in modules(network)]
    synthesis = network.init_kwargs.get("synthesis_kwargs")
    if type(synthesis) is dict and not any("conv_clamp" in state for state in held):
        held = [synthesis]
    limits = [state["conv_clamp"] for state in held if state.get("conv_clamp") is not None]
    if not all(type(n) in (int, float) and 0 < n == limits[0] for n in limits):
        raise ValueError(f"conv_clamp of {network.class_name[:99]}: expected one number above 0")
    return float(limits[0]) if limits else None


LINEAR = ("affine", "embed", "out", "skip")  # NVlabs' layers without an activation


def check_layers(network: Record) -> None:
    """ValueError for a layer of NVlabs' that computes something else than ours, by its record."""
    for path, layer in modules(network):
        name = path.split(".")[-2] if path else ""
        activation = "linear" if name in LINEAR else "lrelu"
        rate = 0.01 if "mapping." in path else 1
        for key, expected in {"activation": activation, "bias_gain": rate}.items():
            found = layer.state.get(key, expected)
            if type(found) not in (str, int, float) or found != expected:
                key = "lr_multiplier" if key == "bias_gain" else key
                raise ValueError(f"{path}{key} is {str(found)[:99]!r}, expected {expected!r}")


def from_rosinality(
    state: Mapping[str, torch.Tensor],
    network: str = "G",
    latent_avg: torch.Tensor | None = None,
) -> tuple[dict, State]:
    """Config and state of ours from a state with rosinality's names.

    `latent_avg` (w_dim,) or (1, w_dim) is the generator's mean of w, which a file keeps beside its
    states. Training checkpoints have none: then it is measured over 100,000 seeded draws. Filters
    may be left out. Tensors share memory with those that came in.

    Raises:
        ValueError: a key is missing, unexpected, mis-shaped or not a tensor: it names the first.
    """
    config, found = read(state, network, ROSINALITY)
    if network == "D":
        return config, found
    if latent_avg is None:
        mapping = MappingNetwork(config["z_dim"], config["w_dim"], config["mapping_layers"])
        own = {k: v for k, v in found.items() if k.startswith("mapping.")}
        mapping.load_state_dict(
            {k.removeprefix("mapping."): v for k, v in own.items()} | {"w_avg": mapping.w_avg}
        )
        latent_avg = mean_w(mapping).clone()
    if tuple(latent_avg.shape) not in {(config["w_dim"],), (1, config["w_dim"])}:
        raise ValueError(
            f"latent_avg has shape {tuple(latent_avg.shape)}, expected ({config['w_dim']},)"
        )
    return config, found | {"mapping.w_avg": latent_avg.detach().reshape(-1)}


def to_rosinality(state: Mapping[str, torch.Tensor], network: str = "G") -> State:
    """A state with rosinality's names, filters included, from ours; ValueError as `from_nvlabs`.

    `mapping.w_avg` isn't in it: a file keeps it as `latent_avg`. Rosinality's code opens networks
    with 512 channels up to 32 px whose `z_dim` is `w_dim`.
    """
    return write(state, network, ROSINALITY)


def read_rosinality(path: str | Path) -> dict[str, State | torch.Tensor]:
    """What a `.pt` file holds of the states `g_ema`, `g` and `d` and the vector `latent_avg`.

    Only tensors, plain values and the settings of a training, an `argparse.Namespace`, are read.
    No code from the file is run.

    Raises:
        ValueError: it asks for anything else, is damaged or holds no such state.
    """
    held = read_torch(path)
    try:
        return rosinality_states(held)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def rosinality_states(held: object) -> dict[str, State | torch.Tensor]:
    """What a checkpoint of rosinality's holds, as `read_rosinality`."""
    states = ("g_ema", "g", "d")
    kinds = dict.fromkeys(states, dict) | {"latent_avg": torch.Tensor}
    if not isinstance(held, dict) or not any(name in held for name in states):
        raise ValueError(f"expected a dict with one of {', '.join(states)}")
    found = {name: held[name] for name in kinds if held.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, kinds[name]):
            raise ValueError(f"{name} is of {type(value)}, expected {kinds[name].__name__}")
    return found
