"""Which of several processes this is, as `accelerate launch`, `torchrun` or `mpirun` told it.

Read from the environment, so that a command that nobody launched imports nothing for it.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

# The names that accelerate goes by: torchrun's, Intel's and MPICH's, Open MPI's, MVAPICH's.
RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
WORLD = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
LOCAL_RANK = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK")
LOCAL_RANK += ("MV2_COMM_WORLD_LOCAL_RANK",)
LOCAL_WORLD = ("LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
LOCAL_WORLD += ("MV2_COMM_WORLD_LOCAL_SIZE",)

LONGEST_WAIT = datetime.timedelta(hours=12)  # for processes that have more to do


@dataclasses.dataclass(frozen=True)
class Place:
    """Process `rank` of `world`, and `local_rank` of the `local_world` on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `world`-th item, beginning at `rank`: the shares are disjoint and hold them all.

        Neighbours go to different processes, since photos that are alike often lie together.
        """
        return list(items[self.rank :: self.world])


def place() -> Place:
    """This process's place; one that nobody launched is alone.

    Raises ValueError where the environment contradicts itself.
    """
    world, rank = number(WORLD), number(RANK)
    if (world is None) != (rank is None):
        there, missing = ("WORLD_SIZE", "RANK") if rank is None else ("RANK", "WORLD_SIZE")
        raise ValueError(f"{there} is set and {missing} is not: expected both, or neither")
    if world is None:
        return Place()
    if not 0 <= rank < world:
        raise ValueError(f"RANK={rank}, WORLD_SIZE={world}: expected a rank from 0 to {world - 1}")
    return Place(rank, world, *local_place())


def local_place() -> tuple[int, int]:
    """This process's number among those on this machine, and how many they are."""
    rank, world = number(LOCAL_RANK) or 0, number(LOCAL_WORLD) or 1
    if rank >= world:  # a launcher that says the one and not the other
        world = rank + 1
    return rank, world


def number(names: Sequence[str]) -> int | None:
    """The first of these environment variables that is set; ValueError if it is no number."""
    for name in names:
        text = os.environ.get(name, "")
        if text.isascii() and text.isdecimal():
            return int(text)
        if text:
            raise ValueError(f"{name}={text!r}: expected a whole number, 0 or more")
    return None


def add_up(counts: Sequence[int], at: Place) -> list[int] | None:
    """The sum of every process's counts, when all have come here; None if one did not.

    A launcher ends all processes when one ends with a failure, so none may end before the others
    are done. Those that were started by hand, without MASTER_ADDR and MASTER_PORT, do not wait for
    each other: of them, and of one alone, the own counts come back.
    """
    if at.world == 1 or not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return list(counts)
    import torch
    from torch import distributed

    total = torch.tensor(counts)
    try:
        with group(at, distributed):
            distributed.all_reduce(total)
    except RuntimeError:  # torch's DistError: somebody did not come, or went away
        return None
    return total.tolist()


@contextlib.contextmanager
def group(at: Place, distributed) -> Iterator[None]:
    """The processes, connected over gloo: what is exchanged is small, and none needs a GPU."""
    distributed.init_process_group("gloo", rank=at.rank, world_size=at.world, timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        distributed.destroy_process_group()
