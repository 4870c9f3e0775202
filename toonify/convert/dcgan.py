"""The public Toon-Generator: a state dict that torch.save wrote.

Each tensor is found by its key and must have the expected shape. No code in the file is executed.
"""

from pathlib import Path

import torch

from toonify.convert.states import check
from toonify.convert.unpickling import read_torch
from toonify.models.dcgan import DCGANGenerator


def convert(source: str | Path, **sizes) -> DCGANGenerator:
    """Builds the network of a `.pth` file.

    Args:
        source: the file.
        **sizes: arguments of `DCGANGenerator`; default: those of the published network.

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ValueError: the file holds code or is damaged, or a key is not as expected.
    """
    state = read(Path(source))
    try:
        return from_public(state, **sizes)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def from_public(state: dict[str, torch.Tensor], **sizes) -> DCGANGenerator:
    """Builds the network of a state dict; see `convert`."""
    with torch.device("meta"):
        network = DCGANGenerator(**sizes)
    check(state, network.state_dict())
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def read(path: Path) -> dict[str, torch.Tensor]:
    """Reads the dict in a file; ValueError for anything else."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    held = read_torch(path)
    if not isinstance(held, dict):
        raise ValueError(f"{path}: holds a {type(held).__name__}, expected a state dict")
    return dict(held)
