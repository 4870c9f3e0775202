"""An auxiliary classifier tells what images show, and generated faces are led by it."""

import pytest
import torch

from tests.training.toongan.test_conditional import ROWS, batch_of, settings, write_table
from training.toongan import auxiliary_classifier
from training.toongan.objective import create_objective


@pytest.fixture(scope="module", autouse=True)
def small():
    """Small images and batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auxiliary_classifier, "SIDE", 64)
        patch.setattr(auxiliary_classifier, "BATCH", 8)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A set of colored squares, and a classifier that a short training made from it."""
    folder = tmp_path_factory.mktemp("classifier")
    data = write_table(folder / "data", ROWS * 4)
    file = folder / "classifier.safetensors"
    auxiliary_classifier.main(
        [str(data), str(file), "--validate", str(data), "--steps", "20", "--seed", "1"]
    )
    return data, file


def test_what_the_images_show_is_read(trained):
    data, file = trained
    classifier, measured = auxiliary_classifier.load(file)
    assert classifier.classes == {"color": ["blue", "gray", "red"], "shade": ["dark", "none"]}
    held = auxiliary_classifier.read_labeled(data, classifier.classes)
    again = auxiliary_classifier.measure(classifier, held)
    assert measured["color"]["accuracy"] > 0.7 and measured["shade"]["accuracy"] > 0.8
    assert again["color"]["explained"] == pytest.approx(measured["color"]["explained"], abs=0.02)
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())


def test_the_loss_is_lower_for_what_was_chosen(trained):
    data, file = trained
    classes = auxiliary_classifier.read_classes(data)
    loss = auxiliary_classifier.ClassificationLoss(file, classes)
    held = auxiliary_classifier.read_labeled(data, classes)
    image = held.images[:4].float() / 127.5 - 1
    right, wrong = loss(image, held.labels[:4]), loss(image, held.labels[:4].roll(1, 0))
    assert right < wrong
    assert float(loss.weights.sum()) == pytest.approx(1)


def test_generated_faces_are_led_to_what_their_noise_chose(trained):
    """Only images from noise that are not mixed count, and the loss moves them."""
    data, file = trained
    objective = create_objective(
        settings(
            data,
            classifier=str(file),
            weight_classification=5.0,
            reconstruction_share=0.5,
            mixing=0.0,
        ),
        torch.device("cpu"),
    )
    assert objective.uses_discriminator(10**9)
    batch = batch_of(objective)
    output = objective.forward(objective.G, batch)
    loss, parts = objective.generator(objective.D, output, batch, 0)
    assert set(parts) == {"reconstruction", "adversarial", "classification"}
    weighed = 3 * parts["reconstruction"] + parts["adversarial"] + 5 * parts["classification"]
    assert torch.allclose(loss, weighed)
    expected = objective.classification(
        output[0][2:], objective.G.generator.mapping.sample_classes(batch["z"][2:])
    )
    assert torch.allclose(parts["classification"], expected)
    expected.backward()
    assert objective.G.generator.mapping.embedding.grad.abs().sum() > 0
    cut = torch.ones_like(batch["cut"])
    mixed = objective.classification_loss(output[0], batch | {"cut": cut})
    assert float(mixed) == 0


def test_codes_of_a_share_of_reconstructed_images_are_random(tmp_path):
    numbers = [(name, lambda i: f"{i}.5000") for name in ("tilt", "code_00", "code_01")]
    folder = write_table(tmp_path, extra=numbers)
    objective = create_objective(settings(folder, z_dim=8, code_dropout=0.5), torch.device("cpu"))
    wrapper, seen = objective.G, []
    wrapper.generator.mapping.forward = lambda z, classes: seen.append(z) or z
    batch = batch_of(objective) | {"reconstructed": 2}
    wrapper.map_noise(batch)
    assert torch.equal(seen[0][:2, 5], batch["numbers"][:2, 0])
    assert torch.equal(seen[0][0, 6:8], batch["z"][0, 6:8])
    assert torch.equal(seen[0][1, 6:8], batch["numbers"][1, 1:])


def test_what_does_not_fit_is_answered_with_words(trained, tmp_path, capsys):
    data, file = trained
    with pytest.raises(ValueError, match="--classifier: expected --attributes true"):
        settings(data, attributes=False, classifier=str(file))
    with pytest.raises(ValueError, match="--code-dropout: expected --attributes true"):
        settings(data, attributes=False, code_dropout=0.5)
    (tmp_path / "other.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="expected what training"):
        create_objective(
            settings(data, classifier=str(tmp_path / "other.safetensors")), torch.device("cpu")
        )
    others = write_table(tmp_path / "others", extra=[("hat", lambda i: f"h{i}")])
    with pytest.raises(ValueError, match="expected the attributes and classes of the data"):
        create_objective(settings(others, z_dim=12, classifier=str(file)), torch.device("cpu"))
    pink = write_table(tmp_path / "pink", [("red", "none"), ("blue", "pale")])
    with pytest.raises(SystemExit):
        auxiliary_classifier.main([str(data), str(file), "--validate", str(pink)])
    assert "shade has pale, which was not learned" in capsys.readouterr().err
