"""Gradients of a loss with respect to gates, fixed at 1, on the outputs of query heads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .errors import ErrorKind, TrainerError
from .geometry import AttentionLayer, attention_layers


class GateGradientCapture:
    """Multiplies what every attention output projection reads by gates of ones, one a sequence and query head.

    After one forward pass and one backward pass, :meth:`collect` has the gradients that reached the gates; then the
    next pass may begin. Works with frozen weights and with adapters of peft, under DDP and FSDP, and with gradient
    checkpointing, whose second forward pass finds the same gates. Attach it once the adapters are in place. Passes
    without gradients (``torch.no_grad()``) are left alone::

        with GateGradientCapture(model) as capture:
            loss = mean_loss_of(model(input_ids=ids), ids)
            loss.backward()
            gates = capture.collect()        # [layer] of arrays [sequences, query heads]

    Not thread-safe.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers: list[AttentionLayer] = attention_layers(model)
        #: [layer] of [sequences, query heads], F32: of the pass that is going on
        self._gates: dict[int, Tensor] = {}
        self._handles: list[RemovableHandle] = [
            layer.output.register_forward_pre_hook(self._gated(layer)) for layer in self.layers
        ]

    @property
    def n_layers(self) -> int:
        """Blocks up to the last one with attention."""
        return self.layers[-1].index + 1

    @property
    def head_counts(self) -> list[int]:
        """[layer] query heads; 0 in a block without attention."""
        counts = {layer.index: layer.n_heads for layer in self.layers}
        return [counts.get(index, 0) for index in range(self.n_layers)]

    @property
    def kv_head_counts(self) -> list[int]:
        """[layer] KV groups."""
        counts = {layer.index: layer.n_kv_heads for layer in self.layers}
        return [counts.get(index, 0) for index in range(self.n_layers)]

    def collect(self) -> list[npt.NDArray[np.float64]]:
        """Takes the gradients of the pass that has just been made.

        :returns: [layer] of [sequences, query heads] ∂loss/∂gate
        :raises TrainerError: where no backward pass has reached a layer
        """
        gates, self._gates = self._gates, {}
        collected = [np.zeros((0, 0))] * self.n_layers
        for layer in self.layers:
            gate = gates.get(layer.index)
            if gate is None or gate.grad is None:
                raise TrainerError(
                    ErrorKind.USAGE,
                    f"no gradient has reached the gates of layer {layer.index}; expected one forward and one backward "
                    "pass of a model in which they are captured",
                )
            collected[layer.index] = gate.grad.to("cpu", torch.float64).numpy()
        n_sequences = collected[self.layers[0].index].shape[0]
        return [row if row.size else np.zeros((n_sequences, 0)) for row in collected]

    def discard(self) -> None:
        """Forgets the pass that was going on."""
        self._gates = {}

    def remove(self) -> None:
        """Takes the gates out of the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.discard()

    def __enter__(self) -> GateGradientCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _gated(self, layer: AttentionLayer) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...] | None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if not torch.is_grad_enabled():
                return None
            heads = inputs[0]
            gate = self._gate_of(layer, heads)
            by_head = heads.unflatten(-1, (layer.n_heads, -1))
            # In F32, so that sums over tokens and dimensions are not rounded to 16 bits; times one changes nothing.
            gated = (by_head * gate[:, None, :, None]).to(heads.dtype).flatten(-2)
            return (gated, *inputs[1:])

        return hook

    def _gate_of(self, layer: AttentionLayer, heads: Tensor) -> Tensor:
        gate = self._gates.get(layer.index)
        if gate is None or gate.shape[0] != heads.shape[0]:
            gate = torch.ones(heads.shape[0], layer.n_heads, device=heads.device, requires_grad=True)
            self._gates[layer.index] = gate
        return gate
