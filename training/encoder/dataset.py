"""The encoder's data set."""

import torch
from torch.utils.data import Dataset

from toonify.latents.inversion import SIDE
from training.data.aligned import AlignedDraws, seed_of

# Faces ----------------------------------------------------------------------------------------


class EncoderDraws(Dataset):
    """Draw i: {"photo": uint8 (3, SIDE, SIDE), "known": bool, "seed": int}, by i alone.

    A `share` of the draws, evenly spread, is `known`: to be generated from the seed, and their
    photo is black. The others show each photo once an epoch, half of them mirrored if `mirror`.
    """

    def __init__(self, photos: str, length: int, share: float, seed: int, mirror: bool):
        self.photos = AlignedDraws(photos, SIDE, length, seed, mirror)
        self.length, self.share, self.seed = length, share, seed

    def __len__(self) -> int:
        return self.length

    def known_before(self, index: int) -> int:
        """How many draws before `index` are generated faces."""
        return int(index * self.share)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        before = self.known_before(index)
        known = self.known_before(index + 1) > before
        black = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
        photo = black if known else self.photos[index - before]["real"]
        seed = torch.tensor(seed_of(self.seed, index))
        return {"photo": photo, "known": torch.tensor(known), "seed": seed}
