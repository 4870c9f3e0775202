"""An auxiliary classifier: tells from an image the classes of a table's attributes.

    python -m training.toongan.auxiliary_classifier DATA classifier.safetensors --validate HELD
    accelerate launch training/train_toongan.py --preset conditional --data DATA \\
        --classifier classifier.safetensors --out runs/mine

DATA and HELD have `attributes.csv`. The features of five stages of MobileNetV2, mean and maximum
over the image, those of two stages in 8x8 cells, for what has its place, and an 8x8 thumbnail, for
the colors, go into one linear layer; everything is fine-tuned.

With `--classifier`, generated faces are to be classified as what their noise chose (Odena, Olah,
Shlens, "Conditional Image Synthesis with Auxiliary Classifier GANs", ICML 2017). The classifier is
frozen there: one that is trained along would agree with the generator on signs that nobody sees. An
attribute weighs as much as the classifier explains of the entropy of its classes in HELD, so what
cannot be seen in the images does not count.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from toonify import images
from training.core import records
from training.core.perceptual import MobileNetV2Features
from training.data.images import square
from training.prepare.cartoon_faces import read_attributes
from training.toongan.attribute_classifier import find_labels
from training.toongan.conditional import AttributeTable

STAGES = {1: 16, 3: 24, 6: 32, 13: 96, 17: 320}  # stage of MobileNetV2 -> channels
MIXED = 64  # channels of each stage before pooling
PLACED = {6: 12, 13: 24}  # stage -> channels that keep their place
CELLS = 8
SIDE = 128
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05
DROPOUT = 0.3


class AuxiliaryClassifier(nn.Module):
    """Image (N, 3, R, R) in [-1, 1] -> logits (N, classes) of each attribute.

    Args:
        classes: attribute -> its classes, in the order of their logits.
    """

    def __init__(self, classes: dict[str, list]):
        super().__init__()
        self.classes = classes
        self.sizes = [len(values) for values in classes.values()]
        self.features = MobileNetV2Features(tuple(STAGES))
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, MIXED, 1), nn.ReLU()) for channels in STAGES.values()
        )
        self.place = nn.ModuleList(
            nn.Conv2d(STAGES[stage], channels, 1) for stage, channels in PLACED.items()
        )
        self.dropout = nn.Dropout(DROPOUT)
        placed = (3 + sum(PLACED.values())) * CELLS**2
        self.out = nn.Linear(2 * MIXED * len(STAGES) + placed, sum(self.sizes))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.features(image)
        fields = [place(features[s]) for s, place in zip(PLACED, self.place, strict=True)]
        parts = [F.adaptive_avg_pool2d(field, CELLS).flatten(1) for field in (image, *fields)]
        for mix, found in zip(self.mix, features.values(), strict=True):
            mixed = mix(found)
            parts += [mixed.mean((2, 3)), mixed.amax((2, 3))]
        return self.out(self.dropout(torch.cat(parts, 1))).float().split(self.sizes, 1)


@dataclass(frozen=True)
class Labeled:
    """Images (N, 3, R, R) uint8 and the indices (N, attributes) of their classes."""

    images: torch.Tensor
    labels: torch.Tensor


def read_classes(folder: str | Path) -> dict[str, list]:
    """Attribute -> its classes, as ToonGAN learns them.

    Raises:
        ValueError: the set has no readable table, or none of its columns has classes.
    """
    return AttributeTable(folder, sys.maxsize).classes


def read_labeled(folder: str | Path, classes: dict[str, list]) -> Labeled:
    """Reads a set's images at `SIDE` px, and their classes.

    Args:
        folder: of the set.
        classes: attribute -> its classes, in the order of the labels.

    Raises:
        ValueError: the set has no readable table, or it lacks an attribute or has another class.
    """
    _, table = read_attributes(folder)
    try:
        labels = torch.stack([*find_labels(table, classes).values()], 1)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    pictures = [square(images.load(Path(folder) / file), SIDE) for file in table["file"]]
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return Labeled(stacked.permute(0, 3, 1, 2), labels)


def distort(image: torch.Tensor) -> torch.Tensor:
    """Changes scale, place, brightness, contrast and grain of each image at random.

    Args:
        image: (N, 3, H, W) in [-1, 1].
    """
    n = len(image)
    move = torch.zeros(n, 2, 3)
    move[:, 0, 0] = move[:, 1, 1] = 1 + 0.08 * torch.randn(n).clamp(-2, 2)
    move[:, :, 2] = 0.08 * torch.randn(n, 2)
    grid = F.affine_grid(move, list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness, grain = torch.randn(3, n, 1, 1, 1) * torch.tensor(
        [0.04, 0.03, 0.02]
    ).reshape(3, 1, 1, 1, 1)
    return moved * (1 + contrast) + brightness + grain * torch.randn_like(moved)


def cross_entropies(logits: tuple[torch.Tensor, ...], labels: torch.Tensor, smoothing: float = 0.0):
    """Cross entropy of each attribute, in nats, (attributes,)."""
    pairs = zip(logits, labels.unbind(1), strict=True)
    return torch.stack([F.cross_entropy(p, y, label_smoothing=smoothing) for p, y in pairs])


def fit(
    classifier: AuxiliaryClassifier,
    data: Labeled,
    steps: int,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Trains a classifier.

    Args:
        classifier: is changed.
        data: images with classes.
        steps: of `BATCH` images.
        seed: of the order and distortions.
        report: called after each step with its number and loss.
    """
    torch.manual_seed(seed)
    parameters = classifier.requires_grad_(True).train().parameters()
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.15
    )
    for step in range(steps):
        places = torch.randint(len(data.images), (BATCH,))
        seen = distort(data.images[places].float() / 127.5 - 1)
        with torch.autocast("cpu", torch.bfloat16):
            logits = classifier(seen)
        loss = cross_entropies(logits, data.labels[places], LABEL_SMOOTHING).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report:
            report(step + 1, loss.item())
    classifier.eval()


@torch.inference_mode()
def predict(classifier: AuxiliaryClassifier, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Logits of images (N, 3, R, R), uint8, in batches."""
    parts = [classifier(part.float() / 127.5 - 1) for part in pictures.split(BATCH)]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def measure(classifier: AuxiliaryClassifier, data: Labeled) -> dict[str, dict[str, float]]:
    """Attribute -> {"accuracy", "explained"}, each from 0 to 1.

    "explained" is the share of the classes' entropy that the classifier takes away (McFadden's
    R squared).

    Args:
        classifier: in eval mode.
        data: images that it did not learn from.
    """
    logits = predict(classifier, data.images)
    found = {}
    for name, scores, truth in zip(classifier.classes, logits, data.labels.unbind(1), strict=True):
        shares = torch.bincount(truth, minlength=scores.shape[1]).double() / len(truth)
        entropy = float(torch.special.entr(shares).sum())
        left = float(F.cross_entropy(scores.double(), truth))
        found[name] = {
            "accuracy": float((scores.argmax(1) == truth).double().mean()),
            "explained": max(0.0, 1 - left / entropy) if entropy else 0.0,
        }
    return found


def save(classifier: AuxiliaryClassifier, measured: dict[str, dict[str, float]], file: Path):
    """Writes a classifier.

    Args:
        classifier: its weights are written in half precision, with its classes.
        measured: what `measure` found.
        file: a name that ends in .safetensors.
    """
    half = {k: v.half() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    head = {"classes": json.dumps(classifier.classes), "measured": json.dumps(measured)}
    records.write_bytes(safetensors.torch.save(half, head), file)


def load(file: str | Path) -> tuple[AuxiliaryClassifier, dict[str, dict[str, float]]]:
    """Reads what `save` wrote: the classifier, frozen and in eval mode, and what was measured.

    Args:
        file: of the classifier.

    Raises:
        ValueError: the file was not written by `save`.
    """
    try:
        with safetensors.safe_open(file, "pt") as opened:
            head = opened.metadata()
            names = opened.keys()
            state = {name: opened.get_tensor(name) for name in names}
        classifier = AuxiliaryClassifier(json.loads(head["classes"]))
        measured = json.loads(head["measured"])
        classifier.load_state_dict(state)
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"--classifier {file}: {error}; expected what"
            " training.toongan.auxiliary_classifier writes"
        ) from error
    return classifier.float().requires_grad_(False).eval(), measured


class ClassificationLoss(nn.Module):
    """Cross entropy of generated faces' classes, weighed by what the classifier explains.

    Args:
        file: of the classifier.
        classes: attribute -> its classes, of the generator, in the order of its labels.

    Raises:
        ValueError: the file does not hold a classifier of these attributes.
    """

    def __init__(self, file: str | Path, classes: dict[str, list]):
        super().__init__()
        self.classifier, measured = load(file)
        known = {name: list(map(str, values)) for name, values in self.classifier.classes.items()}
        wanted = {name: list(map(str, values)) for name, values in classes.items()}
        if list(known.items()) != list(wanted.items()):
            raise ValueError(
                f"--classifier {file}: expected the attributes and classes of the data,"
                f" {', '.join(wanted)}"
            )
        explained = torch.tensor([measured[name]["explained"] for name in known])
        self.register_buffer("weights", explained / explained.sum().clamp_min(1e-6))

    def forward(self, image: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Weighed mean over the attributes of images (N, 3, R, R) and labels (N, attributes)."""
        if image.shape[-1] != SIDE:
            image = F.interpolate(image, (SIDE, SIDE), mode="area")
        return (self.weights * cross_entropies(self.classifier(image), labels)).sum()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a set of faces with attributes.csv")
    parser.add_argument("out", type=Path, help="the classifier's file, .safetensors")
    parser.add_argument("--validate", type=Path, required=True, help="a held-out set")
    parser.add_argument("--steps", type=int, default=1500, help="of 32 images (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    options = parser.parse_args(arguments)
    if options.steps < 10:
        parser.error(f"--steps {options.steps}: expected at least 10")
    try:
        classes = read_classes(options.data)
        data = read_labeled(options.data, classes)
        held = read_labeled(options.validate, classes)
    except ValueError as error:
        parser.error(str(error))
    classifier = AuxiliaryClassifier(classes)

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"{step} of {options.steps} steps, loss {loss:.3f}", flush=True)

    fit(classifier, data, options.steps, options.seed, report)
    measured = measure(classifier, held)
    save(classifier, measured, options.out)
    for name, row in measured.items():
        print(f"{name:14} accuracy {row['accuracy']:.2f}, explained {row['explained']:.2f}")


if __name__ == "__main__":
    main()
