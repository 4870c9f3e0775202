"""`toonify photo --engine ray`: buckets, Parquet files, and a cluster that loses a node."""

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import fsspec
import pytest
from PIL import Image

from tests.fixtures.hub_server import HubServer
from toonify import cli, images
from toonify.cli import artist, buckets, bulk
from toonify.cli.drawing import Tally
from toonify.cli.results import Results

OPTIONS = dict(
    quality="best",
    device="cpu",
    faces="none",
    strength=1.0,
    keep_color=False,
    mark=True,
    background="draw",
    sticker=False,
)


def jpeg(color=(200, 100, 50)) -> bytes:
    return images.encode(Image.new("RGB", (40, 32), color), ".jpg")


@pytest.fixture
def bucket():
    """A bucket in memory with photos, a hidden one, a thumbnail and a text."""
    system = fsspec.filesystem("memory")
    for name in ("a.jpg", "b.gif", "deep/c.png", ".hidden/d.jpg", "@eaDir/e.jpg", "notes.txt"):
        system.pipe_file(f"/photos/{name}", jpeg())
    yield "memory:///photos"
    system.store.clear()


@pytest.fixture
def work(toy_style, monkeypatch):
    monkeypatch.setenv("TOONIFY_CORES", "1")  # an artist sets it; this takes it back
    return artist.Work("animegan", OPTIONS | {"style": str(toy_style)}, False, False)


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, recursive, found",
    [
        ("", False, "a.jpg b.gif"),
        ("", True, "a.jpg b.gif deep/c.png"),
        ("/", False, "a.jpg b.gif"),
        ("/*.jpg", False, "a.jpg"),
        ("/deep/c.png", False, "c.png"),
        ("/nothing", True, ""),
    ],
)
def test_a_bucket_has_the_rules_of_a_folder(bucket, url, recursive, found):
    assert [str(below) for _, below in buckets.find(bucket + url, recursive)] == found.split()


def test_photos_of_buckets_and_folders_get_names_of_their_own(bucket, folder):
    plan = bulk.make_plan([bucket, "photos", "nowhere.jpg"], "toons", True, False)
    names = [
        Path(target).relative_to(folder / "toons").as_posix() for target in plan.photos.values()
    ]
    assert names == ["a.jpg", "b.png", "deep/c.png", "a-2.jpg", "b-2.png", "deep/c.webp"]
    assert plan.failures == {"nowhere.jpg": "there is no such file"}
    url = (folder / "photos").as_uri()
    assert bulk.make_plan([url], "toons", False, False) == bulk.make_plan(
        ["photos"], "toons", False, False
    )


def test_drawings_below_the_photos_are_not_drawn_again(bucket):
    buckets.write(f"{bucket}/toons/a.jpg", jpeg())
    plan = bulk.make_plan([bucket], f"{bucket}/toons", True, False)
    assert sorted(plan.photos.values()) == [
        f"memory:///photos/toons/{name}" for name in ("a.jpg", "b.png", "deep/c.png")
    ]


@pytest.mark.parametrize(
    "output, message",
    [
        ("memory:///photos", "photos are never replaced"),
        ("hf://datasets/a/b", "each file would be a commit"),
        ("toon.png", "looks like one file"),
        ("ftq://a/b", "ftq"),
    ],
)
def test_outputs_that_are_refused(bucket, folder, output, message):
    tally = Tally(Results(False), {})
    with pytest.raises(Exception, match=message):
        work = artist.Work("animegan", {}, False, False)
        bulk.draw([bucket], output, False, work, tally)


@pytest.mark.parametrize(
    "name, suffix, expected",
    [
        ("party/me.PNG", ".jpg", "00000007-me.png"),
        ("../../etc/passwd", ".jpg", "00000007-passwd.jpg"),
        ("..\\..\\me.gif", ".jpg", "00000007-me.png"),
        ("", ".webp", "00000007.webp"),
        ("/", ".png", "00000007.png"),
    ],
)
def test_rows_get_their_number_and_their_name(name, suffix, expected):
    content = images.encode(Image.new("RGB", (9, 9)), suffix)
    assert artist.name_row(7, name, content, False) == PurePosixPath(expected)


# Reading and writing ----------------------------------------------------------------------------


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    class Full(fsspec.implementations.local.LocalFileSystem):
        protocol = "full"
        full = False

        def mv(self, *names, **options):
            if self.full:
                raise OSError(28, "No space left on device")
            return super().mv(*names, **options)

    fsspec.register_implementation("full", Full, clobber=True)
    monkeypatch.setattr(buckets, "open_file_system", lambda url: (Full(), url[len("full://") :]))
    url = f"full://{tmp_path}/new/a.jpg"
    buckets.write(url, b"drawn")
    assert buckets.exists(url) and buckets.read(url) == b"drawn"
    monkeypatch.setattr(Full, "full", True)
    with pytest.raises(OSError, match="No space"):
        buckets.write(f"full://{tmp_path}/new/b.jpg", b"drawn")
    assert not buckets.exists(f"full://{tmp_path}/new/b.jpg")


def test_a_photo_that_cannot_be_read_says_so(bucket):
    with pytest.raises(images.ImageError, match=r"z.jpg cannot be read \(no such file\)"):
        buckets.read(f"{bucket}/z.jpg")


READ_DATASET = """
import json, sys
from toonify.cli import buckets

folder = json.load(sys.stdin)
urls = [url for url, _ in buckets.find(folder, recursive=True)]
sizes = [len(buckets.read(url)) for url in urls]
print(json.dumps([urls, sizes, buckets.exists(urls[0]), buckets.exists(f"{folder}/z.jpg")]))
"""


def test_photos_of_a_data_set_on_the_hub_are_read(tmp_path):
    photo = jpeg()
    with HubServer() as server:
        files = {"a.jpg": photo, "deep/b.jpg": photo, ".hidden/c.jpg": photo, "README.md": b"x"}
        server.put("datasets/owner/set", files)
        folder = "hf://datasets/owner/set"
        answer = json.loads(server.ask(READ_DATASET, folder, tmp_path))
    urls = [f"{folder}/a.jpg", f"{folder}/deep/b.jpg"]
    assert answer == [urls, [len(photo)] * 2, True, False]


def test_an_artist_draws_skips_and_reports(bucket, work):
    buckets.write(f"{bucket}/text.jpg", b"no photo")
    sources = [f"{bucket}/{name}.jpg" for name in ("a", "text", "z")]
    targets = [f"memory://toons/{name}.jpg" for name in ("a", "text", "z")]
    task = {"sources": sources, "targets": targets, "group": -1, "groups": 0}
    actor = artist.Artist(work, 1)
    drawn, *failed = map(json.loads, actor(task)["results"])
    assert (drawn["status"], drawn["width"], drawn["output"]) == ("drawn", 40, targets[0])
    assert images.load(buckets.read(targets[0])).size == (40, 32)
    for about, reason in zip(failed, ("text", "cannot be read"), strict=True):
        assert about["status"] == "failed" and reason in about["error"]
    again = [json.loads(text)["status"] for text in actor(task)["results"]]
    assert again == ["skipped", "failed", "failed"]


@pytest.fixture
def table(tmp_path):
    """A Parquet file as the Hub's `datasets` writes it: five photos in groups of two."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"bytes": jpeg(), "path": f"p{i}.jpg" if i else None} for i in range(5)]
    path = tmp_path / "train.parquet"
    table = pyarrow.table({"label": list(range(5)), "image": rows})
    parquet.write_table(table, path, row_group_size=2)
    return str(path)


def test_tables_of_one_name_are_drawn_into_folders_of_their_own(bucket):
    for folder in "xy":
        buckets.write(f"{bucket}/{folder}/train.parquet", b"")
    plan = bulk.make_plan([f"{bucket}/x", f"{bucket}/y"], "memory:///toons", False, False)
    assert list(plan.tables.values()) == ["memory:///toons/train", "memory:///toons/train-2"]


def test_a_parquet_file_is_drawn_by_row_groups(table, tmp_path, work):
    [(source, folder)] = bulk.make_plan(
        [table], str(tmp_path / "toons"), False, False
    ).tables.items()
    tasks = bulk.list_groups({"source": source, "target": folder})
    assert [(task["group"], task["first"]) for task in tasks] == [(0, 0), (1, 2), (2, 4)]
    for task in tasks:
        artist.Artist(work, 1)(task)
    names = sorted(path.name for path in (tmp_path / "toons" / "train").iterdir())
    assert names == ["00000000.jpg", *(f"0000000{i}-p{i}.jpg" for i in range(1, 5))]


def test_a_parquet_file_without_images_is_a_failure(tmp_path, work):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"no table at all")
    for name, reason in ("x", "no column of images among label"), ("y", "y.parquet"):
        [task] = bulk.list_groups({"source": str(tmp_path / f"{name}.parquet"), "target": "t"})
        [text] = artist.Artist(work, 1)(task)["results"]
        assert json.loads(text)["status"] == "failed" and reason in json.loads(text)["error"]


# The cluster ------------------------------------------------------------------------------------


def nodes(*resources):
    return [{"Alive": True, "Resources": each} for each in resources]


@pytest.mark.parametrize(
    "machines, device, pool",
    [
        (nodes({"CPU": 1}, {"CPU": 1}, {}), "auto", bulk.Pool({"num_cpus": 1}, 1, 2)),
        (nodes({"CPU": 16}, {"CPU": 8}), "cpu", bulk.Pool({"num_cpus": 4}, 4, 6)),
        (nodes({"CPU": 16, "GPU": 2}, {"CPU": 8}), "auto", bulk.Pool({"num_gpus": 1}, 8, 2)),
        (nodes({"CPU": 2, "GPU": 1}), "cpu", bulk.Pool({"num_cpus": 2}, 2, 1)),
    ],
)
def test_actors_get_a_gpu_or_some_cores(machines, device, pool):
    assert bulk.size_pool(machines, device) == pool


@pytest.mark.parametrize("device, message", [("cuda", "no node"), ("cuda:1", "expected auto")])
def test_a_cluster_without_the_device(device, message):
    with pytest.raises(Exception, match=message):
        bulk.size_pool(nodes({"CPU": 2}), device)


def test_photos_that_end_their_process_are_drawn_once_more_and_alone(monkeypatch, work):
    def run(tasks, work, pool, split=None):
        for task in tasks:
            if "photo3" not in task["sources"]:  # it takes its neighbors with it
                texts = [json.dumps({"status": "drawn", "input": name}) for name in task["sources"]]
                yield {"results": texts}

    monkeypatch.setattr(bulk, "run", run)
    photos = {f"photo{i}": f"toon{i}" for i in range(40)}
    found = list(bulk.draw_all(photos, {}, work, bulk.Pool({}, 1, 1)))
    assert sorted(about["input"] for about in found) == sorted(photos)
    [failed] = [about for about in found if about["status"] == "failed"]
    assert failed["input"] == "photo3" and "run this again" in failed["error"]


def test_a_photo_whose_report_was_lost_with_its_node_is_drawn(folder, monkeypatch, capsys):
    def run(tasks, work, pool, split=None):
        print("a library's own words, which are not for programs")
        for source in (name for task in tasks for name in task["sources"]):
            skipped = {"status": "skipped", "input": source, "output": f"{source}.toon"}
            yield {"results": [json.dumps(skipped)]}

    cluster = SimpleNamespace(nodes=lambda: nodes({"CPU": 1}))
    monkeypatch.setattr(bulk, "connect", lambda: contextlib.nullcontext(cluster))
    monkeypatch.setattr(bulk, "check_on_worker", lambda *_: None)
    monkeypatch.setattr(bulk, "run", run)
    assert cli.main(["photo", "photos", "-o", "toons", "--engine", "ray"]) == 0
    out, err = capsys.readouterr()
    assert out == "2 drawn\n" and err.count("before its node was lost") == 2


def test_row_groups_without_a_report_are_a_failure(monkeypatch, work):
    def run(items, work, pool, split):
        for group in (0, 2):
            yield {"sources": ["t"], "group": group, "groups": 3, "results": [drawn]}

    drawn = json.dumps({"status": "drawn", "input": "t#0"})

    monkeypatch.setattr(bulk, "run", run)
    *found, failed = bulk.draw_tables({"t": "toons"}, work, bulk.Pool({}, 1, 1))
    assert len(found) == 2  # each group once, however often it came
    assert "row groups left: 1" in failed["error"]


def test_without_ray_it_says_what_to_install(folder, monkeypatch, usage):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = usage("photo", "photos", "-o", "toons", "--engine", "ray")
    assert "pip install 'toonify[ray]'" in message


@pytest.mark.parametrize(
    "words, message",
    [
        ("s3://b/a.jpg -o t", "only --engine ray reads and writes URLs"),
        ("- -o t --engine ray", "expected files, folders or URLs"),
        ("photos -o t --engine ray --format png", "--format: not together with --engine ray"),
    ],
)
def test_usage_errors(folder, words, message, usage):
    assert message in usage("photo", *words.split())


@pytest.fixture(scope="module")
def cluster():
    """A local Ray cluster: a head without cores, and two nodes with one core each."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = str(Path(cli.__file__).parents[2])
    # Ray's spelling. By default a busy machine leaves its workers no time.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


PHOTOS = 200


@pytest.mark.process
def test_a_node_is_killed_in_the_middle(cluster, toy_style, tmp_path, capsys):
    photos, toons = tmp_path / "photos", tmp_path / "toons"
    photos.mkdir()
    for i in range(PHOTOS):
        photos.joinpath(f"{i:03}.jpg").write_bytes(jpeg((i, 255 - i, 0)))
    before: dict[Path, int] = {}

    def kill_node():
        while len(before) < 30:
            time.sleep(0.01)
            before.update({path: path.stat().st_mtime_ns for path in toons.glob("[0-9]*")})
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    killer = threading.Thread(target=kill_node, daemon=True)
    killer.start()
    words = ["photo", photos, "-o", toons, "--style", toy_style, "--faces", "none"]
    words = [*map(str, words), "--engine", "ray"]
    assert cli.main([*words, "--json"]) == 0
    killer.join()
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(before) < PHOTOS, "it was over before the node was killed"
    assert sorted(about["input"] for about in reports) == sorted(map(str, photos.iterdir()))
    assert {about["status"] for about in reports} == {"drawn"}
    assert sorted(path.name for path in toons.iterdir()) == sorted(os.listdir(photos))
    for path in toons.iterdir():
        assert images.load(path).size == (40, 32)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "drawn twice"
    assert cli.main(words) == 0
    assert f"{PHOTOS} skipped" in capsys.readouterr().out


@pytest.mark.process
def test_a_wrong_style_is_reported_in_its_own_words(cluster, folder, usage):
    words = ("photo", "photos", "-o", "t", "--style", "./nowhere", "--engine", "ray")
    assert "but it does not exist" in usage(*words)


@pytest.mark.process
def test_the_cluster_draws_a_parquet_file(cluster, table, toy_style, tmp_path, capsys):
    words = ["photo", table, "-o", str(tmp_path / "toons"), "--style", str(toy_style)]
    assert cli.main([*words, "--faces", "none", "--engine", "ray"]) == 0
    assert capsys.readouterr().out == "5 drawn\n"
    assert len(list((tmp_path / "toons" / "train").iterdir())) == 5
