"""The diagonal Fisher information of every matrix as row and column sums, from labels drawn from the model itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from . import distributed
from .examples import Example, collate
from .matrices import LOOKUP, LinearLayer, ModelMatrices, model_matrices
from .sampling import draw_labels, example_seed

#: Entries of a weight gradient that exist at once, in F32.
_GRADIENT_ENTRIES = 1 << 24
#: Rows of logits that exist in double at once.
_ROWS = 64


@dataclass
class CurvatureSums:
    """F_rc = Σ over sequences of (∂L/∂W_rc)², L the summed cross-entropy of drawn labels, in nats."""

    rows: npt.NDArray[np.float64]
    """[rows] Σ over columns of F"""
    columns: npt.NDArray[np.float64]
    """[columns] Σ over rows of F"""
    gates: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Σ over sequences of (∂L/∂gate)², of an attention output [query heads], of down [channels]; else empty"""
    count: int = 0
    """targets that labels were drawn for"""


class CurvatureCollector:
    """Backpropagates examples from drawn labels. What is drawn for an example depends on the seed and its tokens
    alone; the draws are the native scorer's. A matrix' gradient is made some rows at a time and squared at once."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        """:param model: of transformers, adapters of peft or not, sharded or not; not wrapped by DDP"""
        self._model = model
        self._seed = seed
        self._matrices: ModelMatrices = model_matrices(model)
        self._counted = False
        self.sums: dict[str, CurvatureSums] = {}
        for layer in self._matrices.layers:
            for matrix in layer.matrices:
                self.sums[matrix.name] = CurvatureSums(
                    np.zeros(matrix.n_rows), np.zeros(layer.n_inputs), np.zeros(layer.n_gates)
                )
        for name in (self._matrices.output_name, LOOKUP):
            self.sums[name] = CurvatureSums(np.zeros(self._matrices.n_vocab), np.zeros(self._matrices.width))

    def collect(self, examples: Sequence[Example], every: int, device: torch.device) -> None:
        """One example of so many, shared among ranks; afterwards the sums are those of all ranks."""
        with self._observed():
            for chosen, n_counted in distributed.rounds_of(range(0, len(examples), every), 1):
                self._counted = n_counted > 0
                self._backpropagate(examples[chosen[0]], device)
        self._reduce()

    def _backpropagate(self, example: Example, device: torch.device) -> None:
        batch = collate([example]).to(device)
        logits = self._model(input_ids=batch.tokens, use_cache=False).logits[0, :-1]
        wanted = batch.targets[0, 1:]
        uniforms_of = example_seed(self._seed, example.tokens)
        positions = wanted.nonzero()[:, 0]
        gradient = torch.zeros_like(logits)
        for rows in positions.split(_ROWS):
            p = logits.detach()[rows].double().softmax(-1)
            if self._counted:
                self._add_output(p, rows)
            labels = draw_labels(p, uniforms_of, (rows + 1).tolist())
            p.scatter_add_(1, labels[:, None], -torch.ones_like(p[:, :1]))
            gradient[rows] = p.to(gradient.dtype)
        logits.backward(gradient)
        if self._counted:
            for sums in self.sums.values():
                sums.count += example.n_targets
            self._add_lookup(batch.tokens[0])

    @contextlib.contextmanager
    def _observed(self) -> Iterator[None]:
        """Nothing is trained and nothing dropped out; every layer's input and gradients are seen."""
        was_training = self._model.training
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        handles: list[RemovableHandle] = []
        self._model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            handles.append(self._matrices.embedding.register_forward_hook(self._keep_embedded))
            handles.append(self._matrices.head.register_forward_pre_hook(self._keep_hidden))
            handles += [layer.module.register_forward_hook(self._watching(layer)) for layer in self._matrices.layers]
            yield
        finally:
            for handle in handles:
                handle.remove()
            for parameter in trained:
                parameter.requires_grad_(True)
            self._model.train(was_training)

    def _keep_embedded(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        self._embedded = output.requires_grad_()

    def _keep_hidden(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._hidden = inputs[0].detach()[0]

    def _watching(self, layer: LinearLayer) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not self._counted or not output.requires_grad:
                return
            read = inputs[0]
            output.register_hook(lambda slope: self._add_weight(layer, read.detach()[0], slope[0]))
            if layer.n_gates:
                read.register_hook(lambda slope: self._add_gates(layer, read.detach()[0], slope[0]))

        return hook

    def _add_weight(self, layer: LinearLayer, read: Tensor, slope: Tensor) -> None:
        """:param read: [tokens, columns] :param slope: [tokens, rows] ∂L/∂output"""
        read = read.float()
        step = max(1, _GRADIENT_ENTRIES // layer.n_inputs)
        for matrix in layer.matrices:
            sums = self.sums[matrix.name]
            for first in range(0, matrix.n_rows, step):
                n = min(step, matrix.n_rows - first)
                start = matrix.first_row + first
                squares = (slope[:, start : start + n].float().T @ read).square()
                sums.rows[first : first + n] += _double(squares.sum(1, dtype=torch.float64))
                sums.columns += _double(squares.sum(0, dtype=torch.float64))

    def _add_gates(self, layer: LinearLayer, read: Tensor, slope: Tensor) -> None:
        """:param read, slope: [tokens, columns] what the layer reads and ∂L/∂ that"""
        of_channels = (read.double() * slope.double()).sum(0)
        self.sums[layer.matrices[0].name].gates += _double(of_channels.reshape(layer.n_gates, -1).sum(1).square())

    def _add_output(self, p: Tensor, rows: Tensor) -> None:
        """The output matrix needs no draws: the expected square of softmax - one-hot is p (1 - p).

        :param p: [n, vocabulary] at the positions `rows`
        """
        hidden = self._hidden[rows].double()
        bends = p * (1 - p) / self._matrices.logit_divisor**2
        sums = self.sums[self._matrices.output_name]
        sums.rows += _double(hidden.square().sum(1) @ bends)
        sums.columns += _double(bends.sum(1) @ hidden.square())

    def _add_lookup(self, tokens: Tensor) -> None:
        """A token's row takes the gradients of all its positions together."""
        assert self._embedded.grad is not None
        scale = getattr(self._matrices.embedding, "embed_scale", 1.0)
        slopes = self._embedded.grad[0].double() * scale
        ids, place = tokens.unique(return_inverse=True)
        gathered = torch.zeros(len(ids), slopes.shape[1], dtype=slopes.dtype, device=slopes.device)
        squares = gathered.index_add_(0, place, slopes).square()
        sums = self.sums[LOOKUP]
        sums.rows[ids.cpu().numpy()] += _double(squares.sum(1))
        sums.columns += _double(squares.sum(0))

    def _reduce(self) -> None:
        for sums in self.sums.values():
            ends = np.cumsum([len(sums.rows), len(sums.columns), len(sums.gates)])
            whole = np.concatenate([sums.rows, sums.columns, sums.gates, [sums.count]])
            sums.rows, sums.columns, sums.gates, count = np.split(distributed.sum_over_ranks(whole), ends)
            sums.count = round(float(count[0]))


def _double(values: Tensor) -> npt.NDArray[np.float64]:
    return values.to("cpu", torch.float64).numpy()
