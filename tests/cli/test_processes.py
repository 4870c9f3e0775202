"""Trainings as real processes: killed and resumed bit for bit, and two as good as one.

Most are forked (tests/fixtures/forked.py); one of each script is started as a user does.
`TOONIFY_KILLS` says how often the killed run is killed; the default keeps the suite short.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.fixtures.forked import DEADLINE, Program
from tests.fixtures.toy_data import STYLEGAN_TOY, TOONGAN_TOY, TOY, options, write_pairs
from training.core import checkpoint

ROOT = Path(__file__).resolve().parents[2]
# Each front door: its preset, settings, and those of a run that meets everything it remembers.
DOORS = {
    "animegan": ("paired", TOY, dict(r1_gamma=1.0, r1_every=2)),
    "stylegan": ("laptop64", STYLEGAN_TOY, dict(gamma=1.0, augment="ada", ada_target=0.1)),
    "toongan": ("stylegan2", TOONGAN_TOY, dict(gamma=1.0, augment="ada", ada_target=0.1)),
}
KILLS = int(os.environ.get("TOONIFY_KILLS", "1"))


def start(
    out: Path, data: Path, processes: int, *more: str, door: str = "animegan", **changes
) -> Program:
    """A training with `processes` workers over gloo."""
    words = command(out, data, *more, door=door, **changes)
    return Program(words, log_file(out), processes=processes)


def command(out: Path, data: Path, *more: str, door: str = "animegan", **changes) -> list[str]:
    """A training's script and its arguments."""
    preset, toy, everything = DOORS[door]
    data = data if door == "animegan" else data / "train_photo"
    settings = options(toy, data=data, out=out, **(everything | changes))
    return [f"training/train_{door}.py", "--preset", preset, *map(str, settings), *more]


def resume_command(out: Path, door: str = "animegan") -> list[str]:
    """What goes on with a run from the settings that it has saved."""
    return [f"training/train_{door}.py", "--resume", "--out", str(out)]


def log_file(out: Path) -> Path:
    return out.with_suffix(".txt")


def run(words: list[str], out: Path, *launcher: str) -> None:
    """Runs a script as a user does, in a new Python."""
    with open(log_file(out), "a") as log:
        streams = dict(stdout=log, stderr=log, timeout=DEADLINE)
        done = subprocess.run([sys.executable, *launcher, *words], cwd=ROOT, **streams)
    assert done.returncode == 0, log_file(out).read_text()[-3000:]


def images_logged(out: Path) -> int:
    """Images that the run's log has reached."""
    log = out / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    whole = [line for line in lines if line.endswith("}")]
    return json.loads(whole[-1])["images"] if whole else 0


def kill_after(training: Program, out: Path, images: int) -> bool:
    """`kill -9` for all workers once `images` are logged; False if it ended before."""
    deadline = time.monotonic() + DEADLINE
    while images_logged(out) < images and training.poll() is None:
        assert time.monotonic() < deadline, log_file(out).read_text()[-3000:]
        time.sleep(0.01)
    alive = training.poll() is None
    training.kill()
    return alive


def state_of(out: Path) -> dict:
    """Everything in a run's newest checkpoint that training goes on from, by name."""
    folder = checkpoint.checkpoints(out)[-1]
    state = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors":
            state |= {f"{path.name}:{k}": v for k, v in load_file(path).items()}
        elif path.name.startswith(("optimizer", "custom_checkpoint")):
            found = torch.load(path, weights_only=True)
            found.pop("seconds", None)  # of the clock, not of the training
            state |= flat(found, path.name)
    return state


def flat(value, name: str) -> dict:
    """Nested containers as one dict of leaves."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, part in items for k, v in flat(part, f"{name}:{key}").items()}


def log_of(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    clock = ("seconds", "images_per_second")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data"))


# What two processes have of their own is the loop's, the same for every door: the short suite kills
# one pair of them, a longer one (`TOONIFY_KILLS`) all.
KILLED = [(door, n) for door in DOORS for n in (1, 2) if n == 1 or door == "animegan" or KILLS > 1]


@pytest.mark.parametrize(("door", "processes"), KILLED)
def test_killed_and_resumed_equals_never_killed(data, tmp_path, door, processes):
    last = 40 + 28 * KILLS
    changes = {"max_images": last, "door": door}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    start(straight, data, processes, **changes).finish()

    rng = random.Random(KILLS + processes)
    kills = 0
    while kills < KILLS:
        # Past the first checkpoint of this life, so that there is something to go on from.
        saved = checkpoint.checkpoints(killed)
        reached = int(saved[-1].name) if saved else 0
        goal = min(reached + 8 + 4 * rng.randrange(1, 4), last - 4)
        words = resume_command(killed, door) if kills else command(killed, data, **changes)
        training = Program(words, log_file(killed), processes=processes)
        time.sleep(rng.random() * 0.02)
        assert kill_after(training, killed, goal), "it was over before it could be killed"
        kills += 1
    if door == "animegan":  # two of which run below as a user runs them
        words = resume_command(killed, door)
        Program(words, log_file(killed), processes=processes).finish()
    else:
        run(resume_command(killed, door), killed)

    ours, theirs = state_of(killed), state_of(straight)
    assert ours.keys() == theirs.keys()
    different = [k for k, v in ours.items() if not same(v, theirs[k])]
    assert not different
    assert log_of(killed) == log_of(straight)
    weights = "model/diffusion_pytorch_model.fp16.safetensors"
    assert (killed / weights).read_bytes() == (straight / weights).read_bytes()
    print(f"{door}: killed {kills} times in {processes} process(es); {len(ours)} values are equal")


def same(a, b) -> bool:
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


def test_two_processes_with_half_the_batch_follow_one(data, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    changes = {"max_images": 80, "init_images": 20, "save_every_images": 80}
    changes |= {"lr_init": 2e-4, "lr_g": 2e-5, "lr_d": 4e-5}  # the published rates
    start(one, data, 1, **changes).finish()
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    run(command(two, data, **changes), two, *launcher)
    ours, theirs = state_of(two), state_of(one)
    weights = [k for k in ours if k.startswith("model")]
    assert len(weights) > 40
    apart = max(float((ours[k] - theirs[k]).abs().max()) for k in weights)
    assert apart < 1e-4
    print(f"largest difference of a parameter after 20 steps: {apart:.2e}")


@pytest.mark.parametrize(
    "script", sorted((ROOT / "training").glob("train_*.py")), ids=lambda path: path.stem
)
def test_every_script_starts_from_the_root_of_the_repository(script):
    words = [sys.executable, script.relative_to(ROOT), "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--dry-run" in done.stdout
