"""Many photos: they overlap, come in order, fail alone, and memory stays bounded."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
import torch
from PIL import Image

from toonify import engines, files, images
from toonify.cli import launch
from toonify.pipelines import batch
from toonify.pipelines.animegan import AnimeGANPipeline, Toon

ROOT = Path(__file__).parents[3]
DEADLINE = 300  # seconds; a process start alone takes ten on a busy machine


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """As if there were two cores, whatever the machine has."""
    monkeypatch.setattr(batch, "cores", lambda: 2)


class Meter:
    """Counts the photos that are being drawn; `most` is how many were at once."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds
        self.now = self.most = 0
        self.begun = []
        self.lock = threading.Lock()

    def __call__(self, photo):
        with self.lock:
            self.begun.append(photo)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return photo


# Overlap ---------------------------------------------------------------------------------------


def test_steps_of_several_photos_overlap():
    """A photo is searched only while another is, or was, drawn: one by one this would never end."""
    together = threading.Barrier(3, timeout=120)
    drawn = list(batch.draw_all(lambda photo: together.wait() and None, range(6)))
    assert [outcome.error for outcome in drawn] == [None] * 6


def test_finishing_overlaps_with_drawing():
    written, drawing = threading.Event(), threading.Event()

    def draw(photo):
        if photo == "second":
            drawing.set()
            assert written.wait(120), "the first was not written while this one was drawn"

    def finish(photo, toon):
        if photo == "first":
            assert drawing.wait(120), "no photo was drawn while this one was written"
            written.set()
        return photo

    outcomes = list(batch.draw_all(draw, ["first", "second"], finish))
    assert [outcome.result for outcome in outcomes] == ["first", "second"]


def test_ten_photos_take_clearly_less_than_one_by_one():
    meter = Meter(seconds=0.09)
    start = time.perf_counter()
    list(batch.draw_all(meter, range(10)))
    assert time.perf_counter() - start < 0.7 * 10 * 0.09
    assert meter.most == 3  # one more than there are cores


def test_torch_uses_one_core_for_each_photo_and_all_of_them_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = [outcome.result for outcome in batch.draw_all(threads_of_torch, range(4))]
        assert inside == [1] * 4
        assert torch.get_num_threads() == 2
        assert {o.result for o in batch.draw_all(threads_of_torch, range(4), threads=None)} == {2}
    finally:
        torch.set_num_threads(before)


def threads_of_torch(photo):
    return torch.get_num_threads()


# Order, memory, errors -------------------------------------------------------------------------


def test_outcomes_come_in_order_even_if_the_first_is_slow():
    def draw(photo):
        time.sleep(0.1 if photo == 0 else 0)
        return photo * 10

    outcomes = list(batch.draw_all(draw, range(8)))
    assert [(o.photo, o.result) for o in outcomes] == [(n, 10 * n) for n in range(8)]


def test_no_more_are_begun_than_may_wait(monkeypatch):
    monkeypatch.setattr(batch, "UNKNOWN_PIXELS", 1)
    meter = Meter()
    taken = itertools.count()
    outcomes = batch.draw_all(meter, (next(taken) for _ in range(100)))
    assert next(outcomes).photo == 0
    time.sleep(0.05)  # long enough to begin them all, if nothing held them back
    assert len(meter.begun) <= 6  # two for each of three workers
    assert next(taken) == 7  # and one in the hand
    outcomes.close()


def test_large_photos_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(batch, "HELD_PIXELS", 250)
    large, small = Image.new("RGB", (20, 10)), Image.new("RGB", (5, 5))
    meter = Meter(seconds=0.01)
    list(batch.draw_all(meter, [large] * 4))
    assert meter.most == 1
    meter = Meter(seconds=0.05)
    list(batch.draw_all(meter, [large, small, small, large]))
    assert meter.most == 3
    huge = Image.new("RGB", (40, 40))
    assert [o.result for o in batch.draw_all(Meter(), [huge, huge])] == [huge, huge]


def test_one_error_is_the_outcome_of_its_photo():
    def draw(photo):
        if photo == 1:
            raise images.ImageError("no photo")
        if photo == 2:
            raise RuntimeError("out of memory")
        return photo

    outcomes = list(batch.draw_all(draw, range(4)))
    assert [o.result for o in outcomes] == [0, None, None, 3]
    assert [str(o.error) for o in outcomes] == ["None", "no photo", "out of memory", "None"]


def test_a_mistake_in_the_program_ends_all():
    begun = []

    def draw(photo):
        begun.append(photo)
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="mistake"):
        list(batch.draw_all(draw, range(100)))
    assert len(begun) <= 6


def test_nothing_is_finished_after_the_caller_stopped():
    stop, begun, finished = threading.Event(), threading.Event(), []

    def draw(photo):
        if photo:
            begun.set()
            assert stop.wait(120)

    outcomes = batch.draw_all(draw, range(3), lambda photo, _: finished.append(photo), stop=stop)
    next(outcomes)
    assert begun.wait(120)
    outcomes.close()
    assert finished == [0]


# The pipeline ----------------------------------------------------------------------------------


def test_a_pipeline_draws_many_as_it_draws_one(toy_style, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "cores", lambda: 2)
    pipe = AnimeGANPipeline.from_pretrained(toy_style, device="cpu")
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    small = [photo.resize((96, 80)), photo.resize((64, 96)), photo.resize((72, 72))]
    photos = [*small[:2], tmp_path / "broken.jpg", small[2]]
    options = {"faces": "none"}
    outcomes = list(pipe.map(iter(photos), **options))
    assert isinstance(outcomes[2].error, images.ImageError)
    for original, outcome in zip(small, [o for o in outcomes if o.error is None], strict=True):
        assert isinstance(outcome.result, Toon)
        one = images.to_tensor(pipe(original, **options).image)
        assert (images.to_tensor(outcome.result.image) - one).abs().mean() < 0.01


def test_one_photo_is_drawn_by_every_core_and_many_by_one_each(toy_style, monkeypatch, photo):
    monkeypatch.setattr(engines, "cores", lambda: 2)
    pipe = AnimeGANPipeline.from_pretrained(toy_style, device="cpu")
    opened = []
    monkeypatch.setattr(pipe.engine, "for_throughput", lambda: opened.append(1) or pipe.engine)
    small = photo.resize((48, 48))
    assert len(list(pipe.map([small], faces="none"))) == 1
    assert opened == []
    assert len(list(pipe.map([small] * 2, faces="none"))) == 2
    assert opened == [1]


def test_wrong_options_of_many_are_named_at_once(toy_style):
    pipe = AnimeGANPipeline.from_pretrained(toy_style, device="cpu")
    with pytest.raises(ValueError, match="strength=2"):
        pipe.map([], strength=2)


# Killed, and as several processes --------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, photo) -> Path:
    """A folder of 24 photos and one that is broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(24):
        photo.resize((64 + number, 64)).save(folder / f"{number:02}.png")
    return folder


def start(
    photos: Path, toons: Path, style: Path, *launcher: str, **environment
) -> subprocess.Popen:
    command = [sys.executable, *launcher, "-m", "toonify", "photo", photos, "-o", toons]
    return subprocess.Popen(
        [*map(str, command), "--style", str(style), "--faces", "none"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a folder, hidden ones too, and the image's size in it."""
    return {path.name: images.load(path).size for path in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_killed_and_run_again_is_complete(photos, tmp_path, toy_style):
    toons = tmp_path / "toons"
    killed = start(photos, toons, toy_style)
    deadline = time.monotonic() + DEADLINE
    while len(list(toons.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    first = [path for path in toons.iterdir() if not path.name.startswith(".")]
    assert 3 <= len(first) < 24
    for path in first:
        assert images.load(path).height == 64
    # What a process leaves that is killed while it writes, and somebody else's.
    half = files.temporary_path(toons / "23.png")
    half.write_bytes(b"half")
    other = files.temporary_path(toons / "other.png")
    other.write_bytes(b"being written")

    again = start(photos, toons, toy_style)
    out, err = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, err
    assert out.startswith(f"{24 - len(first)} drawn, {len(first)} skipped")
    assert other.read_bytes() == b"being written"
    other.unlink()
    assert sizes(toons) == {f"{n:02}.png": (64 + n, 64) for n in range(24)}


def test_two_processes_draw_each_photo_once(photos, tmp_path, toy_style):
    toons = tmp_path / "toons"
    (photos / "24.png").write_bytes(b"broken")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    both = start(photos, toons, toy_style, *launcher, OMP_NUM_THREADS="1")
    out, err = both.communicate(timeout=DEADLINE)
    # The broken photo is the first one's last; the other is not ended for it.
    assert both.returncode == 1
    assert "process 1 of 2: 12 drawn, 1 failed" in out
    assert "process 2 of 2: 12 drawn\n" in out
    assert "together: 24 drawn, 1 failed" in out
    assert err.count(f"failed: {photos / '24.png'}") == 1
    assert sizes(toons) == {f"{n:02}.png": (64 + n, 64) for n in range(24)}


# Which process ---------------------------------------------------------------------------------


def launched(monkeypatch, **environment):
    for rank, size in launch.SIZES.items():
        for name in (rank, size, f"LOCAL_{rank}", f"LOCAL_{size}"):
            monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    launched(monkeypatch)
    place = launch.find_place()
    assert place == launch.Place(0, 1, 0) and place.share(list("abc")) == ["a", "b", "c"]
    assert launch.add_up((1, 2), place) == [1, 2]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_hold_every_item_once(monkeypatch, world):
    shares = []
    for rank in range(world):
        launched(monkeypatch, RANK=rank, WORLD_SIZE=world)
        shares.append(launch.find_place().share(list(range(20))))
    assert sorted(itertools.chain(*shares)) == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_variables_of_open_mpi_are_read(monkeypatch):
    names = {"RANK": 3, "SIZE": 4, "LOCAL_RANK": 1, "LOCAL_SIZE": 2}
    launched(monkeypatch, **{f"OMPI_COMM_WORLD_{name}": value for name, value in names.items()})
    assert launch.find_place() == launch.Place(3, 4, 1)
    assert engines.local_place() == (1, 2)


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"WORLD_SIZE": 2}, "RANK is not"),
        ({"RANK": 1}, "WORLD_SIZE is not"),
        ({"RANK": 2, "WORLD_SIZE": 2}, "expected a rank from 0 to 1"),
        ({"RANK": "first", "WORLD_SIZE": 2}, "RANK='first': expected a whole number"),
    ],
)
def test_contradictions_are_named(monkeypatch, environment, message):
    launched(monkeypatch, **environment)
    with pytest.raises(click.UsageError, match=message):
        launch.find_place()


def test_processes_of_one_machine_share_its_cores_and_gpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: "max 100000")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    launched(monkeypatch)
    assert (engines.cores(), engines.choose_device("auto")) == (8, "cuda")
    launched(monkeypatch, RANK=7, WORLD_SIZE=8, LOCAL_RANK=3, LOCAL_WORLD_SIZE=4)
    assert engines.cores() == 2
    assert engines.choose_device("auto") == engines.choose_device("cuda") == "cuda:1"
    assert engines.choose_device("cuda:0") == "cuda:0"
