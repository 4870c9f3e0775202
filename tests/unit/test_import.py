"""`import toonify` is quick and lazy."""

import json
import subprocess
import sys

import pytest

import toonify

SCRIPT = """
import json, sys, time
start = time.perf_counter()
import toonify
seconds = time.perf_counter() - start
import toonify.cli, toonify.hub
heavy = {"torch", "diffusers", "openvino", "cv2", "gradio"} & set(sys.modules)
print(json.dumps({"seconds": seconds, "heavy": sorted(heavy)}))
"""


def test_import_is_quick_and_without_torch():
    """The command line and the list of styles do without torch too."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    answer = json.loads(run.stdout)
    assert answer["heavy"] == []
    assert answer["seconds"] < 0.3


def test_names_are_found_on_first_use():
    from toonify.pipelines.animegan import AnimeGANPipeline

    assert toonify.AnimeGANPipeline is AnimeGANPipeline
    for name in toonify.__all__:
        assert getattr(toonify, name)
        assert name in dir(toonify)
    with pytest.raises(AttributeError, match="Toonifier"):
        _ = toonify.Toonifier
