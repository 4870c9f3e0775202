"""Faces whose attributes a table names: what z chooses, what is drawn from which row."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.fixtures.toy_data import TOONGAN_TOY
from toonify import hub, images
from toonify.models import NOISE_MODELS, ToonGANGenerator
from toonify.models.toongan import ConditionalMapping
from toonify.pipelines.toongan import ToonGANPipeline
from training.core.config import replace_settings
from training.toongan.conditional import AttributeDataset, AttributeTable
from training.toongan.config import TOONGAN_PRESETS
from training.toongan.objective import create_objective

COLORS = {"blue": (30, 60, 220), "red": (220, 40, 30), "gray": (128, 128, 128)}
ROWS = [("blue", "none"), ("red", "dark"), ("gray", "dark"), ("blue", "dark")]


def write_table(folder: Path, rows=ROWS, extra=()) -> Path:
    """Squares of a color whose lower half is dark or not, and the table that says it."""
    lines = [["file", "style", "seed", "color", "shade", *(name for name, _ in extra)]]
    for i, (color, shade) in enumerate(rows):
        picture = Image.new("RGB", (64, 64), COLORS[color])
        if shade == "dark":
            picture.paste((10, 10, 10), (0, 32, 64, 64))
        images.save(picture, folder / "images" / f"{i}.png")
        cells = [make(i) for _, make in extra]
        lines.append([f"images/{i}.png", "squares", f"0:{i}", color, shade, *cells])
    with (folder / "attributes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    return write_table(tmp_path / "data")


def settings(data: Path, **changes):
    toy = TOONGAN_TOY | {"data": str(data), "out": "runs/toy", "z_dim": 8}
    return replace_settings(TOONGAN_PRESETS["conditional"], **(toy | changes))


def batch_of(objective, places=range(4)):
    draws = [objective.dataset[i] for i in places]
    return objective.preprocess(torch.utils.data.default_collate(draws))


def test_variants_win_as_often_as_they_are_seen():
    mapping = ConditionalMapping(7, 4, 1, (3, 2))
    mapping.class_priors.copy_(torch.tensor([0.7, 0.25, 0.05, 0.5, 0.5]))
    z = torch.randn(20_000, 7, generator=torch.Generator().manual_seed(1))
    choice = mapping.sample_classes(z)
    shares = torch.stack([(choice[:, 0] == i).double().mean() for i in range(3)])
    assert torch.allclose(shares, torch.tensor([0.7, 0.25, 0.05]).double(), atol=0.015)
    assert abs((choice[:, 1] == 0).double().mean() - 0.5) < 0.015
    together = ((choice[:, 0] == 0) & (choice[:, 1] == 0)).double().mean()
    assert abs(together - 0.35) < 0.015  # drawn independently of each other


def test_a_variant_that_is_never_seen_never_wins():
    mapping = ConditionalMapping(3, 4, 1, (3,))
    mapping.class_priors.copy_(torch.tensor([0.5, 0.0, 0.5]))
    assert not (mapping.sample_classes(torch.randn(2000, 3)) == 1).any()
    assert (mapping.sample_classes(torch.tensor([[-40.0, 40.0, -40.0]])) != 1).all()


def test_only_the_choice_and_what_is_left_of_z_count():
    mapping = ConditionalMapping(6, 4, 2, (2, 2))
    z = torch.tensor([[2.0, 1.0, -1.0, 0.0, 0.3, 0.4]])
    near = torch.tensor([[3.0, 1.5, -2.0, 1.0, 0.3, 0.4]])
    other, free = z.clone(), z.clone()
    other[0, 0], free[0, 5] = 0.0, 1.0
    assert torch.equal(mapping(z), mapping(near))
    assert not torch.allclose(mapping(z), mapping(other))
    assert not torch.allclose(mapping(z), mapping(free))
    assert torch.equal(mapping(z), mapping(other, torch.tensor([[0, 1]])))


def test_each_variant_has_its_own_share_of_w():
    """As large for a brow as for hair, whatever the layers make of them."""
    mapping = ConditionalMapping(9, 16, 2, (3, 2))
    mapping.fc1.weight.data.zero_()
    z = torch.randn(1, 9)
    w = torch.cat([mapping(z, torch.tensor([[i, j]])) for i in range(3) for j in range(2)])
    apart = torch.cdist(w, w)
    one, both = apart[0, [1, 2, 4]], apart[0, [3, 5]]
    assert torch.allclose(one, torch.tensor(2**0.5), atol=1e-4)
    assert torch.allclose(both, torch.tensor(2.0), atol=1e-4)


@pytest.mark.parametrize("variants", [(1, 2), (4, 5), (0,)])
def test_variants_that_do_not_fit_z_are_named(variants):
    with pytest.raises(ValueError, match="num_classes="):
        ToonGANGenerator(resolution=64, z_dim=8, num_classes=variants)


def test_the_table_says_what_an_image_shows(data):
    table = AttributeTable(data, 8)
    assert table.classes == {"color": ["blue", "gray", "red"], "shade": ["dark", "none"]}
    assert table.num_classes == (3, 2)
    assert table.class_priors.tolist() == [0.5, 0.25, 0.25, 0.75, 0.25]
    assert table["images/2"][0].tolist() == [1, 0]
    assert table.numbers == [] and table["images/2"][1].shape == (0,)
    draws = AttributeDataset(str(data), 64, 8, 0, table)
    for i in range(8):
        draw, name = draws[i], draws.pictures[draws.place(i)].name
        color, shade = ROWS[int(Path(name).name)]
        assert table.classes["color"][draw["classes"][0]] == color
        assert table.classes["shade"][draw["classes"][1]] == shade
        assert tuple(draw["real"][:, 0, 0].tolist()) == COLORS[color]


def test_columns_of_numbers_take_their_place_in_z(tmp_path):
    scores = ["-1.5000", "0.2500", "0.7500", "2.0000"]
    folder = write_table(tmp_path, extra=[("tilt", lambda i: scores[i]), ("age", lambda i: i % 2)])
    table = AttributeTable(folder, 9)
    assert table.numbers == ["tilt"] and list(table.classes) == ["color", "shade", "age"]
    assert table["images/3"][1].tolist() == [2.0]
    with pytest.raises(ValueError, match="columns of numbers"):
        AttributeTable(folder, 7)
    objective = create_objective(settings(folder, z_dim=9), torch.device("cpu"))
    wrapper, seen = objective.G, []
    wrapper.generator.mapping.forward = lambda z, classes: seen.append(z) or z
    batch = batch_of(objective) | {"reconstructed": 2}
    wrapper.map_noise(batch)
    tilts = [
        float(scores[int(Path(objective.dataset.pictures[objective.dataset.place(i)].name).name)])
        for i in range(4)
    ]
    assert seen[0][:2, 7].tolist() == tilts[:2]
    assert torch.equal(seen[0][2:4], batch["z"][2:])
    assert torch.equal(seen[0][:2, 8], batch["z"][:2, 8])


def test_a_column_of_countless_variants_is_no_attribute(tmp_path):
    rows = [ROWS[i % 4] for i in range(130)]
    table = AttributeTable(write_table(tmp_path, rows, extra=[("name", lambda i: f"n{i}")]), 8)
    assert list(table.classes) == ["color", "shade"]


def test_what_does_not_fit_is_answered_with_words(data, tmp_path):
    with pytest.raises(ValueError, match=r"--z-dim 4: expected 5 or more.*color, shade"):
        create_objective(settings(data, z_dim=4), torch.device("cpu"))
    alike = write_table(tmp_path / "alike", [ROWS[0]] * 4)
    with pytest.raises(ValueError, match="no column"):
        create_objective(settings(alike), torch.device("cpu"))
    (data / "attributes.csv").rename(tmp_path / "gone.csv")
    with pytest.raises(ValueError, match=r"attributes\.csv: cannot be read"):
        create_objective(settings(data), torch.device("cpu"))
    for changes in ({"reconstruction_share": 0.0, "warmup_images": 0}, {"mirror": True}):
        with pytest.raises(ValueError, match="--attributes true with"):
            settings(data, **changes)


def test_an_image_without_a_row_is_named(data):
    images.save(Image.new("RGB", (64, 64)), data / "images" / "new.png")
    with pytest.raises(ValueError, match="row for the image images/new"):
        create_objective(settings(data), torch.device("cpu"))


def test_images_are_reconstructed_from_their_rows_and_the_others_are_sampled(data):
    objective = create_objective(
        settings(data, mixing=0.0, reconstruction_share=0.5), torch.device("cpu")
    )
    assert objective.uses_discriminator(10**9)
    batch = batch_of(objective)
    picture, ws, parts = objective.forward(objective.G, batch)
    mapping = objective.G.generator.mapping
    assert mapping.class_priors.tolist() == [0.5, 0.25, 0.25, 0.75, 0.25]
    assert torch.allclose(ws[:2, 0], mapping(batch["z"], batch["classes"])[:2], atol=1e-5)
    assert torch.allclose(ws[2:, 0], mapping(batch["z"])[2:], atol=1e-5)
    same = objective.forward(objective.G, batch | {"classes": 0 * batch["classes"]})
    assert not torch.allclose(picture[:2], same[0][:2]) and torch.allclose(picture[2:], same[0][2:])
    assert list(parts) == ["reconstruction"] and parts["reconstruction"] > 0


def test_colors_that_the_table_names_are_learned(data):
    """A hundred and fifty steps, and each square has its color."""
    objective = create_objective(settings(data, warmup_images=10**6, w_dim=32), torch.device("cpu"))
    step = objective.optimizers()["init"]
    batch = batch_of(objective)
    assert not objective.uses_discriminator(0)
    for _ in range(150):
        loss, _ = objective.generator(None, objective.forward(objective.G, batch), batch, 0)
        step.zero_grad()
        loss.backward()
        step.step()
    generator = objective.G.generator.eval()
    wanted = torch.tensor([COLORS[name] for name in ("blue", "gray", "red")]) / 127.5 - 1
    choice = torch.tensor([[color, 0] for color in range(3)])
    with torch.inference_mode():
        w = generator.mapping(torch.zeros(3, 8), choice)
        drawn = generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1))
    upper = drawn[:, :, 8:24, 8:56].mean((2, 3))
    assert torch.cdist(upper, wanted).argmin(1).tolist() == [0, 1, 2]


def test_a_folder_draws_what_was_trained(data, tmp_path):
    objective = create_objective(settings(data), torch.device("cpu"))
    objective.export(objective.G, tmp_path / "model", 16)
    network = hub.load_model(tmp_path / "model", NOISE_MODELS)
    assert tuple(network.config.num_classes) == (3, 2)
    assert torch.equal(network.mapping.embedding, objective.G.generator.mapping.embedding.half())
    z = torch.randn(64, 8)
    chosen = objective.G.generator.mapping.sample_classes(z)
    assert torch.equal(network.mapping.sample_classes(z), chosen) and len(chosen.unique(dim=0)) > 4
    pipe = ToonGANPipeline.from_pretrained(tmp_path / "model")
    ours = torch.stack([images.to_tensor(picture)[0] for picture in pipe(4, seed=9)])
    with torch.inference_mode():
        theirs = network(pipe._noise(4, 9)).clamp(-1, 1)
    assert (ours - theirs).abs().mean() < 0.01
    assert pipe.attributes == {"color": ("blue", "gray", "red"), "shade": ("dark", "none")}
