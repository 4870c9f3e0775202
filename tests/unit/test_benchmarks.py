"""Benchmarks: toy cases, what the table says of them, and cases at toy size."""

import json
import os
import pickle
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command_line
from benchmarks import (
    faces,
    likeness,
    limits,
    new_faces,
    photo,
    report,
    runner,
    shares,
    start,
    video,
)
from benchmarks.runner import Benchmark, Case, Figures, Timed, Unavailable, Workload

# Toy cases; their processes find them by name ----------------------------------------------


def timed(name: str, seconds: float, images: float, log: Path) -> Workload:
    """Says whose turn it is in `log`, and that it took so long."""

    def run():
        with open(log, "a") as lines:
            lines.write(name)
        return Timed(seconds, 7.0)

    return Workload(run, {"images": images}, f"I am {name}")


def drawing(value: float) -> Workload:
    return Workload(lambda: np.full((1, 3, 4, 4), value, np.float32), {"images": 1})


def sleeping() -> Workload:
    held = bytearray(50_000_000)
    return Workload(lambda: time.sleep(0.05) or held[0], again=3)


def unavailable() -> Workload:
    raise Unavailable("left out: no such thing here")


def dying() -> Workload:
    return Workload(lambda: os._exit(3))


def difference(figures: dict[str, Figures]) -> None:
    a, b = (figures[name].output for name in "ab")
    figures["b"].notes.append(f"off by {np.abs(a - b).max()}")


# The runner -------------------------------------------------------------------------------------


def test_cases_take_turns_and_are_compared_with_the_first(tmp_path):
    log = tmp_path / "turns"
    benchmark = Benchmark(
        "Toys",
        tuple(Case(n, partial(timed, n, s, k, log)) for n, s, k in (("a", 1.0, 2), ("b", 0.25, 1))),
    )
    figures = runner.run(benchmark, rounds=2)
    assert log.read_text() == "ababab"  # the first turn of each warms up
    assert figures["a"].seconds == [1.0, 1.0]
    assert figures["b"].rate("images") == 4.0
    assert figures["b"].peak_mb == 7.0
    assert figures["b"].notes == ["I am b"]
    assert report.speedup(benchmark, figures, "b") == 2.0  # 4 images/s beside 2


def test_time_and_memory_are_those_of_the_case():
    figures = runner.run(Benchmark("Toys", (Case("a", sleeping),)), rounds=1)["a"]
    assert len(figures.seconds) == 3 and 0.05 <= min(figures.seconds) < 5
    assert 50 < figures.peak_mb < 500
    assert len(figures.cpu_seconds) == 3 and max(figures.cpu_seconds) < 5


def test_compare_gets_the_outputs():
    toys = (Case("a", partial(drawing, 0.5)), Case("b", partial(drawing, 0.25)))
    figures = runner.run(Benchmark("Toys", toys, compare=difference), rounds=1)
    assert figures["b"].notes == ["off by 0.25"]


def test_compiling_cases_are_prepared_by_a_process_before(tmp_path):
    log = tmp_path / "prepared"
    toy = Case("a", partial(prepared, log), compiles=True)
    runner.run(Benchmark("Toys", (toy,), warm=0), rounds=1)
    first, second = log.read_text().split()
    assert first != second


def prepared(log: Path) -> Workload:
    with open(log, "a") as lines:
        lines.write(f"{os.getpid()} ")
    return Workload(lambda: None)


def test_a_case_that_dies_is_reported_and_the_rest_goes_on(tmp_path, capsys):
    toys = (Case("a", dying), Case("b", partial(drawing, 0.0)), Case("c", unavailable))
    file = tmp_path / "figures.json"
    with pytest.raises(SystemExit) as ended:
        report.report([Benchmark("Toys", toys)], 1, file)
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "| a | – | – | – | – | failed: its process ended with 3 |" in shown
    assert "| c | – | – | – | – | left out: no such thing here |" in shown
    found = json.loads(file.read_text())["benchmarks"]["Toys"]
    assert found["a"]["failed"] and not found["c"]["failed"]
    assert len(found["b"]["seconds"]) == 1 and found["b"]["times_as_fast"] is None


# The table --------------------------------------------------------------------------------------


def test_rows_are_markdown_with_medians_rates_and_ratios():
    benchmark = Benchmark("Toys", ())
    figures = {
        "baseline": Figures([2.0, 1.5, 4.0], 1234.4, {"images": 4, "TFLOP": 0.5}),
        "Toonify": Figures([0.1], 99.6, {"images": 4}, ["bf16", "good"]),
        "limit": Figures([0.012345], 5, {"TFLOP": 1}),
    }
    assert report.format_rows(benchmark, figures).splitlines() == [
        "| **Toys** | | | | | |",
        "| baseline | 2 s (1.5 s to 4 s) | 2 images, 0.25 TFLOP | 1.00× | 1234 MB |  |",
        "| Toonify | 100 ms | 40 images | 20.0× | 100 MB | bf16; good |",
        "| limit | 12.3 ms | 81 TFLOP |  | 5 MB |  |",
    ]


def test_without_ratios_nothing_is_compared():
    figures = {"a": Figures([1.0]), "b": Figures([2.0])}
    assert report.speedup(Benchmark("Toys", ()), figures, "b") == 0.5
    assert report.speedup(Benchmark("Toys", (), ratios=False), figures, "b") is None


def test_a_busy_machine_is_named_as_busy():
    about = runner.machine() | {"load": 0.1, "processor": "Toy 3000", "cores": 2, "threads": 2}
    describe = report.describe_machine
    assert "Toy 3000: 2 cores" in describe(about) and "**" not in describe(about)
    assert "**PyTorch had fewer threads" in describe(about | {"threads": 1})
    assert "**Other work was running** (load 9.5)" in describe(about | {"load": 9.5})


# Likeness ---------------------------------------------------------------------------------------


def test_likeness_has_the_expected_values():
    black, white = np.full((3, 4, 4), -1, np.float32), np.ones((3, 4, 4), np.float32)
    assert likeness.mean_error(black, white) == 2 == likeness.largest_error(black, white)
    assert likeness.psnr(black, white) == 0
    assert likeness.psnr(white, white) == float("inf")
    assert likeness.psnr(white, white - 0.02) == pytest.approx(40, abs=1e-3)
    with pytest.raises(AssertionError):
        likeness.psnr(white, white[:1])


# The command ------------------------------------------------------------------------------------


def test_every_benchmark_makes_cases_that_processes_can_be_started_for(toy_style):
    benchmarks = list(command_line.make_benchmarks(list(command_line.NAMES), True, str(toy_style)))
    titles = [benchmark.title for benchmark in benchmarks]
    assert len(set(titles)) == len(titles) >= len(command_line.NAMES)
    for benchmark in benchmarks:
        names = [case.name for case in benchmark.cases]
        assert len(set(names)) == len(names) > 1
        for case in benchmark.cases:
            pickle.dumps(case.prepare)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--rounds", "0"], "0: expected a whole number from 1 on"),
        (["--style", "comix"], "did you mean 'comic'?"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(arguments, said, refusal):
    assert said in refusal(command_line.main, *arguments)


# The cases themselves, in this process -----------------------------------------------------


@pytest.mark.parametrize("upsample", ["tf1", "align_corners", "half_pixel"])
def test_the_baseline_network_draws_the_same_as_toonify(make_style, tmp_path, upsample):
    torch = pytest.importorskip("torch")
    from benchmarks.baseline import load_generator
    from toonify import hub
    from toonify.models import PHOTO_MODELS

    folder = make_style(tmp_path / "style", upsample=upsample, depth=2)
    x = torch.rand(1, 3, 32, 36, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        baseline, toonify = load_generator(folder)(x), hub.load_model(folder, PHOTO_MODELS)(x)
    assert torch.equal(baseline, toonify)


def test_the_published_network_stands_for_a_style_of_another_one(make_style, tmp_path):
    from toonify import hub

    style = next(iter(hub.styles())).name
    assert photo.prepare_baseline(style, 64).note == "published network, random weights"
    figures = {
        name: Figures([0.5], 1, {"images": 1}, output=np.zeros((1, 3, 64, 64)))
        for name in (photo.BASELINE, photo.BEST)
    }
    photo.compare(style, 64, figures)
    assert not figures[photo.BEST].notes  # what the two draw has nothing to do with each other
    share = figures[photo.BEST].amounts["TFLOP"] / figures[photo.BASELINE].amounts["TFLOP"]
    assert share == pytest.approx(0.170, abs=5e-3)
    folder = make_style(tmp_path / "style", depth=2)
    assert photo.prepare_baseline(str(folder), 64).note == ""


def test_photo_cases_are_compared_by_likeness_arithmetic_and_the_limit(fast_style):
    style, figures = str(fast_style), {}
    workloads = {
        photo.BASELINE: photo.prepare_baseline(style, 64),
        photo.BEST: photo.prepare_engine(style, 64, "best"),
        photo.FAST: photo.prepare_engine(style, 64, "fast"),
    }
    for name, workload in workloads.items():
        figures[name] = Figures([0.5], 1, dict(workload.amounts), output=workload.run())
        assert figures[name].output.shape == (1, 3, 64, 64)
    limit = photo.tera_operations(fast_style, 64)  # half of it a second, as `best` reaches too
    figures[limits.CONVOLUTION["bf16"].name] = Figures([2.0], 1, {"TFLOP": 4 * limit})
    photo.compare(style, 64, figures)
    share, error = figures[photo.BEST].notes
    assert share == "100% of the rate of the bf16 convolution"
    assert float(error.split()[2]) < 0.01
    assert figures[photo.FAST].notes[1].startswith("PSNR")
    assert 0 < figures[photo.FAST].amounts["TFLOP"] < figures[photo.BEST].amounts["TFLOP"]


def test_a_style_without_a_fast_generator_leaves_that_row_out(toy_style):
    with pytest.raises(Unavailable, match="the style toy has no fast generator"):
        photo.prepare_engine(str(toy_style), 64, "fast")


def test_the_published_generator_takes_105_gmac_and_the_bundled_ones_17_percent(tmp_path):
    from toonify import hub
    from toonify.models import AnimeGANGenerator

    AnimeGANGenerator().save_pretrained(tmp_path)
    assert photo.tera_operations(tmp_path, 512) == pytest.approx(0.2103, abs=1e-4)
    for style in hub.styles():
        share = photo.tera_operations(hub.BUNDLED / style.name, 512) / 0.2103
        assert share == pytest.approx(0.170, abs=5e-4)


def test_faces_are_found_in_the_photos_made_of_cards(toy_style):
    workload = faces.prepare_toonify(str(toy_style), ((640, 480), faces.SMALL[1]))
    assert workload.note == "2 faces found, 1 drawn again"
    baseline = faces.prepare_baseline(
        str(toy_style), ((160, 120), (("random_001", 0.8, 0.1, 0.1),))
    )
    assert baseline.run() is not None


@pytest.mark.parametrize("encoded", [False, True])
def test_the_share_outside_of_the_networks_is_noted(fast_style, encoded):
    workload = shares.prepare(str(fast_style), ((160, 120), faces.SMALL[1]), encoded)
    figures = Figures(output=workload.run())
    assert 0 < figures.output.item() < 1
    shares.note_shares({"a": figures})
    assert figures.notes[0].endswith("% outside of the networks")


def test_how_much_longer_the_large_photo_takes():
    figures = {"small": Figures([2.0]), "large": Figures([5.0])}
    faces.note_growth(figures)
    assert figures["large"].notes == ["takes 2.5 times as long"]


def test_new_faces_of_a_folder_and_of_the_public_network(toy_faces):
    workload = new_faces.prepare_toonify(2, str(toy_faces))
    assert workload.amounts == {"faces": 2} and len(workload.run()) == 2
    published = new_faces.prepare_published(2, z_dim=6, channels=(8, 8, 8, 4))
    assert published.note == new_faces.RANDOM
    published.run()


def test_limits_report_their_amounts():
    workloads = [
        limits.matmul("float32", 32),
        limits.conv_torch("float32", 8),
        limits.copying(4096),
    ]
    for workload in workloads:
        workload.run()
    flop = 2 * 8 * 9 * 128 * 128 * 8 * 8
    assert [next(iter(workload.amounts.values())) for workload in workloads] == pytest.approx(
        [2 * 32**3 / 1e12, flop / 1e12, 8192 / 1e9]
    )
    limits.conv_openvino("f32", 8).run()


def test_videos_are_left_out_where_there_is_no_module_for_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "toonify.pipelines.video", None)
    with pytest.raises(Unavailable, match="draws no videos"):
        video.prepare_toonify("comic", 2, (64, 48), "best")


def test_the_baseline_draws_a_video(toy_style):
    for short_side in (0, 24):
        workload = video.prepare_baseline(str(toy_style), 2, (64, 48), short_side)
        workload.run()
        assert workload.amounts == {"frames": 2}


def test_whole_processes_are_timed_and_their_failure_is_an_error():
    took = start.run_process(("-c", "import time; time.sleep(0.1)"), {})
    assert took.seconds > 0.1 and took.peak_mb > 1
    with pytest.raises(start.subprocess.CalledProcessError):
        start.run_process(("-c", "raise SystemExit(3)"), {})


def test_a_cold_cache_is_new_each_time_and_a_warm_one_stays(tmp_path):
    script = (
        "import os, sys; from pathlib import Path;"
        "seen = Path(os.environ['TOONIFY_CACHE'], 'seen');"
        "Path(sys.argv[1]).open('a').write('yes ' if seen.exists() else 'no ');"
        "seen.parent.mkdir(exist_ok=True); seen.touch()"
    )
    for cache, expected in (("cold", "no no "), ("warm", "no yes ")):
        log = tmp_path / cache
        workload = start.first_photo(script, str(log), cache)
        workload.run(), workload.run()
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
    assert train_toongan.train_baseline(4, 1, 64) > 0
    assert train_toongan.train_toonify(4, 2, 64) > 0
