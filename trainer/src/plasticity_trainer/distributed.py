"""What ranks exchange, and which examples each of them takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist


def rank_and_size() -> tuple[int, int]:
    """(0, 1) where there is one process."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def sum_over_ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Sums elementwise, in double. Every rank must call it, with as many values, and gets the sum."""
    return _all_reduced(np.asarray(values, dtype=np.float64), dist.ReduceOp.SUM)


def maximum_over_ranks(value: int) -> int:
    """Every rank must call it, and gets the largest."""
    return int(_all_reduced(np.array([value], dtype=np.float64), dist.ReduceOp.MAX)[0])


def _all_reduced(values: npt.NDArray[np.float64], operation: dist.ReduceOp.RedOpType) -> npt.NDArray[np.float64]:
    if rank_and_size()[1] == 1:
        return values
    # NCCL moves what lies on a GPU only.
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    tensor = torch.from_numpy(values.copy()).to(device)
    dist.all_reduce(tensor, op=operation)
    return tensor.cpu().numpy()


def rounds_of(group: Sequence[int], batch: int) -> list[tuple[list[int], int]]:
    """This rank's share of a group of examples, as batches: (examples, how many of them count).

    All ranks get as many batches, since each of them waits for the others in every pass of a sharded model. A rank
    that runs out repeats the group's last example, which then does not count.
    """
    rank, size = rank_and_size()
    own = list(group[rank::size])
    n_rounds = -(-len(group) // (size * batch))
    rounds = []
    for first in range(0, n_rounds * batch, batch):
        chosen = own[first : first + batch]
        rounds.append((chosen, len(chosen)) if chosen else ([group[-1]], 0))
    return rounds
