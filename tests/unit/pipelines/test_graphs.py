"""Graphs of the bundled architectures: complete, up to date, and the same function as torch."""

import shutil

import pytest
import torch

from toonify import engines, hub
from toonify.hub import catalog
from toonify.pipelines import animegan, graphs

openvino = pytest.importorskip("openvino")
BUNDLED = [style for style in catalog.styles() if style.source == "bundled"]
FOLDERS = [
    hub.generator_folder(hub.BUNDLED / style.name, quality)
    for style in BUNDLED
    for quality in (("best", "fast") if style.fast else ("best",))
]


def read(folder):
    return graphs.read_graph(folder, animegan.NETWORK_CODE)


def test_every_bundled_style_has_the_graph_of_its_architecture():
    files = {graphs.find_file(folder, animegan.NETWORK_CODE) for folder in FOLDERS}
    assert files == set(graphs.FOLDER.glob("*.xml")), "run `python -m release.graphs`"


@pytest.mark.parametrize("folder", FOLDERS[:2], ids=["best", "fast"])
def test_the_graph_of_a_file_draws_what_the_network_draws(folder):
    run = openvino.Core().compile_model(read(folder), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = torch.rand(1, 3, 128, 192) * 2 - 1
    with torch.inference_mode():
        expected = animegan.load_generator(folder)(batch)
    assert expected.std() > 0.1
    assert (torch.from_numpy(run(batch.numpy())[0]) - expected).abs().max() < 1e-3


def test_the_first_start_of_a_bundled_style_builds_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TOONIFY_CACHE", str(tmp_path))
    monkeypatch.setattr(engines, "trace", lambda *_: pytest.fail("the network was traced"))
    pipeline = animegan.AnimeGANPipeline.from_pretrained("film", device="cpu", quality="fast")
    assert pipeline.engine(torch.zeros(1, 3, 128, 128)).shape == (1, 3, 128, 128)


def test_weights_that_do_not_fit_are_left_to_who_builds_the_network(tmp_path):
    from safetensors.torch import load_file, save_file

    lite = FOLDERS[1]
    folder = tmp_path / "style"
    shutil.copytree(lite, folder)
    assert read(folder) is not None
    file = hub.weights_file(folder)
    whole = load_file(file)
    name = next(iter(whole))
    for tensors in (
        {key: value for key, value in whole.items() if key != name},
        {**whole, "more": torch.zeros(1)},
        {**whole, name: torch.zeros(1)},
        {**whole, name: torch.full_like(whole[name], float("nan"))},
    ):
        save_file(tensors, file)
        assert read(folder) is None
        with pytest.raises(ValueError, match=r"safetensors"):
            animegan.load_generator(folder)


def test_other_code_or_settings_have_another_file(tmp_path):
    (tmp_path / "animegan.py").write_text("changed")
    assert graphs.find_file(FOLDERS[1], tmp_path / "animegan.py") != graphs.find_file(
        FOLDERS[1], animegan.NETWORK_CODE
    )
    assert graphs.read_graph(FOLDERS[1], tmp_path / "animegan.py") is None
