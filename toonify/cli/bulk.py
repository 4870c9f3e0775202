"""`toonify photo --engine ray`: draws photos on all nodes of a Ray cluster.

A task is a few photos, or a row group of a Parquet file. The actors of a pool open the pipeline
once each, read the photos of their tasks, and write the drawings, so that nothing but names and
reports goes through the cluster. A drawing that is there is not drawn again: after a node was lost,
its tasks are repeated elsewhere, and what it had finished stays.
"""

import contextlib
import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import click

from toonify import files, images
from toonify.cli import buckets, options, paths, results
from toonify.cli.artist import Artist, Work, check_work, join
from toonify.cli.drawing import Tally

TASK_SIZES = (16, 16, 1)  # photos in a task, of what is left each time
MAX_BLOCKS = 10_000  # of a data set: Ray Data keeps some state for each
MAX_RETRIES = 3  # of a task whose process or node was lost
MAX_CORES = 4  # of an actor: more gain less than another actor does
LOST = "the processes that drew it ended; run this again for the rest"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Photos and Parquet files, each with the file or folder of its drawings.

    `failures` has the inputs that mean nothing, with the reason.
    """

    photos: dict[str, str]
    tables: dict[str, str]
    failures: dict[str, str]


def draw(inputs: Sequence[str], output: str, recursive: bool, work: Work, tally: Tally) -> None:
    """Draws photos on a Ray cluster, and adds what became of them to `tally`.

    The cluster is that of RAY_ADDRESS or the one that runs on this machine; without one, this
    machine is used alone.

    Args:
        inputs: photos, folders, globs, URLs and Parquet files.
        output: a folder that all nodes see, or a URL.
        recursive: whether deeper folders are searched too.
        work: what is drawn, and how.
        tally: counts and prints.

    Raises:
        click.ClickException: Ray is not installed, the options do not fit, or the cluster fails.
    """
    with options.reported():
        plan = make_plan(inputs, output, recursive, work.alpha)
        there = set() if work.overwrite else find_existing(plan.photos.values(), output)
    for source, why in plan.failures.items():
        tally.add(results.FAILED, input=source, output=None, error=why)
    for source, target in plan.photos.items():
        if target in there:
            tally.add(results.SKIPPED, input=source, output=target)
    waiting = {s: target for s, target in plan.photos.items() if target not in there}
    if not (waiting or plan.tables):
        return
    ray_prints = contextlib.redirect_stdout(sys.stderr)  # stdout is for programs
    with ray_prints, connect() as ray, finished_files(waiting.values()) as written:
        pool = size_pool(ray.nodes(), work.values["device"])
        check_on_worker(ray, work, pool)
        total = len(waiting) if not plan.tables else None
        for about in show_progress(draw_all(waiting, plan.tables, work, pool), total):
            if about["status"] == results.SKIPPED and about["input"] in waiting:
                about |= {"status": results.DRAWN, "notes": ["drawn before its node was lost"]}
            if not buckets.is_url(about["output"]):
                written.append(about["output"])
            tally.add(**about)
    tally.print_faces()


def make_plan(inputs: Sequence[str], output: str, recursive: bool, alpha: bool) -> Plan:
    """Which photo is drawn into which file.

    Raises:
        click.UsageError: the output is no folder, or a photo would be replaced.
        OSError: a bucket cannot be read.
        ValueError: no installed package reads such URLs.
    """
    if output.startswith("hf://"):
        raise ValueError(
            f"--output {output!r}: each file would be a commit on the Hub; expected a folder or a"
            " bucket, which `hf upload` publishes as a whole"
        )
    output = buckets.normalize(output)
    if not buckets.is_url(output):
        paths.check_folder(output)
    found: dict[str, PurePath] = {}  # folders below OUT, by source
    failures: dict[str, str] = {}
    for text in dict.fromkeys(map(buckets.normalize, inputs)):
        if buckets.is_url(text):
            listed: list[tuple[str, PurePath]]
            listed = [(url, below.parent) for url, below in buckets.find(text, recursive)]
            if output.startswith(f"{text.rstrip('/')}/"):  # drawings are not drawn again
                listed = [item for item in listed if not item[0].startswith(f"{output}/")]
            if not listed:
                failures[text] = "no photo there"
        else:
            listed, missing = find_local(text, output, recursive)
            failures |= missing
        for source, folder in listed:
            found.setdefault(source, folder)
    tables = {source: at for source, at in found.items() if source.endswith(buckets.PARQUET)}
    photos = [(source, at) for source, at in found.items() if source not in tables]
    names = paths.name_results([(PurePosixPath(source), at) for source, at in photos], alpha)
    targets = [join(output, name) for name in names]
    if replaced := found.keys() & set(targets):
        raise click.UsageError(
            f"--output {output!r}: {min(replaced)} is one of the photos, and photos are never"
            " replaced; choose another folder"
        )
    folders = images.name_uniquely(join(output, at / PurePath(s).stem) for s, at in tables.items())
    pairs = zip(photos, targets, strict=True)
    return Plan(
        {source: target for (source, _), target in pairs},
        dict(zip(tables, folders, strict=True)),
        failures,
    )


def find_local(
    text: str, output: str, recursive: bool
) -> tuple[list[tuple[str, PurePath]], dict[str, str]]:
    """As `paths.search` for one input, with Parquet files too, by absolute paths."""
    tables: list[tuple[str, PurePath]] = []
    for path in paths.expand(text):
        if path.is_dir():
            pattern = f"{'**/' * recursive}*{buckets.PARQUET}"
            tables += [(str(f.absolute()), f.parent.relative_to(path)) for f in path.glob(pattern)]
        elif path.suffix == buckets.PARQUET:
            tables.append((str(path.absolute()), PurePath()))
    photos, failures = paths.search([text], Path(output), recursive)
    listed: list[tuple[str, PurePath]] = [
        (str(path.absolute()), at) for path, at in photos if path.suffix != buckets.PARQUET
    ]
    return listed + sorted(tables), {} if tables else failures


def find_existing(targets: Iterable[str], output: str) -> set[str]:
    """Those of the targets that exist."""
    output = buckets.normalize(output)
    if not buckets.is_url(output):
        return {target for target in targets if os.path.lexists(target)}
    return buckets.list_folder(output).intersection(targets)


@contextlib.contextmanager
def finished_files(targets: Iterable[str]) -> Iterator[list[str]]:
    """Removes what killed processes left beside local targets, before and after the block.

    It yields a list to which the block adds more targets.
    """
    targets = list(targets)
    files.discard_unfinished(Path(t) for t in targets if not buckets.is_url(t))
    try:
        yield targets
    finally:
        files.discard_unfinished(Path(t) for t in set(targets) if not buckets.is_url(t))


# The cluster ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pool:
    """The actors of a cluster: what Ray reserves for each, their cores, and how many fit."""

    resources: dict[str, float]
    cores: int
    size: int


@contextlib.contextmanager
def connect() -> Iterator[Any]:
    """The module ray, connected to a cluster; what this process started is ended afterwards."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # this app sends no telemetry
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise click.UsageError(
            f"--engine ray: {error.name} is not installed; run `pip install 'toonify[ray]'`"
        ) from error
    started = not ray.is_initialized()
    try:
        if started:
            # A checkout that is not installed; on other machines this folder need not exist.
            variables = {"PYTHONPATH": f"{files.PACKAGE.parent}{os.pathsep}${{PYTHONPATH}}"}
            ray.init(
                logging_level="ERROR", log_to_driver=False, runtime_env={"env_vars": variables}
            )
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # lost tasks are repeated
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # photos without a report are drawn again, or failures
        yield ray
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise click.ClickException(f"Ray: {str(error).splitlines()[0]}") from error
    finally:
        if started:
            ray.shutdown()


def size_pool(nodes: list[dict], device: str) -> Pool:
    """The actors that fit on nodes: one for each GPU, or else for every few cores.

    Args:
        nodes: as `ray.nodes()` lists them.
        device: "auto", "cpu" or "cuda".

    Raises:
        click.UsageError: there is no such device.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    hosts = [resources for resources in alive if resources.get("GPU", 0) >= 1]
    if device not in ("auto", "cpu", "cuda"):
        raise click.UsageError(
            f"--device {device}: with --engine ray expected auto, cpu or cuda; Ray chooses the GPU"
        )
    if hosts and device != "cpu":
        cores = max(1, min(int(host.get("CPU", 1) // host["GPU"]) for host in hosts))
        return Pool({"num_gpus": 1}, cores, sum(int(host["GPU"]) for host in hosts))
    if device == "cuda":
        raise click.UsageError("--device cuda: no node of the Ray cluster has a GPU")
    counts = [int(resources["CPU"]) for resources in alive if resources.get("CPU", 0) >= 1]
    if not counts:
        raise click.ClickException("no node of the Ray cluster has a core")
    cores = min(*counts, MAX_CORES)
    return Pool({"num_cpus": cores}, cores, sum(count // cores for count in counts))


def check_on_worker(ray: Any, work: Work, pool: Pool) -> None:
    """Opens the pipeline once on a node, so that a wrong option is reported in its own words."""
    check = ray.remote(max_calls=1, **pool.resources)(check_work)
    with options.reported():
        try:
            ray.get(check.remote(work, pool.cores))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


def draw_all(
    photos: dict[str, str], tables: dict[str, str], work: Work, pool: Pool
) -> Iterator[dict[str, Any]]:
    """Draws photos and Parquet files, and yields what became of each photo.

    Tasks without a report, whose processes or nodes were lost, are repeated; in the end photos are
    drawn one by one, so that one that ends processes takes no others with it.
    """
    left = dict(photos)
    for size in TASK_SIZES:
        names = list(left)
        shares = [names[i : i + size] for i in range(0, len(names), size)]
        tasks = [dict(sources=s, targets=[left[n] for n in s], group=-1, groups=0) for s in shares]
        for report in run(tasks, work, pool):
            for about in map(json.loads, report["results"]):
                left.pop(about["input"], None)
                yield about
    for source, target in left.items():
        yield dict(status=results.FAILED, input=source, output=target, error=LOST)
    yield from draw_tables(tables, work, pool)


def draw_tables(tables: dict[str, str], work: Work, pool: Pool) -> Iterator[dict[str, Any]]:
    """Draws Parquet files, and yields what became of each photo; a lost group is a failure."""
    left = dict.fromkeys(tables, 1)  # row groups without a report; 1: unknown
    seen: dict[str, set[int]] = {source: set() for source in tables}
    for _ in TASK_SIZES:
        items = [{"source": s, "target": tables[s]} for s, count in left.items() if count]
        for report in run(items, work, pool, list_groups):
            [source], group = report["sources"], report["group"]
            if group in seen[source]:  # repeated beside those that were lost
                continue
            seen[source].add(group)
            left[source] = report["groups"] - len(seen[source])
            yield from map(json.loads, report["results"])
    for source, count in left.items():
        if count:
            about = dict(status=results.FAILED, input=source, output=tables[source])
            yield about | {"error": f"row groups left: {count}; {LOST}"}


def list_groups(table: dict[str, str]) -> list[dict[str, Any]]:
    """The tasks of a Parquet file, one for each row group; a single one with an `error` if there
    are none."""
    common = {"sources": [table["source"]], "targets": [table["target"]], "error": ""}
    try:
        rows = buckets.count_rows(table["source"])
        if not rows:
            raise ValueError(f"{table['source']}: no rows")
    except (OSError, ValueError) as error:
        return [common | {"group": 0, "groups": 1, "first": 0, "error": str(error)}]
    return [
        common | {"group": i, "groups": len(rows), "first": sum(rows[:i])} for i in range(len(rows))
    ]


def run(
    tasks: list[dict], work: Work, pool: Pool, split: Callable | None = None
) -> Iterator[dict[str, Any]]:
    """Gives tasks to a pool of actors, and yields their reports as they come.

    Args:
        tasks: rows of a data set.
        work: what the actors do.
        pool: the actors.
        split: makes several tasks of each row; None: the rows are tasks.
    """
    if not tasks:
        return
    import ray.data

    data = ray.data.from_items(tasks, override_num_blocks=min(len(tasks), MAX_BLOCKS))
    if split is not None:
        data = data.flat_map(split, compute=ray.data.TaskPoolStrategy(size=4), num_cpus=0)
    with warnings.catch_warnings():
        # Until Ray 2.64, below which pyproject.toml keeps it, nothing else limits retries.
        warnings.simplefilter("ignore", DeprecationWarning)
        reports = data.map(
            Artist,
            fn_constructor_args=(work, pool.cores),
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=pool.size),
            ray_remote_args_fn=limit_retries,
            **pool.resources,
        )
    yield from reports.iter_rows()


def limit_retries() -> dict[str, int]:
    """How often a task is repeated, as a photo that ends its process must not do so for ever."""
    return {"max_task_retries": MAX_RETRIES}


def show_progress(outcomes: Iterable[dict], total: int | None) -> Iterator[dict]:
    """The same, with a bar on a terminal."""
    from tqdm import tqdm

    return iter(tqdm(outcomes, total=total, unit="photo", disable=None, file=sys.stderr))
