"""Measurements say what they are called, and planted traits become directions in a file."""

import cv2
import numpy as np
import pytest
import torch

from toonify import hub, latents
from toonify.models import MobileStyleGAN, StyleGAN2Generator
from toonify.models.layer_swap import layers_between
from training.stylegan import directions

POINTS = np.array([[98, 120], [158, 120], [128, 155], [104, 190], [152, 190]], float)


def drawn(points=POINTS, lips=(150, 60, 60), hair=(60, 40, 30), bridge=False):
    """A face of plain areas, RGB uint8 (256, 256, 3)."""
    pixels = np.full((256, 256, 3), (210, 170, 150), np.uint8)
    pixels[:80] = hair
    center = points[3:].mean(0).astype(int)
    cv2.ellipse(pixels, center.tolist(), (24, 8), 0, 0, 360, lips, -1)
    if bridge:
        cv2.line(pixels, (98, 122), (158, 122), (0, 0, 0), 3)
    return pixels


def difference(name, other, points=POINTS):
    before = directions.measure(drawn(), POINTS)
    return directions.measure(other, points)[name] - before[name]


def test_each_measurement_grows_with_what_it_is_called():
    assert difference("teeth", drawn(lips=(250, 250, 245))) > 0
    assert difference("bridge", drawn(bridge=True)) > 0
    assert difference("hair_lightness", drawn(hair=(220, 200, 120))) > 0
    assert difference("skin_lightness", np.full((256, 256, 3), 250, np.uint8)) > 0
    for name, shift in (
        ("nose_aside", [[0, 0], [0, 0], [9, 0], [0, 0], [0, 0]]),
        ("nose_down", [[0, 0], [0, 0], [0, 9], [0, 0], [0, 0]]),
        ("mouth_width", [[0, 0], [0, 0], [0, 0], [-9, 0], [9, 0]]),
    ):
        assert difference(name, drawn(), POINTS + shift) > 0


def test_size_and_place_of_a_face_do_not_matter():
    lengths = ("nose_aside", "nose_down", "mouth_width")
    small = directions.measure(drawn(), POINTS * 0.5 + 20)
    whole = directions.measure(drawn(), POINTS)
    assert [small[name] for name in lengths] == pytest.approx([whole[name] for name in lengths])


def test_points_outside_of_the_image_still_give_numbers():
    for shift in (-300, 300):
        said = directions.measure(drawn(), POINTS + shift)
        assert np.isfinite(list(said.values())).all()


def planted(count=300, size=12):
    """Samples whose measurement `i` is coordinate i of w."""
    w = torch.randn(count, size, generator=torch.Generator().manual_seed(0))
    return w, {name: 3 * w[:, i] + 1 for i, name in enumerate(directions.measure(drawn(), POINTS))}


def test_planted_traits_become_directions_with_a_unit_effect():
    w, measured = planted()
    names = list(measured)
    traits = {
        "one": directions.Trait("One", {names[0]: 1.0}, (4, 8)),
        "both": directions.Trait("Both", {names[0]: 1.0, names[1]: 1.0}, (8, 8), ("one",)),
        "judged": directions.Trait("Judged", {}, (4, 4)),
        "unknown": directions.Trait("Unknown", {}, (4, 4)),
    }
    rows = dict.fromkeys(traits, (0, 2)) | {"both": (1, 3)}
    found = directions.learn(w, measured, traits, rows, {"judged": (w, w[:, 5].sign())})
    assert set(found) == {"one", "both", "judged"}
    one, both = found["one"], found["both"]
    assert one.vector[0] == pytest.approx(1, abs=0.15) and one.vector[1:].abs().max() < 0.15
    assert both.vector.argmax() == 1 and abs(both.vector @ one.vector) < 0.05
    assert found["judged"].vector.argmax() == 5 and both.layers == (1, 3)
    signal = directions.Signal(traits["one"], measured)
    assert float(signal(measured).std()) == pytest.approx(1)


def test_every_trait_is_made_of_measurements_and_keeps_known_traits():
    said = directions.measure(drawn(), POINTS)
    for name, trait in directions.TRAITS.items():
        assert set(trait.cues) <= set(said)
        assert set(trait.keep) <= set(directions.TRAITS) - {name}


def test_scaling_makes_the_effect_one_within_bounds():
    direction = latents.Direction("a", "A", torch.ones(2), (0, 1))
    assert directions.scaled(direction, 0.8).vector.tolist() == [1.25, 1.25]
    assert directions.scaled(direction, 0.01).vector[0] == pytest.approx(1.5)
    assert directions.scaled(direction, float("nan")) is direction


def toy_faces(resolution: int = 256) -> StyleGAN2Generator:
    """A model of no faces at all, of the shapes that the command asks for."""
    torch.manual_seed(0)
    return StyleGAN2Generator(resolution, 12, 12, 2, 512, 2).requires_grad_(False)


@pytest.fixture
def looked(monkeypatch):
    """Instead of a face detector: whatever is drawn measures as its brightness."""
    names = list(directions.measure(drawn(), POINTS))
    monkeypatch.setattr(
        directions, "look", lambda pixels: dict.fromkeys(names, float(pixels.mean()))
    )


def test_the_whole_way_writes_directions_that_load(tmp_path, looked):
    w, _ = planted(40)
    np.savez(tmp_path / "judged.npz", w=w.numpy(), age=w[:, 3].numpy())
    traits = {"smile": directions.TRAITS["smile"], "age": directions.TRAITS["age"]}
    traits = {name: directions.Trait(t.label, t.cues, t.sides) for name, t in traits.items()}
    out, kept = tmp_path / "new" / "directions.safetensors", tmp_path / "measured.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directions, "TRAITS", traits)
        patch.setattr(directions, "TRIAL_FACES", 3)
        effects = directions.make(
            toy_faces(), out, 30, 0, kept, tmp_path / "judged.npz", tmp_path / "sheets"
        )
        first = latents.load_directions(out)
        directions.make(toy_faces(), out, 30, 0, kept, tmp_path / "judged.npz")
    assert set(effects) == {"smile"} and set(first) == {"smile", "age"}
    assert first["smile"].layers == (3, 6) and first["smile"].label == "Smile"
    assert {file.name for file in (tmp_path / "sheets").iterdir()} == {"smile.png", "age.png"}
    assert torch.equal(latents.load_directions(out)["age"].vector, first["age"].vector)


def test_what_does_not_fit_the_model_is_reported(tmp_path):
    with pytest.raises(ValueError, match="model draws 128 px; expected at least 256"):
        directions.make(toy_faces(128), tmp_path / "out", 3, 0)
    file = tmp_path / "judged.npz"
    for arrays, said in (
        ({"age": np.zeros(4)}, r"\(N, 12\)"),
        ({"w": np.zeros((4, 12)), "age": np.zeros(3)}, r"\(4,\)"),
        ({"w": np.zeros((4, 12)), "charm": np.zeros(4)}, "charm"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=said):
            directions.make(toy_faces(), tmp_path / "out", 3, 0, judged_file=file)


def test_images_without_a_face_are_left_out(monkeypatch):
    monkeypatch.setattr(directions, "look", lambda pixels: None)
    with pytest.raises(ValueError, match="0 faces"):
        directions.collect(toy_faces(), 4, 0)


def test_a_trait_that_is_only_kept_is_not_written():
    w, measured = planted()
    names = list(measured)
    traits = {
        "hidden": directions.Trait("Hidden", {names[0]: 1.0}, (4, 8), written=False),
        "shown": directions.Trait("Shown", dict.fromkeys(names[:2], 1.0), (4, 8), ("hidden",)),
    }
    found = directions.learn(w, measured, traits, dict.fromkeys(traits, (0, 2)))
    assert set(found) == {"shown"} and found["shown"].vector.argmax() == 1


def test_the_bundled_base_moves_the_layers_that_its_directions_name():
    """In sizes of features, so that they are found for other generators too."""
    with torch.device("meta"):
        network = MobileStyleGAN()
    rows = {n: layers_between(network, *t.sides) for n, t in directions.TRAITS.items() if t.written}
    bundled = latents.load_directions(hub.BUNDLED / hub.DEFAULT_BASE / hub.DIRECTIONS)
    assert rows == {name: direction.layers for name, direction in bundled.items()}
