"""The encoder: shapes, rows that move together, what is frozen, and the bundled one on a face."""

import torch
from PIL import Image

from toonify import faces, hub, images
from toonify.latents import inversion
from toonify.models import MODELS, Encoder
from toonify.models.encoder import DEEP, FROZEN, PERCEPTUAL

TOY = dict(num_ws=11, w_dim=16, free_layers=5, hidden=16, width=4)


def toy() -> Encoder:
    torch.manual_seed(0)
    return Encoder(**TOY).eval()


def test_layers_past_the_free_ones_share_an_offset():
    encoder = toy()
    encoder.w_avg.normal_()
    w = encoder(torch.rand(2, 3, 256, 256) * 2 - 1)
    assert w.shape == (2, 11, 16)
    assert torch.equal(w[:, 5:], w[:, 5:6].expand(-1, 6, -1))
    assert not torch.equal(w[:, 4], w[:, 5])


def test_a_face_is_read_alike_in_any_company():
    encoder = toy()
    crops = torch.rand(3, 3, 256, 256) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(encoder(crops)[1:2], encoder(crops[1:2]), atol=1e-5)


def test_statistics_stay_while_training_and_everything_else_learns():
    encoder = toy().train()
    before = {k: v.clone() for k, v in encoder.named_buffers()}
    encoder(torch.rand(1, 3, 256, 256)).square().sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in encoder.named_buffers())
    still = [k for k, p in encoder.named_parameters() if p.grad is None]
    assert not still


def test_what_it_compares_by_is_its_frozen_half():
    encoder = toy()
    assert FROZEN == max(PERCEPTUAL) < DEEP
    face = torch.rand(1, 3, 64, 64)
    features = encoder.perceive(face)
    assert [f.shape[-1] for f in features] == [32, 16, 8, 4]
    encoder.unit.fill_(2.0)
    assert all(
        torch.allclose(b, 2 * a) for a, b in zip(features, encoder.perceive(face), strict=True)
    )
    for layer in encoder.backbone[FROZEN + 1 :]:
        for parameter in layer.parameters():
            parameter.data.zero_()
    assert torch.equal(encoder.perceive(face)[-1], 2 * features[-1])


def test_saved_and_loaded_it_reads_the_same(tmp_path):
    encoder = toy()
    encoder.save_pretrained(tmp_path)
    again = hub.load_model(tmp_path, MODELS)
    face = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        assert torch.equal(encoder(face), again(face))


def test_the_bundled_encoder_finds_a_face_that_is_nearer_than_the_mean(photo):
    encoder = hub.load_model(hub.BUNDLED / "portrait-encoder", MODELS)
    base = hub.load_model(hub.BUNDLED / "portrait", MODELS)
    (face,) = faces.detect(photo)
    crop = images.to_tensor(faces.align(photo, face, 256).image)
    with torch.inference_mode():
        w = encoder(crop)
        assert w.shape == (1, base.num_ws, 512)
        assert torch.allclose(encoder.w_avg, base.mapping.w_avg, atol=2e-3)
        drawn = base.synthesis(w, 256)
        mean = base.synthesis(encoder.w_avg.expand(1, 23, 512), 256)
        weight = inversion.face_weight(256)
        ours, means = (
            inversion.distances(
                picture, crop, encoder.perceive(picture), encoder.perceive(crop), weight
            )
            for picture in (drawn, mean)
        )
    assert ours["perceptual"] < 0.9 * means["perceptual"]
    assert ours["pixels"] < 0.85 * means["pixels"]
    (again,) = faces.detect(images.to_pil(drawn))
    assert abs(again.points - faces.detect(images.to_pil(crop))[0].points).max() < 12
    assert isinstance(images.to_pil(drawn), Image.Image)
