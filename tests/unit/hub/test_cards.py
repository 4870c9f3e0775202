"""Cards: templates filled from folders, without gaps, and those that are bundled as they are."""

import json
import re
import shutil

import jinja2
import pytest
import yaml
from accelerate.state import AcceleratorState
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image

from tests.fixtures import toy_data
from toonify import hub, images
from toonify.hub import cards
from toonify.hub.cards import models
from training import train_animegan, train_toongan

BUNDLED = sorted(path.parent.name for path in hub.BUNDLED.glob(f"*/{hub.CONFIG}"))
HOLES = r"\{\{|\{%|undefined|\bNone\b(?! of)|built-in| at 0x|\bnan\b|More Information Needed"


def front_of(text: str) -> dict:
    """A card's front matter as YAML, which the Hub's own reader understands alike."""
    front = yaml.safe_load(text.split("---\n")[1])
    assert ModelCard(text).data.to_dict().keys() | {"model-index"} == front.keys() | {"model-index"}
    return front


def faults(text: str) -> list[str]:
    """What is wrong with a card: holes, no title at its head, headings without words of theirs."""
    before, title, *rest = re.split(r"^(#+ .+)$", text.split("---\n", 2)[2], flags=re.M)
    parts = [title, *rest]
    found = re.findall(HOLES, text) + ([before] if before.strip() else [])
    empty = [
        heading
        for heading, words in zip(parts[::2], parts[1::2], strict=True)
        if not words.strip() and not heading.startswith("# ")
    ]
    return found + empty


def test_faults_of_cards_are_seen():
    front = "---\na: 1\n---\n\n"
    assert faults(f"{front}# A\n\nwords\n\n## B\n\n## C\n\nNone of us\n") == ["## B"]
    assert faults(f"{front}# A\n\n{{{{ b }}}}, None\n\n## C\n") == ["{{", "None", "## C"]
    assert faults(f"{front}lost\n# A\n\nwords\n") == ["\nlost\n"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A ToonGAN and a style as training leaves them, by name."""
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    place = tmp_path_factory.mktemp("runs")
    faces, data = toy_data.write_faces(place / "faces"), toy_data.write_pairs(place / "data")
    toon = toy_data.options(toy_data.TOONGAN_TOY, data=faces, out=place / "heads", max_images=8)
    train_toongan.main(["--preset", "laptop", *toon, "--license", "CC0-1.0"])
    toy = toy_data.options(data=data, out=place / "mine", max_images=8)
    train_animegan.main(["--preset", "unpaired", *toy])
    return {name: place / name / "model" for name in ("heads", "mine")}


@pytest.fixture
def mine(trained, tmp_path):
    """The style, to change it."""
    return shutil.copytree(trained["mine"], tmp_path / "mine")


def change(folder, **values) -> None:
    """Changes entries of a folder's training.json."""
    file = folder / hub.TRAINING
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# Filled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_the_make_card_a_bundled_folder_has_no_gaps(name):
    text = cards.make_card(hub.BUNDLED / name)
    style = hub.read_style(hub.BUNDLED / name, name)
    assert faults(text) == []
    assert f"\n# {style.title}\n" in text and style.data in text and f'"{name}"' in text
    assert "## Training" in text and "Environmental" not in text  # its cost is unknown
    measured = (hub.BUNDLED / name / hub.METRICS).is_file()
    assert ("model-index" in front_of(text)) is measured is ("## Measured" in text)


@pytest.mark.parametrize("part", ["base", "toon", "encoder"])
def test_toys_without_words_have_cards_without_gaps(part, toy_portrait, toy_faces, toy_style):
    for folder in (toy_portrait / part, toy_faces, toy_style):
        text = cards.make_card(folder, "ann/toy")
        assert faults(text) == [] and '"ann/toy"' in text
        assert "Data: ." not in text and front_of(text)["license"] in ("unknown", "cc0-1.0")


def test_a_trained_folder_says_how_it_was_trained(trained, tmp_path):
    said = json.loads((trained["heads"] / hub.TRAINING).read_text())
    assert (said["preset"], said["images"], said["processes"]) == ("laptop", 8, 1)
    assert said["settings"]["batch"] == 4 and "out" not in said["settings"]
    assert said["seconds"] > 0 and said["versions"]["torch"]
    for name, folder in trained.items():
        text = cards.make_card(folder)
        assert faults(text) == []
        assert "Trained on 8 images" in text and "| `batch` | 4 |" in text
        assert "## Environmental cost" in text
        everything = text + (folder / hub.TRAINING).read_text() + (folder / hub.STYLE).read_text()
        assert str(folder.parents[1]) not in everything, f"{name} names a folder of this machine"
    assert front_of(cards.make_card(trained["heads"]))["license"] == "cc0-1.0"
    assert "license of these weights is unknown" in cards.make_card(trained["mine"])


def test_sources_on_the_hub_are_named_in_the_front_matter(mine):
    plain = front_of(cards.make_card(mine))
    assert not {"base_model", "datasets"} & plain.keys()
    change(mine, base_model="ann/comic", datasets=["ben/photos"])
    front = front_of(cards.make_card(mine))
    assert (front["base_model"], front["datasets"]) == ("ann/comic", ["ben/photos"])


def test_figures_become_results_that_name_their_extractor():
    card = ModelCard(cards.make_card(hub.BUNDLED / "comic"))
    said = json.loads((hub.BUNDLED / "comic" / hub.METRICS).read_text())["figures"]
    found = {result.metric_type: result for result in card.data.eval_results}
    assert set(found) == {"fd_mobilenet_v2", "kd_mobilenet_v2", "ssim_luminance"}
    distance = found["fd_mobilenet_v2"]
    assert distance.metric_value == said["fd_mobilenet_v2"]["drawings"]
    assert "mobilenet_v2" in distance.metric_name and "60 photos" in distance.dataset_name
    assert card.data.model_name == "Comic"


def test_the_card_has_skin_tones_and_warns_of_few_faces():
    text = cards.make_card(hub.BUNDLED / "comic")
    section = text.partition("## Fairness over skin tones")[2].partition("\n## ")[0]
    assert "* light: 38 faces, median shift 1.7°" in section and "all:" not in section
    assert section.count("too few faces for a conclusion") == 2  # medium 14, dark 11


def test_images_beside_the_weights_are_shown(mine):
    image = Image.new("RGB", (8, 8))
    for name in ("before_after.png", "samples/one.jpg"):
        images.save(image, mine / name)
    (mine / "notes.txt").write_text("no image")
    text = cards.make_card(mine)
    assert [item["output"]["url"] for item in front_of(text)["widget"]] == [
        "before_after.png",
        "samples/one.jpg",
    ]
    assert "![before after](before_after.png)" in text and "](samples/one.jpg)" in text


@pytest.mark.parametrize(
    "said, units, energy",
    [
        ({"device": "cpu", "processes": 2, "threads": 4}, "8 processor threads", "80 Wh"),
        ({"device": "cpu", "processes": 1, "threads": 1}, "1 processor thread", "10 Wh"),
        ({"device": "gpu", "processes": 4, "threads": 16}, "4 GPUs", "1.4 kWh"),
    ],
)
def test_energy_is_time_times_an_assumed_power(said, units, energy):
    cost = models.compute_cost({"seconds": 3600.0, **said})
    assert (cost["time"], cost["units"], cost["energy"]) == ("60 minutes", units, energy)
    assert models.compute_cost({"seconds": 0.0, **said}) == {}


def test_a_generator_trained_from_noise_is_a_base_and_not_a_toon():
    style = hub.Style("mine", "Mine", family="stylegan")
    assert models.find_role(style, "StyleGAN2Generator", fresh=True) == "base"
    assert models.find_role(style, "MobileStyleGAN", fresh=False) == "toon"
    assert models.find_role(style, "Encoder", fresh=True) == "encoder"


@pytest.mark.parametrize(
    "license, front",
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("CC0 1.0, drawn here", {"license": "cc0-1.0"}),
        ("unknown: say here what the data's licenses allow", {"license": "unknown"}),
        ("non-commercial, as its base", {"license": "other", "license_name": "non-commercial"}),
    ],
)
def test_a_license_in_words_is_one_of_the_hubs_or_has_a_name(license, front):
    assert cards.read_license(license) == front


# Refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, text, message",
    [
        (hub.METRICS, '{"figures": {}, "command": ""}', "metrics.json: not as training.evaluate"),
        (hub.TRAINING, "{}", "training.json: preset is None, expected str"),
        (hub.CONFIG, '{"_class_name": "Mine"}', "config.json: _class_name is 'Mine'"),
    ],
)
def test_invalid_files_are_named(name, text, message, mine):
    (mine / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        cards.make_card(mine)


def test_a_device_without_an_assumed_power_is_refused(mine):
    change(mine, device="abacus")
    with pytest.raises(ValueError, match="device is 'abacus', expected cpu or gpu"):
        cards.make_card(mine)


def test_a_template_with_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        cards.fill("toongan", ModelCardData())


# Bundled ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_card_agrees_with_its_folder(name):
    folder = hub.BUNDLED / name
    text, style = (folder / "README.md").read_text(), hub.read_style(folder, name)
    front, filled = front_of(text), front_of(cards.make_card(folder))
    assert faults(text) == [] and f"\n# {style.title}\n" in text
    for key in ("license", "license_name", "library_name", "pipeline_tag"):
        assert front.get(key) == filled.get(key), key
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", front.get("base_model", "owner/name"))
