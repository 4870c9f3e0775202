"""Benchmarks: races of toy contenders, what the table says of them, and contenders at toy size."""

import json
import os
import pickle
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as front
from benchmarks import contenders, faces, likeness, limits, new_faces, photo, start, table, video
from benchmarks.contenders import Contender, Figures, Job, Race, Timed, Unavailable

# Toy contenders; their processes find them by name ----------------------------------------------


def timed(name: str, seconds: float, images: float, log: Path) -> Job:
    """Says whose turn it is in `log`, and that it took so long."""

    def run():
        with open(log, "a") as lines:
            lines.write(name)
        return Timed(seconds, 7.0)

    return Job(run, {"images": images}, f"I am {name}")


def drawing(value: float) -> Job:
    return Job(lambda: np.full((1, 3, 4, 4), value, np.float32), {"images": 1})


def sleeping() -> Job:
    held = bytearray(50_000_000)
    return Job(lambda: time.sleep(0.05) or held[0], again=3)


def unavailable() -> Job:
    raise Unavailable("left out: no such thing here")


def dying() -> Job:
    return Job(lambda: os._exit(3))


def difference(figures: dict[str, Figures]) -> None:
    a, b = (figures[name].drawn for name in "ab")
    figures["b"].remarks.append(f"off by {np.abs(a - b).max()}")


# The runner -------------------------------------------------------------------------------------


def test_contenders_take_turns_and_the_first_is_the_measure(tmp_path):
    log = tmp_path / "turns"
    race = Race(
        "Toys",
        (
            Contender("a", partial(timed, "a", 1.0, 2, log)),
            Contender("b", partial(timed, "b", 0.25, 1, log)),
        ),
    )
    figures = contenders.run(race, rounds=2)
    assert log.read_text() == "ababab"  # the first turn of each warms up
    assert figures["a"].seconds == [1.0, 1.0]
    assert figures["b"].rate("images") == 4.0
    assert figures["b"].peak_mb == 7.0
    assert figures["b"].remarks == ["I am b"]
    assert table.times_as_fast(race, figures, "b") == 2.0  # 4 images/s beside 2


def test_time_and_memory_are_those_of_the_contender():
    figures = contenders.run(Race("Toys", (Contender("a", sleeping),)), rounds=1)["a"]
    assert len(figures.seconds) == 3 and 0.05 <= min(figures.seconds) < 5
    assert 50 < figures.peak_mb < 500
    assert len(figures.cpu_seconds) == 3 and max(figures.cpu_seconds) < 5


def test_a_judge_sees_what_was_drawn():
    toys = (Contender("a", partial(drawing, 0.5)), Contender("b", partial(drawing, 0.25)))
    figures = contenders.run(Race("Toys", toys, judge=difference), rounds=1)
    assert figures["b"].remarks == ["off by 0.25"]


def test_compiling_contenders_are_prepared_by_a_process_before(tmp_path):
    log = tmp_path / "prepared"
    toy = Contender("a", partial(prepared, log), compiles=True)
    contenders.run(Race("Toys", (toy,), warm=0), rounds=1)
    first, second = log.read_text().split()
    assert first != second


def prepared(log: Path) -> Job:
    with open(log, "a") as lines:
        lines.write(f"{os.getpid()} ")
    return Job(lambda: None)


def test_a_contender_that_dies_is_reported_and_the_rest_goes_on(tmp_path, capsys):
    toys = (
        Contender("a", dying),
        Contender("b", partial(drawing, 0.0)),
        Contender("c", unavailable),
    )
    file = tmp_path / "figures.json"
    with pytest.raises(SystemExit) as ended:
        table.report([Race("Toys", toys)], 1, file)
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "| a | – | – | – | – | failed: its process ended with 3 |" in shown
    assert "| c | – | – | – | – | left out: no such thing here |" in shown
    found = json.loads(file.read_text())["races"]["Toys"]
    assert found["a"]["failed"] and not found["c"]["failed"]
    assert len(found["b"]["seconds"]) == 1 and found["b"]["times_as_fast"] is None


# The table --------------------------------------------------------------------------------------


def test_rows_are_markdown_with_medians_rates_and_ratios():
    race = Race("Toys", ())
    figures = {
        "plain": Figures([2.0, 1.5, 4.0], 1234.4, {"images": 4, "TFLOP": 0.5}),
        "ours": Figures([0.1], 99.6, {"images": 4}, ["bf16", "good"]),
        "limit": Figures([0.012345], 5, {"TFLOP": 1}),
    }
    assert table.rows(race, figures).splitlines() == [
        "| **Toys** | | | | | |",
        "| plain | 2 s (1.5 s to 4 s) | 2 images, 0.25 TFLOP | 1.00× | 1234 MB |  |",
        "| ours | 100 ms | 40 images | 20.0× | 100 MB | bf16; good |",
        "| limit | 12.3 ms | 81 TFLOP |  | 5 MB |  |",
    ]


def test_without_ratios_none_is_measured_by_another():
    figures = {"a": Figures([1.0]), "b": Figures([2.0])}
    assert table.times_as_fast(Race("Toys", ()), figures, "b") == 0.5
    assert table.times_as_fast(Race("Toys", (), ratios=False), figures, "b") is None


def test_a_busy_machine_is_named_as_busy():
    about = contenders.machine() | {"load": 0.1, "processor": "Toy 3000", "cores": 2, "threads": 2}
    assert "Toy 3000: 2 cores" in table.said(about) and "**" not in table.said(about)
    assert "**PyTorch had fewer threads" in table.said(about | {"threads": 1})
    assert "**Other work was running** (load 9.5)" in table.said(about | {"load": 9.5})


# Likeness ---------------------------------------------------------------------------------------


def test_likeness_has_the_values_that_one_can_reckon():
    black, white = np.full((3, 4, 4), -1, np.float32), np.ones((3, 4, 4), np.float32)
    assert likeness.mean_error(black, white) == 2 == likeness.largest_error(black, white)
    assert likeness.psnr(black, white) == 0
    assert likeness.psnr(white, white) == float("inf")
    assert likeness.psnr(white, white - 0.02) == pytest.approx(40, abs=1e-3)
    with pytest.raises(AssertionError):
        likeness.psnr(white, white[:1])


# The command ------------------------------------------------------------------------------------


def test_every_benchmark_gives_races_that_processes_can_be_started_for(toy_style):
    races = list(front.races(list(front.NAMES), True, str(toy_style)))
    titles = [race.title for race in races]
    assert len(set(titles)) == len(titles) >= len(front.NAMES)
    for race in races:
        names = [contender.name for contender in race.contenders]
        assert len(set(names)) == len(names) > 1
        for contender in race.contenders:
            pickle.dumps(contender.prepare)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--rounds", "0"], "0: expected a whole number from 1 on"),
        (["--style", "comix"], "did you mean 'comic'?"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        front.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# The contenders themselves, in this process -----------------------------------------------------


@pytest.mark.parametrize("upsample", ["tf", "align", "half"])
def test_the_plain_network_draws_what_ours_draws(make_style, tmp_path, upsample):
    torch = pytest.importorskip("torch")
    from benchmarks.plain import load_generator
    from toonify import hub
    from toonify.models import PHOTO_MODELS

    folder = make_style(tmp_path / "style", upsample=upsample, depth=2)
    x = torch.rand(1, 3, 32, 36, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        plain, ours = load_generator(folder)(x), hub.load_model(folder, PHOTO_MODELS)(x)
    assert torch.equal(plain, ours)


def test_photo_contenders_are_judged_by_likeness_arithmetic_and_the_limit(fast_style):
    style, figures = str(fast_style), {}
    jobs = {
        photo.PLAIN: photo.plain(style, 64),
        photo.BEST: photo.engine(style, 64, "best"),
        photo.FAST: photo.engine(style, 64, "fast"),
    }
    for name, job in jobs.items():
        figures[name] = Figures([0.5], 1, dict(job.amounts), drawn=job.run())
        assert figures[name].drawn.shape == (1, 3, 64, 64)
    limit = photo.tera_operations(fast_style, 64)  # half of it a second, as `best` reaches too
    figures[limits.CONVOLUTION["bf16"].name] = Figures([2.0], 1, {"TFLOP": 4 * limit})
    photo.judge(style, 64, figures)
    share, error = figures[photo.BEST].remarks
    assert share == "100% of the rate of the bf16 convolution"
    assert float(error.split()[2]) < 0.01
    assert figures[photo.FAST].remarks[1].startswith("PSNR")
    assert 0 < figures[photo.FAST].amounts["TFLOP"] < figures[photo.BEST].amounts["TFLOP"]


def test_a_style_without_a_fast_generator_leaves_that_row_out(toy_style):
    with pytest.raises(Unavailable, match="the style toy has no fast generator"):
        photo.engine(str(toy_style), 64, "fast")


def test_the_published_generator_takes_105_gmac():
    from toonify import hub

    assert photo.tera_operations(hub.BUNDLED / "comic", 512) == pytest.approx(0.2103, abs=1e-4)


def test_faces_are_found_in_the_photos_made_of_cards(toy_style):
    job = faces.ours(str(toy_style), ((640, 480), faces.SMALL[1]))
    assert job.remark == "2 faces found, 1 drawn again"
    plain = faces.plain(str(toy_style), ((160, 120), (("random_001", 0.8, 0.1, 0.1),)))
    assert plain.run() is not None


def test_how_much_longer_the_large_photo_takes():
    figures = {"small": Figures([2.0]), "large": Figures([5.0])}
    faces.growth(figures)
    assert figures["large"].remarks == ["takes 2.5 times as long"]


def test_new_faces_of_a_folder_and_of_the_public_network(toy_faces):
    job = new_faces.ours(2, str(toy_faces))
    assert job.amounts == {"faces": 2} and len(job.run()) == 2
    public = new_faces.public(2, z_dim=6, channels=(8, 8, 8, 4))
    assert public.remark == new_faces.RANDOM
    public.run()


def test_limits_know_what_they_did():
    jobs = [limits.matmul("float32", 32), limits.conv_torch("float32", 8), limits.copying(4096)]
    for job in jobs:
        job.run()
    flop = 2 * 8 * 9 * 128 * 128 * 8 * 8
    assert [next(iter(job.amounts.values())) for job in jobs] == pytest.approx(
        [2 * 32**3 / 1e12, flop / 1e12, 8192 / 1e9]
    )
    limits.conv_openvino("f32", 8).run()


def test_clips_are_left_out_where_there_is_no_module_for_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "toonify.pipelines.video", None)
    with pytest.raises(Unavailable, match="draws no clips"):
        video.ours("comic", 2, (64, 48), "best")


def test_the_plain_loop_draws_a_clip(toy_style):
    for short_side in (0, 24):
        job = video.plain(str(toy_style), 2, (64, 48), short_side)
        job.run()
        assert job.amounts == {"frames": 2}


def test_whole_processes_are_timed_and_their_failure_is_an_error():
    took = start.whole(("-c", "import time; time.sleep(0.1)"), {})
    assert took.seconds > 0.1 and took.peak_mb > 1
    with pytest.raises(start.subprocess.CalledProcessError):
        start.whole(("-c", "raise SystemExit(3)"), {})


def test_a_cold_cache_is_new_each_time_and_a_warm_one_stays(tmp_path):
    script = (
        "import os, sys; from pathlib import Path;"
        "seen = Path(os.environ['TOONIFY_CACHE'], 'seen');"
        "Path(sys.argv[1]).open('a').write('yes ' if seen.exists() else 'no ');"
        "seen.parent.mkdir(exist_ok=True); seen.touch()"
    )
    for cache, expected in (("cold", "no no "), ("warm", "no yes ")):
        log = tmp_path / cache
        job = start.first_photo(script, str(log), cache)
        job.run(), job.run()
        assert log.read_text() == expected


def test_both_loops_of_toongan_train(monkeypatch):
    from dataclasses import replace

    from accelerate.state import AcceleratorState

    from benchmarks import train_toongan
    from toonify.models import toongan

    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    small = replace(train_toongan.PRESET, z_dim=6, w_dim=8, channels=(8, 8, 8, 8, 4, 4))
    monkeypatch.setattr(train_toongan, "PRESET", small)
    monkeypatch.setattr(toongan, "modulated_conv2d", toongan.modulated_conv2d)  # put back after
    assert train_toongan.plain_loop(4, 1, 64) > 0
    assert train_toongan.our_loop(4, 2, 64) > 0
