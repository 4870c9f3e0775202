"""Graphs of the bundled architectures, so that the first start neither builds nor traces a network.

A graph has the weights as inputs: one file serves all styles of an architecture, and a style's own
safetensors file fills it. `python -m release.graphs` writes the files.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toonify import engines, hub

if TYPE_CHECKING:
    import openvino

FOLDER = hub.BUNDLED / "graphs"
PREFIX = "self."  # of the names that OpenVINO gives to the weights of a traced network


def find_file(folder: Path, code: Path) -> Path:
    """Returns where the graph of a network's architecture is, or would be.

    Args:
        folder: the network's folder.
        code: the file that defines its class: a graph of other code is never found.
    """
    config = hub.read_json(folder / hub.CONFIG)
    settings = {key: value for key, value in config.items() if key != "_diffusers_version"}
    parts = json.dumps([settings, engines.BLOB_FORMAT], sort_keys=True), code.read_text("utf-8")
    return FOLDER / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.xml"


def make_graph(network: torch.nn.Module) -> "openvino.Model":
    """Traces a network that draws photos, and makes its weights inputs of the graph.

    Args:
        network: its graph depends on the architecture alone.

    Raises:
        ValueError: OpenVINO has changed some of the weights, so that they cannot be found.
    """
    from openvino import opset13 as ops

    graph = engines.simplify(engines.trace(network))
    weights = {PREFIX + name: tensor.numpy() for name, tensor in network.state_dict().items()}
    for node in graph.get_ordered_ops():
        values = weights.get(node.get_friendly_name())
        if node.get_type_name() == "Constant" and values is not None:
            if node.data.shape != values.shape or not np.array_equal(node.data, values):
                raise ValueError(f"{node.get_friendly_name()}: not the network's own weights")
            name = node.get_friendly_name()
            parameter = ops.parameter(values.shape, np.float32)
            parameter.set_friendly_name(name)
            node.output(0).replace(parameter.output(0))
            graph.add_parameters([parameter])
            del weights[name]
    if weights:
        raise ValueError(f"{', '.join(weights)}: not found in the graph")
    return graph


def read_graph(folder: Path, code: Path) -> "openvino.Model | None":
    """Reads the graph of a network from the file of its architecture, with its weights.

    Args:
        folder: the network's folder.
        code: the file that defines its class.

    Returns:
        None if the architecture has no file, or if the weights do not fit it: building the network
        then says what is wrong with them.

    Raises:
        ValueError: a bundled file has another hash than listed.
    """
    import openvino
    from openvino import opset13 as ops

    file = find_file(folder, code)
    if not file.is_file():
        return None
    hub.check_bundled(*hub.generator_files(folder), file, file.with_suffix(".bin"))
    tensors = hub.read_tensors(hub.weights_file(folder))
    graph = openvino.Core().read_model(file)
    for parameter in graph.get_parameters()[1:]:  # the first is the photo
        tensor: Any = tensors.pop(parameter.get_friendly_name().removeprefix(PREFIX), None)
        if tensor is None or list(tensor.shape) != list(parameter.shape):
            return None
        values = tensor.float().numpy()
        if not np.isfinite(values.sum()):
            return None
        parameter.output(0).replace(ops.constant(values).output(0))
        graph.remove_parameter(parameter)
    return None if tensors else graph
