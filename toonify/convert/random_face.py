"""Reads MobileStyleGAN for FFHQ from the OpenVINO files in the PyPI wheel `random-face`.

    pip download --no-deps random-face==2021.7.21.1
    python -m toonify convert random_face-*.whl OUT

Each tensor is found by its name, or by the operation that uses it, and must have the expected
shape. No code from the wheel is executed.
"""

import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from toonify.models.mobile_stylegan import MobileStyleGAN

FILES = {  # in the wheel, under random_face/data/, and their sizes in bytes
    "MappingNetwork.xml": 59_865,
    "MappingNetwork.bin": 8_405_040,
    "SynthesisNetwork.xml": 425_183,
    "SynthesisNetwork.bin": 32_025_440,
}
W_AVG_SAMPLES = 100_000
# What `zipfile` raises on damaged archives, and on encrypted or unknown contents.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError),
)


class ConversionError(ValueError):
    """A file is not as expected; the message names it."""


def convert(source: str | Path) -> MobileStyleGAN:
    """Builds the network of the wheel.

    `w_avg` is the mean over 100,000 seeded samples. The heads at 128 and 256 px are not in the
    files and keep their initial weights.

    Args:
        source: the wheel, or a folder with its four files.

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ConversionError: a file is missing, truncated or holds another network.
    """
    source = Path(source)
    if source.is_dir():
        return read_folder(source)
    if not source.is_file():
        raise ConversionError(f"{source}: expected the random-face wheel or a folder of its files")
    files = read_wheel(source)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        return read_folder(Path(folder))


def read_wheel(source: Path) -> dict[str, bytes]:
    """The four files of the wheel by name."""
    files = {}
    try:
        with zipfile.ZipFile(source) as wheel:
            for name, size in FILES.items():
                info = wheel.getinfo(f"random_face/data/{name}")
                if info.file_size != size:
                    raise ConversionError(
                        f"{source}: {name} has {info.file_size:,} bytes, expected {size:,}"
                    )
                files[name] = wheel.read(info)
    except ConversionError:
        raise
    except KeyError as error:
        raise ConversionError(f"{source}: not the random-face wheel: {error.args[0]}") from error
    except _DAMAGED as error:
        raise ConversionError(f"{source}: not a complete wheel ({error})") from error
    return files


def read_folder(folder: Path) -> MobileStyleGAN:
    """Builds the network from a folder with the four files."""
    for name, size in FILES.items():
        file = folder / name
        if not file.is_file():
            raise ConversionError(f"{folder}: {name} is missing")
        if file.stat().st_size != size:
            raise ConversionError(
                f"{file} has {file.stat().st_size:,} bytes, expected {size:,}: truncated, or of"
                " another version of the wheel"
            )
    network = MobileStyleGAN()
    state = network.state_dict()
    found = read_mapping(Graph(folder / "MappingNetwork.xml"))
    found |= read_synthesis(Graph(folder / "SynthesisNetwork.xml"))
    learned = {key for key in state if key.startswith(("synthesis.rgb128.", "synthesis.rgb256."))}
    assert set(found) == set(state) - learned - {"mapping.w_avg"}, "a key is not read"
    for key, value in found.items():
        if tuple(value.shape) != tuple(state[key].shape):
            raise ConversionError(
                f"{folder}: {key} has shape {tuple(value.shape)}, expected"
                f" {tuple(state[key].shape)}"
            )
        if not np.isfinite(value).all():
            raise ConversionError(f"{folder}: {key} holds values that are not finite numbers")
        state[key] = torch.from_numpy(np.array(value, np.float32))
    network.load_state_dict(state)
    network.mapping.w_avg.copy_(compute_w_avg(network.mapping))
    return network.eval()


@torch.inference_mode()
def compute_w_avg(mapping) -> torch.Tensor:
    """Computes the mean of w (w_dim,) over `W_AVG_SAMPLES` seeded z."""
    noise, batch = torch.Generator().manual_seed(0), 1000
    total = torch.zeros(1, dtype=torch.float64)
    for _ in range(W_AVG_SAMPLES // batch):
        z = torch.randn(batch, mapping.fc0.weight.shape[1], generator=noise)
        total = total + mapping(z).double().sum(0)
    return (total / W_AVG_SAMPLES).float()


class Graph:
    """An OpenVINO graph whose constants are found by name or by the nodes that use them."""

    def __init__(self, file: Path):
        from toonify.engines import openvino  # imported there without its telemetry

        self.file = file
        try:
            model = openvino.Core().read_model(file)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConversionError(f"{file}: OpenVINO cannot read it: {reason}") from error
        self.nodes = model.get_ordered_ops()
        self.named = {node.get_friendly_name(): node for node in self.nodes}

    def constant(self, name: str) -> np.ndarray:
        """Returns the values of a constant by its name."""
        node = self.named.get(name)
        if node is None or node.get_type_name() != "Constant":
            raise ConversionError(f"{self.file}: the constant {name!r} is missing")
        return node.get_data()

    def find(self, kind: str) -> list:
        """Lists the nodes of a type."""
        return [node for node in self.nodes if node.get_type_name() == kind]

    def inputs(self, node, *kinds: str) -> list:
        """Returns the input nodes of `node`, which must have these types in this order."""
        found = [value.get_node() for value in node.input_values()]
        if tuple(n.get_type_name() for n in found) != kinds:
            raise ConversionError(
                f"{self.file}: {node.get_friendly_name()} has the inputs"
                f" {[n.get_type_name() for n in found]}, expected {list(kinds)}"
            )
        return found


def read_mapping(graph: Graph) -> dict[str, np.ndarray]:
    """Reads eight layers of product, bias, leaky ReLU and gain, with the learning rate folded."""
    products = graph.find("MatMul")
    if len(products) != 8:
        raise ConversionError(f"{graph.file}: found {len(products)} matrix products, expected 8")
    found = {}
    for i, product in enumerate(products):
        weight = product.input_value(1).get_node().get_data()
        if weight.shape != (512, 512):
            raise ConversionError(
                f"{graph.file}: layer {i} has shape {weight.shape}, expected (512, 512)"
            )
        if not product.get_attributes()["transpose_b"]:
            weight = weight.T
        (add,) = (target.get_node() for target in product.output(0).get_target_inputs())
        _, bias = graph.inputs(add, "MatMul", "Constant")
        (relu,) = (target.get_node() for target in add.output(0).get_target_inputs())
        _, negative_slope = graph.inputs(relu, "Add", "Constant")
        (gain,) = (target.get_node() for target in relu.output(0).get_target_inputs())
        _, factor = graph.inputs(gain, "PRelu", "Constant")
        check(graph, "negative slope", negative_slope.get_data(), 0.2)
        check(graph, "gain", factor.get_data(), 2**0.5)
        # As in StyleGAN2, divided by the learning rate multiplier and the equalized scale.
        found[f"mapping.fc{i}.weight"] = weight / (0.01 / 512**0.5)
        found[f"mapping.fc{i}.bias"] = bias.get_data().reshape(512) / 0.01
    return found


def read_synthesis(graph: Graph) -> dict[str, np.ndarray]:
    """Reads the constant input, seven blocks and the last image head."""
    convolutions = graph.find("Convolution")
    if len(convolutions) != 16:
        raise ConversionError(f"{graph.file}: found {len(convolutions)} convolutions, expected 16")
    found = {"synthesis.start.const": graph.constant("m.input.input")}

    def style(key, name, scale=None):
        found[f"{key}.weight"] = graph.constant(f"{name}.weight")
        found[f"{key}.bias"] = graph.constant(f"{name}.bias").reshape(-1)
        if scale:
            gemm = graph.named[f"{name}.weight"].output(0).get_target_inputs()
            (product,) = (target.get_node() for target in gemm)
            check(graph, f"scale of {name}", scale_after(graph, product), scale)

    def convolution(key, name, node, weight_key):
        found[f"{key}.{weight_key}"] = node.input_value(1).get_node().get_data()
        (add,) = (target.get_node() for target in node.output(0).get_target_inputs())
        found[f"{key}.noise.map"] = add.input_value(1).get_node().get_data()
        found[f"{key}.bias"] = graph.constant(f"{name}.bias")

    style("synthesis.start.affine", "m.conv1.conv.modulation", (512 * 9) ** -0.5)
    convolution("synthesis.start", "m.conv1", convolutions[0], "weight")
    for i in range(7):
        name, key = f"m.layers.{i}", f"synthesis.b{8 * 2**i}"
        style(f"{key}.up", f"{name}.up.modulation")
        for j in (0, 1):
            part = f"{name}.conv{j + 1}"
            depthwise = graph.constant(f"{part}.conv.weight_dw")
            channels = depthwise.shape[0]
            affine = f"{part}.conv.modulation"
            style(f"{key}.conv{j}.affine", affine, (channels * 9) ** -0.5)
            found[f"{key}.conv{j}.depthwise"] = depthwise.reshape(channels, 1, 3, 3)
            convolution(f"{key}.conv{j}", part, convolutions[1 + 2 * i + j], "pointwise")
    style("synthesis.rgb1024.affine", "m.layers.6.to_img.conv.modulation", 64**-0.5)
    found["synthesis.rgb1024.weight"] = graph.constant("m.layers.6.to_img.conv.weight")
    found["synthesis.rgb1024.bias"] = graph.constant("m.layers.6.to_img.bias")
    return found


def scale_after(graph: Graph, product) -> np.ndarray:
    """Returns the constant that a modulation is multiplied by: product, bias, reshape, multiply."""
    node = product
    for _ in range(3):
        (node,) = (target.get_node() for target in node.output(0).get_target_inputs())
    _, constant = graph.inputs(node, "Reshape", "Constant")
    return constant.get_data()


def check(graph: Graph, what: str, value: np.ndarray, expected: float) -> None:
    """ConversionError if `value` is not the expected number."""
    if value.size != 1 or abs(float(value.reshape(())) - expected) > 1e-4 * expected:
        raise ConversionError(f"{graph.file}: {what} is {value.ravel()[:3]}, expected {expected}")
