"""Cartoon faces by their seeds, the same in any batch; what is made of them; a portrait's twin."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.models.test_toongan import seed_toy
from toonify import hub, latents
from toonify.faces.attributes import AttributeReading
from toonify.images import marks
from toonify.images.upscale import upscale
from toonify.pipelines import toongan, twins
from toonify.pipelines.toongan import MAX_FACES, MAX_SEED, ToonGANPipeline


@pytest.fixture(scope="module")
def pipe(toy_faces):
    return ToonGANPipeline.from_pretrained(toy_faces, device="cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The public network, which has no w."""
    folder = tmp_path_factory.mktemp("plain")
    seed_toy().save_pretrained(folder)
    return ToonGANPipeline.from_pretrained(folder, device="cpu")


def content(pictures) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


@pytest.mark.parametrize("which", ["pipe", "plain"])
def test_an_image_belongs_to_its_seed_alone(which, request, monkeypatch):
    pipe = request.getfixturevalue(which)
    seed = MAX_SEED - 8
    many = pipe(5, seed)
    assert {p.size for p in many} == {(pipe.resolution, pipe.resolution)}
    assert {p.mode for p in many} == {"RGB"}
    assert len(set(content(many))) == 5
    assert content(many) == [pipe(1, seed + place)[0].tobytes() for place in range(5)]
    monkeypatch.setattr(toongan, "BATCH", 2)
    assert content(many) == content(pipe(5, seed))


def test_as_many_faces_as_w_has_layers_are_as_many_faces(pipe):
    """Their w (L, D) was taken for the w+ of a single face."""
    rows = pipe.generator.num_ws
    assert pipe.latents(rows, 3).shape == (rows, *pipe.generator.synthesis.shape)
    assert content(pipe(rows, 3)[-1:]) == content(pipe(1, 2 + rows))


def test_all_bits_of_a_seed_count(pipe):
    assert content(pipe(1, 7)) != content(pipe(1, 7 + 2**32))


def test_the_engine_draws_what_the_network_draws(pipe):
    w = pipe.latents(3, 4, 0.7)
    assert w.shape == (3, pipe.generator.num_ws, 8)
    noise = latents.normals([4, 5, 6], 0, 6)
    with torch.inference_mode():
        expected = pipe.generator(noise, 0.7).clamp(-1, 1)
    for picture, tensor in zip(pipe(3, 4, 0.7), expected, strict=True):
        drawn = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 127.5 - 1
        assert (drawn - tensor).abs().mean() < 0.01


def test_truncation_and_w_of_any_proper_shape(pipe):
    assert torch.equal(pipe.latents(1, 1, 0.0), pipe.latents(1, 2, 0.0))
    rows = pipe.latents(2, 3)
    assert content(pipe.draw(rows[:, 0])) == content(pipe.draw(rows)) == content(pipe(2, 3))
    with pytest.raises(ValueError, match=r"w has shape \(3, 9\): expected \(N, 8\) or w\+ \(N, 10"):
        pipe.draw(torch.zeros(3, 9))


def test_faces_are_enlarged_as_drawings_are(pipe):
    (face,), (large,) = pipe(1, 4), pipe(1, 4, size=160)
    assert content([large]) == content([upscale(face, (160, 160))])
    assert marks.read_mark(large) == marks.read_mark(face) == marks.GENERATED
    with pytest.raises(ValueError, match="size"):
        pipe(1, 4, size=4096)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"n": 0}, "n=0: expected a whole number from 1 to 4096"),
        ({"n": 10_000}, "n=10000: expected"),
        ({"n": 2.0}, "n=2.0: expected"),
        ({"seed": -1}, "seed=-1: expected a whole number from 0 to 4611686018427387904"),
        ({"seed": 2**70}, f"seed={2**70}: expected"),
        ({"n": 2, "seed": MAX_SEED}, f"expected a whole number from 0 to {MAX_SEED - 1}"),
        ({"truncation": 5}, "truncation=5: expected a number from 0 to 1"),
        ({"truncation": float("nan")}, "truncation=nan"),
        ({"edits": {"wings": 1}}, "'wings' is not a direction; expected one of glasses, smile"),
        ({"edits": {"smile": 99}}, "smile=99: expected -5 to 5"),
    ],
)
def test_wrong_options_are_named(pipe, options, words):
    with pytest.raises(ValueError, match=words):
        pipe(**options)


def test_choices_replace_what_the_seed_chose_and_nothing_else(choosing_faces):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    assert list(pipe.attributes) == ["mouth", "hair_color"]
    chosen = pipe.generator.mapping.sample_classes(pipe._noise(12, 5))
    assert len(chosen.unique(dim=0)) > 2
    plain, laughing = pipe.latents(12, 5), pipe.latents(12, 5, choices={"mouth": "laugh"})
    for before, after, choice in zip(plain, laughing, chosen, strict=True):
        assert torch.equal(before, after) == (choice[0] == 0)
    as_it_was = {"mouth": pipe.attributes["mouth"][chosen[0, 0]]}
    assert torch.equal(pipe.latents(1, 5, choices=as_it_was), plain[:1])
    both = {"mouth": "sad", "hair_color": "#d6b370"}
    wanted = pipe.generator.mapping(pipe._noise(12, 5), torch.tensor([[1, 1]]).expand(12, -1))
    assert torch.allclose(pipe.latents(12, 5, choices=both)[:, 0], wanted, atol=1e-5)
    assert content(pipe(2, 5, choices=both)) == content(pipe.draw(pipe.latents(2, 5, 1.0, both)))
    with pytest.warns(DeprecationWarning, match="'hair_colour' is now called 'hair_color'"):
        older = pipe.latents(12, 5, choices={"mouth": "sad", "hair_colour": "#d6b370"})
    assert torch.equal(older, pipe.latents(12, 5, choices=both))
    half = pipe.latents(1, 5, 0.5, both)
    mean = pipe.generator.mapping.w_avg
    assert torch.allclose(half[0, 0], mean + (wanted[0] - mean) / 2, atol=1e-5)


@pytest.mark.parametrize(
    "choices, words",
    [
        ({"nose": "long"}, "'nose' is not an attribute; expected one of mouth, hair_color"),
        ({"mouth": "grin"}, "mouth='grin': expected one of laugh, sad, wideOpen"),
    ],
)
def test_choices_that_there_are_not_are_named(choosing_faces, pipe, choices, words):
    with pytest.raises(ValueError, match=words):
        ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")(choices=choices)
    with pytest.raises(ValueError, match="expected one of none, for these faces"):
        pipe(choices=choices)


@pytest.mark.parametrize("attributes", [{"mouth": ["a", "b"]}, {"x": ["a", "b"], "y": ["a", "b"]}])
def test_names_of_other_attributes_than_the_networks_are_refused(
    choosing_faces, tmp_path, attributes
):
    folder = shutil.copytree(choosing_faces, tmp_path / "other")
    (folder / "style.json").write_text(json.dumps({"family": "toongan", "attributes": attributes}))
    with pytest.raises(
        ValueError, match=r"style\.json: attributes have .* the network's: \[3, 2\]"
    ):
        ToonGANPipeline.from_pretrained(folder, device="cpu")


def test_the_most_faces_and_the_largest_seed_are_taken(pipe):
    pipe.check_options(MAX_FACES, MAX_SEED - MAX_FACES + 1)


def test_edits_move_their_layers_only(pipe):
    w = pipe.latents(2)
    moved = pipe.edited(w, {"glasses": 1.5}) - w
    assert not moved[:, :2].any() and not moved[:, 5:].any()
    assert torch.allclose(moved[:, 2:5], 1.5 * pipe.directions["glasses"].vector, atol=1e-5)
    assert torch.equal(pipe.edited(w, None), w)
    assert content(pipe(1, edits={"smile": 2.0})) != content(pipe(1))
    with pytest.raises(ValueError, match="'wings' is not a direction"):
        pipe.edited(w, {"wings": 1.0})


def test_mixing_takes_coarse_layers_of_one_and_fine_layers_of_the_other(pipe):
    first, second = pipe.latents(2)
    mixed = pipe.mix(first, second, 16)
    assert torch.equal(mixed[0, :3], first[:3]) and torch.equal(mixed[0, 3:], second[3:])
    with pytest.raises(ValueError, match="side=5"):
        pipe.mix(first, second, 5)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_a_loop_is_written_whole_and_reports_progress(pipe, tmp_path, suffix):
    reported = []
    path = tmp_path / f"loop{suffix}"
    assert pipe.loop(pipe.latents(3), path, frames=12, fps=6, progress=reported.append) == path
    assert reported == pytest.approx([number / 12 for number in range(1, 13)])
    if suffix != ".mp4":
        with Image.open(path) as clip:
            assert (clip.n_frames, clip.size) == (12, (64, 64))
        whole = path.read_bytes()
        one_by_one = [pipe.latents(1, seed) for seed in range(3)]
        assert pipe.loop(one_by_one, path, frames=12, fps=6).read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_loop_passes_its_keys_and_closes_without_a_jump(pipe):
    keys = pipe.latents(3)
    way = latents.around(keys, 60)
    assert torch.equal(way[::20], keys)
    steps = (way.roll(-1, 0) - way).flatten(1).norm(dim=1)
    inner = steps[:-1].max()
    assert steps[-1] <= inner and steps.max() < 0.1 * (keys[0] - keys[1]).norm() + inner


@pytest.mark.parametrize(
    "count, frames, name, words",
    [
        (1, 12, "loop.gif", "keys: 1 given, expected 2 or more"),
        (3, 2, "loop.gif", "steps=2: expected 3 or more"),
        (2, 12, "loop.avi", "loop.avi ends in '.avi'"),
    ],
)
def test_what_is_no_loop_is_refused(pipe, tmp_path, count, frames, name, words):
    with pytest.raises(ValueError, match=words):
        pipe.loop(pipe.latents(count), tmp_path / name, frames)
    assert not list(tmp_path.iterdir())


def test_a_grid_has_the_faces_in_rows(pipe):
    faces = pipe(5)
    grid = pipe.grid(faces, 2)
    assert grid.size == (128, 192)
    assert grid.crop((64, 64, 128, 128)).tobytes() == faces[3].tobytes()


def test_latents_are_kept_and_those_of_another_network_refused(pipe, tmp_path):
    w = pipe.latents(1, 9)
    pipe.save_latent(tmp_path / "me.safetensors", w)
    assert torch.equal(pipe.load_latent(tmp_path / "me.safetensors"), w)
    assert torch.equal(pipe.load_latent((tmp_path / "me.safetensors").read_bytes()), w)
    latents.save_latent(tmp_path / "other.safetensors", w, "somebody else's")
    with pytest.raises(ValueError, match="belongs to the model"):
        pipe.load_latent(tmp_path / "other.safetensors")


def test_a_folder_that_was_saved_again_draws_the_same(pipe, toy_faces, tmp_path):
    pipe.generator.save_pretrained(tmp_path)
    assert content(ToonGANPipeline.from_pretrained(tmp_path, device="cpu")(2)) == content(pipe(2))


def test_what_needs_w_is_refused_without_one(plain, photo, tmp_path):
    w = torch.zeros(1, 8)
    for what, call in {
        "latents": plain.latents,
        "mix": lambda: plain.mix(w, w, 16),
        "edits": lambda: plain(edits={"smile": 1.0}),
        "truncation=0.5": lambda: plain(truncation=0.5),
        "w": lambda: plain.draw(w),
        "save_latent": lambda: plain.save_latent(tmp_path / "w.safetensors", w),
        "load_latent": lambda: plain.load_latent(tmp_path / "w.safetensors"),
        "match_photo": lambda: plain.match_photo(photo),
    }.items():
        with pytest.raises(ValueError, match=f"^{what}: DCGANGenerator has no w"):
            call()
    assert plain(edits={})[0].size == (32, 32)


def test_sources_are_found_or_refused(toy_faces, toy_style, use_bundled, tmp_path):
    use_bundled(tmp_path)
    with pytest.raises(ValueError, match=f"style='{hub.DEFAULT_FACES}': expected a folder"):
        ToonGANPipeline.from_pretrained()
    with pytest.raises(ValueError, match="_class_name is 'AnimeGANGenerator', expected one of Too"):
        ToonGANPipeline.from_pretrained(toy_style)
    with pytest.raises(ValueError, match="only Hub styles have revisions"):
        ToonGANPipeline.from_pretrained(toy_faces, revision="main")
    with pytest.raises(ValueError, match="device='gpu'"):
        ToonGANPipeline.from_pretrained(toy_faces, device="gpu")
    shutil.copytree(toy_faces, tmp_path / "faces")
    assert ToonGANPipeline.from_pretrained(device="cpu").style.title == "Toy faces"
    assert [style.name for style in hub.styles("toongan")] == ["faces"]
    assert hub.styles() == hub.styles("stylegan") == []


# Twins ------------------------------------------------------------------------------------------


def test_a_twin_is_moved_by_what_was_read_and_can_be_moved(pipe, photo):
    twin = pipe.match_photo(photo)
    assert {"smile", "glasses"} <= set(twin.read)
    assert set(twin.edits) == {"smile", "glasses"}
    assert twin.edits["smile"] > 0.7 and twin.edits["glasses"] < -0.7
    start = pipe.latents(1, twin.seed, twins.MATCH_TRUNCATION)
    assert torch.equal(twin.latent, pipe.edited(start, twin.edits))
    assert "Taken from the photo: no glasses, a smile." in twin.note
    assert "not to be moved: light skin" in twin.note
    again = pipe.match_photo(photo.copy())
    assert torch.equal(twin.latent, again.latent) and again.seed == twin.seed


def test_a_twin_without_directions_says_so(toy_faces, photo, tmp_path):
    for file in toy_faces.iterdir():
        if file.name != hub.DIRECTIONS:
            shutil.copy(file, tmp_path)
    twin = ToonGANPipeline.from_pretrained(tmp_path, device="cpu").match_photo(photo)
    assert twin.edits == {} and twin.read
    assert twin.note.startswith("A face by chance: it cannot be moved by what was read (light skin")


def test_a_twin_gets_the_colors_that_are_nearest(choosing_faces, photo):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    twin = pipe.match_photo(photo)
    assert twin.truncation == 1.0 and twin.edits == {}
    dark = {"hair_color": "#2c1b18"} if "hair_light" in twin.read else {}
    assert twin.read["smile"].value == 1 and twin.choices == {"mouth": "laugh"} | dark
    assert "a smile" in twin.note.partition(". Read, and not")[0]
    assert torch.equal(twin.latent, pipe.latents(1, twin.seed, 1.0, twin.choices))
    assert 0 <= twin.seed < 10**9


def test_a_twin_wears_what_was_read_and_no_beard_by_chance(choosing_faces, photo, monkeypatch):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    pipe.attributes = {"beard": ("full", "none", "long"), "rear_hair": ("none", "longWavy")}
    for value, hair in ((1, "longWavy"), (-1, "none")):
        read = {
            "hair_long": AttributeReading(value, 0.9, "hair"),
            "smile": AttributeReading(1, 0.9, "a smile"),
        }
        monkeypatch.setattr(toongan.attributes, "read", lambda *_, read=read: read)
        twin = pipe.match_photo(photo)
        assert twin.choices == {"beard": "none", "rear_hair": hair} and twin.edits == {}
        assert twin.note == "Taken from the photo: hair. Read, and not to be moved: a smile."


HEAD_READ = {
    "skin_light": AttributeReading(1, 0.9, "light skin", "#ecc4ae"),
    "hair_light": AttributeReading(-1, 0.9, "dark hair", "#201814"),
    "hair_long": AttributeReading(1, 0.9, "long hair"),
    "smile": AttributeReading(1, 0.9, "a smile"),
    "glasses": AttributeReading(-1, 0.9, "no glasses"),
}


def test_a_head_has_what_its_portrait_has(head_faces, photo, monkeypatch):
    """Attributes are filled by their names; without directions all comes from choices."""
    pipe = ToonGANPipeline.from_pretrained(head_faces, device="cpu")
    unread = {"age": "adult", "headwear": "none", "freckles": "no"}
    monkeypatch.setattr(pipe, "_read", lambda *_: HEAD_READ)
    twin = pipe.match_photo(photo)
    assert twin.choices == unread | {
        "skin_tone": "tone1",
        "hair_color": "black",
        "hair_style": "long",
        "expression": "smile",
        "glasses": "none",
        "beard": "none",
    }
    assert "Read, and not" not in twin.note
    others = {
        "skin_light": AttributeReading(-1, 0.9, "dark skin", "#503020"),
        "hair_light": AttributeReading(1, 0.9, "fair hair", "#cca860"),
        "bald": AttributeReading(1, 0.9, "a bald head"),
        "smile": AttributeReading(-1, 0.9, "no smile"),
        "sunglasses": AttributeReading(1, 0.9, "sunglasses"),
    }
    monkeypatch.setattr(pipe, "_read", lambda *_: others)
    assert pipe.match_photo(photo).choices == unread | {
        "skin_tone": "tone12",
        "hair_color": "blonde",
        "hair_style": "bald",
        "expression": "neutral",
        "glasses": "sunglasses",
        "beard": "none",
    }


def test_the_face_parser_is_asked_for_heads_only(head_faces, choosing_faces, photo, monkeypatch):
    asked = []
    parse = toongan.parse
    monkeypatch.setattr(toongan, "parse", lambda *a, **o: asked.append(1) or parse(*a, **o))
    ToonGANPipeline.from_pretrained(choosing_faces, device="cpu").match_photo(photo)
    assert asked == []
    twin = ToonGANPipeline.from_pretrained(head_faces, device="cpu").match_photo(photo)
    assert asked == [1]
    assert twin.read["skin_light"].color and "hair_light" in twin.read
    assert twin.choices["skin_tone"] == "tone1" and twin.choices["expression"] == "smile"
    assert twin.choices["glasses"] == "none" and twin.choices["beard"] == "none"


def test_a_bundled_generator_opens_by_its_name(head_faces, use_bundled):
    use_bundled(head_faces.parent)
    assert [style.name for style in hub.styles("toongan")] == ["heads"]
    pipe = ToonGANPipeline.from_pretrained("heads", device="cpu")
    assert pipe(1, choices={"skin_tone": "tone6"})[0].size == (64, 64)
    assert pipe.style.colors["skin_tone"]["tone6"] == "#c48a62"


def test_no_face_is_an_answer(pipe):
    twin = pipe.match_photo(Image.new("RGB", (80, 60), "teal"))
    assert (twin.read, twin.edits) == ({}, {})
    assert twin.latent.shape == (1, 10, 8) and twin.note.startswith("No face was found")
    assert twin.seed != pipe.match_photo(Image.new("RGB", (60, 80), "teal")).seed


def test_the_note_of_a_twin_without_readings():
    assert toongan.describe_match(True, {}, []) == (
        "A face by chance: it cannot be moved by what was read (nothing)."
    )
    read = {"smile": AttributeReading(1, 0.9, "a smile")}
    assert toongan.describe_match(True, read, ["smile"]) == "Taken from the photo: a smile."


def test_the_toys_directions_are_what_hub_says_without_torch(toy_faces):
    assert hub.directions(toy_faces) == {"smile": "Smile", "glasses": "Glasses"}
    assert json.loads((toy_faces / hub.STYLE).read_text())["family"] in hub.CHOSEN
