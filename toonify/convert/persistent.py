"""Writes StyleGAN2 as a pickle that NVlabs' programs open: stylegan2-ada-pytorch and stylegan3.

Their pickles contain the source of their classes, which their loader executes. Ours contain
`SOURCE` instead, which builds the network with the constructor of the installed repository and
loads the tensors. A file thus holds none of NVlabs' code and works with both repositories.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ClassVar

import torch

from toonify.convert import stylegan2
from toonify.models.stylegan2 import StyleGAN2Generator

SOURCE = '''\
"""Networks converted by Toonify: built by this repository's own classes, then filled."""

import importlib.util

import dnnlib

STYLEGAN3 = importlib.util.find_spec("training.networks_stylegan2") is not None
if STYLEGAN3:
    from training import networks_stylegan2 as networks
else:
    from training import networks  # stylegan2-ada-pytorch


class Filled:
    def __setstate__(self, state):
        if "tensors" not in state:  # a copy, or pickled again
            super().__setstate__(state)
            return
        arguments = dict(state["_init_kwargs"])
        synthesis = dnnlib.EasyDict(arguments.pop("synthesis_kwargs", {}))
        if synthesis:
            arguments.update(synthesis if STYLEGAN3 else {"synthesis_kwargs": synthesis})
        self.__init__(**arguments)
        if state["tensors"]:
            self.load_state_dict(state["tensors"])
        self.eval().requires_grad_(False)


class Generator(Filled, networks.Generator):
    pass


class Discriminator(Filled, networks.Discriminator):
    pass
'''
VERSION = 6  # of NVlabs' format
RECONSTRUCT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"


class Network:
    """A network in NVlabs' format: its class, the constructor's arguments and the tensors."""

    def __init__(self, class_name: str, arguments: dict, tensors: Mapping[str, torch.Tensor]):
        state = {"_init_kwargs": arguments, "tensors": dict(tensors)}
        self.meta = {
            "type": "class",
            "version": VERSION,
            "module_src": SOURCE,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return reconstruct, (self.meta,)


def reconstruct(meta: dict) -> None:
    """Placeholder for NVlabs' function, under whose name it is pickled."""


BASE_DISPATCH: dict[type, Callable[[Any, Any], None]] = {**pickle._Pickler.dispatch}


class Pickler(pickle._Pickler):
    """Pickles `reconstruct` under NVlabs' name, whose module is not needed here."""

    write: Callable[[bytes], object]
    memoize: Callable[[object], None]

    def save_function(self, obj: object) -> None:
        if obj is not reconstruct:
            BASE_DISPATCH[FunctionType](self, obj)
            return
        self.write(RECONSTRUCT)
        self.memoize(obj)

    dispatch: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        **BASE_DISPATCH,
        FunctionType: save_function,
    }


def dump(
    generator: StyleGAN2Generator, discriminator: Mapping[str, torch.Tensor] | None = None
) -> bytes:
    """Pickles G, G_ema and D, which NVlabs' loader requires together.

    Args:
        generator: the network of G and G_ema.
        discriminator: state dict of a `StyleGAN2Discriminator`; default: D is untrained and has the
            widths of the generator.

    Returns:
        The content of the file.
    """
    config, state = generator.config, generator.state_dict()
    shared = {"c_dim": 0, "img_resolution": config.resolution, "img_channels": 3}
    widths = {"channel_base": config.channel_base, "channel_max": config.channel_max}
    precision = {"conv_clamp": config.conv_clamp, "num_fp16_res": 0}
    G = Network(
        "Generator",
        shared
        | {
            "z_dim": config.z_dim,
            "w_dim": config.w_dim,
            "mapping_kwargs": {"num_layers": config.mapping_layers},
            "synthesis_kwargs": widths | precision,
        },
        copy_tensors(stylegan2.to_nvlabs(state, "G")),
    )
    tensors = {}
    if discriminator is not None:
        tensors = copy_tensors(stylegan2.to_nvlabs(discriminator, "D"))
        found = stylegan2.from_nvlabs(tensors, "D")[0]
        widths = {name: found[name] for name in widths}
    D = Network("Discriminator", shared | widths | precision, tensors)
    stream = io.BytesIO()
    Pickler(stream, protocol=4).dump({"G": G, "D": D, "G_ema": G})
    return stream.getvalue()


def copy_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies tensors, so that none shares memory with another and each is pickled separately."""
    return {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}
