"""Aligned images to train a generator on, and pairs of a latent and its drawing."""

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from toonify import latents
from training.data.images import Picture, square
from training.data.sources import MIN_IMAGES, open_pictures
from training.data.teacher_records import RARE_FACTOR, RECORDS, is_rare, read_records

MAX_SEED = 2**62


def seed_of(seed: int, index: int) -> int:
    """The seed of draw `index` of a run: below 2**62, unlike for all that differ."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) % MAX_SEED


def seeded_normal(seeds: torch.Tensor, salt: int, *shape: int) -> torch.Tensor:
    """Normal numbers (N, *shape), those of a sample from its seed and `salt` alone."""
    return latents.normals(seeds.tolist(), salt, *shape)


def pixels(picture: Picture, side: int) -> torch.Tensor:
    """The middle of an image as uint8 (3, side, side)."""
    return torch.from_numpy(np.array(square(picture.load(), side))).permute(2, 0, 1)


class SquareCache:
    """Images as squares of one side, kept once decoded as long as they fit into `max_bytes`."""

    def __init__(self, side: int, max_bytes: int = 2**30):
        self.side = side
        self.room = max_bytes // (3 * side * side)
        self.kept: dict[Picture, torch.Tensor] = {}

    def __call__(self, picture: Picture) -> torch.Tensor:
        found = self.kept.get(picture)
        if found is None:
            found = pixels(picture, self.side)
            if len(self.kept) < self.room:
                self.kept[picture] = found
        return found


@torch.no_grad()
def drawn_latent(generator, seed: int, index: int, low: float, high: float) -> torch.Tensor:
    """w (1, w_dim) of face `index`: of a seed and the index alone.

    Truncation is drawn evenly between `low` and `high`.
    """
    own = torch.tensor([seed_of(seed, index)])
    psi = low + (high - low) * float(torch.special.ndtr(seeded_normal(own, 1, 1)))
    w = generator.mapping(seeded_normal(own, 0, generator.config.z_dim))
    return generator.mapping.w_avg.lerp(w, psi)


def shuffled(index: int, count: int, seed: int) -> int:
    """Which of `count` things draw `index` shows: each once an epoch, in an order of its own."""
    epoch, at = divmod(index, count)
    return int(order(epoch, count, seed)[at])


def warn_of_few(source: str, count: int) -> None:
    """Warns that `count` images from `source` are too few to train a generator on."""
    if count < MIN_IMAGES:
        warnings.warn(
            f"{source}: only {count} images; with fewer than {MIN_IMAGES} the discriminator"
            " memorizes them and the generator copies them: expect no new faces, and give some"
            " hundreds",
            stacklevel=3,
        )


@lru_cache(maxsize=2)
def order(epoch: int, count: int, seed: int) -> np.ndarray:
    """The order of `count` things in an epoch, whatever the other epochs'."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class AlignedDataset(Dataset):
    """Draw i: {"real": uint8 (3, side, side), "seed": int}; it depends on `seed` and i alone.

    Each epoch shows every image once, in an order of its own. `mirror` turns half of them over.
    """

    def __init__(self, data: str, side: int, length: int, seed: int = 0, mirror: bool = True):
        self.pictures = open_pictures(data, "aligned images", smallest=min(side, 64))
        self.squares = SquareCache(side)
        self.length, self.seed, self.mirror = length, seed, mirror

    def __len__(self) -> int:
        return self.length

    def place(self, index: int) -> int:
        """Which image draw `index` shows."""
        return shuffled(index, len(self.pictures), self.seed)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        own = seed_of(self.seed, index)
        real = self.squares(self.pictures[self.place(index)])
        if self.mirror and own % 2:
            real = real.flip(2)
        return {"real": real, "seed": torch.tensor(own)}


class PairedDataset(Dataset):
    """Draw i: {"real": drawing, "w": w+ (L, D), "seed": int}.

    `folder/LOOK/style/NAME.png` is the drawing of the face that `folder/w/NAME.safetensors` draws,
    as `cartoon_filter --generator` writes both, or `generated_faces` and a teacher. `shape` is
    (L, D). Faces with glasses or a beard, as the teacher's records say, come `RARE_FACTOR` times.
    """

    def __init__(
        self, folder: str, look: str, side: int, length: int, shape: tuple[int, int], seed: int = 0
    ):
        drawings = open_pictures(str(Path(folder, look, "style")), "drawings")
        place = Path(folder, "w")
        self.pictures = [p for p in drawings if latents.latent_path(place, p.name).is_file()]
        if not self.pictures:
            raise ValueError(
                f"--look {look}: no drawing in {folder}/{look}/style has its latent in {place}; "
                "expected those of training.stylegan.generated_faces or cartoon_filter --generator"
            )
        records = read_records(Path(folder, look, RECORDS))
        rare = {name for name, record in records.items() if is_rare(record)}
        self.pictures += (RARE_FACTOR - 1) * [p for p in self.pictures if p.name in rare]
        self.w = torch.stack(
            [
                latents.load_latent(latents.latent_path(place, picture.name), *shape)[0]
                for picture in self.pictures
            ]
        )
        self.squares = SquareCache(side, 2 * 2**30)
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        at = shuffled(index, len(self.pictures), self.seed)
        own = torch.tensor(seed_of(self.seed, index))
        return {"real": self.squares(self.pictures[at]), "w": self.w[at], "seed": own}
