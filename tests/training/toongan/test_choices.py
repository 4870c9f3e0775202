"""One face with every variant of each attribute, as a sheet."""

import numpy as np
import pytest

from toonify import images
from toonify.pipelines.toongan import ToonGANPipeline
from training.toongan.choices import COLUMNS, main


def test_each_variant_of_each_attribute_has_a_face(choosing_faces, tmp_path):
    out = tmp_path / "sheet.png"
    main([str(choosing_faces), str(out), "--seed", "3"])
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    name, variants = next(iter(pipe.attributes.items()))
    sheet = images.load(out)
    columns = min(COLUMNS, sum(map(len, pipe.attributes.values())))
    assert sheet.width == 132 * columns + 4
    (face,) = pipe(1, seed=3, truncation=0.8, choices={name: variants[0]})
    drawn = np.asarray(sheet.crop((4, 4, 132, 132)).resize(face.size), float)
    assert abs(drawn - np.asarray(face, float)).mean() < 12


@pytest.mark.parametrize("words", [["--choose", "hat=none"], ["--choose", "mouth=wide open"]])
def test_wrong_choices_are_named(choosing_faces, tmp_path, capsys, words):
    with pytest.raises(SystemExit):
        main([str(choosing_faces), str(tmp_path / "sheet.png"), *words])
    assert words[1].partition("=")[0] in capsys.readouterr().err


def test_a_generator_without_attributes_is_named(toy_faces, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(toy_faces), str(tmp_path / "sheet.png")])
    assert "expected a generator with attributes" in capsys.readouterr().err
