"""Converts state dicts of StyleGAN2 between Toonify, NVlabs' stylegan2-ada-pytorch and rosinality.

A network is "G" or "D": `StyleGAN2Generator`, or the discriminator that it trains with. Our keys
are NVlabs', without the filters, which are constants here. Tensors keep their values and dtype;
some of rosinality's have additional axes of length 1. The config is inferred from the shapes. It
has no `conv_clamp`, which no shape shows: it is 256 in NVlabs' networks trained in half precision,
and None in rosinality's.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import mode

import torch

from toonify.convert.nvlabs_pickle import modules
from toonify.convert.random_face import compute_w_avg
from toonify.convert.unpickling import Record
from toonify.models.stylegan2 import RESOLUTIONS, MappingNetwork, StyleGAN2Generator

State = dict[str, torch.Tensor]
Shape = tuple[int, ...]

NETWORKS = ("G", "D")

# Parts of a layer, ours -> rosinality's.
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
    """Lists the resolutions of the blocks: 4, 8, ... resolution."""
    return [4 << i for i in range(resolution.bit_length() - 2)]


def to_rosinality_key(key: str, network: str, resolution: int) -> str | None:
    """Converts our key to rosinality's; None for `mapping.w_avg`, which its states do not have."""
    first, _, rest = key.partition(".")
    if network == "D":
        side = int(first.removeprefix("b"))
        number = resolution.bit_length() - side.bit_length() + 1  # 0 is the input layer
        return EPILOGUE[rest] if side == 4 else RESIDUAL[rest].format(number)
    if first == "mapping":
        layer, _, part = rest.partition(".")
        return f"style.{int(layer.removeprefix('fc')) + 1}.{part}" if part else None
    block, layer, *parts = rest.split(".", 2)
    if layer == "const":
        return "input.input"
    octave = int(block.removeprefix("b")).bit_length() - 3
    if layer == "torgb":
        return f"to_rgbs.{octave - 1}.{RGB[parts[0]]}" if octave else f"to_rgb1.{RGB[parts[0]]}"
    number = 2 * octave - 1 + int(layer.removeprefix("conv"))
    if parts[0] == "noise_const":
        return f"noises.noise_{number}"
    return (f"convs.{number - 1}." if number else "conv1.") + CONVOLUTION[parts[0]]


def to_rosinality_shape(key: str, shape: Shape) -> Shape:
    """Converts the shape of our tensor `key` to rosinality's."""
    part = key.rpartition(".")[2]
    if not key.startswith("synthesis.") or ".affine." in key:
        return shape
    if part == "noise_const":
        return (1, 1, *shape)
    if part == "bias":
        return (1, *shape, 1, 1) if ".torgb." in key else shape
    return (1, *shape)


def nvlabs_filters(network: str, resolution: int) -> dict[str, float]:
    """Maps the key of each filter in NVlabs' networks to the sum of its taps."""
    parts = ["", ".conv0", ".conv1"]
    if network == "G":
        keys = [f"synthesis.b{side}{part}" for side in sides(resolution) for part in parts]
        keys.remove("synthesis.b4.conv0")
    else:
        keys = [f"b{side}{part}" for side in sides(resolution)[1:] for part in [*parts, ".skip"]]
        keys += [f"b{resolution}.fromrgb", "b4.conv"]
    return {f"{key}.resample_filter": 1.0 for key in keys}


def rosinality_filters(network: str, resolution: int) -> dict[str, float]:
    """Maps the key of each filter in rosinality's networks to the sum of its taps."""
    blocks = range(len(sides(resolution)) - 1)
    if network == "G":
        keys = [(f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel") for i in blocks]
        return {key: 4.0 for pair in keys for key in pair}
    keys = [(f"convs.{i + 1}.conv2.0.kernel", f"convs.{i + 1}.skip.0.kernel") for i in blocks]
    return {key: 1.0 for pair in keys for key in pair}


@dataclass(frozen=True)
class Format:
    """Keys and shapes of a project.

    Attributes:
        title: the project, as a possessive, for messages.
        block: network -> pattern that finds the number of a block in a key.
        pixels: network -> function from that number to the resolution of the block.
        layer: pattern that finds the number of a mapping layer in a key.
        rename: function from our key, the network and the resolution to the project's key.
        reshape: function from our key and shape to the project's shape.
        filters: function from the network and the resolution to the filters' keys and sums.
    """

    title: str
    block: dict[str, str]
    pixels: dict[str, Callable[[int], int]]
    layer: str
    rename: Callable[[str, str, int], str | None]
    reshape: Callable[[str, Shape], Shape]
    filters: Callable[[str, int], dict[str, float]]


OURS = Format(
    title="our",
    block={"G": r"synthesis\.b(\d{1,5})\.", "D": r"b(\d{1,5})\."},
    pixels={"G": int, "D": int},
    layer=r"mapping\.fc(\d{1,5})\.",
    rename=lambda key, network, resolution: key,
    reshape=lambda key, shape: shape,
    filters=lambda network, resolution: {},
)
NVLABS = replace(OURS, title="NVlabs'", filters=nvlabs_filters)
ROSINALITY = Format(
    title="rosinality's",
    block={"G": r"to_rgbs\.(\d{1,2})\.", "D": r"convs\.(\d{1,2})\."},
    pixels={"G": lambda i: 8 << i, "D": lambda i: 4 << i},
    layer=r"style\.(\d{1,5})\.",
    rename=to_rosinality_key,
    reshape=to_rosinality_shape,
    filters=rosinality_filters,
)


def discriminator_shapes(resolution: int, channel_base: int, channel_max: int) -> dict[str, Shape]:
    """Maps our keys of a discriminator to shapes; its class is in `training`."""
    shapes: dict[str, Shape] = {}
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


def network_shapes(network: str, config: dict) -> dict[str, Shape]:
    """Maps our keys of a network to shapes."""
    if network == "D":
        return discriminator_shapes(**config)
    with torch.device("meta"):
        state = StyleGAN2Generator(**config).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


# Network -> parts of a block, and the axis of each whose length is the block's channels.
CHANNELS = {
    "G": {"conv1.bias": 0, "conv1.affine.bias": 0, "torgb.affine.bias": 0},
    "D": {"conv0.bias": 0, "conv0.weight": 0, "skip.weight": 1},
    "D last": {"conv.bias": 0, "fc.bias": 0, "conv.weight": 0},
}


def infer_config(state: Mapping[str, torch.Tensor], network: str, form: Format) -> dict:
    """Infers the config from the shapes; each size is what most of several tensors show."""
    blocks = [found for key in state if (found := re.match(form.block[network], key))]
    resolution = max((form.pixels[network](int(found[1])) for found in blocks), default=0)
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"{network} with {form.title} keys: the keys are those of {resolution} px, expected one"
            f" of {RESOLUTIONS}"
        )

    def find_length(axes: dict[str, int]) -> int:
        names = [form.rename(key, network, resolution) for key in axes]
        tensors = [
            (state.get(str(name)), axis) for name, axis in zip(names, axes.values(), strict=True)
        ]
        found = [t.shape[axis] for t, axis in tensors if t is not None and t.ndim > axis]
        if not found:
            raise ValueError(f"{network} with {form.title} keys: {names[0]} is missing")
        return mode(found)

    channels = {}
    for side in sides(resolution):
        prefix = f"synthesis.b{side}." if network == "G" else f"b{side}."
        parts = CHANNELS["D last" if network == "D" and side == 4 else network]
        channels[side] = find_length({prefix + part: axis for part, axis in parts.items()})
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
        "z_dim": find_length({"mapping.fc0.weight": 1}),
        "w_dim": find_length(
            {f"mapping.fc{i}.bias": 0 for i in range(max(layers, 1))}
            | {"synthesis.b4.conv1.affine.weight": 1}
        ),
    }


def make_filter(total: float) -> torch.Tensor:
    """Returns the filter [1, 3, 3, 1] along both axes, (4, 4), with this sum."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row) * (total / 64)


def read(state: Mapping[str, torch.Tensor], network: str, form: Format) -> tuple[dict, State]:
    """Reads config and our state, without the keys that `form` does not have."""
    if network not in NETWORKS:
        raise ValueError(f"network={network!r}: expected one of {', '.join(NETWORKS)}")
    where = f"{network} with {form.title} keys"
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(
                f"{where}: {key!r} is of type {type(tensor).__name__}, expected a tensor"
            )
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise ValueError(f"{where}: {key} is {tensor.layout} {tensor.dtype}, expected floats")
    config = infer_config(state, network, form)
    resolution, found, used = config["resolution"], {}, set()
    for key, shape in network_shapes(network, config).items():
        name = form.rename(key, network, resolution)
        if name is None:
            continue
        if name not in state:
            raise ValueError(f"{where}: {name} is missing")
        found_shape, expected = tuple(state[name].shape), form.reshape(key, shape)
        if found_shape != expected:
            raise ValueError(f"{where}: {name} has shape {found_shape}, expected {expected}")
        found[key] = state[name].detach().reshape(shape)
        used.add(name)
    filters = form.filters(network, resolution)
    for key, tensor in state.items():
        if key in filters:
            taps = make_filter(filters[key])
            if tensor.shape != (4, 4) or not torch.allclose(tensor.float().cpu(), taps):
                raise ValueError(f"{where}: {key} is not the filter [1, 3, 3, 1]")
        elif key not in used:
            raise ValueError(f"{where}: {key} is unexpected")
    return config, found


def write(state: Mapping[str, torch.Tensor], network: str, form: Format) -> State:
    """Converts our state to the keys of `form`, filters included."""
    config, state = read(state, network, OURS)
    out = {}
    for key, tensor in state.items():
        name = form.rename(key, network, config["resolution"])
        if name is not None:
            out[name] = tensor.reshape(form.reshape(key, tuple(tensor.shape)))
    filters = form.filters(network, config["resolution"])
    return out | {key: make_filter(total) for key, total in filters.items()}


def from_nvlabs(state: Mapping[str, torch.Tensor], network: str = "G") -> tuple[dict, State]:
    """Converts a state dict of an unconditional network with NVlabs' keys to ours.

    Args:
        state: tensors by NVlabs' keys; filters are optional.
        network: "G" or "D".

    Returns:
        Config and our state dict. Its tensors share memory with those of `state`.

    Raises:
        ValueError: the first key that is missing, unexpected, mis-shaped or not a tensor.
    """
    return read(state, network, NVLABS)


def to_nvlabs(state: Mapping[str, torch.Tensor], network: str = "G") -> State:
    """Converts our state dict to NVlabs' keys, filters included; see `from_nvlabs`."""
    return write(state, network, NVLABS)


def read_conv_clamp(network: Record) -> float | None:
    """Reads `conv_clamp` of NVlabs' generator from its record, as no tensor shows it."""
    held = [layer.state for _, layer in modules(network)]
    synthesis = network.init_kwargs.get("synthesis_kwargs")
    if type(synthesis) is dict and not any("conv_clamp" in state for state in held):
        held = [synthesis]
    limits = [state["conv_clamp"] for state in held if state.get("conv_clamp") is not None]
    if not all(type(n) in (int, float) and 0 < n == limits[0] for n in limits):
        raise ValueError(
            f"conv_clamp of {network.class_name[:99]}: expected a single number above 0"
        )
    return float(limits[0]) if limits else None


LINEAR = ("affine", "embed", "out", "skip")  # NVlabs' layers without an activation


def check_layers(network: Record) -> None:
    """Checks in the record of NVlabs' network that each layer computes what ours does."""
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
    """Converts a state dict with rosinality's keys to ours.

    Args:
        state: tensors by rosinality's keys; filters are optional.
        network: "G" or "D".
        latent_avg: mean of w of the generator, (w_dim,) or (1, w_dim), which files store beside the
            state dicts; default, as in training checkpoints: measured over 100,000 seeded samples.

    Returns:
        Config and our state dict. Its tensors share memory with those of `state`.

    Raises:
        ValueError: the first key that is missing, unexpected, mis-shaped or not a tensor.
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
        latent_avg = compute_w_avg(mapping).clone()
    if tuple(latent_avg.shape) not in {(config["w_dim"],), (1, config["w_dim"])}:
        raise ValueError(
            f"latent_avg has shape {tuple(latent_avg.shape)}, expected ({config['w_dim']},)"
        )
    return config, found | {"mapping.w_avg": latent_avg.detach().reshape(-1)}


def to_rosinality(state: Mapping[str, torch.Tensor], network: str = "G") -> State:
    """Converts our state dict to rosinality's keys, filters included; see `from_rosinality`.

    `mapping.w_avg` is left out: files store it as `latent_avg`. Rosinality's code opens networks
    with 512 channels up to 32 px whose `z_dim` is `w_dim`.
    """
    return write(state, network, ROSINALITY)


def rosinality_states(held: object) -> tuple[dict[str, State], torch.Tensor | None]:
    """Finds the state dicts in a checkpoint of rosinality's.

    Args:
        held: the values of the file.

    Returns:
        The state dicts by the names "g_ema", "g" and "d", as far as there are any; and
        `latent_avg`, or None.

    Raises:
        ValueError: none of the names is there, or a value has the wrong type.
    """
    names = ("g_ema", "g", "d")
    if not isinstance(held, dict) or not any(name in held for name in names):
        raise ValueError(f"expected a dict with one of {', '.join(names)}")
    found = {name: held[name] for name in names if held.get(name) is not None}
    for name, state in found.items():
        if not isinstance(state, dict):
            raise ValueError(f"{name} is of type {type(state).__name__}, expected a dict")
    latent_avg = held.get("latent_avg")
    if not isinstance(latent_avg, torch.Tensor | None):
        raise ValueError(f"latent_avg is of type {type(latent_avg).__name__}, expected a tensor")
    return found, latent_avg
