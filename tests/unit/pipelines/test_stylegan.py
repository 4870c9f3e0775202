"""The portrait pipeline: faces in, toons out, everything else of the photo untouched."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from toonify import faces, hub, images
from toonify.faces import Face
from toonify.latents import inversion
from toonify.pipelines import face_generator, layer_swap, stylegan
from toonify.pipelines.layer_swap import swap_for
from toonify.pipelines.options import PortraitOptions
from toonify.pipelines.stylegan import LayerSwap, StyleGANPipeline, keeps_hair


@pytest.fixture(scope="module")
def pipe(toy_portrait):
    return StyleGANPipeline.from_pretrained(
        toy_portrait / "base", encoder=toy_portrait / "encoder", device="cpu"
    )


@pytest.fixture(scope="module")
def toon_folder(toy_portrait):
    return toy_portrait / "toon"


@pytest.fixture(scope="module")
def result(pipe, photo, toon_folder):
    return pipe(photo, toon_folder)


def different(a: Image.Image, b: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max(2)


def test_a_face_is_drawn_and_the_rest_of_the_photo_stays(result, photo, pipe):
    assert result.image.size == photo.size
    (portrait,) = result.portraits
    assert result.drawn_faces == 1 and not result.left_alone
    assert portrait.face in result.faces
    side = (pipe.resolution, pipe.resolution)
    assert portrait.crop.image.size == portrait.inversion.size == portrait.toon.size == side
    assert portrait.w.shape == (1, pipe.num_ws, 16)
    changed = different(result.image, photo)
    assert changed[80:150, 200:250].mean() > 5  # the face of the astronaut
    height, width = changed.shape
    y, x = np.mgrid[:height, :width]
    inside = portrait.crop.matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    outside = (np.abs(inside / pipe.resolution - 0.5) > 0.52).any(0).reshape(changed.shape)
    assert outside.any() and not changed[outside].any()


def test_the_parts_are_what_base_and_toon_draw(result, pipe, toon_folder):
    (portrait,) = result.portraits
    drawn = pipe.toon(portrait.w, toon_folder)
    assert drawn.shape == (1, 3, pipe.resolution, pipe.resolution)
    assert images.to_pil(drawn).tobytes() == portrait.toon.tobytes()
    assert images.to_pil(pipe.base(portrait.w)).tobytes() == portrait.inversion.tobytes()
    assert different(portrait.toon, portrait.inversion).mean() > 1


def test_a_toon_equal_to_the_base_draws_the_inversion(pipe, photo, toy_portrait):
    (portrait,) = pipe(photo, toy_portrait / "base").portraits
    assert different(portrait.toon, portrait.inversion).max() <= 1


def test_a_gray_photo_stays_gray(pipe, photo, toon_folder):
    # JPEG rounds the colors of grays, and old prints have colored specks.
    speckled = np.asarray(photo.convert("L").convert("RGB")).copy()
    speckled[..., 0] ^= 1
    speckled[::40, ::40] = (200, 120, 60)
    toon = pipe(Image.fromarray(speckled), toon_folder)
    assert different(toon.image, Image.fromarray(speckled)).mean() > 1
    spread = np.ptp(np.asarray(toon.image).astype(int), axis=2)
    assert (spread <= 1).mean() > 0.99
    colored = np.ptp(np.asarray(pipe(photo, toon_folder).image).astype(int), axis=2)
    assert (colored <= 1).mean() < 0.5


def test_w_of_any_proper_shape_is_drawn_and_others_are_refused(pipe):
    w = pipe.sample(2, seed=3)
    assert w.shape == (2, 16)
    assert torch.equal(w, pipe.sample(2, seed=3))
    assert not torch.equal(w, pipe.sample(2, seed=4))
    expanded = w[:, None].repeat(1, pipe.num_ws, 1)
    assert torch.equal(pipe.base(w), pipe.base(expanded))
    assert torch.equal(pipe.base(w[0]), pipe.base(w[:1]))
    for shape in [(17,), (2, 17), (3, pipe.num_ws, 16, 1), (1, pipe.num_ws + 1, 16)]:
        with pytest.raises(ValueError, match="expected"):
            pipe.base(torch.zeros(shape))


def test_strength_and_truncation_at_their_ends(pipe, photo, toon_folder):
    assert pipe(photo, toon_folder, strength=0.0).image.tobytes() == photo.tobytes()
    (mean,) = pipe(photo, toon_folder, truncation=0.0).portraits
    assert torch.allclose(mean.w, pipe.w_avg.expand(1, pipe.num_ws, 16))


def test_a_latent_takes_the_place_of_the_inversion(pipe, photo, toon_folder, monkeypatch):
    monkeypatch.setattr(pipe, "invert", lambda *_, **__: pytest.fail("inverted again"))
    w = pipe.sample(1, seed=5)[:, None].repeat(1, pipe.num_ws, 1)
    (portrait,) = pipe(photo, toon_folder, latent=w).portraits
    assert torch.equal(portrait.w, w)
    with pytest.raises(ValueError, match=f"latent has {pipe.num_ws} faces: expected one"):
        pipe(photo, toon_folder, latent=w[0])


def test_edits_move_the_latent_and_unknown_ones_are_refused(pipe, photo, toon_folder):
    from toonify.latents import Direction

    pipe.directions = {"smile": Direction("smile", "Smile", torch.ones(16), (2, 4))}
    try:
        w = pipe.sample(1, seed=5)
        moved = pipe.edited(pipe.to_w_plus(w), edits={"smile": 2.0}) - pipe.to_w_plus(w)
        assert torch.allclose(moved[0, 2:5], torch.full((3, 16), 2.0), atol=1e-5)
        assert not moved[0, :2].any() and not moved[0, 5:].any()
        with pytest.raises(ValueError, match="'wings' is not a direction; expected one of smile"):
            pipe(photo, toon_folder, edits={"wings": 1.0})
        with pytest.raises(ValueError, match="smile=99"):
            pipe(photo, toon_folder, edits={"smile": 99})
    finally:
        pipe.directions = {}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"faces": "none"}, "faces='none'"),
        ({"strength": 1.5}, "strength=1.5"),
        ({"truncation": float("nan")}, "truncation=nan"),
        ({"refine_steps": -1}, "refine_steps=-1"),
        ({"refine_steps": 10**6}, "refine_steps=1000000"),
        ({"shape_from": "photo"}, "shape_from='photo'"),
        ({"blend": 3}, "resolution=3"),
        ({"blend_width": -1.0}, "width=-1.0"),
        ({"latent": torch.zeros(3)}, "w has shape"),
    ],
)
def test_wrong_options_are_named(pipe, photo, toon_folder, options, words):
    with pytest.raises(ValueError, match=words):
        pipe(photo, toon_folder, **options)


def test_a_wrong_switch_is_named_though_there_is_no_face(pipe, toon_folder):
    with pytest.raises(ValueError, match="resolution=3"):
        pipe(Image.new("RGB", (80, 60), "teal"), toon_folder, blend=3)


def test_a_folder_called_base_is_a_style_like_any_other(pipe, toy_portrait, tmp_path, monkeypatch):
    shutil.copytree(toy_portrait / "toon", tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    w = pipe.sample(1, seed=2)
    named = pipe.toon(w, "base", blend=1024)
    assert torch.equal(named, pipe.toon(w, toy_portrait / "toon", blend=1024))
    assert not torch.equal(named, pipe.base(w))


def test_foreign_models_are_refused(pipe, photo, toy_style, toy_portrait):
    with pytest.raises(ValueError, match="_class_name is 'AnimeGANGenerator'"):
        pipe(photo, toy_style)
    with pytest.raises(ValueError, match="_class_name is 'Encoder'"):
        pipe(photo, toy_portrait / "encoder")
    swapped = StyleGANPipeline(toy_portrait / "base", toy_portrait / "toon", "cpu")
    with pytest.raises(ValueError, match="_class_name is 'MobileStyleGAN', expected one of Enc"):
        swapped(photo, toy_portrait / "toon")
    from toonify.pipelines.animegan import load_generator

    with pytest.raises(ValueError, match="_class_name is 'MobileStyleGAN'"):
        load_generator(toy_portrait / "toon")


def person(x: float, y: float, eyes: float, nose: float = 0.0) -> Face:
    """A face at (x, y), `eyes` px between the eyes, the nose `nose` eye distances aside."""
    points = np.array([(-0.5, 0), (0.5, 0), (nose, 0.6), (-0.4, 1.1), (0.4, 1.1)]) * eyes
    box = (x - eyes, y - eyes, x + eyes, y + 2 * eyes)
    return Face(box, points + np.array([x, y]), 0.99)


def test_three_people_one_in_profile_one_at_the_border(pipe, toon_folder, monkeypatch):
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (300, 500, 3), np.uint8))
    people = [person(150, 100, 40), person(480, 150, 30), person(300, 120, 25, nose=0.9)]
    monkeypatch.setattr(stylegan, "detect", lambda photo: [*people, person(40, 250, 5)])
    result = pipe(photo, toon_folder)
    assert [portrait.face for portrait in result.portraits] == people[:2]
    reasons = [reason for _, reason in result.left_alone]
    assert reasons == ["turned too far aside", "too small"]
    changed = different(result.image, photo)
    assert changed[100:140, 130:170].mean() > 5  # the first
    assert changed[150:180, 485:].mean() > 5  # the second, cut by the border
    profile = changed[115:140, 295:305]
    assert not profile.any()
    largest = pipe(photo, toon_folder, faces="largest")
    assert [portrait.face for portrait in largest.portraits] == people[:1]


def test_a_face_that_the_inversion_misses_is_left_alone(pipe, photo, toon_folder, monkeypatch):
    monkeypatch.setattr(pipe, "max_difference", 1e-3)
    toon = pipe(photo, toon_folder)
    assert toon.image.tobytes() == photo.tobytes()
    assert not toon.portraits and toon.latents == [None] * len(toon.latents) and toon.latents
    assert {reason for _, reason in toon.left_alone} >= {stylegan.UNREACHED}
    given = pipe.sample(1, seed=1)
    assert pipe(photo, toon_folder, latent=[given]).drawn_faces == 1
    assert pipe(photo, toon_folder, latent=[None, given]).portraits == []
    black = photo.point(lambda level: level // 40)
    monkeypatch.setattr(stylegan, "detect", lambda image: faces.detect(photo)[:1])
    assert pipe(black, toon_folder).left_alone[0][1] == stylegan.TOO_DARK


def test_a_dark_face_is_drawn_in_its_own_light(pipe, photo, toon_folder, monkeypatch):
    dark = photo.point(
        [round(255 * ((v / 255) ** 2.2 * 0.06) ** (1 / 2.2)) for v in range(256)] * 3
    )
    monkeypatch.setattr(stylegan, "detect", lambda image: faces.detect(photo)[:1])
    (portrait,) = (toon := pipe(dark, toon_folder)).portraits
    assert portrait.gamma < 0.6
    box = [round(edge) for edge in portrait.face.box]
    light = [np.asarray(image.crop(box).convert("L")).mean() for image in (dark, toon.image)]
    assert light[1] == pytest.approx(light[0], rel=0.5)
    assert pipe(photo, toon_folder).portraits[0].gamma == 1


@pytest.mark.parametrize(
    "said, options, own",
    [
        ({"hair": "photo"}, {}, True),
        ({"hair": "photo"}, {"edits": {"smile": 1.0, "age": 0}}, True),
        ({"hair": "photo"}, {"edits": {"age": 1.0}}, False),
        ({"hair": "photo"}, {"truncation": 0.7}, False),
        ({}, {}, False),
    ],
)
def test_hair_is_the_photos_where_the_style_says_so(tmp_path, toon_folder, said, options, own):
    """An edit that turns or ages the head takes the toon's."""
    shutil.copytree(toon_folder, tmp_path / "toon")
    (tmp_path / "toon" / hub.STYLE).write_text(json.dumps({"title": "Toon", **said}))
    assert keeps_hair(swap_for(tmp_path / "toon"), PortraitOptions(**options)) == own


def test_no_face_is_an_answer(pipe, toon_folder):
    photo = Image.new("RGB", (80, 60), "teal")
    result = pipe(photo, toon_folder)
    assert (result.faces, result.portraits, result.left_alone) == ([], [], [])
    assert result.image.tobytes() == photo.tobytes()


def test_refinement_comes_nearer_reports_and_can_be_stopped(pipe, photo):
    (face, *_) = faces.detect(photo)
    crop = faces.align(photo, face, 256)
    base, encoder = pipe.network("base"), pipe.network("encoder")
    start = pipe.invert(crop.image)
    torch.manual_seed(4)
    target = base.synthesis(start + torch.randn(1, pipe.num_ws, 16), 256)  # within its reach
    log, reported = [], []
    refined = inversion.refine(
        target, start, base, encoder, 30, progress=reported.append, learning_rate=0.3, log=log
    )
    assert refined.shape == start.shape
    assert log[-1]["pixels"] < 0.7 * log[0]["pixels"]
    assert reported == sorted(reported) and reported[0] == 0 and len(reported) == 30
    free = encoder.config.free_layers
    assert torch.equal(refined[:, free], refined[:, -1])  # rows beyond the encoder's move together
    stopped = []
    again = inversion.refine(
        target, start, base, encoder, 30, cancelled=lambda: len(stopped) == 3, log=stopped
    )
    assert len(stopped) == 3
    assert not torch.equal(again, start) and not torch.equal(again, refined)
    assert torch.equal(pipe.invert(crop.image, 2, cancelled=lambda: True), start)
    hidden = torch.ones(256, 256)
    hidden[:, 128:] = 0
    ways = [
        inversion.refine(changed, start, base, encoder, 2, visible=hidden)
        for changed in (target, torch.cat((target[..., :144], target[..., 144:] + 0.5), 3))
    ]
    seen = inversion.refine(target, start, base, encoder, 2)
    assert not torch.equal(ways[0], seen)
    assert (ways[0] - ways[1]).abs().mean() < 0.2 * (ways[0] - seen).abs().mean()
    with pytest.raises(ValueError, match="steps=-1"):
        inversion.refine(target, start, base, encoder, -1)


def test_refinement_fits_the_full_image_and_not_its_small_head(pipe):
    """The head misses a tint that the full image has."""
    base, encoder = pipe.network("base"), pipe.network("encoder")
    start = pipe.w_avg.expand(1, pipe.num_ws, -1)
    tint = torch.tensor([0.3, -0.2, 0.0]).view(1, 3, 1, 1)

    def whole(ws):
        return base.synthesis(ws, 256) + tint

    torch.manual_seed(4)
    target = whole(start + torch.randn(1, pipe.num_ws, 16))
    ways = [
        inversion.refine(
            target, start, base, encoder, 24, full_resolution_synthesis=full, learning_rate=0.3
        )
        for full in (None, whole)
    ]
    with torch.no_grad():
        head, full = (float((whole(ws) - target).abs().mean()) for ws in ways)
    assert full < 0.97 * head


def test_progress_goes_forward_to_the_end(pipe, photo, toon_folder):
    reported = []
    pipe(photo, toon_folder, refine_steps=2, progress=lambda *said: reported.append(said))
    fractions = [fraction for fraction, _ in reported]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert "Refining the likeness" in {text for _, text in reported}


def test_blends_are_kept_in_memory_only_a_few_at_a_time(pipe, toon_folder):
    for blend in (8, 16, 64, 128, 256):
        pipe.toon(pipe.sample(1), toon_folder, blend=blend)
    assert len(pipe._engines) == face_generator.KEPT_ENGINES
    engine = pipe.engine(LayerSwap(str(toon_folder), 256))
    assert engine is pipe.engine(LayerSwap(str(toon_folder), 256))


def test_both_ways_of_blending_meet_at_their_ends(pipe, toon_folder):
    w = pipe.sample(1, seed=2)
    all_toon = pipe.toon(w, toon_folder, blend=1024, shape_from="toon")
    assert torch.allclose(all_toon, pipe.toon(w, toon_folder, blend=4, shape_from="base"))
    all_base = pipe.toon(w, toon_folder, blend=4, shape_from="toon")
    assert torch.allclose(all_base, pipe.base(w), atol=1e-5)
    assert not torch.allclose(all_toon, all_base, atol=0.01)


def test_mixing_takes_coarse_layers_of_one_and_fine_layers_of_the_other(pipe):
    first, second = pipe.sample(2, seed=9)
    mixed = pipe.mix(first, second, 16)
    assert torch.equal(mixed[0, :4], first.expand(4, 16))
    assert torch.equal(mixed[0, 4:], second.expand(pipe.num_ws - 4, 16))
    with pytest.raises(ValueError, match="side=5"):
        pipe.mix(first, second, 5)


def test_factorised_directions_are_orthogonal_units(pipe):
    directions = pipe.sefa(4)
    assert torch.allclose(directions @ directions.T, torch.eye(4), atol=1e-4)
    with pytest.raises(ValueError, match="low=2048"):
        pipe.sefa(4, low=2048)


def test_interpolation_starts_and_ends_at_its_faces(pipe, tmp_path):
    start, end = pipe.sample(2, seed=1)
    frames = list(pipe.interpolate(start, end, 5))
    assert len(frames) == 5
    assert frames[0].tobytes() == images.to_pil(pipe.base(start)).tobytes()
    assert frames[-1].tobytes() == images.to_pil(pipe.base(end)).tobytes()
    with Image.open(pipe.save_interpolation(start, end, tmp_path / "way.gif", frames=5)) as clip:
        assert (clip.n_frames, clip.size) == (5, (256, 256))


def test_every_bundled_part_says_what_it_is():
    names = {
        path.parent.name: hub.read_style(path.parent).family
        for path in hub.BUNDLED.glob(f"*/{hub.CONFIG}")
    }
    assert names[stylegan.BASE] == "stylegan-base"
    assert names[hub.DEFAULT_ENCODER] == "stylegan-encoder"
    shown = {style.name for family in ("animegan", "stylegan") for style in hub.styles(family)}
    assert shown == {n for n, family in names.items() if family in ("animegan", "stylegan")}


def test_no_bundled_toon_is_an_error(use_bundled, tmp_path):
    use_bundled(tmp_path)
    with pytest.raises(ValueError, match="no toon generator is bundled"):
        layer_swap.default_toon()
