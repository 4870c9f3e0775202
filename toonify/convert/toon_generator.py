"""Reads the public Toon-Generator, a state dict that torch.save wrote.

    python -m toonify.convert.toon_generator G_arch.pth OUT

Every tensor is found by its name and must have the shape that is expected. No code from the file
is run.
"""

import argparse
from pathlib import Path

import torch

from toonify.convert.pickles import read_torch
from toonify.models.toon_generator import SeedGenerator


def convert(source: str | Path, **sizes) -> SeedGenerator:
    """The network in a `.pth` file, float32, for evaluation; `sizes` if not as published.

    Raises:
        ValueError: the file holds code, is damaged, or a key of it is not as expected: the first
            is named.
    """
    state = read(Path(source))
    with torch.device("meta"):
        network = SeedGenerator(**sizes)
    try:
        check(state, network.state_dict())
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
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


def check(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """ValueError that names the first key which is not as in `expected`."""
    for key, tensor in state.items():
        if key not in expected:
            raise ValueError(f"{key} is unexpected")
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{key} is of {type(tensor)}, expected a tensor")
        told, shape = tuple(tensor.shape), tuple(expected[key].shape)
        if told != shape:
            raise ValueError(f"{key} has shape {told}, expected {shape}")
        kind, floats = expected[key].dtype, tensor.is_floating_point()
        if tensor.layout != torch.strided or floats != kind.is_floating_point:
            raise ValueError(f"{key} is {tensor.layout} {tensor.dtype}, expected {kind}")
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds values that are not finite numbers")
    for key in expected:
        if key not in state:
            raise ValueError(f"{key} is missing")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="the .pth file")
    parser.add_argument("out", type=Path, help="folder to write config.json and weights into")
    options = parser.parse_args(arguments)
    try:
        network = convert(options.source)
    except ValueError as error:
        parser.error(str(error))
    network.save_pretrained(options.out)
    print(f"{network.resolution} px generator in {options.out}")


if __name__ == "__main__":
    main()
