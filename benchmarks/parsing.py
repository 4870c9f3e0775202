"""How well and how fast a face parser finds person, hair, skin and clothes.

    python -m benchmarks.parsing DATA [--parser parser] [--scenes SCENES] [--side 256]

DATA is a folder that `training/prepare/parser_masks.py` has written, of photos that were not
trained on. Prints for each class the mean intersection over union with the masks in DATA, and the
F-score of the edges within 2 px, at the size of the photos; the share of SCENES, photos without
people, of which at most 1 % is taken for a person; and the milliseconds at 256x256 px in OpenVINO.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toonify import engines, faces, hub
from toonify.faces import parsing
from toonify.models import FaceParser
from toonify.models.parser import CLASSES
from training.data.sources import open_pictures
from training.parser import losses
from training.parser.dataset import to_masks

EMPTY = 0.01  # largest share of a scene that is taken for a person
ROUNDS = 50


def stack(masks: faces.FaceMasks) -> torch.Tensor:
    """Boolean masks (1, 4, H, W) in the order of `CLASSES`."""
    return torch.from_numpy(np.stack([getattr(masks, name) > 0.5 for name in CLASSES]))[None]


def score(data: Path, parser: str, **options) -> dict[str, dict[str, float]]:
    """Mean overlap and edge score of each class, and the least overlap."""
    overlaps, edges = [], []
    for picture in open_pictures(data / "photos", "photos"):
        labels = to_masks(np.asarray(Image.open(data / "masks" / f"{picture.name}.png")))
        masks = torch.from_numpy(labels > 127).permute(2, 0, 1)[None]
        found = stack(faces.parse(picture.load(), parser, **options))
        overlaps.append(losses.overlap(found, masks)[0].tolist())
        edges.append(losses.edge_score(found, masks)[0].tolist())
    columns = {
        "iou": np.mean(overlaps, 0),
        "edges": np.mean(edges, 0),
        "least": np.min(overlaps, 0),
    }
    return {
        name: {key: float(values[i]) for key, values in columns.items()}
        for i, name in enumerate(CLASSES)
    }


def count_empty(scenes: str, parser: str, **options) -> tuple[int, int]:
    """How many scenes are found empty, and how many there are."""
    pictures = open_pictures(scenes, "scenes")
    found = [faces.parse(picture.load(), parser, **options).person > 0.5 for picture in pictures]
    return sum(mask.mean() <= EMPTY for mask in found), len(pictures)


def time_network(parser: str, threads: int, precision: str) -> tuple[float, float]:
    """Median and least milliseconds at 256x256 px; the median says what else the machine does."""
    import openvino

    network = hub.load_model(hub.resolve_model(parser), {"parser": FaceParser})
    graph = engines.simplify(engines.trace(network, (1, 3, 256, 256)))
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    photo, seconds = np.zeros((1, 3, 256, 256), np.float32), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        request.infer([photo])
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds), 1e3 * min(seconds)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("data", type=Path, help="folder that training/prepare/parser_masks.py has written")
    add("--parser", default="parser", help="folder or name of the parser (default: parser)")
    add("--scenes", help="photos without people: folder, zip, tar (default: none)")
    add("--side", type=int, default=parsing.SIDE, help="px that the network sees (default: 256)")
    add("--coarse", action="store_true", help="masks without the guided filter")
    options = parser.parse_args(arguments)
    how = {"side": options.side, "refine": not options.coarse}
    try:
        for name, figures in score(options.data, options.parser, **how).items():
            print(name, *(f"{key} {value:.4f}" for key, value in figures.items()))
        if options.scenes:
            empty, count = count_empty(options.scenes, options.parser, **how)
            print(f"nobody found in {empty} of {count} scenes")
    except ValueError as error:
        parser.error(str(error))
    for precision in ("bf16", "f32"):
        for threads in sorted({1, os.cpu_count() or 1}):
            median, least = time_network(options.parser, threads, precision)
            print(f"{precision}, threads {threads}: median {median:.1f} ms, least {least:.1f} ms")


if __name__ == "__main__":
    main()
