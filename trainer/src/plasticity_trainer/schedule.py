"""Which examples a step takes, and how large it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


def step_groups(n_examples: int, examples_per_step: int) -> list[range]:
    """In the data's order; the last step takes what is left."""
    return [
        range(first, min(first + examples_per_step, n_examples)) for first in range(0, n_examples, examples_per_step)
    ]


@dataclass(frozen=True)
class LearningRate:
    """Linear warm-up over ⌈warmup · steps⌉ steps, then a cosine to 0."""

    peak: float
    warmup: float
    """share of the steps, 0 to 1"""
    n_steps: int

    def at(self, step: int) -> float:
        """:param step: 0 to n_steps - 1"""
        n_warm = math.ceil(self.warmup * self.n_steps)
        if step < n_warm:
            return self.peak * step / n_warm
        return self.peak * 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, self.n_steps - n_warm)))


def hold_out(n_examples: int, every: int) -> tuple[list[int], list[int]]:
    """:param every: example i is held out where i mod every = every - 1; 0: none is
    :returns: indices that are learnt from, and those that are not"""
    held_out = list(range(every - 1, n_examples, every)) if every else []
    kept = [index for index in range(n_examples) if not every or index % every != every - 1]
    return kept, held_out
