"""What is in a network's folder: config.json, weights, and what style.json says."""

from pathlib import Path

from torch import nn


def write_weights(network: nn.Module, folder: Path, full: bool = False) -> None:
    """Writes config.json and the weights in half precision, or as they are if `full`.

    The network keeps its precision.
    """
    if full:
        network.save_pretrained(folder, safe_serialization=True)
        return
    half = type(network)(**{k: v for k, v in network.config.items() if not k.startswith("_")})
    half.load_state_dict(network.state_dict())
    half.half().save_pretrained(folder, variant="fp16", safe_serialization=True)


def with_license(style: dict[str, object]) -> dict[str, object]:
    """What style.json is to say: an empty `license` becomes a request to fill it in."""
    license = style["license"] or "unknown: say here what the data's licenses allow"
    return style | {"license": license}
