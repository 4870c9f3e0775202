"""Conditional ToonGAN: a table of attributes says which classes each training image has.

If the table describes everything visible, as DiceBear's does, the generator needs no encoder: the
first numbers of z sample a class of each attribute (`ConditionalMapping`), and an image is
reconstructed from the classes in its row (auxiliary classes, Odena et al., 2017, with a
reconstruction in place of the classifier). Attributes are sampled independently, so combinations
come up that no training image has.

Columns of numbers with a decimal point are no classes: z has a normal number for each, after those
of the classes, and the row's number takes its place. They should be normally distributed, as
`training.prepare.heads.training_set` writes them.
"""

import re
from pathlib import Path, PurePosixPath

import torch
import torch.nn.functional as F

from training.data.aligned import AlignedDataset
from training.gan.objective import GeneratorWrapper
from training.gan.projected_discriminator import frozen_features
from training.prepare.cartoon_faces import read_attributes
from training.toongan.attribute_classifier import variants_of
from training.toongan.autoencoder import STAGES, reconstruction_distance, without_mixing

MAX_CLASSES = 128  # of a column that is an attribute
DECIMAL = re.compile(r"-?\d+\.\d+")
CODE = "code_"  # how the names of codes begin, see `training.prepare.heads.training_set`


class AttributeTable:
    """The classes of each training image, from the `attributes.csv` of its folder.

    classes: attribute -> its classes.
    num_classes: number of classes per attribute.
    numbers: names of the columns of numbers.
    class_priors: float32 (sum of num_classes,), how often each class occurs, from 0 to 1.

    Raises:
        ValueError: there is no such table, no column has classes, or z is too short for a number
            per class.
    """

    def __init__(self, folder: str | Path, z_dim: int):
        names, table = read_attributes(folder)
        self.numbers = [name for name in names if is_numeric(table[name])]
        found = variants_of(table, ["style", *(n for n in names if n not in self.numbers)])
        self.classes = {
            name: values for name, values in found.items() if len(values) <= MAX_CLASSES
        }
        self.num_classes = tuple(map(len, self.classes.values()))
        if not self.classes:
            raise ValueError(
                f"{folder}: no column of attributes.csv has 2 to {MAX_CLASSES} variants"
            )
        total = sum(self.num_classes) + len(self.numbers)
        if total > z_dim:
            raise ValueError(
                f"--z-dim {z_dim}: expected {total} or more, a number for each variant of"
                f" {', '.join(self.classes)}"
                + (f" and for each of {len(self.numbers)} columns of numbers" * bool(self.numbers))
            )
        labels = torch.tensor(
            [[values.index(v) for v in table[name]] for name, values in self.classes.items()]
        ).T
        priors = [F.one_hot(column).double().mean(0) for column in labels.unbind(1)]
        self.class_priors = torch.cat(priors).float()
        stems = [str(PurePosixPath(file).with_suffix("")) for file in table["file"]]
        values = torch.tensor([[float(v) for v in table[name]] for name in self.numbers])
        values = values.reshape(len(self.numbers), len(stems)).T
        self.rows = dict(zip(stems, zip(labels, values, strict=True), strict=True))

    def __getitem__(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of the classes (attributes,) of the image with that name, and its numbers."""
        if name not in self.rows:
            raise ValueError(f"attributes.csv: expected a row for the image {name}")
        return self.rows[name]


def is_numeric(column: list) -> bool:
    """Whether a column has numbers with a decimal point, and nothing else."""
    return all(isinstance(cell, str) and DECIMAL.fullmatch(cell) for cell in column)


class AttributeDataset(AlignedDataset):
    """Samples of `AlignedDataset` with the "classes" (attributes,) and "numbers" of each image."""

    def __init__(self, data: str, side: int, length: int, seed: int, table: AttributeTable):
        super().__init__(data, side, length, seed, mirror=False)
        self.rows = [table[picture.name] for picture in self.pictures]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        classes, numbers = self.rows[self.place(index)]
        return super().__getitem__(index) | {"classes": classes, "numbers": numbers}


class ConditionalGenerator(GeneratorWrapper):
    """Reconstructs the first images of a batch from their classes; the others are sampled.

    The first `reconstructed` = k images have the classes of the real ones, the others those that z
    samples. Returns images, their w+ and {"reconstruction"}: the distance of the first k from the
    real images, in pixels and features.

    Args:
        generator: a generator with classes.
        table: the attributes of the training images.
        code_dropout: share of the reconstructed images that have random codes, from 0 to 1. Codes
            tell an image from all others, so that the network could learn images by heart and leave
            the attributes unused; without them, attributes are all that it has.
    """

    def __init__(self, generator, table: AttributeTable, code_dropout: float = 0.0):
        super().__init__(generator)
        generator.mapping.class_priors.copy_(table.class_priors)
        self.codes = [i for i, name in enumerate(table.numbers) if name.startswith(CODE)]
        self.code_dropout = code_dropout
        self.features = frozen_features(STAGES)

    def forward(self, batch: dict[str, torch.Tensor]):
        k = batch["reconstructed"]
        batch = without_mixing(batch, self.generator.num_ws)
        ws = self.latents(batch, update_w_avg=self.training)
        image = self.synthesize(ws)
        first, real = image[:k].float(), batch["real"][:k]
        with torch.no_grad():
            target = self.features(real)
        # Squares and features weigh small parts: with absolute values alone, a brow of five shapes
        # is first replaced by skin.
        distance = reconstruction_distance(
            *(first, real, self.features(first), target), squares=1.0, features=4.0
        )
        return image, ws, {"reconstruction": distance}

    def map_noise(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """w of `z`, with the table's row for the reconstructed images, and of `other`."""
        k, mapping = batch["reconstructed"], self.generator.mapping
        z = torch.cat((batch["z"], batch["other"]))
        if k and batch["numbers"].shape[1]:
            z, first = z.clone(), len(mapping.class_priors)
            numbers, drawn = batch["numbers"][:k], z[:k, first : first + batch["numbers"].shape[1]]
            if self.code_dropout and self.codes:
                dropped = torch.zeros_like(drawn, dtype=torch.bool)
                dropped[: round(self.code_dropout * k), self.codes] = True
                numbers = torch.where(dropped, drawn, numbers)
            z[:k, first : first + numbers.shape[1]] = numbers
        return mapping(z, torch.cat((batch["classes"][:k], mapping.sample_classes(z[k:]))))
