"""AnimeGANv2 by other hands: bryandlee/animegan2-pytorch and ptran1203/pytorch-animeGAN.

Our names are bryandlee's. His networks double by `align_corners=True`, but for `paprika`, which
TensorFlow trained; ptran1203's by `align_corners=False`, and their last layer has a bias. Widths
come from the shapes. Both are read as of their newest commits, 25d7b01 and 2ba6369.
"""

import hashlib
import http.client
import itertools
import os
import time
import urllib.request
from collections.abc import Callable, Mapping

import torch

from toonify.convert.states import check
from toonify.models.animegan import AnimeGANGenerator

State = Mapping[str, torch.Tensor]

ADDRESS = "https://github.com/bryandlee/animegan2-pytorch/raw/main/weights/{}.pt"
LARGEST = 20_000_000  # bytes; the published files have 8.6 million
SILENCE, PATIENCE = 10.0, 120.0  # seconds for the next bytes, and for all
WIDEST, DEEPEST = 1024, 64  # of a network that is built to see whether a state fits

# Of a key, ours -> ptran1203's: its room, and the layer in it.
ROOMS = {
    "block_a": "conv_block1",
    "block_b": "conv_block2",
    "block_c": "res_blocks",
    "block_d": "conv_block3",
    "block_e": "conv_block4",
    "out_layer": "decode_blocks",
}
LAYERS = {
    "1": "conv",
    "2": "ins_norm",
    "layers.0.1": "conv_block.conv",
    "layers.0.2": "conv_block.ins_norm",
    "layers.1.1": "conv_block2.conv",
    "layers.1.2": "conv_block2.ins_norm",
    "layers.2": "conv",
    "layers.3": "norm",
}


def from_animegan2(state: State, upsample: str = "align_corners") -> AnimeGANGenerator:
    """The network of a state dict of bryandlee's, float32, for evaluation.

    `upsample` "tf1" is for weights that TensorFlow trained: its resize, and its norms' epsilon.

    Raises:
        ValueError: a key is missing, unexpected, mis-shaped or not finite: it names the first.
    """
    return build(state, lambda key: key, upsample)


def from_pytorch_animegan(held: Mapping, upsample: str = "half_pixel") -> AnimeGANGenerator:
    """The same of a checkpoint of ptran1203's version 2, or of the state dict in it."""
    state = held.get("model_state_dict", held)
    if not isinstance(state, Mapping):
        raise ValueError(f"model_state_dict is of {type(state)}, expected a dict")
    if any(str(key).startswith("module.") for key in state):  # trained on several GPUs
        state = {str(key).removeprefix("module."): tensor for key, tensor in state.items()}
    if any(str(key).startswith("upsample1.") for key in state):
        raise ValueError(
            "it is an early form of version 2, which normalized every pixel by itself; expected the"
            " form that was published, with conv_block3"
        )
    return build(state, ptran_name, upsample)


def ptran_name(key: str) -> str:
    """ptran1203's name of our key."""
    room, number, rest = key.split(".", 2)
    layer, _, part = rest.rpartition(".")
    return ".".join((ROOMS[room], number, *([LAYERS[layer]] if layer else []), part))


def build(state: State, name: Callable[[str], str], upsample: str) -> AnimeGANGenerator:
    """The network of a state whose keys are `name` of ours."""
    last, bias = name("out_layer.0.weight"), name("out_layer.0.bias")
    if not isinstance(state.get(last), torch.Tensor):
        raise ValueError(f"{last} is missing, or no tensor")
    width = state[last].shape[1] if state[last].ndim == 4 else 0
    residuals = (name(f"block_c.{i}.layers.3.weight") in state for i in range(1, DEEPEST + 1))
    config = {
        "width": width if 0 < width <= WIDEST else 32,  # what doesn't fit is then told by its name
        "depth": sum(1 for _ in itertools.takewhile(bool, residuals)) or 4,
        "upsample": upsample,
        "norm_eps": 1e-12 if upsample == "tf1" else 1e-5,
        "out_bias": bias in state,
    }
    with torch.device("meta"):
        expected = AnimeGANGenerator(**config).state_dict()
    check(state, {name(key): tensor for key, tensor in expected.items()})
    network = AnimeGANGenerator(**config)
    network.load_state_dict({key: state[name(key)].float() for key in expected})
    return network.eval()


def download(name: str) -> bytes:
    """The file of published weights.

    Raises:
        ConnectionError: there is no network, or HF_HUB_OFFLINE is set.
        ValueError: what comes is larger than such a file can be.
    """
    address, data = ADDRESS.format(name), bytearray()
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError(f"{name} lies at {address}, and HF_HUB_OFFLINE is set")
    end = time.monotonic() + PATIENCE
    try:
        with urllib.request.urlopen(address, timeout=SILENCE) as answer:
            while part := answer.read1(1 << 16):
                data += part
                if len(data) > LARGEST:
                    raise ValueError(
                        f"{address}: more than {LARGEST:,} bytes, expected 8.6 million"
                    )
                if time.monotonic() > end:
                    raise TimeoutError(f"not whole after {PATIENCE:g} seconds")
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        raise ConnectionError(
            f"{name} cannot be fetched from {address} ({str(why) or type(why).__name__}); fetched"
            f" by other means, {name}.pt is taken as SOURCE"
        ) from error
    return bytes(data)


def blob_hash(data: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
