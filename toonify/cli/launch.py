"""Several processes of one command, started by a launcher or by hand with RANK and WORLD_SIZE."""

import dataclasses
import datetime
import os
import warnings
from collections.abc import Sequence

import click

# The variables that launchers set: torchrun and accelerate, Intel MPI and MPICH, Open MPI, MVAPICH.
SIZES = {
    "RANK": "WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",
}
MAX_WAIT = datetime.timedelta(hours=12)  # for processes that have more to do


@dataclasses.dataclass(frozen=True)
class Place:
    """Process `rank` of `world`; on its machine it has the number `local_rank`."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def share(self, items: list) -> list:
        """Every `world`-th item from `rank` on: similar photos, often neighbors, are spread."""
        return items[self.rank :: self.world]


def find_place() -> Place:
    """The place of this process; a process without a launcher is alone.

    Raises:
        click.UsageError: the environment contradicts itself.
    """
    launched = False
    for rank, size in SIZES.items():
        values = {name: os.environ[name] for name in (rank, size) if os.environ.get(name)}
        if len(values) == 1:
            [given] = values
            missing = size if given == rank else rank
            raise click.UsageError(
                f"{given} is set and {missing} is not: expected both, or neither"
            )
        for name, value in values.items():
            if not (value.isascii() and value.isdecimal()):
                raise click.UsageError(f"{name}={value!r}: expected a whole number, 0 or more")
        launched |= bool(values)
    if not launched:
        return Place()
    from accelerate.utils import get_cpu_distributed_information  # takes seconds

    found = get_cpu_distributed_information()
    if found.rank >= found.world_size:
        raise click.UsageError(
            f"RANK={found.rank}, WORLD_SIZE={found.world_size}: expected a rank from 0 to"
            f" {found.world_size - 1}"
        )
    return Place(found.rank, found.world_size, found.local_rank)


def add_up(counts: Sequence[int], place: Place) -> list[int] | None:
    """The sums of the counts of all processes, once all are here; None if one did not come.

    A launcher ends all processes when one fails, so each waits for the others. Processes that were
    started by hand, without MASTER_ADDR, do not: each gets its own counts.
    """
    if place.world == 1 or not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return list(counts)
    from accelerate import PartialState
    from accelerate.utils import gather_object

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="accelerate")  # advice on OMP_NUM_THREADS
            state = PartialState(cpu=True, timeout=MAX_WAIT)
        gathered = gather_object([tuple(counts)])
        state.destroy_process_group()
    except RuntimeError:  # torch's DistError: another process did not come, or went away
        return None
    return [sum(column) for column in zip(*gathered, strict=True)]
