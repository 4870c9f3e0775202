"""StyleGAN2 as a pickle that NVlabs' programs open: stylegan2-ada-pytorch and stylegan3.

Their pickles bring the source of their classes along, which their loader runs. Ours bring the lines
in `SOURCE` instead: they have the constructor of the repository at hand build the network, and fill
it with the tensors. So a file holds none of NVlabs' code, and draws with whichever is installed.
"""

import io
import pickle
from collections.abc import Mapping
from types import FunctionType

import torch

from toonify.convert import stylegan2

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
VERSION = 6  # of NVlabs' records
RECONSTRUCT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"


class Network:
    """Stands in a tree for a network of NVlabs': its class, constructor's arguments and tensors."""

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
    """Stands for NVlabs' function, by whose name it is written."""


class Pickler(pickle._Pickler):
    """Writes `reconstruct` by NVlabs' name, whose module need not be here."""

    def save_function(self, obj):
        if obj is not reconstruct:
            return self.save_global(obj)
        self.write(RECONSTRUCT)
        self.memoize(obj)

    dispatch = pickle._Pickler.dispatch | {FunctionType: save_function}


def pickled(generator, critic: Mapping[str, torch.Tensor] | None) -> bytes:
    """The file: G, G_ema and D, which their loader wants together.

    `generator` is a `StyleGAN2Generator`, `critic` the state of a `StyleGAN2Discriminator` by our
    names. Without one D is as its constructor makes it: untrained, and of the generator's widths.
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
        plain(stylegan2.to_nvlabs(state, "G")),
    )
    tensors = {}
    if critic is not None:
        tensors = plain(stylegan2.to_nvlabs(critic, "D"))
        found = stylegan2.from_nvlabs(tensors, "D")[0]
        widths = {name: found[name] for name in widths}
    D = Network("Discriminator", shared | widths | precision, tensors)
    stream = io.BytesIO()
    Pickler(stream, protocol=4).dump({"G": G, "D": D, "G_ema": G})
    return stream.getvalue()


def plain(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, so that each is written by itself."""
    return {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}
