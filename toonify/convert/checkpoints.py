"""Converts checkpoints of other projects to folders, detecting the format from the content.

No code in a checkpoint is executed. The discriminator of a StyleGAN2 is written beside the
generator, to `critic.safetensors`, from which `training/train_stylegan.py --d-from` continues.
"""

import json
import mmap
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from toonify import hub
from toonify.convert import (
    animegan,
    cartoongan,
    dcgan,
    envelopes,
    nvlabs_pickle,
    random_face,
    stylegan2,
    unpickling,
)
from toonify.convert.formats import KINDS, PUBLISHED
from toonify.convert.states import printable
from toonify.files import atomic_folder
from toonify.hub import saving
from toonify.models.animegan import UPSAMPLE_MODES
from toonify.models.stylegan2 import StyleGAN2Generator

CRITIC = "critic.safetensors"
MAX_HALF = 65504.0  # the largest number of 16 bits
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # start of PyTorch's older files
# Suffix of a file in a folder -> what the folder is, and what to do.
FOLDERS = {
    ".index": "a TensorFlow checkpoint, which Toonify does not read",
    ".pb": "a TensorFlow model, which Toonify does not read",
    "model_index.json": "a pipeline of diffusers, which Toonify does not support",
    ".distcp": "a distributed checkpoint of PyTorch: expected it as one file (torch.save)",
    ".safetensors": "a folder with weights: expected the .safetensors file in it",
    ".bin": "a folder with weights: expected the .bin file in it",
    ".pt": "a folder with checkpoints: expected a .pt file in it",
    ".pth": "a folder with checkpoints: expected a .pth file in it",
    ".ckpt": "a folder with checkpoints: expected a .ckpt file in it",
}
# Other file types, for messages: how they start, and their names.
SIGNATURES = {
    rb"\x93NUMPY": "a single NumPy array; CartoonGAN's weights are a folder of them",
    rb"\x89HDF": "an HDF5 file, as Keras writes",
    rb"\x08[\x01-\x20]\x12": "an ONNX file",  # the version of its format and its producer
    rb".{4}TFL3": "a TensorFlow Lite file",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!": "a compressed file, to be unpacked first",
}


@dataclass(frozen=True)
class Checkpoint:
    """A network in float32, read from a checkpoint.

    Attributes:
        network: the generator, in evaluation mode.
        kind: a key of `KINDS`.
        family: `family` for style.json.
        scope: `scope` for style.json: "photo" or "face".
        license: the license, as far as it is known.
        discriminator: the state dict of the discriminator, if there is one.
        notes: remarks for the user.
    """

    network: nn.Module
    kind: str
    family: str
    scope: str = "face"
    license: str = ""
    discriminator: dict[str, torch.Tensor] | None = None
    notes: tuple[str, ...] = ()


def read(source: str, kind: str | None = None, upsample: str | None = None) -> Checkpoint:
    """Reads a file, a folder, or published weights.

    Args:
        source: a path, or a key of `PUBLISHED`, which is downloaded.
        kind: a key of `KINDS`; default: detected from the content.
        upsample: upsampling mode of an AnimeGANv2 network: "tf1", "align_corners" or "half_pixel";
            default: that of the project.

    Returns:
        The network, and what is known about it.

    Raises:
        ValueError: the kind is unknown, or the checkpoint holds code, is damaged or does not fit.
        ConnectionError: the download failed.
    """
    if upsample is not None and upsample not in UPSAMPLE_MODES:
        raise ValueError(f"--upsample {upsample!r}: expected one of {', '.join(UPSAMPLE_MODES)}")
    path, notes = Path(source), []
    if path.exists():
        held = open_path(path)
    elif source in PUBLISHED:
        data = animegan.download(source)
        notes = [
            f"git blob hash of the downloaded file: {animegan.compute_blob_hash(data)}; there is no"
            " known hash to compare it with"
        ]
        held = unpickling.read_torch(data)
    else:
        raise ValueError(
            f"{source}: no such file or folder, and not one of the published weights"
            f" {', '.join(PUBLISHED)}"
        )
    try:
        if isinstance(held, Mapping | list | tuple):
            held, more = envelopes.unwrap(held, kind)
            notes += more
        kind = kind or detect_kind(held)
        if kind in PORTS:
            found = read_animegan(held, kind, path.stem, upsample)
        elif upsample is not None:
            raise ValueError(
                f"--upsample {upsample}: expected an AnimeGANv2 network, found {KINDS[kind]}"
            )
        else:
            found = READERS[kind](held)
    except random_face.ConversionError:  # its message names the file
        raise
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return replace(found, notes=(*notes, *found.notes))


# Detection ------------------------------------------------------------------------------------


def open_path(path: Path) -> object:
    """Reads the values in a checkpoint.

    Args:
        path: a file or folder.

    Returns:
        What the file holds; the path itself for a folder or a wheel.

    Raises:
        ValueError: the file is not a checkpoint, refers to code, or is damaged.
    """
    if path.is_dir():
        return path
    with open(path, "rb") as file:
        head = file.read(512)
        if head.startswith(unpickling.ZIP):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                if whole.find(b"random_face/data/SynthesisNetwork.xml") >= 0:
                    return path
    if head.startswith((unpickling.ZIP, LEGACY)) or head[257:262] == b"ustar":
        return unpickling.read_torch(path)
    if head[8:9] == b"{" and head[6:8] == bytes(2):  # its length first, which can be any
        return read_safetensors(path)
    if head.startswith(b"\x80"):
        return nvlabs_pickle.read(path)
    other = f"a file that starts with {head[:12]!r}" if head else "an empty file"
    names = (name for start, name in SIGNATURES.items() if re.match(start, head, re.S))
    raise ValueError(f"{path}: {describe_unknown(next(names, other))}")


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors in a safetensors file; ValueError if it is damaged, or Toonify's."""
    if (path.parent / hub.CONFIG).is_file() and (path.parent / hub.STYLE).is_file():
        raise ValueError(f"{path} belongs to the folder of a network: expected that folder")
    if path.stat().st_size > unpickling.MAX_BYTES:
        raise ValueError(f"{path} has more than {unpickling.MAX_BYTES:,} bytes")
    try:
        state = load_file(path)
    except (SafetensorError, *unpickling.DAMAGE) as error:
        raise ValueError(f"{path}: the safetensors file is damaged ({error})") from error
    known = set(unpickling.STORAGES.values())
    for key, tensor in state.items():
        if tensor.dtype not in known:
            raise ValueError(f"{path}: {printable(key)} is {tensor.dtype}, expected 16 to 64 bits")
    return state


def detect_kind(held: object) -> str:
    """Detects the kind of what `open_path` returned; ValueError if it is unknown."""
    if isinstance(held, Path):
        return detect_path_kind(held)
    if not isinstance(held, Mapping):
        raise ValueError(describe_unknown(f"a checkpoint that holds a {type(held).__name__}"))
    states = {key for key, value in held.items() if isinstance(value, (Mapping, unpickling.Record))}
    for kind, names in envelopes.PAIRS.items():
        if states & set(names):
            return kind
    for kind, pattern in envelopes.SIGNATURES.items():
        if any(map(pattern.match, map(str, held))):
            return kind
    raise ValueError(describe_unknown(f"a checkpoint with {list_some(list(held), 'keys')}"))


def list_some(names: list, noun: str) -> str:
    """Lists up to three names, such as "the keys a, b, c, ..."."""
    listed = ", ".join(printable(name) for name in names[:3]) + ", ..." * (len(names) > 3)
    return f"the {noun} {listed}" if names else f"no {noun}"


def detect_path_kind(path: Path) -> str:
    """Detects the kind of a folder or a wheel."""
    if not path.is_dir() or set(random_face.FILES) & set(os.listdir(path)):
        return "random-face"
    names = sorted(os.listdir(path))
    if any(name.endswith(".npy") for name in names):
        return "cartoongan"
    for suffix, what in FOLDERS.items():
        if any(name.endswith(suffix) for name in names):
            raise ValueError(f"found {what}")
    raise ValueError(describe_unknown(f"a folder with {list_some(names, 'files')}"))


def describe_unknown(found: str) -> str:
    """The message for a checkpoint of unknown kind."""
    known = ", ".join(f"{kind} ({title})" for kind, title in KINDS.items())
    return f"found {found}; expected one of {known}. --kind sets the kind if it is not detected"


# Readers --------------------------------------------------------------------------------------


# The two ports of AnimeGANv2: converter, upsampling mode.
PORTS = {
    "animegan2-pytorch": (animegan.from_animegan2, "align_corners"),
    "pytorch-animegan": (animegan.from_pytorch_animegan, "half_pixel"),
}


def read_animegan(held: object, kind: str, stem: str, upsample: str | None) -> Checkpoint:
    """Reads AnimeGANv2; the file name `stem` can be that of published weights."""
    held = require_state_dict(held)
    known = PUBLISHED.get(stem) if kind == "animegan2-pytorch" else None
    convert, default = PORTS[kind]
    upsample = upsample or (known.upsample if known else default)
    return Checkpoint(
        convert(held, upsample),
        kind,
        "animegan",
        scope="photo",
        license=known.license if known else "",
        notes=(f"upsampling mode: {upsample}",),
    )


def require_state_dict(held: object) -> Mapping:
    """Returns a mapping as it is; ValueError for anything else."""
    if not isinstance(held, Mapping):
        raise ValueError(f"the file holds a {type(held).__name__}, expected a state dict")
    return held


def read_cartoongan(held: object) -> Checkpoint:
    state = cartoongan.read_folder(held) if isinstance(held, Path) else require_state_dict(held)
    return Checkpoint(cartoongan.from_cartoongan(state), "cartoongan", "animegan", scope="photo")


def read_rosinality(held: object) -> Checkpoint:
    states, latent_avg = stylegan2.rosinality_states(held)
    state = states.get("g_ema", states.get("g"))
    if state is None:
        raise ValueError("the file holds only a discriminator, expected a generator, g_ema or g")
    config, state = stylegan2.from_rosinality(state, "G", latent_avg)

    def read_discriminator() -> stylegan2.State:
        return stylegan2.from_rosinality(states["d"], "D")[1]

    return new_stylegan(config, state, read_discriminator if "d" in states else None, "rosinality")


def read_nvlabs(held: object) -> Checkpoint:
    """Reads networks that NVlabs pickled, or state dicts that `export.write_states` wrote."""
    names = envelopes.PAIRS["nvlabs"]
    if isinstance(held, Mapping) and any(isinstance(held.get(n), Mapping) for n in names):
        networks, found = {}, {n: held[n] for n in names if isinstance(held.get(n), Mapping)}
        clamp = held.get("conv_clamp")
        if clamp is not None and not (type(clamp) is float and clamp > 0):
            raise ValueError(f"conv_clamp is {str(clamp)[:99]}, expected a number above 0")
    else:
        networks = nvlabs_pickle.networks(held)
        found = {name: dict(nvlabs_pickle.tensors(network)) for name, network in networks.items()}
        generator = networks.get("G_ema", networks.get("G"))
        clamp = stylegan2.read_conv_clamp(generator) if generator else None
    name = next((name for name in names[:2] if name in found), None)
    if name is None:
        raise ValueError("the file holds only a discriminator, expected a generator, G_ema or G")
    envelopes.refuse_foreign(found[name], envelopes.FOREIGN)
    if name in networks:
        stylegan2.check_layers(networks[name])
    config, state = stylegan2.from_nvlabs(found[name], "G")

    def read_discriminator() -> stylegan2.State:
        if "D" in networks:
            stylegan2.check_layers(networks["D"])
        return stylegan2.from_nvlabs(found["D"], "D")[1]

    config |= {"conv_clamp": clamp}
    return new_stylegan(config, state, read_discriminator if "D" in found else None, "nvlabs")


def new_stylegan(
    config: dict,
    state: stylegan2.State,
    read_discriminator: Callable[[], stylegan2.State] | None,
    kind: str,
) -> Checkpoint:
    """Builds the generator, and adds its discriminator if that can be converted."""
    network = StyleGAN2Generator(**config)
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    found = Checkpoint(network.eval(), kind, "stylegan")
    if read_discriminator is None:
        return found
    try:
        discriminator = read_discriminator()
    except ValueError as error:
        return replace(found, notes=(f"the discriminator is not converted: {error}",))
    return replace(found, discriminator=discriminator, notes=(f"the discriminator is {CRITIC}",))


def read_toon_generator(held: object) -> Checkpoint:
    state = require_state_dict(held)
    return Checkpoint(dcgan.from_public(dict(state)), "toon-generator", "toongan")


def read_random_face(held: object) -> Checkpoint:
    if not isinstance(held, Path):
        raise ValueError("found a checkpoint, expected the random-face wheel or a folder of it")
    return Checkpoint(
        random_face.convert(held),
        "random-face",
        "stylegan-base",
        license="non-commercial, as it descends from NVIDIA's FFHQ StyleGAN2",
        notes=("the image heads at 128 and 256 px are not in the wheel and remain untrained",),
    )


READERS: dict[str, Callable[[object], Checkpoint]] = {
    "cartoongan": read_cartoongan,
    "rosinality": read_rosinality,
    "nvlabs": read_nvlabs,
    "toon-generator": read_toon_generator,
    "random-face": read_random_face,
}
assert PORTS.keys() | READERS.keys() == KINDS.keys()


# Writing --------------------------------------------------------------------------------------


def write(
    found: Checkpoint, out: Path, title: str = "", license: str = "", full: bool = False
) -> str:
    """Writes the folder of a checkpoint; an existing one is replaced as a whole.

    Args:
        found: what `read` returned.
        out: the folder.
        title: default: from the name of `out`.
        license: default: the known one.
        full: writes weights of 32 bits instead of 16.

    Returns:
        The license in style.json.

    Raises:
        ValueError: a weight is not finite, or too large for 16 bits.
    """
    for state in (found.network.state_dict(), found.discriminator or {}):
        for key, tensor in state.items():
            if not tensor.isfinite().all():
                raise ValueError(f"{key} holds values that are not finite numbers")
            if not full and tensor.abs().max() > MAX_HALF:
                raise ValueError(f"{key} has values too large for 16 bits; --fp32 keeps them")
    style = saving.with_license(
        {
            "title": title or out.name.replace("_", " ").capitalize(),
            "description": f"Converted from a checkpoint of {KINDS[found.kind]}.",
            "scope": found.scope,
            "family": found.family,
            "license": license or found.license,
        }
    )
    with atomic_folder(out) as folder:
        saving.write_weights(found.network, folder, full)
        (folder / hub.STYLE).write_text(json.dumps(style, indent=1) + "\n", encoding="utf-8")
        if found.discriminator:
            dtype = torch.float32 if full else torch.float16
            state = {key: t.to(dtype).contiguous() for key, t in found.discriminator.items()}
            save_file(state, folder / CRITIC)
    return str(style["license"])


def find_unrelated(folder: Path) -> list[str]:
    """Lists the files in a folder that neither a conversion nor a training writes."""
    return sorted(set(os.listdir(folder)) - {*hub.DOWNLOADED, CRITIC})
