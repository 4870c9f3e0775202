"""How often generated faces show what was chosen."""

import csv
import json

import pytest

from toonify import images
from toonify.pipelines.toongan import ToonGANPipeline
from training.toongan import auxiliary_classifier, obedience


def write_set(pipe, folder, faces=2):
    """Faces of every variant of the first attribute, with their table."""
    name, variants = next(iter(pipe.attributes.items()))
    rows = [["file", "style", "seed", name]]
    for i, variant in enumerate(variants):
        for j, face in enumerate(pipe(faces, seed=i * faces, choices={name: variant})):
            images.save(face, folder / "images" / f"{i}-{j}.png")
            rows.append([f"images/{i}-{j}.png", "toys", f"0:{i}", variant])
    with (folder / "attributes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_shares_are_counted_over_all_variants(choosing_faces, tmp_path):
    """A reader that always says the same is right for one variant of each attribute."""
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    name, variants = next(iter(pipe.attributes.items()))
    held = write_set(pipe, tmp_path)

    def read(pictures):
        return {name: [variants[0]] * len(pictures)}

    (found,) = obedience.measure(pipe, read, held, faces=3)
    share = pytest.approx(1 / len(variants))
    assert found == (name, obedience.Obedience(accuracy=share, chance=share, obeyed=share))


def test_the_command_reads_faces_that_were_learned(choosing_faces, tmp_path, capsys):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    data = write_set(pipe, tmp_path / "data", faces=6)
    name = next(iter(pipe.attributes))
    with pytest.raises(SystemExit):
        obedience.main([str(choosing_faces), str(data), str(data), "--faces", "1"])
    assert "expected the column " in capsys.readouterr().err
    read = obedience.train_reader(data, [name])
    ((_, row),) = obedience.measure(pipe, read, data, faces=6)
    assert row.obeyed == row.accuracy > row.chance  # the same faces as in the set


def test_a_classifier_file_reads_too(choosing_faces, tmp_path, capsys):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    data = write_set(pipe, tmp_path / "data")
    file, shares = tmp_path / "classifier.safetensors", tmp_path / "shares.json"
    classifier = auxiliary_classifier.AuxiliaryClassifier(auxiliary_classifier.read_classes(data))
    auxiliary_classifier.save(classifier, {}, file)
    command = [str(choosing_faces), str(data), str(data), "--faces", "1"]
    obedience.main([*command, "--classifier", str(file), "--json", str(shares)])
    name = next(iter(pipe.attributes))
    assert list(json.loads(shares.read_text())) == [name]
    assert f"{name:14} obeyed" in capsys.readouterr().out


def test_a_generator_without_attributes_is_named(toy_faces, tmp_path, capsys):
    with pytest.raises(SystemExit):
        obedience.main([str(toy_faces), str(tmp_path), str(tmp_path)])
    assert "expected a generator with attributes" in capsys.readouterr().err
