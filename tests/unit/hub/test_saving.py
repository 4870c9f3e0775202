"""`save_pretrained` and `push_to_hub` of the pipelines, and the way back."""

import json

import pytest
import torch

from tests.fixtures.hub_server import WRITER
from toonify import hub
from toonify.pipelines.animegan import AnimeGANPipeline
from toonify.pipelines.stylegan import StyleGANPipeline
from toonify.pipelines.toongan import ToonGANPipeline

PUSHES = """
import json, sys
from toonify.pipelines.animegan import AnimeGANPipeline

folder = json.load(sys.stdin)
pipe = AnimeGANPipeline.from_pretrained(folder, device="cpu")
receipt = pipe.push_to_hub("owner/toy", private=True, commit_message="First")
again = AnimeGANPipeline.from_pretrained("owner/toy", device="cpu", quality="fast")
print(json.dumps([receipt.changed, receipt.commit, again.style.source, again.style.title]))
"""


def content(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_a_saved_style_is_complete_and_draws_the_same(fast_style, tmp_path, photo):
    pipe = AnimeGANPipeline.from_pretrained(fast_style, device="cpu")
    stale = tmp_path / "out" / hub.WEIGHTS[1]
    stale.parent.mkdir()
    stale.touch()
    (tmp_path / "out" / "notes.txt").touch()
    assert pipe.save_pretrained(tmp_path / "out") == tmp_path / "out"
    saved = content(tmp_path / "out")
    assert saved.pop("notes.txt") == b"" and b"# Toy" in saved.pop("README.md")
    expected = content(fast_style)
    expected.pop("README.md", None)
    assert saved == expected and f"{hub.LITE}/{hub.CONFIG}" in saved
    again = AnimeGANPipeline.from_pretrained(tmp_path / "out", device="cpu")
    assert again(photo).image.tobytes() == pipe(photo).image.tobytes()


def test_a_saved_base_brings_its_encoder(toy_portrait, tmp_path):
    base, encoder = toy_portrait / "base", toy_portrait / "encoder"
    pipe = StyleGANPipeline.from_pretrained(base, encoder=encoder, device="cpu")
    pipe.save_pretrained(tmp_path / "out")
    again = StyleGANPipeline.from_pretrained(tmp_path / "out", device="cpu")
    assert again.encoder_folder == tmp_path / "out" / "encoder"
    assert torch.equal(pipe.sample(2, seed=1), again.sample(2, seed=1))


def test_saved_faces_keep_their_directions(toy_faces, tmp_path):
    pipe = ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    again = ToonGANPipeline.from_pretrained(pipe.save_pretrained(tmp_path / "a"), device="cpu")
    assert list(again.directions) == list(pipe.directions) != []
    assert [one.tobytes() for one in again(2)] == [one.tobytes() for one in pipe(2)]


def test_a_pushed_style_comes_back_from_the_hub(server, fast_style, tmp_path):
    answer = server.ask(PUSHES, str(fast_style), tmp_path / "home", HF_TOKEN=WRITER)
    changed, commit, source, title = json.loads(answer)
    assert {hub.CONFIG, "README.md", f"{hub.LITE}/{hub.CONFIG}"} <= set(changed)
    assert (source, title) == (f"hub owner/toy@{commit[:12]}", "Toy")
    assert server.messages[commit] == "First" and "owner/toy" in server.private


def test_a_pipeline_without_a_folder_cannot_be_saved(tmp_path):
    pipe = AnimeGANPipeline(None, hub.Style("toy", "Toy"))
    with pytest.raises(ValueError, match="expected a pipeline made by from_pretrained"):
        pipe.save_pretrained(tmp_path)
