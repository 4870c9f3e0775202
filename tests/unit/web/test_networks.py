"""ONNX files of the browser app: half the size, the same output, refused where it differs."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from toonify import hub
from toonify.pipelines.toongan import ToonGANPipeline
from toonify.web import networks

onnxruntime = pytest.importorskip("onnxruntime")


def open_file(file):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda **inputs: session.run(None, inputs)


def test_a_generator_draws_as_the_library_at_another_size(fast_style, tmp_path):
    file = tmp_path / "quick.onnx"
    assert networks.write_generator(fast_style / hub.LITE, file) == 2
    photo = torch.rand(1, 3, 96, 112) * 2 - 1
    from toonify.models import PHOTO_MODELS

    network = hub.load_model(fast_style / hub.LITE, PHOTO_MODELS)
    with torch.inference_mode():
        expected = network(photo).numpy()
    (found,) = open_file(file)(photo=photo.numpy())
    assert np.abs(found - expected).max() < 1e-4  # its weights have 16 bits already
    kinds = [tensor.data_type for tensor in onnx.load(file).graph.initializer]
    assert TensorProto.FLOAT16 in kinds


def test_large_weights_are_stored_in_half_precision(tmp_path):
    network = nn.Linear(64, 64).requires_grad_(False)
    free = {"x": {0: "batch"}, "y": {0: "batch"}}
    examples = [torch.rand(1, 64), torch.rand(3, 64)]
    networks.write(network, ["x"], ["y"], free, examples, tmp_path / "linear.onnx")
    tensors = onnx.load(tmp_path / "linear.onnx").graph.initializer
    large = [tensor for tensor in tensors if np.prod(tensor.dims) >= networks.MIN_HALF]
    assert large and all(tensor.data_type == TensorProto.FLOAT16 for tensor in large)


def test_a_file_with_another_output_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "compute_error", lambda *_: float("nan"))
    network = nn.Linear(4, 4).requires_grad_(False)
    with pytest.raises(ValueError, match="differs by nan from torch"):
        networks.write(network, ["x"], ["y"], {}, [torch.rand(1, 4)] * 2, tmp_path / "x.onnx")


def test_new_faces_have_the_classes_of_their_noise_or_those_chosen(choosing_faces, tmp_path):
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    networks.write_faces(choosing_faces, tmp_path / "faces.onnx")
    run = open_file(tmp_path / "faces.onnx")
    noise = np.stack(
        [np.random.default_rng((seed, 0)).standard_normal(7, np.float32) for seed in (5, 6)]
    )
    classes = np.full((2, 2), -1)
    truncation = np.array([0.8], np.float32)
    faces, own = run(noise=noise, classes=classes, truncation=truncation)
    for face, image in zip(faces, pipe(2, seed=5, truncation=0.8), strict=True):
        pixels = np.rint((face.clip(-1, 1) + 1) * 127.5).transpose(1, 2, 0)
        assert np.abs(pixels - np.asarray(image)).mean() < 3  # its edges are as steep as can be
    classes[0, 0] = (own[0, 0] + 1) % 3
    changed, chosen = run(noise=noise, classes=classes, truncation=truncation)
    assert chosen[0, 0] == classes[0, 0] and (chosen[1] == own[1]).all()
    assert np.abs(changed[0] - faces[0]).max() > np.abs(changed[1] - faces[1]).max()
