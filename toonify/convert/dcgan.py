"""Reads the public Toon-Generator, a state dict that torch.save wrote.

Every tensor is found by its name and must have the shape that is expected. No code from the file
is run.
"""

from pathlib import Path

import torch

from toonify.convert.states import check
from toonify.convert.unpickling import read_torch
from toonify.models.dcgan import DCGANGenerator


def convert(source: str | Path, **sizes) -> DCGANGenerator:
    """The network in a `.pth` file, float32, for evaluation; `sizes` if not as published.

    Raises:
        ValueError: the file holds code, is damaged, or a key of it is not as expected: the first
            is named.
    """
    state = read(Path(source))
    try:
        return from_public(state, **sizes)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def from_public(state: dict[str, torch.Tensor], **sizes) -> DCGANGenerator:
    """The network of a state dict; ValueError as `convert`."""
    with torch.device("meta"):
        network = DCGANGenerator(**sizes)
    check(state, network.state_dict())
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def read(path: Path) -> dict[str, torch.Tensor]:
    """What the file holds, as long as it is a dict; ValueError for anything else."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    held = read_torch(path)
    if not isinstance(held, dict):
        raise ValueError(f"{path}: it holds a {type(held).__name__}, expected a state dict")
    return dict(held)
