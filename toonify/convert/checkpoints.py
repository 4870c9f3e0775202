"""Converts checkpoints of other projects to folders, detecting the format from the content.

No code in a checkpoint is executed. The discriminator of a StyleGAN2 is written beside the
generator, to `critic.safetensors`, from which `training/train_stylegan.py --d-from` continues.
"""

import json
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from toonify import hub
from toonify.convert import (
    animegan,
    cartoongan,
    dcgan,
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
# Other file types, for messages: offset of the signature, signature, name.
SIGNATURES = (
    (0, b"\x93NUMPY", "a single NumPy array; CartoonGAN's weights are a folder of them"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes"),
    (8, b"{", "a safetensors file without the config.json that names its network"),
)
# First part of the keys -> kind of the state dict.
PREFIXES = {
    "block_a": "animegan2-pytorch",
    "conv_block1": "pytorch-animegan",
    "conv01_1": "cartoongan",
    "gen": "toon-generator",
    "style": "rosinality",
    "synthesis": "nvlabs",
}
# Kinds whose files hold a generator and its discriminator -> their keys, EMA weights first.
PAIRS = {"rosinality": ("g_ema", "g", "d"), "nvlabs": ("G_ema", "G", "D")}
# Keys or prefixes of keys under which trainers store the generator, EMA weights first.
WRAPPERS = (
    *("params_ema", "ema", "g_ema", "G_ema", "model_ema", "ema_state_dict", "generator_ema"),
    *("state_dict", "model_state_dict", "params", "model", "net", "module", "_orig_mod"),
    *("generator", "netG", "net_g", "G", "g", "netG_A2B", "decoder"),
)
# First part of the keys -> an unsupported network.
UNSUPPORTED = {
    "encode_blocks": "a checkpoint of ptran1203's version 1 (AnimeGAN of 2019), which Toonify does"
    " not support",
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
        if isinstance(held, Mapping):
            held, more = unwrap_state_dict(held)
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
    if head.startswith(b"\x80") and head[8:9] != b"{":  # safetensors can start with any byte
        return nvlabs_pickle.read(path)
    other = f"a file that starts with {head[:12]!r}" if head else "an empty file"
    names = (name for at, start, name in SIGNATURES if head[at:].startswith(start))
    raise ValueError(f"{path}: {describe_unknown(next(names, other))}")


def detect_kind(held: object) -> str:
    """Detects the kind of what `open_path` returned; ValueError if it is unknown."""
    if isinstance(held, Path):
        return detect_path_kind(held)
    if not isinstance(held, Mapping):
        raise ValueError(describe_unknown(f"a checkpoint that holds a {type(held).__name__}"))
    states = {key for key, value in held.items() if isinstance(value, (Mapping, unpickling.Record))}
    for kind, names in PAIRS.items():
        if states & set(names):
            return kind
    prefixes = key_prefixes(held)
    for prefix, kind in PREFIXES.items():
        if prefix in prefixes:
            return kind
    for prefix, what in UNSUPPORTED.items():
        if prefix in prefixes:
            raise ValueError(f"found {what}")
    raise ValueError(describe_unknown(f"a checkpoint with {list_some(list(held), 'keys')}"))


def key_prefixes(state: Mapping) -> set[str]:
    """The first part of each dotted key."""
    return {str(key).partition(".")[0] for key in state}


def list_some(names: list, noun: str) -> str:
    """Lists up to three names, such as "the keys a, b, c, ..."."""
    listed = ", ".join(printable(name) for name in names[:3]) + ", ..." * (len(names) > 3)
    return f"the {noun} {listed}" if names else f"no {noun}"


def find_state_dict(
    held: Mapping, path: tuple[str, ...] = ()
) -> tuple[Mapping, tuple[str, ...]] | None:
    """Finds the state dict of a known generator in a trainer's checkpoint, and the path to it.

    A name of `WRAPPERS` can be a key, or a prefix of keys as after `DistributedDataParallel`.
    """
    if key_prefixes(held) & {*PREFIXES, *UNSUPPORTED}:
        return held, path
    for name in WRAPPERS if len(path) < 5 else ():
        inside = held.get(name)
        if not isinstance(inside, Mapping):
            start = f"{name}."
            inside = {k[len(start) :]: v for k, v in held.items() if str(k).startswith(start)}
        if inside and (found := find_state_dict(inside, (*path, name))):
            return found
    return None


def unwrap_state_dict(held: Mapping) -> tuple[Mapping, list[str]]:
    """Removes what a trainer wraps around a checkpoint.

    Args:
        held: the checkpoint.

    Returns:
        The checkpoint as its project writes it, and notes for the user.
    """
    found = find_state_dict(held)
    if found is None:
        return held, []
    state, path = found
    prefixes = key_prefixes(state)
    kind = next(kind for start, kind in (PREFIXES | UNSUPPORTED).items() if start in prefixes)
    if kind in PAIRS:
        pair = PAIRS[kind]
        if any(isinstance(held.get(name), Mapping) for name in pair):
            parts = {name: held[name] for name in pair if isinstance(held.get(name), Mapping)}
            return {**held, **{name: remove_prefix(part) for name, part in parts.items()}}, []
        state = {pair[0]: state, "latent_avg": held.get("latent_avg")}
    return state, [f"the network is {'.'.join(path)} of the checkpoint"] if path else []


def remove_prefix(state: Mapping) -> Mapping:
    """Removes the prefixes that wrappers of modules add to all keys of a state dict."""
    for start in ("module.", "_orig_mod."):
        if state and all(str(key).startswith(start) for key in state):
            return remove_prefix({key[len(start) :]: value for key, value in state.items()})
    return state


def detect_path_kind(path: Path) -> str:
    """Detects the kind of a folder or a wheel."""
    if not path.is_dir() or set(random_face.FILES) & set(os.listdir(path)):
        return "random-face"
    names = sorted(os.listdir(path))
    if any(name.endswith(".npy") for name in names):
        return "cartoongan"
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
    names = PAIRS["nvlabs"]
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
