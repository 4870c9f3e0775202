"""The examples in docstrings do what they say."""

import doctest
import importlib
import shutil

import pytest
import torch
from PIL import Image

# Module -> how many of its functions have an example.
EXAMPLES = {
    "toonify.images.io": 2,
    "toonify.faces.detection": 1,
    "toonify.faces.alignment": 2,
    "toonify.latents.operations": 4,
    "toonify.hub.resolve": 2,
    "toonify.hub.style": 2,
    "toonify.hub.loading": 1,
    "toonify.pipelines.animegan": 2,
    "toonify.pipelines.stylegan": 3,
    "toonify.pipelines.toongan": 2,
    "toonify.pipelines.video": 1,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, photo_path, tmp_path, monkeypatch, capsys):
    shutil.copy(photo_path, tmp_path / "portrait.jpg")
    frames = [Image.open(photo_path).resize((96, 96)).rotate(turn) for turn in (0, 3)]
    frames[0].save(tmp_path / "wave.gif", save_all=True, append_images=frames[1:])
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(module, extraglobs={"torch": torch}) if t.examples]
    assert len(found) == EXAMPLES[name]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in found:
        runner.run(test, clear_globs=False)
    assert runner.failures == 0, capsys.readouterr().out
