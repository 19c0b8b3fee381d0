"""Labels drawn from the model's own distribution, by the native scorer's generator: the same draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def example_seed(seed: int, tokens: npt.NDArray[np.int32]) -> int:
    """FNV-1a (Fowler, Noll & Vo) over the token ids, begun with the seed."""
    digest = 0xCBF29CE484222325 ^ seed
    for token in tokens.tolist():
        digest = ((digest ^ token) * 0x100000001B3) & _MASK
    return digest


def uniform_at(seed: int, index: int) -> float:
    """The number at place `index` of the sequence that SplitMix64 (Steele, Lea & Flood 2014) begins at `seed`, in
    [0, 1)."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return float((z ^ (z >> 31)) >> 11) * 2.0**-53


def draw_labels(p: Tensor, seed: int, places: Sequence[int]) -> Tensor:
    """:param p: [n, vocabulary] probabilities, F64 :param places: [n] of the labels in their example
    :returns: [n] ids: the first at which the sum of probabilities exceeds a uniform number's share of all"""
    uniforms = torch.tensor([uniform_at(seed, place) for place in places], dtype=p.dtype, device=p.device)
    below = p.cumsum(-1)
    labels = torch.searchsorted(below, (uniforms * below[:, -1])[:, None], right=True).squeeze(1)
    return labels.clamp_(max=p.shape[1] - 1)
