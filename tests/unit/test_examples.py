"""The examples in docstrings do what they say."""

import doctest
import importlib
import shutil

import pytest
import torch
from PIL import Image

from toonify.hub import upload

# Module -> how many of its functions and classes have an example.
EXAMPLES = {
    "toonify.images.io": 1,
    "toonify.images.marks": 1,
    "toonify.images.saving": 1,
    "toonify.images.tensors": 3,
    "toonify.images.color_transfer": 1,
    "toonify.images.morph": 1,
    "toonify.images.upscale": 1,
    "toonify.images.sheets": 2,
    "toonify.video.writing": 1,
    "toonify.faces.detection": 1,
    "toonify.faces.geometry": 1,
    "toonify.faces.alignment": 2,
    "toonify.faces.parsing": 1,
    "toonify.latents.operations": 4,
    "toonify.hub.resolve": 2,
    "toonify.hub.style": 2,
    "toonify.hub.loading": 1,
    "toonify.hub.mixin": 2,
    "toonify.pipelines.options": 2,
    "toonify.pipelines.animegan": 3,
    "toonify.pipelines.background": 5,
    "toonify.pipelines.face_generator": 1,
    "toonify.pipelines.stylegan": 3,
    "toonify.pipelines.toongan": 6,
    "toonify.pipelines.video": 2,
}


def publish(folder, repo_id, files, **options):
    """Stands for `hub.upload.publish`, which needs the Hub."""
    return upload.Receipt(f"https://huggingface.co/{repo_id}", "0" * 40, tuple(files))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, photo_path, tmp_path, monkeypatch, capsys):
    shutil.copy(photo_path, tmp_path / "portrait.jpg")
    frames = [Image.open(photo_path).resize((96, 96)).rotate(turn) for turn in (0, 3)]
    frames[0].save(tmp_path / "wave.gif", save_all=True, append_images=frames[1:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(upload, "publish", publish)
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(module, extraglobs={"torch": torch}) if t.examples]
    assert len(found) == EXAMPLES[name]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in found:
        runner.run(test, clear_globs=False)
    assert runner.failures == 0, capsys.readouterr().out
