"""Gate gradients in anybody's `transformers.Trainer`."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from . import distributed
from .artifact import GateGradients, ScoreProvenance
from .capture import GateGradientCapture
from .errors import ErrorKind, TrainerError
from .geometry import text_config
from .loss import precise_dtype
from .sums import GateSums

_ROWS = 64
_IGNORED = -100


@dataclass
class _ExampleLosses:
    """Of one pass. [targets] each."""

    losses: Tensor
    """nats"""
    misses: Tensor
    """1 - probability of the label"""
    of_example: Tensor
    """which sequence of the batch"""
    n_sequences: int
    slopes: Tensor | None = None
    """∂(the trainer's loss)/∂(the label's logit), once it is known"""


class LossObserver:
    """Watches a model's logits and labels for what each example contributes to the loss.

    Trainers weigh examples by their tokens, by gradient accumulation, by the number of processes or by a scaler of
    gradients. As the loss is a weighted sum of cross-entropies, ∂loss/∂(logit of a target's label) is
    weight · (probability - 1), which tells the weight whatever it came from.
    """

    def __init__(self, model: nn.Module) -> None:
        """:param model: of transformers; its batches carry `labels`"""
        head = model.get_output_embeddings()  # type: ignore[operator]
        self._divisor = float(getattr(text_config(model), "logits_scaling", 1.0))
        self._labels: Tensor | None = None
        self._seen: _ExampleLosses | None = None
        self._handles: list[RemovableHandle] = [
            model.register_forward_pre_hook(self._keep_labels, with_kwargs=True),
            head.register_forward_hook(self._watch_logits),
        ]

    def collect(self) -> list[tuple[float, int, float]]:
        """Of the pass that has just been made, for each sequence: its mean cross-entropy, its number of targets, and
        the weight of that mean in the trainer's loss."""
        seen, self._seen = self._seen, None
        if seen is None or seen.slopes is None:
            raise TrainerError(
                ErrorKind.USAGE,
                "no gradient has reached the logits; expected batches with labels, and a loss of the model's logits",
            )
        counts, losses, misses, slopes = (
            torch.zeros(seen.n_sequences, dtype=seen.losses.dtype, device=seen.losses.device)
            .index_add_(0, seen.of_example, values)
            .cpu()
            for values in (torch.ones_like(seen.losses), seen.losses, seen.misses, seen.slopes)
        )
        weights = -slopes / misses.clamp_min(torch.finfo(misses.dtype).tiny) * counts
        return [
            (float(loss / count), int(count), float(weight)) if count else (0.0, 0, 0.0)
            for loss, count, weight in zip(losses, counts, weights, strict=True)
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _keep_labels(self, _: nn.Module, __: tuple[Any, ...], fields: dict[str, Any]) -> None:
        self._labels = fields.get("labels") if torch.is_grad_enabled() else None

    def _watch_logits(self, _: nn.Module, __: tuple[Any, ...], logits: Tensor) -> None:
        if self._labels is None or not torch.is_grad_enabled() or not logits.requires_grad:
            return
        labels = self._labels[:, 1:].to(logits.device)
        place = (labels != _IGNORED).nonzero()
        picked = labels[place[:, 0], place[:, 1]]
        precise = precise_dtype(logits.device)
        log_p = torch.empty(len(picked), dtype=precise, device=logits.device)
        for first in range(0, len(picked), _ROWS):
            rows = slice(first, first + _ROWS)
            some = logits.detach()[place[rows, 0], place[rows, 1]].to(precise) / self._divisor
            log_p[rows] = some.log_softmax(-1).gather(1, picked[rows, None]).squeeze(1)
        seen = _ExampleLosses(-log_p, -torch.expm1(log_p), place[:, 0], len(labels))
        self._seen = seen

        def keep_slopes(gradient: Tensor) -> None:
            seen.slopes = gradient[place[:, 0], place[:, 1], picked].to(precise) * self._divisor

        logits.register_hook(keep_slopes)


class GateGradientCallback(TrainerCallback):
    """Captures gate gradients while a `Trainer` trains, and writes gate_gradients.json when it has ended.

    Every sequence of a batch counts as an example, with the gradient of its own mean cross-entropy, whatever weight
    the trainer gives it. Adapters must be in place when training begins, and `Trainer` gets the callback as usual::

        Trainer(model, args, train_dataset=data, callbacks=[GateGradientCallback(Path("gate_gradients.json"))])

    The model must compute its loss from logits (no fused cross-entropy), and batches must carry `labels`. Sums begin
    anew when a run is resumed from a checkpoint.
    """

    def __init__(self, output: Path, provenance: ScoreProvenance | None = None) -> None:
        """:param provenance: written as it is; without it, the file says that model and data are not known"""
        self.output = Path(output)
        self.gradients: GateGradients | None = None
        self._provenance = provenance
        self._capture: GateGradientCapture | None = None
        self._losses: LossObserver | None = None
        self._sums: GateSums | None = None
        self._name = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        model = given["model"]
        self._name = Path(str(model.config.name_or_path)).name or type(model).__name__
        self._capture = GateGradientCapture(model)
        self._losses = LossObserver(model)
        self._sums = GateSums(self._capture.head_counts)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """After a backward pass that the optimiser does not follow yet."""
        self._collect()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """After a backward pass that it has followed."""
        self._collect()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        assert self._capture is not None
        assert self._losses is not None
        assert self._sums is not None
        self._losses.remove()
        self._capture.remove()
        self._sums.reduce()
        self.gradients = self._as_gradients(self._sums, self._capture.kv_head_counts)
        if state.is_world_process_zero:
            self.gradients.save(self.output)

    def _collect(self) -> None:
        assert self._capture is not None
        assert self._losses is not None
        assert self._sums is not None
        rank, size = distributed.rank_and_size()
        gates = self._capture.collect()
        for row, (loss, n_targets, weight) in enumerate(self._losses.collect()):
            if n_targets == 0:
                continue
            place = rank + size * self._sums.n_examples
            self._sums.add([layer[row] / weight for layer in gates], loss=loss, n_targets=n_targets, index=place)

    def _as_gradients(self, sums: GateSums, layer_kv_heads: list[int]) -> GateGradients:
        version = "trainer " + importlib.metadata.version("plasticity-trainer")
        return GateGradients(
            model_name=self._name,
            num_steps=sums.n_examples,
            num_tokens=sums.n_tokens,
            mean_loss=sums.loss_sum / max(1, sums.n_examples),
            layer_kv_heads=layer_kv_heads,
            absolute_sums=sums.rows(sums.absolute),
            signed_sums=sums.rows(sums.signed),
            moving_averages=sums.rows(sums.average),
            provenance=self._provenance or ScoreProvenance("unknown", "unknown", "unknown", 0, "unknown", version),
        )
