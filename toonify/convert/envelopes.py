"""Finds the generator in what a trainer saved: under other keys, with prefixes, beside its EMA."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from toonify.convert.states import printable

MAX_NETWORKS = 64  # that are compared in a checkpoint
Path = tuple[str, ...]  # the keys and prefixes that lead to a state dict

# Kinds whose files hold a generator and its discriminator -> their keys, EMA weights first.
PAIRS = {"rosinality": ("g_ema", "g", "d"), "nvlabs": ("G_ema", "G", "D")}


def at_start(*patterns: str) -> re.Pattern:
    """A pattern that matches at the start of a key or after a dot in it."""
    return re.compile(rf"(?:^|(?<=\.))(?:{'|'.join(patterns)})")


# Kind of a state dict -> what some of its keys start with.
SIGNATURES = {
    "animegan2-pytorch": at_start(r"block_a(?=\.|$)"),
    "pytorch-animegan": at_start(r"conv_block1(?=\.|$)"),
    "cartoongan": at_start(r"conv01_1(?=\.|$)"),
    "toon-generator": at_start(r"gen\.\d+\."),
    "rosinality": at_start(r"style\.\d+\.(?:weight|bias)$"),
    "nvlabs": at_start(r"synthesis\.b\d+\."),
}
DISCRIMINATORS = {
    "rosinality": at_start(r"final_linear\.0\.weight$"),
    "nvlabs": at_start(r"b4\.out\.weight$"),
}
# Networks that contain a StyleGAN2 and draw otherwise than it does alone: name -> their keys.
COMPOSITES = {
    "VToonify": at_start(r"fusion_(?:out|skip)\.\d+\."),
    "DualStyleGAN": at_start(r"res\.\d+\.norm2?\.style\."),
    "EG3D": at_start(r"superresolution\.block\d\."),
    "GPEN": at_start(r"ecd\d+\.\d+\."),
}
# Other networks: name -> their keys. The first that matches counts.
FOREIGN = {
    "a StyleGAN2 with class labels": at_start(r"mapping\.embed\."),
    "ptran1203's version 1 (AnimeGAN of 2019)": at_start(r"encode_blocks\."),
    "StyleGAN3": at_start(r"synthesis\.(?:input\.(?:freqs|affine)|L\d+_\d+_\d+\.)"),
    "GFPGAN": at_start(r"stylegan_decoder\."),
    "BasicSR's StyleGAN2": at_start(r"style_mlp\.\d+\.", r"style_convs\.\d+\."),
    "rosinality's StyleGAN of 2018": at_start(r"progression\.\d+\."),
    "lucidrains' StyleGAN2": at_start(r"blocks\.\d+\.to_style1\."),
    "U-GAT-IT": at_start(r"UpBlock1_\d+\."),
    "StarGAN v2": at_start(r"(?:encode|decode)\.\d+\.(?:conv1|norm1)\."),
    "CycleGAN, pix2pixHD or CUT (a ResNet generator)": at_start(r"\d+\.conv_block\.\d+\."),
    "pix2pix (a U-Net)": at_start(r"model\.model\.\d+\."),
    "ESRGAN, which enlarges images": at_start(
        r"body\.\d+\.rdb\d\.", r"RRDB_trunk\.", r"sub\.\d+\.RDB\d\."
    ),
    "CodeFormer": at_start(r"quantize\.embedding\."),
    "LoRA": re.compile(r"lora[._](?:up|down|A|B)(?=\.|$)"),
    "Stable Diffusion": at_start(r"diffusion_model\.", r"first_stage_model\."),
    "a diffusion model of diffusers": at_start(
        r"(?:down|up)_blocks\.\d+\.(?:resnets|attentions)\."
    ),
    "an encoder (pSp, e4e) without its generator": at_start(
        r"encoder\.(?:input_layer|body)\.", r"body\.\d+\.res_layer\."
    ),
    "a discriminator of rosinality's, without its generator": DISCRIMINATORS["rosinality"],
    "a discriminator of NVlabs', without its generator": DISCRIMINATORS["nvlabs"],
    "a ResNet, which classifies images": at_start(r"layer\d\.\d+\.(?:conv|bn)\d\."),
    "a VGG or MobileNet, which classifies images": at_start(r"features\.\d+\."),
}
# Words of a path that mean averages of the weights, and generators from the best to the last.
EMA = re.compile(r"(?<![a-z])(?:ema|gs|running|smooth|avg|averaged?|shadow)(?![a-z])", re.I)
PREFERRED = ("generator", "netG", "net_g", "G", "g", "netG_A2B", "G_A2B", "genA2B", "decoder")
# What a state dict holds that is no parameter, of which an EMA without names has no copy.
BUFFERS = re.compile(r"(^|\.)(noises\..*|kernel|resample_filter|noise_const|w_avg|running_\w+)$")


@dataclass(frozen=True)
class Found:
    """A state dict in a checkpoint.

    Attributes:
        kind: a key of `SIGNATURES`.
        path: the keys and prefixes that lead to it.
        state: its tensors, without the prefix.
    """

    kind: str
    path: Path
    state: Mapping

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def is_ema(self) -> bool:
        return bool(EMA.search(self.name))

    def rank(self) -> tuple[bool, int]:
        """Lower is better: EMA weights first, then the names of generators."""
        places = [PREFERRED.index(part) for part in self.path if part in PREFERRED]
        return not self.is_ema, min(places, default=len(PREFERRED))


def walk(held: Mapping | list | tuple, path: Path = ()) -> Iterator[tuple[Path, Mapping]]:
    """Yields every dict in a checkpoint with its path; positions in lists count as keys."""
    if isinstance(held, Mapping):
        yield path, held
    parts = held.items() if isinstance(held, Mapping) else enumerate(held)
    for key, value in parts:
        if isinstance(value, Mapping | list | tuple):
            yield from walk(value, (*path, str(key)))


def as_tensor(value: object) -> object:
    """An array as a tensor, as some files hold weights; anything else as it is."""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def find_states(held: Mapping | list | tuple, signatures: Mapping[str, re.Pattern]) -> list[Found]:
    """Finds the state dicts with the keys of `signatures`, at any depth and with any prefix."""
    found: list[Found] = []
    for path, inside in walk(held):
        starts: dict[str, str] = {}  # prefix -> kind
        for key in map(str, inside):
            for kind, pattern in signatures.items():
                if match := pattern.search(key):
                    starts.setdefault(key[: match.start()], kind)
                    break
        if len(found) + len(starts) > MAX_NETWORKS:
            raise ValueError(f"the checkpoint holds more than {MAX_NETWORKS} networks")
        for prefix, kind in starts.items():
            others = tuple(
                other for other in starts if other != prefix and other.startswith(prefix)
            )
            state = {
                key[len(prefix) :] if prefix else key: as_tensor(value)
                for key, value in inside.items()
                if not prefix or str(key).startswith(prefix)
                if not others or not str(key).startswith(others)
            }
            found.append(Found(kind, (*path, prefix[:-1]) if prefix else path, state))
    return found


def refuse_foreign(held: Mapping | list | tuple, foreign: Mapping[str, re.Pattern]) -> None:
    """Raises ValueError with the name of a known network that Toonify does not support."""
    keys = {str(key) for _, inside in walk(held) for key in inside}
    for name, pattern in foreign.items():
        if any(map(pattern.search, keys)):
            raise ValueError(f"found a checkpoint of {name}, which Toonify does not support")


def unwrap(
    held: Mapping | list | tuple, kind: str | None = None
) -> tuple[Mapping | list | tuple, list[str]]:
    """Takes the generator out of a trainer's checkpoint.

    Args:
        held: the checkpoint.
        kind: the kind of the state dict; default: any that is known.

    Returns:
        The checkpoint as its project writes it, and notes for the user; `held` itself if no state
        dict is in it.

    Raises:
        ValueError: the checkpoint is that of a known network that Toonify does not support.
    """
    states = find_states(held, {kind: SIGNATURES[kind]} if kind in SIGNATURES else SIGNATURES)
    if kind is None:
        refuse_foreign(held, COMPOSITES if states else FOREIGN)
    if not states:
        return held, []
    best = min(states, key=Found.rank)
    best, notes = read_shadow(held, best)
    left = [other.name for other in states if other.path != best.path]
    if best.path:
        notes.insert(0, f"the network is {printable(best.name)} of the checkpoint")
    if best.is_ema:
        notes.append("these are its EMA weights")
    if left:
        names = ", ".join(map(printable, left[:3])) + ", ..." * (len(left) > 3)
        notes.append(f"left out: {names}")
    return (add_rest(held, best) if best.kind in PAIRS else best.state), notes


def add_rest(held: Mapping | list | tuple, best: Found) -> Mapping:
    """A StyleGAN2 as its project writes it: with its discriminator, and what lies beside."""
    name, _, discriminator = PAIRS[best.kind]
    state = dict(best.state)
    means = [
        (path, inside[key])
        for path, inside in walk(held)
        for key in inside
        if str(key).rpartition(".")[2] == "latent_avg"
    ]
    state.pop("latent_avg", None)
    result = {name: state}
    if isinstance(held, Mapping) and "conv_clamp" in held:
        result["conv_clamp"] = held["conv_clamp"]
    if best.kind == "rosinality" and means:
        result["latent_avg"] = max(means, key=lambda mean: count_common(mean[0], best.path))[1]
    found = find_states(held, {best.kind: DISCRIMINATORS[best.kind]})
    if found:
        nearest = max(found, key=lambda other: count_common(other.path, best.path))
        result[discriminator] = dict(nearest.state)
    return result


def count_common(a: Path, b: Path) -> int:
    """The number of keys that two paths start with together."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def read_shadow(held: Mapping | list | tuple, best: Found) -> tuple[Found, list[str]]:
    """The state dict with EMA weights that a checkpoint holds without their names.

    They are a list in the order of the parameters, as torch_ema and diffusers write it, or have
    keys without dots, as LitEma of latent diffusion.
    """
    if best.is_ema:
        return best, []
    names = [key for key, value in best.state.items() if isinstance(value, torch.Tensor)]
    names = [key for key in names if isinstance(key, str) and not BUFFERS.search(key)]
    for path, inside in walk(held):
        shadow = inside.get("shadow_params")
        if not isinstance(shadow, list | tuple):
            shadow = find_undotted(inside, names)
        if not shadow:
            continue
        where = ".".join((*path, "shadow_params" if "shadow_params" in inside else "model_ema"))
        shapes = [getattr(tensor, "shape", None) for tensor in shadow]
        if shapes != [best.state[name].shape for name in names]:
            return best, [f"its EMA weights, {printable(where)}, do not fit and are left out"]
        state = {**best.state, **dict(zip(names, shadow, strict=True))}
        note = f"its parameters are the EMA weights, {printable(where)}"
        return Found(best.kind, best.path, state), [note]
    return best, []


def find_undotted(held: Mapping, names: list[str]) -> list:
    """The tensors that LitEma keeps for these names, as many as there are."""
    short = {name.replace(".", "") for name in names}
    found = {}
    for key, value in held.items():
        start, _, rest = str(key).rpartition(".")
        if rest in short and EMA.search(start):
            found[rest] = value
    return [found.get(name.replace(".", "")) for name in names] if found else []
