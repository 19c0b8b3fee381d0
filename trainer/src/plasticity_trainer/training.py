"""The loop: gate gradients of every example, and a LoRA fine-tune where there is something to train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from . import distributed
from .capture import GateGradientCapture
from .examples import Batch, Example, collate
from .loss import Prediction, target_loss
from .progress import Progress
from .schedule import LearningRate, step_groups
from .sums import GateSums

#: Sees each batch before it goes through the model, and how many of its examples count.
BatchObserver = Callable[[Batch, int], None]


@dataclass(frozen=True)
class TrainingOptions:
    epochs: int = 1
    batch: int = 4
    """examples a step, of all ranks together"""
    micro_batch: int = 1
    """examples in one pass of one rank"""
    learning_rate: float = 1e-4
    warmup: float = 0.1
    """share of the steps"""
    weight_decay: float = 0.0


@dataclass
class LossCurves:
    training: list[float] = field(default_factory=list)
    """[step] mean over its examples of each one's mean cross-entropy, nats per target token"""
    held_out: list[tuple[int, float]] = field(default_factory=list)
    """(steps made, mean over held-out examples of the same)"""


class GateTrainer:
    """Runs examples through a model that :class:`GateGradientCapture` is attached to.

    The loss of a step is the mean over its examples of each example's mean cross-entropy; the sums hold every
    example's own gradient, whatever it was trained beside.
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """:param model, optimizer: as accelerator.prepare() gave them; without an optimizer nothing is trained"""
        self._accelerator = accelerator
        self._model = model
        self._optimizer = optimizer
        self._capture = GateGradientCapture(model)
        self.sums = GateSums(self._capture.head_counts)
        self.kv_head_counts = self._capture.kv_head_counts
        self.curves = LossCurves()

    def train(
        self,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        options: TrainingOptions,
        progress: Progress,
        observe: BatchObserver | None = None,
    ) -> None:
        """Every example once an epoch, in order. The sums are this rank's own until `sums.reduce()`.

        :param held_out: whose loss is taken before the first step and after every epoch
        :param observe: sees the batches of the last epoch
        """
        one_epoch = step_groups(len(examples), options.batch)
        rates = LearningRate(options.learning_rate, options.warmup, options.epochs * len(one_epoch))
        self._evaluate(held_out, options.micro_batch, progress)
        n_seen = 0
        for epoch in range(options.epochs):
            seen_by = observe if epoch + 1 == options.epochs else None
            for group in one_epoch:
                losses = self._accumulate(examples, group, n_seen, options.micro_batch, seen_by)
                n_seen += len(group)
                self._update(rates.at(len(self.curves.training)))
                loss = float(distributed.sum_over_ranks([losses])[0]) / len(group)
                self.curves.training.append(loss)
                progress.advance(sum(len(examples[index].tokens) for index in group), f"loss {loss:.4f}")
            self._evaluate(held_out, options.micro_batch, progress)

    @torch.no_grad()
    def _evaluate(self, examples: Sequence[Example], batch: int, progress: Progress) -> None:
        """Mean over examples of each one's mean cross-entropy, with what has been trained so far."""
        if not examples:
            return
        total = 0.0
        with _evaluating(self._model):
            for group in step_groups(len(examples), batch * distributed.rank_and_size()[1]):
                for chosen, n_counted in distributed.rounds_of(group, batch):
                    made = collate([examples[index] for index in chosen]).to(self._accelerator.device)
                    prediction = self._predict(made, torch.ones(len(chosen)))
                    total += float(prediction.example_losses[:n_counted].sum())
        mean = float(distributed.sum_over_ranks([total])[0]) / len(examples)
        self.curves.held_out.append((len(self.curves.training), mean))
        progress.note(f"held-out loss {mean:.4f} after {len(self.curves.training)} steps")

    def _accumulate(
        self,
        examples: Sequence[Example],
        group: Sequence[int],
        n_before: int,
        batch: int,
        observe: BatchObserver | None,
    ) -> float:
        """:returns: the sum of this rank's examples' losses"""
        rank, size = distributed.rank_and_size()
        # Gradients of parameters are averaged over ranks, those of gates are not.
        weight = (size if self._optimizer is not None else 1) / len(group)
        total, n_done = 0.0, 0
        for chosen, n_counted in distributed.rounds_of(group, batch):
            made = collate([examples[index] for index in chosen]).to(self._accelerator.device)
            if observe is not None:
                observe(made, n_counted)
            weights = torch.full((len(chosen),), weight if n_counted else 0.0)
            prediction = self._predict(made, weights)
            self._accelerator.backward(prediction.total)
            gates = self._capture.collect()
            for row in range(n_counted):
                loss = float(prediction.example_losses[row])
                place = n_before + rank + size * n_done
                self.sums.add(
                    [layer[row] / weight for layer in gates],
                    loss=loss,
                    n_targets=examples[chosen[row]].n_targets,
                    index=place,
                )
                total += loss
                n_done += 1
        return total

    def _predict(self, batch: Batch, weights: Tensor) -> Prediction:
        logits = self._model(input_ids=batch.tokens, use_cache=False).logits
        return target_loss(logits, batch.tokens, batch.targets, weights.to(self._accelerator.device))

    def _update(self, rate: float) -> None:
        if self._optimizer is None:
            return
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()

    def close(self) -> None:
        """Takes the gates out of the model."""
        self._capture.remove()


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
