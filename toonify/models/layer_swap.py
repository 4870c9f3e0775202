"""Layer swapping: the shapes of one generator with the textures of another tuned from it.

Pinkney and Adler, "Resolution dependent GAN interpolation for controllable image synthesis between
domains", NeurIPS workshop 2020. Layers that draw small images decide on shape, those that draw
large ones on texture.
"""

import copy
import math
from collections.abc import Iterator, Mapping

import torch

from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator

GENERATORS = (StyleGAN2Generator, MobileStyleGAN)
SHAPE_FROM = ("toon", "base")

Generator = StyleGAN2Generator | MobileStyleGAN


def side_of(layer: str) -> int:
    """Pixels of the features a layer of `synthesis` works on: `start`, `b{side}`, `rgb{2 * side}`.

    The image heads of MobileStyleGAN draw twice as large as the features they read.
    """
    if layer == "start":
        return 4
    if layer.startswith("rgb"):
        return int(layer.removeprefix("rgb")) // 2
    return int(layer.removeprefix("b"))


def layers_between(network: Generator, low: int, high: int | None = None) -> tuple[int, int]:
    """The first and the last layer of w+ that steer features of `low` to `high` px.

    A `high` of None is no limit, and nor is one beyond the network's size. ValueError for a `low`
    that no layer has.
    """
    synthesis = network.synthesis
    largest = max(side_of(layer) for layer, _ in synthesis.named_children())
    last = network.num_ws if high is None or high >= largest else synthesis.first_layer(2 * high)
    return synthesis.first_layer(low), last - 1


def check_switch(resolution: float, width: float, shape_from: str) -> None:
    """ValueError for a switch that no generator can make; the values as in `layer_weights`."""
    if not 4 <= resolution < math.inf:
        raise ValueError(f"resolution={resolution}: expected 4 or more pixels")
    if not 0 <= width < math.inf:
        raise ValueError(f"width={width}: expected 0 (a hard switch) or more octaves")
    if shape_from not in SHAPE_FROM:
        raise ValueError(f"shape_from={shape_from!r}: expected one of {', '.join(SHAPE_FROM)}")


def layer_weights(
    network: Generator, resolution: float, width: float = 0.0, shape_from: str = "toon"
) -> dict[str, float]:
    """Each layer of `network.synthesis` -> the toon generator's share of it, 0 to 1.

    Layers below `resolution` pixels come from the generator named by `shape_from`, those at and
    above it from the other. `width` 0 switches hard: then a resolution of 4 takes all layers from
    the other, one beyond the network's size all from the first. A larger `width`, in octaves, is
    that of a logistic in log2 of the pixels. Its middle lies half an octave below `resolution`,
    between the last layer of the one and the first of the other, so that narrow is like hard.

    Raises:
        ValueError: a resolution below 4, a negative width, either not finite, another shape_from.
    """
    check_switch(resolution, width, shape_from)
    shares = {}
    for layer, _ in network.synthesis.named_children():
        side = side_of(layer)
        if width == 0:
            fine = float(side >= resolution)
        else:
            octaves = math.log2(side / resolution) + 0.5
            fine = (1 + math.tanh(octaves / width / 2)) / 2  # the logistic, without its overflow
        shares[layer] = 1 - fine if shape_from == "toon" else fine
    return shares


def blend_state(
    base: Mapping[str, torch.Tensor], toon: Mapping[str, torch.Tensor], shares: Mapping[str, float]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Key and mixed tensor of two generators' states, one at a time; `shares` as `layer_weights`.

    Whatever lies outside `synthesis`, the mapping and the mean of w, is base's.
    """
    for key, tensor in base.items():
        room, layer = key.split(".")[:2]
        share = shares[layer] if room == "synthesis" else 0.0
        yield key, tensor.lerp(toon[key].to(tensor), share) if share else tensor


def traits(network: Generator) -> dict[str, object]:
    """What two generators must have in common: class, config, and the shape of every tensor."""
    config = {
        key: list(value) if isinstance(value, tuple) else value  # JSON makes lists of tuples
        for key, value in network.config.items()
        if not key.startswith("_")
    }
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    return {"class": type(network).__name__, **config, **shapes}


def refuse_stranger(name: str, network: Generator, base: Generator) -> None:
    """Raises ValueError, naming the first difference, if `network` isn't built as `base` is."""
    mine, theirs = traits(network), traits(base)
    for key in theirs | mine:
        if mine.get(key) != theirs.get(key):
            raise ValueError(
                f"{name} and base differ in {key}: {mine.get(key)!r} and {theirs.get(key)!r}"
            )


@torch.no_grad()
def blend_into(
    target: Generator,
    base: Generator,
    toon: Generator,
    resolution: float,
    width: float = 0.0,
    shape_from: str = "toon",
) -> None:
    """Writes the blend of base and toon over the weights and buffers of `target`.

    For a slider: nothing is built anew, and of the weights only one tensor at a time is copied.
    Arguments and the rule as in `layer_weights`; the mapping is base's.

    Raises:
        ValueError: the generators differ in class, config or shapes, or as `layer_weights`.
    """
    if not isinstance(base, GENERATORS):
        names = " or ".join(known.__name__ for known in GENERATORS)
        raise ValueError(f"base is {type(base).__name__}: expected {names}")
    refuse_stranger("toon", toon, base)
    refuse_stranger("target", target, base)
    shares = layer_weights(base, resolution, width, shape_from)
    written = target.state_dict()
    for key, tensor in blend_state(base.state_dict(), toon.state_dict(), shares):
        written[key].copy_(tensor)


def blend(
    base: Generator,
    toon: Generator,
    resolution: float,
    width: float = 0.0,
    shape_from: str = "toon",
) -> Generator:
    """A new generator with the layers of both; base and toon stay as they are.

    `shape_from="toon"` draws the toon's shapes with base's textures (the 3D look), `"base"` the
    reverse. Arguments, rule and errors as in `layer_weights` and `blend_into`.
    """
    target = copy.deepcopy(base)
    blend_into(target, base, toon, resolution, width, shape_from)
    return target
