"""Several styles at once: shared convolutions, one style folder each, bit-exact resumption."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures.toy_data import train_toy, write_pairs
from toonify import hub
from toonify.models import PHOTO_MODELS, AnimeGANLiteGenerator
from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.joint import JointObjective, SharedGenerators
from training.core.config import replace_settings
from training.gan.projected_discriminator import FeatureDiscriminator
from training.train_animegan import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Toy pairs in two styles: `toy`, and `dark` with its colors inverted."""
    data = write_pairs(tmp_path_factory.mktemp("data"))
    shutil.copytree(data / "toy", data / "dark")
    for path in (data / "dark/style").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path).convert("RGB"))).save(path)
    return data


def settings(data, out, **changes):
    toy = dict(
        data=str(data), style="toy,dark", out=str(out), width=4, depth=1, d_width=4, batch=4,
        augment=False, d_patch=0, scene_share=0.0, crop_sizes=((0, 64),), max_images=24,
        init_images=8, decay_images=8, log_every_images=4, sample_every_images=12,
        save_every_images=12, precision="fp32", trackers="none",
    )  # fmt: skip
    return replace_settings(ANIMEGAN_PRESETS["characters"], **(toy | changes))


run = partial(train_toy, prepare)


def test_a_killed_run_of_two_styles_resumes_to_the_bit(data, tmp_path):
    straight = run(settings(data, tmp_path / "a"))
    assert isinstance(straight, JointObjective)
    with pytest.raises(RuntimeError, match="power cut"):
        run(settings(data, tmp_path / "b"), crash_at=5)
    resumed = run(settings(data, tmp_path / "b"), resume=True)
    for network in ("G", "D"):
        ours, theirs = getattr(straight, network), getattr(resumed, network)
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key]), key
    for style in ("toy", "dark"):
        weights = f"model/{style}/diffusion_pytorch_model.fp16.safetensors"
        assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()
        assert len(list((tmp_path / "a/samples" / style).glob("*.jpg"))) == 3
        folder = tmp_path / "a/model" / style
        assert json.loads((folder / hub.STYLE).read_text())["title"] == style.capitalize()
        assert json.loads((folder / hub.TRAINING).read_text())["images"] == 24


def test_exported_styles_share_convolutions_and_draw_as_trained(data, tmp_path):
    objective = run(settings(data, tmp_path / "run", max_images=12))
    toy, dark = (
        hub.load_model(hub.resolve_model(str(tmp_path / "run/model" / style)), PHOTO_MODELS)
        for style in ("toy", "dark")
    )
    own = {
        name
        for name, weights in toy.state_dict().items()
        if not torch.equal(weights, dark.state_dict()[name])
    }
    assert "out_layer.0.weight" in own
    shared = {
        name
        for name, weights in toy.named_parameters()
        if weights.ndim == 4 and not name.startswith("out_layer")
    }
    assert shared and not own & shared
    photos = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        drawn = objective.G(photos)
        alone = [
            objective.G.network(s)(photos[i : i + 1])[0] for i, s in enumerate(("toy", "dark"))
        ]
    torch.testing.assert_close(drawn, torch.stack(alone))


def test_a_style_learns_from_its_own_pairs_only(data, tmp_path):
    objective = JointObjective(settings(data, tmp_path / "run"), torch.device("cpu"))
    for index in range(6):
        style = ("toy", "dark")[index % 2]
        expected = objective.dataset.datasets[index % 2].sample(index, 64)["toon"]
        assert objective.styles[index % 2] == style
        assert torch.equal(objective.dataset[index]["toon"], expected)
    photos = torch.rand(4, 3, 64, 64) * 2 - 1
    objective.G(photos)[1::2].sum().backward()
    assert not any(weights.grad.any() for weights in objective.G.own["toy"])
    assert all(weights.grad.any() for weights in objective.G.own["dark"])


def test_a_run_starts_from_a_folder_with_a_generator_for_each_style(data, tmp_path):
    run(settings(data, tmp_path / "first", max_images=8))
    chosen = settings(data, tmp_path / "next", start_from=str(tmp_path / "first/model"))
    following = JointObjective(chosen, torch.device("cpu"))
    for style in ("toy", "dark"):
        folder = hub.resolve_model(str(tmp_path / "first/model" / style))
        expected = hub.load_model(folder, PHOTO_MODELS).state_dict()
        for name, weights in following.G.network(style).state_dict().items():
            assert torch.equal(weights, expected[name]), name
    shutil.rmtree(tmp_path / "first/model/dark")
    with pytest.raises(ValueError, match=r"--start-from .*dark"):
        JointObjective(chosen, torch.device("cpu"))


def test_every_style_has_scores_of_its_own():
    torch.manual_seed(0)
    D = FeatureDiscriminator(4, styles=2, images_each=3)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    scores = D(image.repeat(12, 1, 1, 1))
    assert torch.equal(scores[0], scores[2]) and torch.equal(scores[0], scores[6])
    assert torch.equal(scores[3], scores[11]) and not torch.equal(scores[0], scores[3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 3}, "--batch 3: expected a multiple of the 2 styles"),
        ({"discriminator": "animegan"}, "--discriminator animegan: expected features"),
        ({"validate": "photos"}, "--validate photos: expected nothing with several styles"),
        ({"keep_start": 0.5}, "--keep-start 0.5"),
        ({"push_to_hub": "me/styles"}, "--push-to-hub me/styles: expected nothing with several"),
        ({"style": "toy,none"}, "none"),
    ],
)
def test_what_several_styles_cannot_have_is_named(changes, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        JointObjective(settings(data, tmp_path / "run", **changes), torch.device("cpu"))


def test_shared_generators_start_as_the_given_generator():
    start = AnimeGANLiteGenerator(width=4, depth=1, photo_skip=True).eval()
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    shared = SharedGenerators({"a": start, "b": start})
    assert {"out_layer.0.weight", "skip.weight"} <= set(shared.names)
    expected = start(photo)
    for style in ("a", "b"):
        torch.testing.assert_close(shared.network(style)(photo), expected)
