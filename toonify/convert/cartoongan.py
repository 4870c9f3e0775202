"""CartoonGAN by other hands: Yijunmaverick's port, and its tensors as a folder of .npy files.

The folders are those of mnicnc404/CartoonGan-tensorflow (style_transfer/cartoongan), one array a
file by the port's names. The networks draw blue, green, red; ours red, green, blue: the first and
the last weights are turned over. Zeros lie at the edge of what is scaled, as in the port.
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
WIDEST, DEEPEST = 512, 64  # of a network that is built to see whether a state fits


def names_of(depth: int) -> dict[str, str]:
    """First part of a key, ours -> the port's, of a network with `depth` residual blocks."""
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


def name_in_port(key: str, layers: dict[str, str]) -> str:
    """The port's name of our key; its norms call gain and bias scale and shift."""
    layer, _, part = key.rpartition(".")
    theirs = layers[layer]
    if theirs.startswith("in"):
        part = {"weight": "scale", "bias": "shift"}[part]
    return f"{theirs}.{part}"


def from_cartoongan(state: State) -> CartoonGANGenerator:
    """The network of the port's state dict, float32, for evaluation.

    Raises:
        ValueError: a key is missing, unexpected, mis-shaped or not finite: it names the first.
    """
    first = state.get("conv01_1.weight")
    if not isinstance(first, torch.Tensor):
        raise ValueError("conv01_1.weight is missing, or no tensor")
    width = first.shape[0] if first.ndim == 4 else 0
    blocks = (f"conv{i + 4:02}_2.weight" in state for i in range(DEEPEST))
    config = {
        "width": width if 0 < width <= WIDEST else 64,  # what doesn't fit is then told by its name
        "depth": sum(1 for _ in itertools.takewhile(bool, blocks)) or 8,
    }
    with torch.device("meta"):
        expected = CartoonGANGenerator(**config).state_dict()
    layers = names_of(config["depth"])
    check(state, {name_in_port(key, layers): tensor for key, tensor in expected.items()})
    ours = {key: state[name_in_port(key, layers)].float() for key in expected}
    ours["enter.0.weight"] = ours["enter.0.weight"].flip(1)
    for part in ("weight", "bias"):
        ours[f"out_layer.0.{part}"] = ours[f"out_layer.0.{part}"].flip(0)
    network = CartoonGANGenerator(**config)
    network.load_state_dict(ours)
    return network.eval()


def read_folder(folder: Path) -> dict[str, torch.Tensor]:
    """The arrays of a folder by their files' names, float32. Nothing is unpickled.

    Raises:
        ValueError: a file is no plain array of numbers, or is damaged: it is named.
    """
    state = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            # Mapped, so that a shape which the file cannot hold takes no memory.
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{file.name}: not a whole array of numbers ({error})") from error
        if array.dtype.str[1:] not in NUMBERS:
            raise ValueError(f"{file.name} holds {array.dtype}, expected floating point numbers")
        state[file.name.removesuffix(SUFFIX)] = torch.from_numpy(np.array(array, np.float32))
    return state
