"""A checkpoint from elsewhere -> a folder of ours; what it is, is told by its content.

No code of a checkpoint is run. A StyleGAN2's discriminator comes along as `critic.safetensors`,
from which `training/train_stylegan.py --critic-from` goes on.
"""

import json
import mmap
import os
import tempfile
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
from toonify.convert.states import written
from toonify.hub import saving
from toonify.models.animegan import UPSAMPLE_MODES
from toonify.models.stylegan2 import StyleGAN2Generator

CRITIC = "critic.safetensors"
LARGEST_HALF = 65504.0
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # begins the older files of PyTorch
# How other files begin: where, with what, and what they are.
BEGINNINGS = (
    (0, b"\x93NUMPY", "one array of numpy's; CartoonGAN's weights are a folder of them"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes"),
    (8, b"{", "safetensors alone, without the config.json that says of which network"),
)
# First part of the keys -> what a state dict is of.
STATES = {
    "block_a": "animegan2-pytorch",
    "conv_block1": "pytorch-animegan",
    "conv01_1": "cartoongan",
    "gen": "toon-generator",
    "style": "rosinality",
    "synthesis": "nvlabs",
}
# Kinds whose files hold a generator and its discriminator, and their names: the EMA weights first.
PAIRS = {"rosinality": ("g_ema", "g", "d"), "nvlabs": ("G_ema", "G", "D")}
# What trainers call the generator, or wrap around it, as a key or as a prefix: EMA weights first.
WRAPPERS = (
    *("params_ema", "ema", "g_ema", "G_ema", "model_ema", "ema_state_dict", "generator_ema"),
    *("state_dict", "model_state_dict", "params", "model", "net", "module", "_orig_mod"),
    *("generator", "netG", "net_g", "G", "g", "netG_A2B", "decoder"),
)
NO_NETWORK = "Toonify has no such network, and draws with none that it was not made for"
REFUSED = {
    "encode_blocks": f"ptran1203's version 1, which is AnimeGAN of 2019: {NO_NETWORK}",
}


@dataclass(frozen=True)
class Checkpoint:
    """A network as it was read, float32, and what there is to say about it.

    `critic` is the state of its discriminator. `notes` are for people.
    """

    network: nn.Module
    kind: str
    family: str
    scope: str = "face"
    license: str = ""
    critic: dict[str, torch.Tensor] | None = None
    notes: tuple[str, ...] = ()


def read(source: str, kind: str | None = None, upsample: str | None = None) -> Checkpoint:
    """What is in a file, a folder, or the published weights of that name.

    `kind` is one of `KINDS`, for what isn't known by its content; `upsample` the upsampling
    mode of an AnimeGANv2 network, if it is not that of its port.

    Raises:
        ValueError: it is of no kind that is known, holds code, is damaged, or doesn't fit.
        ConnectionError: the published weights cannot be fetched.
    """
    if upsample is not None and upsample not in UPSAMPLE_MODES:
        raise ValueError(f"--upsample {upsample!r}: expected one of {', '.join(UPSAMPLE_MODES)}")
    path, notes = Path(source), []
    if path.exists():
        held = open_path(path)
    elif source in PUBLISHED:
        data = animegan.download(source)
        notes = [
            f"the file is git blob {animegan.blob_hash(data)}; which it should be is not known here"
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
        kind = kind or recognize(held)
        if kind in PORTS:
            found = read_animegan(held, kind, path.stem, upsample)
        elif upsample is not None:
            raise ValueError(f"--upsample is for AnimeGANv2 networks, and it is {KINDS[kind]}")
        else:
            found = READERS[kind](held)
    except random_face.ConversionError:  # these name the file
        raise
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return replace(found, notes=(*notes, *found.notes))


# What it is -----------------------------------------------------------------------------------


def open_path(path: Path) -> object:
    """The values in a checkpoint, or the path of a folder or wheel.

    Raises:
        ValueError: it begins as no checkpoint does, asks for code, or is damaged.
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
    if head.startswith(b"\x80") and head[8:9] != b"{":  # safetensors may begin with any byte
        return nvlabs_pickle.read(path)
    told = [what for at, begins, what in BEGINNINGS if head[at:].startswith(begins)]
    if not told:
        told = [f"a file that begins with {head[:12]!r}" if head else "an empty file"]
    raise ValueError(f"{path}: {unknown(told[0])}")


def recognize(held: object) -> str:
    """The kind of what `open_path` gave; ValueError says what was found and what is known."""
    if isinstance(held, Path):
        return recognize_path(held)
    if not isinstance(held, Mapping):
        raise ValueError(unknown(f"a checkpoint that holds a {type(held).__name__}"))
    states = {key for key, value in held.items() if isinstance(value, (Mapping, unpickling.Record))}
    for kind, names in PAIRS.items():
        if states & set(names):
            return kind
    rooms = {str(key).partition(".")[0] for key in held}
    for room, kind in STATES.items():
        if room in rooms:
            return kind
    for room, what in REFUSED.items():
        if room in rooms:
            raise ValueError(f"it is {what}")
    named = ", ".join(written(key) for key in list(held)[:3]) or "nothing"
    raise ValueError(unknown(f"a checkpoint of {named}{', ...' * (len(held) > 3)}"))


def find_state_dict(
    held: Mapping, path: tuple[str, ...] = ()
) -> tuple[Mapping, tuple[str, ...]] | None:
    """The state dict of a known generator in a trainer's checkpoint, and the names that lead to it.

    A name of `WRAPPERS` may be a key, or what keys begin with as after `DistributedDataParallel`.
    """
    rooms = {str(key).partition(".")[0] for key in held}
    if rooms & {*STATES, *REFUSED}:
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
    """A checkpoint as its project writes it, out of what a trainer wraps around it; and notes."""
    found = find_state_dict(held)
    if found is None:
        return held, []
    state, path = found
    rooms = {str(key).partition(".")[0] for key in state}
    kind = next(kind for room, kind in (STATES | REFUSED).items() if room in rooms)
    if kind in PAIRS:
        pair = PAIRS[kind]
        if any(isinstance(held.get(name), Mapping) for name in pair):
            parts = {name: held[name] for name in pair if isinstance(held.get(name), Mapping)}
            return {**held, **{name: without_prefix(part) for name, part in parts.items()}}, []
        state = {pair[0]: state, "latent_avg": held.get("latent_avg")}
    return state, [f"the network is its {'.'.join(path)}"] if path else []


def without_prefix(state: Mapping) -> Mapping:
    """A state dict without the names that wrappers of modules put before all of its keys."""
    for start in ("module.", "_orig_mod."):
        if state and all(str(key).startswith(start) for key in state):
            return without_prefix({key[len(start) :]: value for key, value in state.items()})
    return state


def recognize_path(path: Path) -> str:
    """The kind of a folder or a wheel."""
    if not path.is_dir() or set(random_face.FILES) & set(os.listdir(path)):
        return "random-face"
    names = sorted(os.listdir(path))
    if any(name.endswith(".npy") for name in names):
        return "cartoongan"
    named = ", ".join(written(name) for name in names[:3]) or "nothing"
    raise ValueError(unknown(f"a folder of {named}{', ...' * (len(names) > 3)}"))


def unknown(what: str) -> str:
    known = ", ".join(f"{kind} ({title})" for kind, title in KINDS.items())
    return f"found {what}; known are {known}. --kind names one that isn't recognized"


# What reads it --------------------------------------------------------------------------------


# The two ports of AnimeGANv2, and the upsampling mode of each.
PORTS = {
    "animegan2-pytorch": (animegan.from_animegan2, "align_corners"),
    "pytorch-animegan": (animegan.from_pytorch_animegan, "half_pixel"),
}


def read_animegan(held: object, kind: str, stem: str, upsample: str | None) -> Checkpoint:
    """Of published weights, known by their file's name too, more is known than the state tells."""
    if not isinstance(held, Mapping):
        raise ValueError(f"it holds a {type(held).__name__}, expected a state dict")
    known = PUBLISHED.get(stem) if kind == "animegan2-pytorch" else None
    convert, mode = PORTS[kind]
    mode = upsample or (known.upsample if known else mode)
    return Checkpoint(
        convert(held, mode),
        kind,
        "animegan",
        scope="photo",
        license=known.license if known else "",
        notes=(f"upsampling mode {mode!r}",),
    )


def read_cartoongan(held: object) -> Checkpoint:
    state = cartoongan.read_folder(held) if isinstance(held, Path) else held
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds a {type(held).__name__}, expected a state dict")
    return Checkpoint(cartoongan.from_cartoongan(state), "cartoongan", "animegan", scope="photo")


def read_rosinality(held: object) -> Checkpoint:
    found = stylegan2.rosinality_states(held)
    state = found.get("g_ema", found.get("g"))
    if state is None:
        raise ValueError("it holds a discriminator alone, expected a generator, g_ema or g")
    config, state = stylegan2.from_rosinality(state, "G", found.get("latent_avg"))

    def critic() -> dict:
        return stylegan2.from_rosinality(found["d"], "D")[1]

    return stylegan(config, state, critic if "d" in found else None, "rosinality")


def read_nvlabs(held: object) -> Checkpoint:
    """Networks as NVlabs pickle them, or states by their names as `export.write_states` does."""
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
        clamp = stylegan2.clamp_of(generator) if generator else None
    name = next((name for name in names[:2] if name in found), None)
    if name is None:
        raise ValueError("it holds a discriminator alone, expected a generator, G_ema or G")
    if name in networks:
        stylegan2.check_layers(networks[name])
    config, state = stylegan2.from_nvlabs(found[name], "G")

    def critic() -> dict:
        if "D" in networks:
            stylegan2.check_layers(networks["D"])
        return stylegan2.from_nvlabs(found["D"], "D")[1]

    config |= {"conv_clamp": clamp}
    return stylegan(config, state, critic if "D" in found else None, "nvlabs")


def stylegan(config: dict, state: dict, critic: Callable[[], dict] | None, kind: str) -> Checkpoint:
    """The generator, and its discriminator if `critic` converts it."""
    network = StyleGAN2Generator(**config)
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    found, notes = None, ()
    if critic:
        try:
            found, notes = critic(), (f"its discriminator is {CRITIC}",)
        except ValueError as error:
            notes = (f"its discriminator is left out: {error}",)
    return Checkpoint(network.eval(), kind, "stylegan", critic=found, notes=notes)


def read_toon_generator(held: object) -> Checkpoint:
    if not isinstance(held, Mapping):
        raise ValueError(f"it holds a {type(held).__name__}, expected a state dict")
    return Checkpoint(dcgan.from_public(dict(held)), "toon-generator", "toongan")


def read_random_face(held: object) -> Checkpoint:
    if not isinstance(held, Path):
        raise ValueError("it is a checkpoint, expected the random-face wheel or a folder of it")
    return Checkpoint(
        random_face.convert(held),
        "random-face",
        "stylegan-base",
        license="non-commercial, as it descends from NVIDIA's FFHQ StyleGAN2",
        notes=("its image heads at 128 and 256 px are not in the wheel, and untrained",),
    )


READERS: dict[str, Callable[[object], Checkpoint]] = {
    "cartoongan": read_cartoongan,
    "rosinality": read_rosinality,
    "nvlabs": read_nvlabs,
    "toon-generator": read_toon_generator,
    "random-face": read_random_face,
}
assert PORTS.keys() | READERS.keys() == KINDS.keys()


# Where it goes --------------------------------------------------------------------------------


def write(
    found: Checkpoint, out: Path, title: str = "", license: str = "", full: bool = False
) -> str:
    """Writes the folder and returns the license in its style.json; an `out` that is there goes.

    `full` keeps 32 bits. The folder is made beside `out` and renamed: it is whole or not there.

    Raises:
        ValueError: a value is no finite number, or too large for half precision.
    """
    for state in (found.network.state_dict(), found.critic or {}):
        for key, tensor in state.items():
            if not tensor.isfinite().all():
                raise ValueError(f"{key} holds values that are not finite numbers")
            if not full and tensor.abs().max() > LARGEST_HALF:
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
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        folder = Path(beside, "new")
        saving.write_weights(found.network, folder, full)
        (folder / hub.STYLE).write_text(json.dumps(style, indent=1) + "\n", encoding="utf-8")
        if found.critic:
            kind = torch.float32 if full else torch.float16
            state = {key: t.to(kind).contiguous() for key, t in found.critic.items()}
            save_file(state, folder / CRITIC)
        if out.exists():
            os.replace(out, Path(beside, "old"))
        os.replace(folder, out)
    return str(style["license"])


def strangers(folder: Path) -> list[str]:
    """What lies in a folder that no conversion and no training writes."""
    return sorted(set(os.listdir(folder)) - {*hub.DOWNLOADED, CRITIC})
