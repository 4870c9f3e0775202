"""Learns directions of w along which a face smiles, turns or ages, for sliders.

    python -m training.stylegan.directions --model MODEL --out FILE [--samples 2000] [--seed 0]

Faces of random w are drawn at 256 px and measured by the five points of the face detector and the
colors around them. A direction predicts a measurement from w (`toonify.latents.fit_direction`) and
is orthogonal to those of traits that must not change. It is tried on other faces and scaled so that
amount 1 changes its trait by about one standard deviation; most stay below, since the network draws
no faces much further out.

FILE is safetensors: a tensor (D,) for each name, and metadata that `load_directions` reads.
`--measured FILE.npz` stores the measurements and reuses them. `--sheet FOLDER` draws each direction
on a few faces.

No simple measurement gives a face's age, so age is learned only with `--judged FILE.npz`, made by a
person: `w` (N, D) and `age` (N,), such as -2 for a child to 2 for an old face. Any other trait may
be judged too. `training/stylegan/judged_age.npz` has 560 faces of the bundled base, judged by one
person.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from toonify import faces as face_room
from toonify import hub, images, latents
from toonify.faces.attributes import Measured
from toonify.files import atomic_write
from toonify.models import FACE_MODELS
from toonify.models.layer_swap import layers_between
from training.metrics import contact_sheet as sheets

SIDE = 256  # px of the drawn faces
PSI = (0.6, 1.0)  # bounds of the samples' truncation
TRIAL_FACES = 24  # faces on which a direction is tried
SHEET_AMOUNTS = (-3, -2, -1, 0, 1, 2, 3)


@dataclass(frozen=True)
class Trait:
    """What a direction stands for.

    cues: measurement -> weight; the signal is their weighted sum, each in standard deviations.
        Without cues the trait must be judged by a person.
    sides: smallest and largest resolution, in px, of the layers that change the trait but not the
        identity; None for no limit.
    keep: traits to which the direction is orthogonal.
    written: False for a trait that is only kept, because its direction breaks the face or changes
        the light.
    """

    label: str
    cues: dict[str, float]
    sides: tuple[int, int | None]
    keep: tuple[str, ...] = ()
    written: bool = True


TRAITS = {
    "smile": Trait("Smile", {"teeth": 1.0, "mouth_width": 1.0}, (16, 32), ("yaw", "pitch")),
    "yaw": Trait("Turn", {"nose_aside": 1.0}, (4, 16), ("smile", "pitch")),
    "pitch": Trait("Nod", {"nose_down": 1.0}, (4, 16), ("smile", "yaw")),
    "age": Trait("Age", {}, (4, 128), ("smile", "yaw", "pitch", "glasses", "skin_light")),
    "glasses": Trait("Glasses", {"bridge": 1.0}, (4, 32), ("smile", "yaw"), written=False),
    "hair_light": Trait("Fair hair", {"hair_lightness": 1.0}, (32, None), ("skin_light",), False),
    "skin_light": Trait("Fair skin", {"skin_lightness": 1.0}, (32, None), ("hair_light",), False),
}


# Measuring a face -----------------------------------------------------------------------------


def measure(pixels: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Measures a face in RGB uint8 (H, W, 3) by its five points (5, 2) in px.

    Lengths are in eye distances, colors in CIELAB.
    """
    face = Measured(pixels, points)
    nose_down, mouth_down = ((p - face.eyes) @ face.down for p in (face.nose, face.mouth))
    cheeks = [
        face.patch(eye, (side * 0.05, 0.55), (0.15, 0.12))
        for eye, side in ((face.left_eye, -1), (face.right_eye, 1))
    ]
    skin = face.color(*cheeks)
    light = skin[0]
    lips = face.patch(face.mouth, (0, 0.02), (0.3, 0.12))
    lip_chroma = np.hypot(lips[:, 1], lips[:, 2])
    hair = face.color(face.patch(face.eyes, (0, -1.2), (0.45, 0.12)))
    bridge = face.patch(face.eyes, (0, 0.05), (0.14, 0.16))
    return {
        "nose_aside": float((face.nose - face.eyes) @ face.across / face.eye_distance),
        "nose_down": float(nose_down / mouth_down),
        "mouth_width": float(
            np.linalg.norm(face.right_mouth - face.left_mouth) / face.eye_distance
        ),
        "teeth": float(
            np.percentile(lips[:, 0], 90)
            - light
            - 0.5 * (np.percentile(lip_chroma, 10) - np.hypot(*skin[1:]))
        ),
        "hair_lightness": float(hair[0]),
        "bridge": math.log(float(bridge[:, 3].mean()) + 1.0),
        "skin_lightness": float(light),
    }


def draw(network: nn.Module, ws: torch.Tensor) -> list[np.ndarray]:
    """w+ (N, L, D) -> RGB images, uint8 (256, 256, 3)."""
    with torch.inference_mode():
        return [
            np.asarray(images.to_pil(network.synthesis(w[None], SIDE).clamp(-1, 1)[0])) for w in ws
        ]


def look(pixels: np.ndarray) -> dict[str, float] | None:
    """The measurements of a drawn face; None if no face is detected."""
    found = face_room.detect(Image.fromarray(pixels), try_rotations=False)
    return measure(pixels, found[0].points) if found else None


def sample_w(network: nn.Module, count: int, seed: int) -> torch.Tensor:
    """w (count, D) of random faces, each with its own truncation."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.config.z_dim, generator=generator)
    psi = torch.empty(count, 1).uniform_(*PSI, generator=generator)
    with torch.inference_mode():
        w_avg = network.mapping.w_avg
        return w_avg + (network.mapping(z) - w_avg) * psi


def collect(network: nn.Module, count: int, seed: int) -> tuple[torch.Tensor, dict]:
    """w (N, D) of detected faces, N at most `count`, and measurement -> values (N,)."""
    kept, rows = [], []
    for w in tqdm(sample_w(network, count, seed), desc="measuring faces", unit="face"):
        values = look(draw(network, latents.expand(w[None], network.num_ws))[0])
        if values is not None:
            kept.append(w)
            rows.append(values)
    if len(rows) < 3:
        raise ValueError(f"{len(rows)} faces detected in {count} images; expected a model of faces")
    columns = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    return torch.stack(kept), columns


# Learning directions --------------------------------------------------------------------------


class Signal:
    """The signal of a trait: the weighted sum of its cues, with mean 0 and deviation 1."""

    def __init__(self, trait: Trait, measured: dict[str, torch.Tensor]):
        self.cues = trait.cues
        self.spread = {
            name: (float(measured[name].mean()), max(float(measured[name].std()), 1e-9))
            for name in trait.cues
        }
        self.unit = 1.0
        self.unit = max(float(self(measured).std()), 1e-9)

    def __call__(self, measured: dict) -> torch.Tensor:
        total = 0.0
        for name, weight in self.cues.items():
            mean, deviation = self.spread[name]
            # Beyond three deviations the measurement is wrong.
            total = total + weight * ((torch.as_tensor(measured[name]) - mean) / deviation).clamp(
                -3, 3
            )
        return total / self.unit


def learn(
    w: torch.Tensor,
    measured: dict[str, torch.Tensor],
    traits: dict[str, Trait],
    layers: dict[str, tuple[int, int]],
    judged: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> dict[str, latents.Direction]:
    """Learns directions.

    Args:
        w: samples (N, D).
        measured: measurement -> values (N,).
        traits: the traits by name.
        layers: first and last layer of w+ that each direction applies to.
        judged: trait -> other samples w (M, D) and values (M,), judged by a person.

    Returns:
        Directions by name, of written traits that are measured or judged.
    """
    samples = {
        name: (w, Signal(trait, measured)(measured)) for name, trait in traits.items() if trait.cues
    }
    samples |= judged or {}
    normals = {name: latents.fit_direction(*sample)[0] for name, sample in samples.items()}
    directions = {}
    for name, sample in samples.items():
        trait = traits[name]
        if not trait.written:
            continue
        others = [normals[other] for other in trait.keep if other in normals]
        vector, scale = latents.fit_direction(*sample, others)
        directions[name] = latents.Direction(name, trait.label, vector * scale, layers[name])
    return directions


def effect(
    network: nn.Module, w: torch.Tensor, direction: latents.Direction, signal: Signal
) -> float:
    """Mean change of the signal by amount 1 over faces w (N, D), in standard deviations."""
    moved = []
    for face in latents.expand(w, network.num_ws):
        layers = direction.layers
        ends = [
            look(draw(network, latents.edit(face[None], direction.vector, amount, layers))[0])
            for amount in (-1.0, 1.0)
        ]
        if None not in ends:
            moved.append(float(signal(ends[1]) - signal(ends[0])) / 2)
    return float(np.mean(moved)) if moved else math.nan


def scaled(direction: latents.Direction, moved: float) -> latents.Direction:
    """The direction scaled so that amount 1 changes its trait by one deviation, not `moved`.

    It is lengthened by at most half: where it applies to few layers, a whole deviation would take
    w+ to where the network draws no faces.
    """
    if not moved > 0:
        return direction
    vector = direction.vector / min(max(moved, 1 / 1.5), 3.0)
    return latents.Direction(direction.name, direction.label, vector, direction.layers)


def save(directions: Sequence[latents.Direction], file: Path) -> None:
    """Writes what `toonify.latents.files.load_directions` reads, in half precision."""
    from safetensors.torch import save_file

    about = {
        direction.name: json.dumps({"layers": list(direction.layers), "label": direction.label})
        for direction in directions
    }
    tensors = {direction.name: direction.vector.half().contiguous() for direction in directions}
    with atomic_write(file) as temporary:
        save_file(tensors, temporary, metadata=about)


def sheet(
    draw: Callable[[torch.Tensor], Iterable[Image.Image]],
    ws: torch.Tensor,
    direction: latents.Direction,
    side: int = 160,
) -> Image.Image:
    """A sheet with a row for each face w+ (N, L, D) and a column for each amount from -3 to 3.

    `draw` returns the images of w+ (n, L, D).
    """
    rows = []
    for face in ws:
        moved = [
            latents.edit(face[None], direction.vector, float(amount), direction.layers)
            for amount in SHEET_AMOUNTS
        ]
        rows.append([next(iter(draw(one))) for one in moved])
    return sheets.sheet(rows, side)


def read_judged(file: Path, dimensions: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Trait -> samples w (N, D) and values (N,) of a file of judged faces."""
    columns = read_arrays(file, dimensions)
    w = columns.pop("w")
    if unknown := sorted(set(columns) - set(TRAITS)):
        raise ValueError(f"{file}: judges {unknown[0]!r}; expected one of {', '.join(TRAITS)}")
    return {name: (w, values) for name, values in columns.items()}


def read_arrays(file: Path, dimensions: int) -> dict[str, torch.Tensor]:
    """Arrays of a .npz: w (N, dimensions), and any number of (N,)."""
    with np.load(file, allow_pickle=False) as content:
        arrays = {name: torch.from_numpy(content[name]).float() for name in content.files}
    w = arrays.get("w")
    if w is None or w.ndim != 2 or w.shape[1] != dimensions:
        raise ValueError(f"{file}: expected an array w of shape (N, {dimensions})")
    for name, values in arrays.items():
        if name != "w" and values.shape != (len(w),):
            raise ValueError(f"{file}: {name} is {tuple(values.shape)}; expected ({len(w)},)")
    return arrays


def make(
    network: nn.Module,
    out: Path,
    count: int,
    seed: int,
    measured_file: Path | None = None,
    judged_file: Path | None = None,
    sheets: Path | None = None,
) -> dict[str, float]:
    """Learns directions and writes them.

    Args:
        network: a generator of faces of at least 256 px.
        out: safetensors file to write.
        count: number of samples.
        seed: random seed of the samples.
        measured_file: .npz file of measurements, reused if it exists.
        judged_file: .npz file of traits judged by a person.
        sheets: folder for sheets.

    Returns:
        Direction -> the effect of amount 1 before scaling.

    Raises:
        ValueError: the network draws no faces or too small ones, or a file does not fit it.
    """
    if network.resolution < SIDE:
        raise ValueError(f"model draws {network.resolution} px; expected at least {SIDE}")
    layers = {name: layers_between(network, *trait.sides) for name, trait in TRAITS.items()}
    dimensions = network.config.w_dim
    judged = read_judged(judged_file, dimensions) if judged_file else {}
    if measured_file and measured_file.exists():
        measured = read_arrays(measured_file, dimensions)
        w = measured.pop("w")
    else:
        w, measured = collect(network, count, seed)
        if measured_file:
            arrays = {key: value.numpy() for key, value in measured.items()}
            with atomic_write(measured_file) as temporary, open(temporary, "wb") as file:
                np.savez(file, w=w.numpy(), **arrays)
    directions = learn(w, measured, TRAITS, layers, judged)
    fresh = sample_w(network, TRIAL_FACES, seed + 1)
    effects = {}
    for name, direction in directions.items():
        if name not in judged:
            signal = Signal(TRAITS[name], measured)
            effects[name] = effect(network, fresh, direction, signal)
            directions[name] = scaled(direction, effects[name])
        if sheets:
            sheets.mkdir(parents=True, exist_ok=True)
            shown = latents.expand(fresh[:3], network.num_ws)
            page = sheet(
                lambda ws: map(Image.fromarray, draw(network, ws)), shown, directions[name]
            )
            images.save(page, sheets / f"{name}.png")
    save(list(directions.values()), out)
    return effects


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="folder or name of a generator of faces")
    parser.add_argument("--out", required=True, type=Path, help="safetensors file to write")
    parser.add_argument("--samples", type=int, default=2000, help="number of faces (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the faces (default: 0)")
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help=".npz file of measurements, reused if it exists",
    )
    parser.add_argument(
        "--judged", type=Path, metavar="FILE", help=".npz file of traits judged by a person"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FOLDER", help="folder for sheets of the directions"
    )
    options = parser.parse_args(arguments)
    if options.samples < 3:
        parser.error(f"--samples {options.samples}: expected 3 or more")
    try:
        network = hub.load_model(hub.resolve_model(options.model), FACE_MODELS)
        effects = make(
            network,
            options.out,
            options.samples,
            options.seed,
            options.measured,
            options.judged,
            options.sheet,
        )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename or options.out}: {error.strerror or error}")
    for name, moved in effects.items():
        print(f"{name}: amount 1 moved {moved:.2f} standard deviations before scaling")
    print(f"directions written to {options.out}")


if __name__ == "__main__":
    main()
