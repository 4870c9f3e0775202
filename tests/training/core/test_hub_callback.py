"""--push-to-hub: each family trained, published, pulled and drawn again; a dead Hub; refusals."""

import json
from pathlib import Path

import pytest

from tests.fixtures.hub_server import WRITER, HubServer
from tests.fixtures.toy_data import (
    STYLEGAN_TOY,
    TOONGAN_TOY,
    TOY,
    options,
    write_faces,
    write_pairs,
)
from toonify.hub import upload
from training import train_animegan, train_encoder, train_stylegan, train_toongan

HALF = "diffusion_pytorch_model.fp16.safetensors"
SAID = dict(license="CC0-1.0", data_statement="toy drawings by this test")
DOORS = {
    "animegan": (train_animegan, ["--preset", "paired"], TOY | {"max_images": 16}),
    "stylegan": (train_stylegan, ["--preset", "laptop64"], STYLEGAN_TOY),
    "toongan": (train_toongan, ["--preset", "laptop"], TOONGAN_TOY),
    "encoder": (train_encoder, ["--preset", "portrait"], {}),
}

# A process that trains, and draws what a folder or a repository holds.
CLIENT = """
import contextlib, hashlib, importlib, io, os, shutil
from pathlib import Path
from accelerate.state import AcceleratorState
from PIL import Image
from toonify.pipelines import animegan, stylegan, toongan

def train(door, words):
    AcceleratorState._reset_state(reset_partial_state=True)
    said = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            importlib.import_module(f"training.train_{door}").main(words)
        except SystemExit as error:
            status = error.code
    return {"status": status, "said": said.getvalue()}

def animegan_picture(source):
    pipe = animegan.AnimeGANPipeline.from_pretrained(source, device="cpu")
    return pipe(Image.radial_gradient("L").convert("RGB"), faces="none").image.tobytes()

def stylegan_picture(source):
    pipe = stylegan.StyleGANPipeline.from_pretrained(source, device="cpu")
    return pipe.base(pipe.sample(1, seed=7)).numpy().tobytes()

def toongan_picture(source):
    pipe = toongan.ToonGANPipeline.from_pretrained(source, device="cpu")
    return pipe(1, seed=7)[0].tobytes()

def answer(question):
    if "words" in question:
        return train(**question)
    shutil.rmtree(Path(os.environ["HOME"], ".cache"), ignore_errors=True)
    picture = globals()[f"{question['family']}_picture"](question["source"])
    return {"picture": hashlib.sha256(picture).hexdigest(), "bytes": len(picture)}
"""


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server
        assert server.leaked == []


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    with server.client(CLIENT, tmp_path_factory.mktemp("home"), HF_TOKEN=WRITER) as client:
        yield client


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    faces = write_faces(tmp_path_factory.mktemp("faces"))
    pairs = write_pairs(tmp_path_factory.mktemp("pairs"))
    return {"animegan": pairs, "stylegan": faces, "toongan": faces}


def training(door: str, out: Path, data: Path, *more: str, **changes) -> dict:
    """A question to the client: a run at toy size."""
    _, preset, toy = DOORS[door]
    return {"door": door, "words": [*preset, *options(toy, data=data, out=out, **changes), *more]}


@pytest.mark.parametrize("family", ["animegan", "stylegan", "toongan"])
def test_trained_pushed_and_pulled_it_draws_the_same_image(family, server, client, data, tmp_path):
    repo, out = f"owner/{family}", tmp_path / "run"
    pushing = dict(push_to_hub=repo, push_every_images=8, push_private="true", **SAID)
    if family == "toongan":
        pushing["validate"] = data[family]
    done = client(training(family, out, data[family], **pushing))
    assert done["status"] == 0, done["said"]
    messages = [server.messages.get(commit) for commit in server.repos[repo]]
    assert messages == [None, "After 8 images", "After 16 images"]
    assert repo in server.private
    head, model = server.head(repo), out / "model"
    for name in ("config.json", HALF, "style.json", "training.json"):
        assert head[name] == (model / name).read_bytes()
    assert json.loads(head["style.json"])["data"] == SAID["data_statement"]
    grid = sorted((out / "samples").iterdir())[-1]
    assert head["samples.jpg"] == grid.read_bytes() and grid.name == "000000016.jpg"
    card = head["README.md"].decode()
    assert f'from_pretrained("{repo}")' in card and "![samples](samples.jpg)" in card
    assert "license: cc0-1.0" in card
    if family == "toongan":
        assert json.loads(head["metrics.json"])["figures"]["validation"]["score"] > 0
        assert "Measured during training" in card
    assert not (out / ".push").exists()
    pushes = [line for line in lines(out) if "push" in line]
    assert [line["images"] for line in pushes] == [8, 16]
    assert pushes[-1]["push"].startswith(f"{server.url}/{repo} {server.refs[repo]['main']}")

    ours = client({"family": family, "source": str(model)})
    theirs = client({"family": family, "source": repo})
    assert ours == theirs and ours["bytes"] > 1000


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_training_survives_a_dead_hub_and_the_next_push_brings_everything(
    server, client, data, tmp_path
):
    repo, out = "owner/later", tmp_path / "run"
    pushing = dict(push_to_hub=repo, push_every_images=8, **SAID)
    server.fail_at(2, "cut", for_good=True)  # the first asks who is there
    done = client(training("toongan", out, data["toongan"], **pushing))
    server.fail_at(0, "")
    assert done["status"] == 0, done["said"]
    assert "16 images in" in done["said"] and (out / "model" / HALF).exists()
    failed = [line["push"] for line in lines(out) if "push" in line]
    assert len(failed) == 2 and all("nothing was published" in what for what in failed)
    assert "push after 16 images: failed: " in done["said"]
    assert repo not in server.repos
    # Going on for another eight images, with the Hub back.
    more = training("toongan", out, data["toongan"], "--resume", **pushing, max_images=24)
    done = client(more)
    assert done["status"] == 0, done["said"]
    assert server.head(repo)[HALF] == (out / "model" / HALF).read_bytes()


def test_an_unreachable_hub_is_reported_and_training_begins(server, client, tmp_path):
    server.fail_at(1, "503")
    words = ["--preset", "laptop", "--data", "faces", "--out", str(tmp_path / "run"), "--dry-run"]
    words += options({}, push_to_hub="owner/a", **SAID)
    done = client({"door": "toongan", "words": words})
    assert done["status"] == 0 and "training starts, and each push tries again" in done["said"]


@pytest.mark.parametrize(
    ("repo", "role", "words"),
    [
        ("stranger/a", "write", "no permission to write to stranger"),
        ("owner/a", "read", "the token is read-only"),
    ],
)
def test_a_missing_permission_is_reported_before_training(
    server, client, tmp_path, repo, role, words
):
    server.roles[WRITER] = role
    arguments = ["--preset", "laptop", "--data", "faces", "--out", str(tmp_path / "run")]
    arguments += options({}, push_to_hub=repo, **SAID)
    done = client({"door": "toongan", "words": arguments})
    server.roles.clear()
    assert done["status"] == 1 and words in done["said"] and WRITER not in done["said"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"push_to_hub": "name"}, "--push-to-hub 'name' is not a valid repository ID"),
        ({"push_to_hub": "me/a", "license": ""}, "--push-to-hub me/a requires --license"),
        ({"push_to_hub": "me/a", "license": "unknown"}, "requires --license"),
        ({"push_to_hub": "me/a", "data_statement": " "}, "requires --data-statement"),
        ({"push_to_hub": "me/a", "data_statement": "/home/me/faces"}, "a place on this machine"),
        ({"push_every_images": 8}, "--push-every-images 8 requires --push-to-hub"),
        ({"push_private": "true"}, "--push-private True requires --push-to-hub"),
    ],
)
def test_what_cannot_be_published_is_reported_before_training(
    door, changes, words, tmp_path, capsys
):
    module, preset, toy = DOORS[door]
    source = {"photos": "x"} if door == "encoder" else {"data": "x"}
    arguments = options(toy, out=tmp_path / "run", **source, **(SAID | changes))
    with pytest.raises(SystemExit) as error:
        module.main([*preset, *arguments])
    assert error.value.code == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_a_token_training_does_not_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    arguments = options(TOONGAN_TOY, data="x", out=tmp_path / "run", push_to_hub="me/a", **SAID)
    with pytest.raises(SystemExit) as error:
        train_toongan.main(["--preset", "laptop", *arguments])
    assert error.value.code == 1 and upload.LOGIN in capsys.readouterr().err


def test_a_run_that_says_nothing_of_its_license_is_not_resumed_to_be_pushed(tmp_path, capsys):
    said = tmp_path / "run" / "model" / "style.json"
    said.parent.mkdir(parents=True)
    said.write_text('{"license": "unknown: say here", "data": "drawings"}')
    arguments = options(TOONGAN_TOY, data="x", out=tmp_path / "run", push_to_hub="me/a", **SAID)
    with pytest.raises(SystemExit) as error:
        train_toongan.main(["--preset", "laptop", *arguments, "--resume"])
    assert error.value.code == 2
    assert f'{said}: "license" is \'unknown' in capsys.readouterr().err
