"""State dicts of other projects: what must be so before a network takes one."""

from collections.abc import Mapping

import torch


def check(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """ValueError that names the first key which is not as in `expected`."""
    for key, tensor in state.items():
        if key not in expected:
            raise ValueError(f"{written(key)} is unexpected")
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


def written(key: object) -> str:
    """A key that somebody else chose, fit for a message."""
    text = str(key)[:99]
    return text if text.isprintable() else ascii(text)
