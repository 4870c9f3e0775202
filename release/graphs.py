"""Writes toonify/weights/graphs, the graphs of the bundled architectures, for a quick first start.

python -m release.graphs

It is run after each change of `toonify/models/animegan.py`, of `toonify/engines.py`, or of the
architecture of bundled styles; `python -m release.checksums` follows.
"""

import argparse

import openvino

from toonify import hub
from toonify.files import atomic_folder
from toonify.hub import catalog
from toonify.pipelines import animegan, graphs


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(arguments)
    folders = {}
    for style in catalog.styles():
        if style.source == "bundled":
            for quality in ("best", "fast") if style.fast else ("best",):
                inner = hub.generator_folder(hub.BUNDLED / style.name, quality)
                folders[graphs.find_file(inner, animegan.NETWORK_CODE).name] = inner
    with atomic_folder(graphs.FOLDER) as folder:
        for name, inner in folders.items():
            graph = graphs.make_graph(animegan.load_generator(inner))
            openvino.save_model(graph, folder / name, compress_to_fp16=False)
    print(f"{graphs.FOLDER}: {len(folders)} graphs")


if __name__ == "__main__":
    main()
