"""The examples in docstrings do what they say."""

import doctest
import importlib
import shutil

import pytest
import torch

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
    "toonify.pipelines.stylegan": 1,
    "toonify.pipelines.toongan": 2,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, photo_path, tmp_path, monkeypatch, capsys):
    shutil.copy(photo_path, tmp_path / "portrait.jpg")
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(module, extraglobs={"torch": torch}) if t.examples]
    assert len(found) == EXAMPLES[name]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in found:
        runner.run(test, clear_globs=False)
    assert runner.failures == 0, capsys.readouterr().out
