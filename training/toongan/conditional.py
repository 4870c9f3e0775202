"""Cartoon faces whose attributes are known: the table says which z a picture is to be drawn from.

Where a table has everything that can be seen, as DiceBear's has, a generator needs neither an
encoder nor luck to find all kinds of faces: z's first numbers choose a variant of each attribute
(`ChoosingMapping`), and a picture is redrawn from the variants that its row names (auxiliary
classes, Odena et al., 2017, with the picture itself in the classifier's place). Attributes are
drawn independently of each other, so combinations come up that no picture has.
"""

from pathlib import Path, PurePosixPath

import torch
import torch.nn.functional as F

from training.data.aligned import AlignedDraws
from training.gan.objective import Trainee
from training.gan.projected_discriminator import frozen_features
from training.prepare.cartoon_faces import read_attributes
from training.toongan.attribute_classifier import variants_of
from training.toongan.autoencoder import STAGES, distance, unmixed

MOST_VARIANTS = 128  # variants of a column that is taken for an attribute


class AttributeTable:
    """What a set's `attributes.csv` says: the variant of each attribute, by picture.

    variants: attribute -> its variants. sizes: how many of each attribute.
    chances: how often each variant is seen, 0 to 1, (sum of sizes,) float32.

    Raises:
        ValueError: the folder has no such table, no column of it has variants to choose among, or
            z is too short for a number for each.
    """

    def __init__(self, folder: str | Path, z_dim: int):
        names, table = read_attributes(folder)
        found = variants_of(table, ["style", *names])
        self.variants = {
            name: among for name, among in found.items() if len(among) <= MOST_VARIANTS
        }
        self.sizes = tuple(map(len, self.variants.values()))
        if not self.variants:
            raise ValueError(
                f"{folder}: no column of attributes.csv has 2 to {MOST_VARIANTS} variants"
            )
        if sum(self.sizes) > z_dim:
            raise ValueError(
                f"--z-dim {z_dim}: expected {sum(self.sizes)} or more, a number for each variant of"
                f" {', '.join(self.variants)}"
            )
        numbers = torch.tensor(
            [[among.index(v) for v in table[name]] for name, among in self.variants.items()]
        ).T
        shares = [F.one_hot(column).double().mean(0) for column in numbers.unbind(1)]
        self.chances = torch.cat(shares).float()
        stems = [str(PurePosixPath(file).with_suffix("")) for file in table["file"]]
        self.rows = dict(zip(stems, numbers, strict=True))

    def __getitem__(self, name: str) -> torch.Tensor:
        """Numbers of the variants (attributes,) of the picture of that name."""
        if name not in self.rows:
            raise ValueError(f"attributes.csv: expected a row for the picture {name}")
        return self.rows[name]


class AttributedDraws(AlignedDraws):
    """Draws as those of `AlignedDraws`, with the "choice" (attributes,) that each picture shows."""

    def __init__(self, data: str, side: int, length: int, seed: int, table: AttributeTable):
        super().__init__(data, side, length, seed, mirror=False)
        self.choices = [table[picture.name] for picture in self.pictures]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return super().__getitem__(index) | {"choice": self.choices[self.place(index)]}


class AttributedRedrawing(Trainee):
    """A trainee whose first pictures of a batch redraw real ones; also gives what that cost.

    Of a batch with `redrawn` = k, pictures 0 to k - 1 are drawn from what the table says of the
    real ones, the others from what z chooses. Gives pictures, their w+ and {"redraw"}: the distance
    of the first k to the real ones, in values and in features.
    """

    def __init__(self, generator, chances: torch.Tensor):
        super().__init__(generator)
        generator.mapping.chances.copy_(chances)
        self.features = frozen_features(STAGES)

    def forward(self, batch: dict[str, torch.Tensor]):
        k = batch["redrawn"]
        ws = self.latents(unmixed(batch, self.generator.num_ws), follow=self.training)
        picture = self.synthesize(ws)
        first, real = picture[:k].float(), batch["real"][:k]
        with torch.no_grad():
            wanted = self.features(real)
        # Small parts are to count: of a brow that has five shapes, absolute values alone first
        # learn the skin that most often is in its place.
        apart = distance(first, real, self.features(first), wanted, squares=1.0, features=4.0)
        return picture, ws, {"redraw": apart}

    def mapped(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """w of both z, by what the table says for those that redraw."""
        k, mapping = batch["redrawn"], self.generator.mapping
        z = torch.cat((batch["z"], batch["other"]))
        return mapping(z, torch.cat((batch["choice"][:k], mapping.choose(z[k:]))))
