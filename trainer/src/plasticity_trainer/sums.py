"""Sums over examples, on one rank and over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import distributed
from .artifact import Rows
from .errors import ErrorKind, TrainerError

#: Weight of the newest example in the moving average.
MOVING_AVERAGE_WEIGHT = 0.1


@dataclass
class GateSums:
    """Sums of gate gradients, in double, of the examples that this rank saw.

    The moving average m ← 0.9 m + 0.1 |g|, begun with the first |g|, is linear in the |g|: with the place of an
    example among all of them known, each rank sums its own share, and the shares add up to what one process gives.
    """

    head_counts: list[int]
    """[layer] query heads"""

    def __post_init__(self) -> None:
        n_heads = sum(self.head_counts)
        self.absolute: npt.NDArray[np.float64] = np.zeros(n_heads)
        self.signed: npt.NDArray[np.float64] = np.zeros(n_heads)
        self.average: npt.NDArray[np.float64] = np.zeros(n_heads)
        self.n_averaged = 0
        self.n_examples = 0
        self.n_tokens = 0
        self.loss_sum = 0.0

    def add(self, gates: Sequence[npt.NDArray[np.float64]], *, loss: float, n_targets: int, index: int) -> None:
        """Adds one example.

        :param gates: [layer][query head] ∂L/∂gate, L the mean cross-entropy of the example's targets
        :param index: its place among the examples of all ranks, each call's behind the last one's
        :raises TrainerError: where a gradient is not finite
        """
        flat = np.concatenate(list(gates))
        if not np.isfinite(flat).all():
            layer, head = self._place_of(int(np.flatnonzero(~np.isfinite(flat))[0]))
            raise TrainerError(
                ErrorKind.MALFORMED,
                f"the gradient at layer {layer}, head {head} is not finite in example {index}; expected a finite "
                "number. Are the weights sound? Try --dtype f32, or a lower --lr",
            )
        self.absolute += np.abs(flat)
        self.signed += flat
        self._age_to(index + 1)
        self.average += (1.0 if index == 0 else MOVING_AVERAGE_WEIGHT) * np.abs(flat)
        self.n_examples += 1
        self.n_tokens += n_targets
        self.loss_sum += loss

    def reduce(self) -> None:
        """Adds up the sums of all ranks, on all of them. Call once, at the end."""
        self._age_to(distributed.maximum_over_ranks(self.n_averaged))
        counts = [float(self.n_examples), float(self.n_tokens), self.loss_sum]
        total = distributed.sum_over_ranks(np.concatenate([self.absolute, self.signed, self.average, counts]))
        n = len(self.absolute)
        self.absolute, self.signed, self.average = total[:n], total[n : 2 * n], total[2 * n : 3 * n]
        self.n_examples, self.n_tokens, self.loss_sum = round(total[-3]), round(total[-2]), float(total[-1])

    def rows(self, flat: npt.NDArray[np.float64]) -> Rows:
        """[layer][query head] of what holds all heads behind one another."""
        return np.split(flat, np.cumsum(self.head_counts)[:-1])

    def _age_to(self, n_examples: int) -> None:
        self.average *= (1 - MOVING_AVERAGE_WEIGHT) ** (n_examples - self.n_averaged)
        self.n_averaged = n_examples

    def _place_of(self, at: int) -> tuple[int, int]:
        ends = np.cumsum(self.head_counts)
        layer = int(np.searchsorted(ends, at, side="right"))
        return layer, at - int(ends[layer] - self.head_counts[layer])
