"""Several looks of a teacher at once, by generators that share their convolutions.

Dumoulin, Shlens, Kudlur, "A learned representation for artistic style", ICLR 2017: what a face is
has to be learned once; a style is the gains and biases of the normalization layers. The last layer
is a style's own here, too.
"""

import copy
import dataclasses
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.data import Dataset

from toonify import hub
from training.animegan.config import AnimeGANSettings
from training.animegan.dataset import AnimeGANDataset
from training.animegan.objective import AnimeGANObjective, create_dataset, export_style


class SharedGenerators(nn.Module):
    """One generator a style; all of them have the same convolutions but for the last layer.

    Photos (N, 3, H, W) in [-1, 1] -> drawings, same shape and range. N is a multiple of the number
    of styles: photo i is drawn in style i modulo that number.

    Args:
        generators: by name of the style, without dots: what each style starts from. The
            convolutions are those of the first.
    """

    def __init__(self, generators: dict[str, nn.Module]):
        super().__init__()
        generator = copy.deepcopy(next(iter(generators.values())))
        self.generator = generator
        shared = {
            f"{name}.weight"
            for name, module in generator.named_modules()
            if isinstance(module, nn.Conv2d) and not name.startswith(("out_layer", "skip"))
        }
        start = {n: w for n, w in generator.named_parameters() if n not in shared}
        self.names = list(start)
        own = {}
        for style, network in generators.items():
            weights = dict(network.named_parameters())
            own[style] = nn.ParameterList(weights[n].detach().clone() for n in self.names)
        self.own = nn.ModuleDict(own)
        for weights in start.values():  # only places for a style's own
            weights.requires_grad_(False)

    def own_weights(self, style: str) -> dict[str, torch.Tensor]:
        """Name in the generator -> a style's own weights."""
        return dict(zip(self.names, self.own[style], strict=True))

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        drawings = []
        for i, style in enumerate(self.own):
            part = photos[i :: len(self.own)].contiguous(memory_format=torch.channels_last)
            drawings.append(functional_call(self.generator, self.own_weights(style), part))
        return torch.stack(drawings, 1).flatten(0, 1)

    def network(self, style: str) -> nn.Module:
        """A style's generator, with weights of its own."""
        network = copy.deepcopy(self.generator)
        network.load_state_dict(network.state_dict() | self.own_weights(style))
        return network


class JointDataset(Dataset):
    """Sample i is sample i of one of the data sets, which take turns."""

    def __init__(self, datasets: list[AnimeGANDataset]):
        self.datasets = datasets
        self.groups, self.counts = datasets[0].groups, datasets[0].counts
        self.paired = all(dataset.paired for dataset in datasets)

    def __len__(self) -> int:
        return len(self.datasets[0])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.sample(index, self.datasets[0].crop_size(index))

    def sample(self, index: int, size: int) -> dict[str, torch.Tensor]:
        """Sample `index` at `size` px."""
        return self.datasets[index % len(self.datasets)].sample(index, size)


def style_names(settings: AnimeGANSettings) -> list[str]:
    """The styles of `--style A,B,...`."""
    return [name for name in settings.style.replace(" ", "").split(",") if name]


class JointObjective(AnimeGANObjective):
    """AnimeGANv2's losses of pairs for several styles.

    Every style becomes a style folder of its own, to be continued alone with `--start-from`.

    Raises:
        ValueError: a setting is for one style only, or the batch does not divide over the styles.
    """

    def __init__(self, settings: AnimeGANSettings, device: torch.device):
        self.styles = style_names(settings)
        count = len(self.styles)
        alone = "with several styles in --style"
        expected = f"a multiple of the {count} styles of --style"
        settings.refuse(bool(settings.batch % count), "batch", expected)
        parts = settings.gradient_accumulation_steps
        bad = settings.batch % (count * parts)
        settings.refuse(bool(bad), "gradient_accumulation_steps", f"parts with {expected}")
        adversarial = settings.init_images < settings.max_images
        bad = adversarial and settings.discriminator != "features"
        settings.refuse(
            bad, "discriminator", f"features, or --init-images as --max-images, {alone}"
        )
        settings.refuse(not settings.weight_pair, "weight_pair", f"more than 0 {alone}")
        for name in ("validate", "keep_start", "color_shift", "push_to_hub"):
            settings.refuse(bool(getattr(settings, name)), name, f"nothing {alone}")
        super().__init__(settings, device)

    def create_dataset(self) -> JointDataset:
        share = self.settings.cache_gb / len(self.styles)
        return JointDataset(
            [
                create_dataset(dataclasses.replace(self.settings, style=style, cache_gb=share))
                for style in self.styles
            ]
        )

    def create_generator(self) -> SharedGenerators:
        """The generators of `--start-from`: one for all, or a folder with one for each style."""
        start = Path(self.settings.start_from).expanduser()
        if not self.settings.start_from or (start / hub.CONFIG).is_file() or not start.is_dir():
            return SharedGenerators(dict.fromkeys(self.styles, super().create_generator()))
        return SharedGenerators(
            {style: self.open_start(str(start / style)) for style in self.styles}
        )

    def sample(self, G: SharedGenerators, path: Path) -> None:
        """Writes a sample grid for each style, STYLE/ in the folder of `path`."""
        for style in self.styles:
            super().sample(G.network(style), path.parent / style / path.name)

    def export(self, G: SharedGenerators, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights of each style as a style folder in `folder`."""
        for style in self.styles:
            settings = dataclasses.replace(self.settings, style=style)
            export_style(G.network(style), folder / style, settings, images_seen)
