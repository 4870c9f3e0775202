"""State dicts of other projects: the check before a network loads one."""

from collections.abc import Mapping

import torch


def check(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Checks that a state dict has the expected keys, shapes and types, and finite values.

    Args:
        state: what a file holds.
        expected: tensors with the expected keys, shapes and types; they may be on "meta".

    Raises:
        ValueError: the first key that is missing, unexpected or wrong.
    """
    for key, tensor in state.items():
        if key not in expected:
            raise ValueError(f"{printable(key)} is unexpected")
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{key} is of type {type(tensor).__name__}, expected a tensor")
        found, shape = tuple(tensor.shape), tuple(expected[key].shape)
        if found != shape:
            raise ValueError(f"{key} has shape {found}, expected {shape}")
        dtype, is_float = expected[key].dtype, tensor.is_floating_point()
        if tensor.layout != torch.strided or is_float != dtype.is_floating_point:
            raise ValueError(f"{key} is {tensor.layout} {tensor.dtype}, expected {dtype}")
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds values that are not finite numbers")
    for key in expected:
        if key not in state:
            raise ValueError(f"{key} is missing")


def printable(key: object) -> str:
    """A key from a file, cut and escaped for a message."""
    text = str(key)[:99]
    return text if text.isprintable() else ascii(text)
