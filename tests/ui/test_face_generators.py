"""The tab of new faces with several generators: each has its own menus, links and favorites."""

import shutil
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from PIL import Image

import app
from tests.fixtures import toy_app
from tests.ui.test_new_faces_and_portrait import (
    DRAWN,
    PORTRAIT,
    SEEN,
    SHOWN,
    arriving,
    named,
    picking,
)
from toonify.ui.handlers.face_generators import Face, FaceGenerator
from toonify.ui.handlers.new_faces import NewFacesHandlers

BOTH = (*SHOWN, "smile-2", "beard-2", "hair-2", "faces' group", "heads' group")
BOTH_DRAWN = (*DRAWN[:4], *BOTH)


@pytest.fixture(scope="module")
def toys():
    return toy_app.Toys()


@pytest.fixture
def both(cache, toys):
    return NewFacesHandlers(toy_app.find_generators(toys))


def test_each_generator_draws_a_seed_its_own_way_and_shows_its_own_menus(both, toys):
    flat = named(BOTH_DRAWN, both.show("7", 2, 0.8, [], "faces"))
    heads = named(BOTH_DRAWN, both.show("7", 2, 0.8, [], "heads"))
    assert flat["face"].seed == heads["face"].seed == 7
    assert flat["picture"].tobytes() == Face("7", 7).draw_large(toys.faces).tobytes()
    assert heads["picture"].tobytes() == Face("7", 7).draw_large(toys.heads).tobytes()
    assert flat["picture"].tobytes() != heads["picture"].tobytes()
    shown = [(it["faces' group"]["visible"], it["heads' group"]["visible"]) for it in (flat, heads)]
    assert shown == [(True, False), (False, True)]
    assert (flat["smile"], flat["beard-2"]) == (0, gr.skip())
    assert (heads["smile"], heads["beard-2"]["value"]) == (gr.skip(), "")


def test_a_change_is_of_the_generator_of_the_face(both):
    face = named(BOTH_DRAWN, both.show("7", 1, 0.8, [], "heads"))["face"]
    # The first two values are those of the other generator.
    moved = named(SEEN, both.change(face, [], 2, -2, 1.5, "full", ""))
    assert (moved["face"].edits, moved["face"].choices) == ({"smile": 1.5}, {"beard": "full"})
    assert "Beard: Full · Smile +1.5" in moved["report"]["value"]
    flat = named(BOTH_DRAWN, both.show("7", 1, 0.8, [], "faces"))["face"]
    moved = named(SEEN, both.change(flat, [], 2, 0, 1.5, "full", ""))
    assert (moved["face"].edits, moved["face"].choices) == ({"smile": 2}, {})


def test_links_name_their_generator_and_older_ones_open_the_first(both):
    face = Face("7", 7, 0.5, {"smile": 1.0}, {"beard": "full"}, style="heads")
    assert face.link == "?seed=7&truncation=0.5&smile=1&choose.beard=full&generator=heads"
    _, _, linked = both.arrive(arriving(**dict(parse_qsl(face.link[1:]))))
    assert linked.is_same(face) and both.get_style(linked) == "heads"
    drawn = named(BOTH_DRAWN, both.open(linked, 2, []))
    assert drawn["face"] is linked and {it.style for it in drawn["faces"]} == {"heads"}
    old = both.parse_link({"seed": "7", "glasses": "2"})
    assert (old.style, old.edits) == ("faces", {"glasses": 2.0})
    assert not old.is_same(Face("7", 7, edits={"glasses": 2.0}, style="heads"))
    with pytest.raises(gr.Error, match="Unknown style 'oil': expected one of faces, heads"):
        both.parse_link({"seed": "7", "generator": "oil"})


def test_favorites_remember_their_generator_and_only_faces_of_one_are_combined(both, toys):
    flat, head = Face("7", 7), Face("7", 7, style="heads")
    kept, gallery, _ = both.keep(head, both.keep(flat, [])[0])
    drawn = [image.tobytes() for image, _ in gallery["value"]]
    assert drawn == [flat.draw(toys.faces).tobytes(), head.draw(toys.heads).tobytes()]
    picked = named(BOTH, both.pick(kept, kept, picking(1)))
    assert picked["face"].style == "heads" and picked["heads' group"]["visible"]
    for combine in (
        lambda: both.show_loop(kept, "GIF", 0.5),
        lambda: both.show_mix(flat, head, 2, []),
    ):
        with pytest.raises(gr.Error, match="Only faces of one style can be combined"):
            combine()
    mix = named(BOTH, both.show_mix(head, Face("8", 8, style="heads"), 2, []))
    assert mix["face"].style == "heads" and not mix["beard-2"]["interactive"]
    both.show_loop([head, Face("8", 8, style="heads")], "GIF", 0.5)
    assert len(toys.heads.loops) == 1


def test_endpoints_take_a_generator_and_keep_their_default(both, toys):
    flat, heads = both.faces(1, 7), both.faces(1, 7, style="heads", choices={"beard": "full"})
    for [png], pipeline in ((flat, toys.faces), (heads, toys.heads)):
        assert Image.open(png).tobytes() == Face("7", 7).draw_large(pipeline).tobytes()
    mixes = [both.mix(7, 8, 16, 0.8, style) for style in (None, "heads")]
    assert Image.open(mixes[0]).tobytes() != Image.open(mixes[1]).tobytes()
    before = len(toys.heads.loops)
    both.loop([7, 8], "GIF", 0.5, 0.8, "heads")
    assert len(toys.heads.loops) == before + 1
    assert both.twin(PORTRAIT, "heads")[0] != both.twin(PORTRAIT)[0]
    with pytest.raises(gr.Error, match="choices: expected variants by name"):
        both.faces(1, 7, choices={"beard": "full"})
    with pytest.raises(gr.Error, match="Unknown style 'oil'"):
        both.faces(1, 7, style="oil")


def test_a_generator_without_w_or_a_hub_that_is_silent_is_explained(cache):
    def silent():
        raise ConnectionError("style='me/heads': not in the local cache")

    plain = FaceGenerator(toy_app.Plain, {}, 64)
    handlers = NewFacesHandlers([plain, FaceGenerator(silent, {}, 64, {}, "me/heads")])
    with pytest.raises(gr.Error, match="'faces' cannot be changed or combined"):
        handlers.show("7", 1, 0.8, [])
    with pytest.raises(gr.Error, match="not in the local cache"):
        handlers.show("7", 1, 0.8, [], "me/heads")


def test_bundled_heads_come_first_and_both_are_loaded_on_use(
    head_faces, choosing_faces, tmp_path, use_bundled, monkeypatch
):
    shutil.copytree(head_faces, tmp_path / "heads")
    shutil.copytree(choosing_faces, tmp_path / "faces")
    use_bundled(tmp_path)
    loaded = []
    monkeypatch.setattr(app, "open_faces", loaded.append)
    handlers = app.find_faces_handlers()
    assert handlers.menu == [("3D heads", "heads"), ("Choosing", "faces")]
    assert handlers.default == "heads" and handlers.find(None).name == "faces"
    assert handlers.find("heads").attributes["beard"] == ("full", "none", "stubble")
    assert loaded == []
    handlers.find("heads").load()
    assert loaded == ["heads"]


@pytest.mark.parametrize("tab, visible", [("faces", False), ("several faces", True)])
def test_the_choice_of_a_generator_is_there_if_there_are_several(toys, tab, visible):
    demo = toy_app.build(toys, [tab])
    blocks = {block.elem_id: block for block in demo.blocks.values() if block.elem_id}
    assert blocks["new-style"].visible == visible
    assert ("choice-beard-2" in blocks) == ("moves-2" in blocks) == visible
    ids = [block.elem_id for block in demo.blocks.values() if block.elem_id]
    assert len(ids) == len(set(ids))
