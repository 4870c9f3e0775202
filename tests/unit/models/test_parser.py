"""The parser network: shapes, size, gradients, saving."""

import pytest
import torch

from toonify import hub
from toonify.models import MODELS, FaceParser
from toonify.models.parser import CLASSES

TOY = dict(deep=16, widths=(8, 8, 8, 8))


def toy() -> FaceParser:
    torch.manual_seed(0)
    return FaceParser(**TOY).eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_probabilities_have_the_size_of_the_photo(size):
    found = toy()(torch.rand(2, 3, *size) * 2 - 1)
    assert found.shape == (2, len(CLASSES), *size)
    assert found.min() > 0 and found.max() < 1


def test_logits_are_those_of_the_probabilities():
    parser, photo = toy(), torch.rand(1, 3, 32, 32)
    assert torch.equal(torch.sigmoid(parser(photo, logits=True)), parser(photo))


def test_it_is_small():
    assert sum(weights.numel() for weights in FaceParser().parameters()) < 500_000


def test_every_parameter_gets_a_gradient():
    parser = toy().train()
    parser(torch.rand(2, 3, 64, 64) * 2 - 1).square().mean().backward()
    assert [name for name, p in parser.named_parameters() if not p.grad.any()] == []


def test_saved_and_loaded_it_finds_the_same(tmp_path):
    parser, photo = toy(), torch.rand(1, 3, 64, 64)
    parser.save_pretrained(tmp_path)
    again = hub.load_model(tmp_path, MODELS)
    with torch.no_grad():
        assert torch.equal(parser(photo), again(photo))
