"""AnimeGANv2 of bryandlee/animegan2-pytorch and ptran1203/pytorch-animeGAN.

The keys here are bryandlee's. His networks upsample with `align_corners=True`, except `paprika`,
whose weights come from TensorFlow; ptran1203's upsample with `align_corners=False`, and their last
layer has a bias. Widths are read from the shapes. The formats are those of the commits 25d7b01 and
2ba6369.
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

URL = "https://github.com/bryandlee/animegan2-pytorch/raw/main/weights/{}.pt"
MAX_BYTES = 20_000_000  # the published files have 8.6 million
READ_TIMEOUT, TIMEOUT = 10.0, 120.0  # seconds until the next bytes, and for the whole file
MAX_WIDTH, MAX_DEPTH = 1024, 64  # of a network that is built to check a state dict

# Parts of keys, ours -> ptran1203's: the block, and the layer in it.
BLOCKS = {
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
    """Builds the network of one of bryandlee's state dicts.

    Args:
        state: tensors by bryandlee's keys.
        upsample: "align_corners", "half_pixel" or, for weights trained with TensorFlow, "tf1",
            which also selects TensorFlow's epsilon of the norms.

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ValueError: the first key that is missing, unexpected, mis-shaped or not finite.
    """
    return build(state, lambda key: key, upsample)


def from_pytorch_animegan(checkpoint: Mapping, upsample: str = "half_pixel") -> AnimeGANGenerator:
    """Builds the network of a checkpoint of ptran1203's version 2.

    Args:
        checkpoint: the checkpoint, or the state dict in it.
        upsample: "align_corners", "half_pixel" or "tf1".

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ValueError: the first key that is missing, unexpected, mis-shaped or not finite.
    """
    state = checkpoint.get("model_state_dict", checkpoint)
    if not isinstance(state, Mapping):
        raise ValueError(f"model_state_dict is of type {type(state).__name__}, expected a dict")
    if any(str(key).startswith("module.") for key in state):  # trained on several GPUs
        state = {str(key).removeprefix("module."): tensor for key, tensor in state.items()}
    if any(str(key).startswith("upsample1.") for key in state):
        raise ValueError(
            "the checkpoint is of an early version 2, which normalizes each pixel separately;"
            " expected the published version, with conv_block3"
        )
    return build(state, to_ptran_key, upsample)


def to_ptran_key(key: str) -> str:
    """Converts our key to ptran1203's."""
    block, number, rest = key.split(".", 2)
    layer, _, part = rest.rpartition(".")
    return ".".join((BLOCKS[block], number, *([LAYERS[layer]] if layer else []), part))


def build(state: State, rename: Callable[[str], str], upsample: str) -> AnimeGANGenerator:
    """Builds the network of a state dict whose keys are `rename` of ours."""
    last, bias = rename("out_layer.0.weight"), rename("out_layer.0.bias")
    if not isinstance(state.get(last), torch.Tensor):
        raise ValueError(f"{last} is missing or not a tensor")
    width = state[last].shape[1] if state[last].ndim == 4 else 0
    residuals = (rename(f"block_c.{i}.layers.3.weight") in state for i in range(1, MAX_DEPTH + 1))
    config = {
        "width": width if 0 < width <= MAX_WIDTH else 32,  # `check` names what does not fit
        "depth": sum(1 for _ in itertools.takewhile(bool, residuals)) or 4,
        "upsample": upsample,
        "norm_eps": 1e-12 if upsample == "tf1" else 1e-5,
        "out_bias": bias in state,
    }
    with torch.device("meta"):
        expected = AnimeGANGenerator(**config).state_dict()
    check(state, {rename(key): tensor for key, tensor in expected.items()})
    network = AnimeGANGenerator(**config)
    network.load_state_dict({key: state[rename(key)].float() for key in expected})
    return network.eval()


def download(name: str) -> bytes:
    """Downloads a file of published weights.

    Args:
        name: a key of `formats.PUBLISHED`.

    Raises:
        ConnectionError: the download failed, or HF_HUB_OFFLINE is set.
        ValueError: the file is larger than `MAX_BYTES`.
    """
    url, data = URL.format(name), bytearray()
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError(f"cannot download {name} from {url}: HF_HUB_OFFLINE is set")
    end = time.monotonic() + TIMEOUT
    try:
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT) as response:
            while part := response.read1(1 << 16):
                data += part
                if len(data) > MAX_BYTES:
                    raise ValueError(f"{url}: more than {MAX_BYTES:,} bytes, expected 8.6 million")
                if time.monotonic() > end:
                    raise TimeoutError(f"not complete after {TIMEOUT:g} seconds")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(
            f"cannot download {name} from {url} ({str(reason) or type(reason).__name__}); you can"
            f" download it by other means and pass {name}.pt as SOURCE"
        ) from error
    return bytes(data)


def compute_blob_hash(data: bytes) -> str:
    """Returns the hash that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
