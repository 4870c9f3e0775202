"""Writes the networks of the browser app as ONNX files with weights in half precision.

Weights are stored as float16 and cast to float32 when a file is opened, so that files have half the
size and every browser computes in float32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from toonify import hub
from toonify.convert.export import export_traced
from toonify.faces import mtcnn
from toonify.models import NOISE_MODELS, PHOTO_MODELS, FaceParser, ToonGANGenerator

MAX_ERROR = 0.03  # of the largest value (at least 1), by weights in half precision
MIN_HALF = 8  # values: shorter tensors are shapes and factors, which stay exact
SIZES = {0: "batch", 2: "height", 3: "width"}


class Detector(nn.Module):
    """One of the three networks of the face detector: images (N, 3, h, w) to their answers."""

    def __init__(self, name: str):
        super().__init__()
        self.run = mtcnn.load_network(name)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.run(images.contiguous(memory_format=torch.channels_last))


class NewFace(nn.Module):
    """Noise (N, Z), classes (N, A) and truncation (1,) to faces (N, 3, R, R) and their classes.

    A class below 0 leaves the choice to the noise. Without attributes A is 1 and ignored.
    """

    def __init__(self, network: ToonGANGenerator):
        super().__init__()
        self.network: Any = network
        self.num_classes = tuple(network.config.num_classes)

    def sample_classes(self, z: torch.Tensor) -> torch.Tensor:
        """As `ConditionalMapping.sample_classes`, by functions that ONNX has."""
        chances = self.network.mapping.chances
        even = 0.5 * (1 + torch.erf(z[:, : len(chances)] * 0.5**0.5))
        scores = chances.clamp_min(1e-30).log() - (-even.clamp(1e-7, 1 - 1e-7).log()).log()
        return torch.stack([part.argmax(1) for part in scores.split(self.num_classes, 1)], 1)

    def forward(
        self, z: torch.Tensor, classes: torch.Tensor, truncation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        network, mapping = self.network, self.network.mapping
        if self.num_classes:
            classes = torch.where(classes < 0, self.sample_classes(z), classes)
            w = mapping(z, classes)
        else:
            w = mapping(z)
        w = mapping.w_avg + (w - mapping.w_avg) * truncation
        return network.synthesis(w[:, None].expand(-1, network.num_ws, -1)), classes


def write_generator(folder: Path, file: Path) -> int:
    """Writes the generator of a style, for photos of any height and width.

    Args:
        folder: with config.json and weights.
        file: the ONNX file.

    Returns:
        The side in px of the pixel blocks that it works on: heights and widths are multiples of
        8 times that, and 32 times that at least.

    Raises:
        ValueError: the folder has no generator of photos, or the file draws something else.
    """
    network = hub.load_model(folder, PHOTO_MODELS).requires_grad_(False)
    patch = network.config.get("patch", 1)
    examples = [torch.rand(1, 3, 32 * patch, side * patch) * 2 - 1 for side in (40, 48)]
    write(network, ["photo"], ["toon"], {"photo": SIZES, "toon": SIZES}, examples, file)
    return patch


def write_parser(folder: Path, file: Path) -> None:
    """Writes the face parser, for photos whose height and width are multiples of 32.

    Args:
        folder: with config.json and weights.
        file: the ONNX file.
    """
    network = hub.load_model(folder, {"parser": FaceParser}).requires_grad_(False)
    examples = [torch.rand(1, 3, 96, side) * 2 - 1 for side in (128, 160)]
    write(network, ["photo"], ["masks"], {"photo": SIZES, "masks": SIZES}, examples, file)


def write_detector(name: str, file: Path) -> None:
    """Writes one of the networks of the face detector.

    Args:
        name: "pnet", which takes images of any size, "rnet" (24 px a side) or "onet" (48 px).
        file: the ONNX file.
    """
    side = {"pnet": 30, "rnet": 24, "onet": 48}[name]
    free = SIZES if name == "pnet" else {0: "batch"}
    answers = {0: "batch", 1: "rows", 2: "columns"} if name == "pnet" else {0: "batch"}
    examples = [torch.rand(count, 3, side, side) * 2 - 1 for count in (2, 3)]
    write(
        Detector(name), ["faces"], ["answers"], {"faces": free, "answers": answers}, examples, file
    )


def write_faces(folder: Path, file: Path) -> None:
    """Writes a ToonGAN from noise and classes to images.

    Args:
        folder: with config.json and weights.
        file: the ONNX file.
    """
    network = hub.load_model(folder, NOISE_MODELS).requires_grad_(False)
    if not isinstance(network, ToonGANGenerator):
        raise ValueError(f"{folder}: expected a ToonGAN, found {type(network).__name__}")
    part = NewFace(network)
    count = max(1, len(part.num_classes))
    examples = [
        (torch.randn(n, network.config.z_dim), torch.full((n, count), -1), torch.tensor([0.7]))
        for n in (1, 3)  # traced with one face: more would fix their number
    ]
    names = ["noise", "classes", "truncation"]
    free = {name: {0: "batch"} for name in (*names[:2], "faces", "chosen")}
    write(part, names, ["faces", "chosen"], free, examples, file)


def write(
    network: nn.Module,
    inputs: list[str],
    outputs: list[str],
    free: dict[str, dict[int, str]],
    examples: Sequence[Any],
    file: Path,
) -> None:
    """Writes a network, and runs it at a size that it was not traced with.

    Args:
        network: in evaluation mode.
        inputs, outputs: their names.
        free: name -> axis -> name of a free size.
        examples: two inputs, tensors or tuples; the first is traced, the second compared.
        file: the ONNX file.

    Raises:
        ValueError: the output differs by more than `MAX_ERROR` from that of torch.
    """
    first, second = (example if isinstance(example, tuple) else (example,) for example in examples)
    export_traced(network, first, file, inputs, outputs, free)
    shrink(file)
    error = compute_error(network, second, file)
    if not error <= MAX_ERROR:
        raise ValueError(f"{file.name}: differs by {error:.2g} from torch, more than {MAX_ERROR}")


def shrink(file: Path) -> None:
    """Makes an ONNX file small: sums of weights are computed, and weights stored as float16."""
    import onnx

    model = onnx.load(file)
    simplify_doubling(model.graph)
    fold_sums(model.graph)
    halve_weights(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def read_weights(graph: Any) -> dict[str, Any]:
    """The tensors of an ONNX graph by name: its initializers and constants."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "Constant"]
    return weights | {node.output[0]: node.attribute[0].t for node in constants}


def replace_weights(graph: Any, tensors: dict[str, Any], nodes: Sequence[Any] = ()) -> None:
    """Puts tensors and nodes into an ONNX graph in place of what has made these values.

    Args:
        graph: the graph.
        tensors: replaced name -> tensor.
        nodes: that come first.
    """
    kept = [tensor for tensor in graph.initializer if tensor.name not in tensors]
    others = [node for node in graph.node if node.output[0] not in tensors]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *tensors.values()])
    graph.node.extend([*nodes, *others])
    drop_unused(graph)


def drop_unused(graph: Any) -> None:
    """Removes nodes and weights that nothing in an ONNX graph uses."""
    used = {output.name for output in graph.output}
    for node in reversed(graph.node):  # users come last
        if used.intersection(node.output):
            used.update(node.input)
    nodes = [node for node in graph.node if used.intersection(node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)


def simplify_doubling(graph: Any) -> None:
    """Replaces TensorFlow's doubling, which is traced as pad, resize and cut, by one resize.

    See `toonify.models.animegan.upsample2x`; `toonify.engines.simplify` does the same for OpenVINO.
    """
    from onnx import helper, numpy_helper

    makers = {node.output[0]: node for node in graph.node}
    for node in list(graph.node):
        modes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if modes.get("coordinate_transformation_mode") != b"align_corners":
            continue
        last, cuts = node, 0
        while len(users := [user for user in graph.node if last.output[0] in user.input]) == 1:
            if users[0].op_type != "Slice":
                break
            last, cuts = users[0], cuts + 1
        pad = makers[node.input[0]]
        if pad.op_type != "Pad" or not cuts:
            continue
        scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), f"{node.name}_scales")
        graph.initializer.append(scales)
        resize = helper.make_node(
            "Resize",
            [pad.input[0], "", scales.name],
            [last.output[0]],
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        )
        place = list(graph.node).index(last)
        graph.node.insert(place, resize)
        graph.node.remove(last)
    drop_unused(graph)


def fold_sums(graph: Any) -> None:
    """Computes sums of weights, which demodulation needs: they are smaller than what they sum."""
    from onnx import numpy_helper

    weights, folded = read_weights(graph), {}
    for node in graph.node:
        if node.op_type == "ReduceSum" and all(name in weights for name in node.input):
            values, axes = (numpy_helper.to_array(weights[name]) for name in node.input)
            keeps = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
            total = values.sum(tuple(axes), keepdims=bool(keeps))
            folded[node.output[0]] = numpy_helper.from_array(total, node.output[0])
    replace_weights(graph, folded)


def halve_weights(graph: Any) -> None:
    """Stores float32 weights as float16, each with a cast back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    halves, casts = {}, []
    for name, tensor in read_weights(graph).items():
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_HALF:
            continue
        halves[name] = numpy_helper.from_array(values.astype("float16"), f"{name}_half")
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    replace_weights(graph, halves, casts)


@torch.inference_mode()
def compute_error(network: nn.Module, batch: tuple, file: Path) -> float:
    """Computes the maximum difference between the first outputs of a file and of torch, as a part
    of the largest value if that is above 1."""
    import openvino

    expected = network(*batch)
    expected = expected[0] if isinstance(expected, tuple) else expected
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    found = torch.from_numpy(compiled([part.numpy() for part in batch])[0].copy())
    if found.shape != expected.shape:
        return float("inf")
    return ((found - expected).abs().max() / expected.abs().max().clamp_min(1)).item()
