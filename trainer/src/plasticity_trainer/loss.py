"""Cross-entropy of target tokens, exact enough for sums that cancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Rows of logits that exist in double at once.
_ROWS = 64


@dataclass(frozen=True)
class Prediction:
    """Losses of a batch of examples."""

    total: Tensor
    """scalar: Σ over examples of weight · mean cross-entropy of its targets; carries the gradient"""
    example_losses: Tensor
    """[examples] nats per target token, F64, without gradient"""


class _WeightedCrossEntropy(torch.autograd.Function):
    """Softmax in double, a few rows at a time: in F32 its sum over 10⁵ tokens is off by 10⁻⁵, which the cancelling
    sums of gate gradients turn into 10⁻³. The logits' gradient is made at once, so that no probabilities are kept."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """:param logits: [n, vocabulary] :param labels: [n] :param weights: [n], F32 or F64: the precision to use"""
        gradient = torch.empty_like(logits)
        losses = torch.empty_like(weights)
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            picked = labels[rows, None]
            log_p = logits[rows].to(weights.dtype).log_softmax(-1)
            losses[rows] = -log_p.gather(1, picked).squeeze(1)
            slopes = log_p.exp_()
            slopes.scatter_add_(1, picked, -torch.ones_like(picked, dtype=slopes.dtype))
            gradient[rows] = slopes.mul_(weights[rows, None]).to(logits.dtype)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, total: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * total.to(gradient.dtype), None, None


def precise_dtype(device: torch.device) -> torch.dtype:
    """Double, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def target_loss(logits: Tensor, tokens: Tensor, targets: Tensor, weights: Tensor) -> Prediction:
    """Position i predicts token i + 1.

    :param logits: [examples, tokens, vocabulary]
    :param tokens: [examples, tokens] ids
    :param targets: [examples, tokens] bool: which tokens are to be predicted; the first of an example never is
    :param weights: [examples] of each example's mean in the total
    """
    precise = precise_dtype(logits.device)
    wanted = targets[:, 1:]
    counts = wanted.sum(1).to(precise)
    of_example = wanted.nonzero()[:, 0]
    total, losses = _WeightedCrossEntropy.apply(
        logits[:, :-1][wanted], tokens[:, 1:][wanted], (weights.to(precise) / counts)[of_example]
    )
    sums = torch.zeros_like(counts).index_add_(0, of_example, losses)
    return Prediction(total, sums / counts)
