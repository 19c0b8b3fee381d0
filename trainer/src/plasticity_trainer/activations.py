"""Σx² per input channel of every matrix: what llama.cpp's imatrix files hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from . import distributed
from .examples import Batch
from .matrices import ModelMatrices


class ActivationSums:
    """Squares of what matrices read, summed in double. :meth:`observe` says what the next forward pass is of; a
    second pass over the same activations, as gradient checkpointing makes, is not counted."""

    def __init__(self, matrices: ModelMatrices) -> None:
        self._sums: dict[int, tuple[list[str], npt.NDArray[np.float64]]] = {}
        self._counts: dict[int, int] = {}
        self._rows: tuple[Tensor, Tensor] | None = None
        self._waiting: set[int] = set()
        self._handles: list[RemovableHandle] = []
        for layer in matrices.layers:
            if layer.input_of:
                self._attach(layer.module, layer.input_of, layer.n_inputs, is_head=False)
        self._attach(matrices.head, [matrices.output_name], matrices.width, is_head=True)

    def observe(self, batch: Batch, n_counted: int) -> None:
        """Counts the first `n_counted` examples of the batch in the next forward pass."""
        position = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        lengths = torch.tensor(batch.lengths, device=batch.tokens.device)
        lengths[n_counted:] = 0
        # The last position of an example predicts nothing, so the output matrix does not see it.
        self._rows = (position < lengths[:, None], position < lengths[:, None] - 1)
        self._waiting = set(self._sums)

    def reduce(self) -> None:
        """Adds up the sums of all ranks, on all of them. Call once, at the end."""
        for key, (names, sums) in self._sums.items():
            total = distributed.sum_over_ranks(np.append(sums, self._counts[key]))
            self._sums[key], self._counts[key] = (names, total[:-1]), round(total[-1])

    def by_matrix(self) -> dict[str, tuple[npt.NDArray[np.float64], int]]:
        """Of every matrix, by GGUF's name: [columns] Σx², and over how many tokens."""
        return {name: (sums, self._counts[key]) for key, (names, sums) in self._sums.items() for name in names}

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _attach(self, module: nn.Module, names: list[str], n_channels: int, *, is_head: bool) -> None:
        key = len(self._sums)
        self._sums[key] = (names, np.zeros(n_channels))
        self._counts[key] = 0
        self._handles.append(module.register_forward_pre_hook(self._counting(key, is_head)))

    def _counting(self, key: int, is_head: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if self._rows is None or key not in self._waiting:
                return
            self._waiting.discard(key)
            rows = inputs[0].detach()[self._rows[1 if is_head else 0]]
            sums = self._sums[key][1]
            sums += rows.float().square().sum(0, dtype=torch.float64).cpu().numpy()
            self._counts[key] += len(rows)

        return hook
