"""The cascade says what facenet-pytorch's MTCNN says, of any image, in bounded memory."""

import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from toonify import images
from toonify.faces import mtcnn as cascade
from toonify.faces.mtcnn import View, find

FACES = sorted((Path(__file__).parents[3] / "hub_cards" / "faces").glob("*.jpg"))


@pytest.fixture(scope="module")
def mtcnn():
    from facenet_pytorch import MTCNN  # takes seconds to import

    return MTCNN(keep_all=True, post_process=False, device="cpu").eval()


def pixels(path, size=(256, 256)):
    return np.asarray(images.load(path).resize(size))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crowd():
    """Six faces of three sizes, some cut by the border."""
    picture = Image.new("RGB", (640, 480), (90, 110, 80))
    places = [(-40, 20, 200), (180, 0, 150), (350, 40, 260), (30, 250, 100), (200, 300, 220)]
    for path, (x, y, side) in zip(FACES, [*places, (520, 330, 150)], strict=False):
        picture.paste(images.load(path).resize((side, side)), (x, y))
    return np.asarray(picture)


def shown_to(networks, monkeypatch):
    """A list that fills with what each of MTCNN's networks is shown, by name."""
    seen = []
    for name in ("pnet", "rnet", "onet"):
        network = getattr(networks, name)

        def spy(batch, name=name, network=network):
            seen.append((name, batch))
            return type(network).forward(network, batch)

        monkeypatch.setattr(network, "forward", spy)
    return seen


def shown_here(monkeypatch):
    seen, answers = [], cascade.run_network

    def spy(name, shown):
        batch = torch.from_numpy(shown).permute(0, 3, 1, 2)
        seen.append((name, (batch - 127.5) * 0.0078125))
        return answers(name, shown)

    monkeypatch.setattr(cascade, "run_network", spy)
    return seen


# -- the same as the public implementation


def test_thresholds_and_scales_are_theirs(mtcnn):
    assert mtcnn.thresholds == list(cascade.THRESHOLDS) and mtcnn.factor == cascade.FACTOR


@pytest.mark.parametrize("path", [*FACES[:8], None], ids=lambda path: path.stem if path else "six")
def test_faces_are_those_of_mtcnn(mtcnn, path):
    picture = pixels(path, (320, 240)) if path else crowd()
    mtcnn.min_face_size = 30
    boxes, scores, points = mtcnn.detect(picture, landmarks=True)
    found, marks, certain = find(View(picture), 30)
    assert found.shape == boxes.shape
    assert np.abs(found - boxes).max() < 0.01
    assert np.abs(marks - points).max() < 0.01
    assert np.abs(certain - scores.astype(np.float32)).max() < 1e-4


@pytest.mark.parametrize("smallest", [20, 33])
def test_every_network_is_shown_what_mtcnn_shows_it(mtcnn, monkeypatch, smallest):
    """All scales, and all candidates in their order: any other threshold, scale or box fails."""
    picture = crowd()
    theirs, ours = shown_to(mtcnn, monkeypatch), shown_here(monkeypatch)
    mtcnn.min_face_size = smallest
    mtcnn.detect(picture)
    find(View(picture), smallest)
    scales = [[batch for name, batch in seen if name == "pnet"] for seen in (theirs, ours)]
    assert [batch.shape for batch in scales[1]] == [batch.shape for batch in scales[0]]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*scales, strict=True))
    for network in ("rnet", "onet"):
        both = [torch.cat([b for name, b in seen if name == network]) for seen in (theirs, ours)]
        assert both[0].shape == both[1].shape and len(both[0]) > 8
        assert torch.allclose(*both, atol=1e-5)


@pytest.mark.parametrize("network", ["pnet", "rnet", "onet"])
def test_networks_answer_as_theirs(mtcnn, network):
    side = {"pnet": 33, "rnet": 24, "onet": 48}[network]
    picture = noise(3 * side, side).reshape(3, side, side, 3).astype(np.float32)
    batch = torch.from_numpy((picture - 127.5) * 0.0078125).permute(0, 3, 1, 2)
    with torch.inference_mode():
        *outputs, probability = getattr(mtcnn, network)(batch)
    scores, answers = cascade.run_network(network, picture)
    order = (0, 2, 3, 1) if network == "pnet" else (0, 1)
    assert np.allclose(scores, probability[:, 1], atol=1e-5)
    assert np.allclose(answers, torch.cat(outputs, dim=1).permute(order), atol=1e-4)
    assert answers.shape[-1] == cascade.ANSWERS[network]


@pytest.mark.parametrize("quarter_turns", range(5))
def test_means_are_torchs_area_scaling_however_the_view_is_turned(quarter_turns):
    picture = noise(70, 101)
    view = View(picture).rotated(quarter_turns)
    rotated = np.ascontiguousarray(np.rot90(picture, quarter_turns))
    assert view.size == rotated.shape[:2] and np.array_equal(view.pixels, rotated)
    boxes = np.array(
        [[0, 0, *rotated.shape[1::-1]], [3, 5, 60, 9], [10, 20, 11, 21], [8, 4, 56, 52]]
    )
    means = view.means(boxes, (24, 17))
    assert means.shape == (4, 24, 17, 3) and means.dtype == np.float32
    for (x0, y0, x1, y1), mean in zip(boxes, means, strict=True):
        part = torch.from_numpy(rotated[y0:y1, x0:x1]).permute(2, 0, 1)[None].float()
        area = F.interpolate(part, size=(24, 17), mode="area")[0].permute(1, 2, 0)
        assert np.allclose(mean, area, atol=1e-3)


def test_a_turned_view_shows_the_faces_of_the_turned_image():
    picture = pixels(FACES[0])
    lying = np.ascontiguousarray(np.rot90(picture, -1))
    for ours, whole in zip(find(View(lying).rotated(1), 40), find(View(picture), 40), strict=True):
        assert len(whole) and np.allclose(ours, whole, atol=1e-3)


@pytest.mark.parametrize("most", [0.5, 0.7])
def test_boxes_apart_are_those_of_torchvision(most):
    from torchvision.ops import nms

    random = np.random.default_rng(0)
    low = np.floor((random.integers(0, 40, (500, 2)) * 2 + 1) / 0.197)
    boxes = np.hstack([low, low + random.integers(50, 70, (500, 1))]).astype(np.float32)
    scores = random.random(500, dtype=np.float32)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), most).tolist()
    assert cascade.nms(boxes, scores, most).tolist() == expected


def test_a_box_inside_a_better_one_goes():
    boxes = np.float32([[0, 0, 99, 99], [10, 10, 29, 29], [80, 0, 119, 39], [300, 0, 330, 30]])
    scores = np.float32([0.9, 0.8, 0.95, 0.7])
    # Half of the third box lies on the first; the second lies in the first as a whole.
    assert cascade.nms_by_smaller_area(boxes, scores, 0.7).tolist() == [2, 0, 3]


# -- nothing to find


@pytest.mark.parametrize("shape", [(1, 1), (11, 300), (12, 12), (20, 20), (21, 500)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_and_tiny_images_have_no_faces(shape, value):
    boxes, points, scores = find(View(np.full((*shape, 3), value, np.uint8)), 20)
    assert (boxes.shape, points.shape, scores.shape) == ((0, 4), (0, 5, 2), (0,))


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_no_candidate_may_be_left_after_any_network(monkeypatch, stage):
    thresholds = [2.0 if place == stage else 0.0 for place in range(3)]
    monkeypatch.setattr(cascade, "THRESHOLDS", thresholds)
    boxes, points, scores = find(View(pixels(FACES[0], (60, 60))), 20)
    assert (boxes.shape, points.shape, scores.shape) == ((0, 4), (0, 5, 2), (0,))


# -- bounds


def test_thousands_of_candidates_stay_bounded_in_memory(monkeypatch):
    monkeypatch.setattr(cascade, "THRESHOLDS", (0.0, 0.01, 0.0))
    seen = shown_here(monkeypatch)
    view = View(noise(200, 240))
    tracemalloc.start()
    find(view, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    counts = {name: [len(b) for n, b in seen if n == name] for name in ("rnet", "onet")}
    assert sum(counts["rnet"]) > 1000
    assert max(counts["rnet"]) == cascade.BATCHES[24] and max(counts["onet"]) == cascade.BATCHES[48]
    assert peak < 40e6 + sum(batch.nbytes for _, batch in seen)


def test_many_threads_find_the_same():
    views = [View(pixels(path)) for path in FACES[:4]]
    alone = [find(view, 30) for view in views]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda view: find(view, 30), views * 3))
    for expected, found in zip(alone * 3, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


SCRIPT = """
import json, sys
import numpy as np
from toonify.faces import mtcnn as cascade
before = "torch" in sys.modules
cascade.find(cascade.View(np.zeros((40, 40, 3), np.uint8)), 20)
print(json.dumps([before, [m for m in ("facenet_pytorch", "torchvision") if m in sys.modules]]))
"""


def test_looking_opens_torch_late_and_torchvision_never():
    """With torchvision the first look takes two seconds more."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [False, []]
