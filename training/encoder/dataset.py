"""The encoder's data set."""

import torch
from torch.utils.data import Dataset

from toonify.latents.inversion import SIDE
from training.data.aligned import AlignedDataset, seed_of


class EncoderDataset(Dataset):
    """Sample i: {"photo": uint8 (3, SIDE, SIDE), "generated": bool, "seed": int}, by i alone.

    An evenly spread `share` of the samples are to be generated from their seed; their photo is
    black. The others show each photo once per epoch, half of them mirrored if `mirror`.
    """

    def __init__(self, photos: str, length: int, share: float, seed: int, mirror: bool):
        self.photos = AlignedDataset(photos, SIDE, length, seed, mirror)
        self.length, self.share, self.seed = length, share, seed

    def __len__(self) -> int:
        return self.length

    def count_generated(self, index: int) -> int:
        """Number of generated samples before `index`."""
        return int(index * self.share)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        before = self.count_generated(index)
        generated = self.count_generated(index + 1) > before
        black = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
        photo = black if generated else self.photos[index - before]["real"]
        seed = torch.tensor(seed_of(self.seed, index))
        return {"photo": photo, "generated": torch.tensor(generated), "seed": seed}
