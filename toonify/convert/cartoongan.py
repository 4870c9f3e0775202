"""CartoonGAN of Yijunmaverick's PyTorch port, and its tensors as a folder of .npy files.

The folders are those of mnicnc404/CartoonGan-tensorflow (style_transfer/cartoongan), with one array
per file, named as in the port. Those networks draw in BGR, ours in RGB: the channels of the first
and last weights are flipped.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from toonify.convert.states import check
from toonify.models.cartoongan import CartoonGANGenerator

State = Mapping[str, torch.Tensor]

SUFFIX = ".npy"
NUMBERS = ("f2", "f4", "f8")
MAX_WIDTH, MAX_DEPTH = 512, 64  # of a network that is built to check a state dict


def map_layers(depth: int) -> dict[str, str]:
    """Maps our layers to the port's, for a network with `depth` residual blocks."""
    layers = {
        "enter.0": "conv01_1",
        "enter.1": "in01_1",
        "up_1.0": "deconv01_1",
        "up_1.1": "deconv01_2",
        "up_1.2": f"in{depth + 4:02}_1",
        "up_2.0": "deconv02_1",
        "up_2.1": "deconv02_2",
        "up_2.2": f"in{depth + 5:02}_1",
        "out_layer.0": "deconv03_1",
    }
    for i in (1, 2):
        layers |= {f"down_{i}.0": f"conv{i + 1:02}_1", f"down_{i}.1": f"conv{i + 1:02}_2"}
        layers[f"down_{i}.2"] = f"in{i + 1:02}_1"
    for block, part in itertools.product(range(depth), (1, 2)):
        layers[f"body.{block}.conv{part}"] = f"conv{block + 4:02}_{part}"
        layers[f"body.{block}.norm{part}"] = f"in{block + 4:02}_{part}"
    return layers


def to_port_key(key: str, layers: dict[str, str]) -> str:
    """Converts our key to the port's, whose norms have `scale` and `shift`."""
    layer, _, part = key.rpartition(".")
    theirs = layers[layer]
    if theirs.startswith("in"):
        part = {"weight": "scale", "bias": "shift"}[part]
    return f"{theirs}.{part}"


def from_cartoongan(state: State) -> CartoonGANGenerator:
    """Builds the network of one of the port's state dicts.

    Args:
        state: tensors by the port's keys.

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ValueError: the first key that is missing, unexpected, mis-shaped or not finite.
    """
    first = state.get("conv01_1.weight")
    if not isinstance(first, torch.Tensor):
        raise ValueError("conv01_1.weight is missing or not a tensor")
    width = first.shape[0] if first.ndim == 4 else 0
    blocks = (f"conv{i + 4:02}_2.weight" in state for i in range(MAX_DEPTH))
    config = {
        "width": width if 0 < width <= MAX_WIDTH else 64,  # `check` names what does not fit
        "depth": sum(1 for _ in itertools.takewhile(bool, blocks)) or 8,
    }
    with torch.device("meta"):
        expected = CartoonGANGenerator(**config).state_dict()
    layers = map_layers(config["depth"])
    check(state, {to_port_key(key, layers): tensor for key, tensor in expected.items()})
    ours = {key: state[to_port_key(key, layers)].float() for key in expected}
    ours["enter.0.weight"] = ours["enter.0.weight"].flip(1)
    for part in ("weight", "bias"):
        ours[f"out_layer.0.{part}"] = ours[f"out_layer.0.{part}"].flip(0)
    network = CartoonGANGenerator(**config)
    network.load_state_dict(ours)
    return network.eval()


def read_folder(folder: Path) -> dict[str, torch.Tensor]:
    """Reads a folder of .npy files without unpickling anything.

    Args:
        folder: a folder of floating point arrays.

    Returns:
        File name without .npy -> tensor in float32.

    Raises:
        ValueError: a file is damaged, or not an array of floating point numbers.
    """
    state = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            # Mapped: a shape larger than the file must not allocate memory.
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{file.name}: not a complete array of numbers ({error})") from error
        if array.dtype.str[1:] not in NUMBERS:
            raise ValueError(f"{file.name} holds {array.dtype}, expected floating point numbers")
        state[file.name.removesuffix(SUFFIX)] = torch.from_numpy(np.array(array, np.float32))
    return state
