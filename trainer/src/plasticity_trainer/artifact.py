"""gate_gradients.json: what the task says of every query head, as the native scorer writes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import ErrorKind, TrainerError
from .json_text import json_text, write_text

SCHEMA_VERSION = 1

#: One row a layer, one number a query head. A layer without attention has an empty row.
Rows = list[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class ScoreProvenance:
    """Where scores came from. What each hash is over: docs/formats.md of the project."""

    model_sha256: str
    tokenizer_sha256: str
    data_sha256: str
    chunk: int
    """tokens that an example of plain text holds"""
    precision: str
    """of the weights: "f32" or "bf16" """
    program_version: str
    adapter_sha256: str = ""
    """of the adapter that training started from; empty: a new one, or none"""


@dataclass(frozen=True)
class FineTune:
    """What was trained while the gradients were captured."""

    rank: int
    alpha: float
    targets: list[str]
    """["q_proj", …]"""
    epochs: int
    batch: int
    """examples a step"""
    learning_rate: float
    warmup: float
    weight_decay: float
    dropout: float
    shuffle: bool
    holdout_every: int
    seed: int
    training_losses: list[float]
    """[step] nats per target token"""
    held_out_losses: list[tuple[int, float]]
    """(steps before it, nats per target token)"""


@dataclass(frozen=True)
class GateGradients:
    """For each example, L = mean cross-entropy of its target tokens and g[l][h] = ∂L/∂gate of head h in layer l, the
    gate being a factor 1 on the head's output (Michel et al. 2019, "Are Sixteen Heads Really Better than One?")."""

    model_name: str
    num_steps: int
    """examples, each counted as often as it was seen"""
    num_tokens: int
    """target tokens"""
    mean_loss: float
    """nats per token, mean over examples"""
    layer_kv_heads: list[int]
    """[layer]"""
    absolute_sums: Rows
    """Σ |g| over examples"""
    signed_sums: Rows
    """Σ g over examples"""
    moving_averages: Rows
    """exponential moving average of |g| over examples, weight 0.1 on the newest"""
    provenance: ScoreProvenance
    fine_tune: FineTune | None = None

    @property
    def num_heads(self) -> int:
        """The largest of any layer."""
        return max(len(row) for row in self.absolute_sums)

    def layer_scores(self) -> Rows:
        """Σ|g| / num_steps over the 99th percentile of all heads, which lies linearly between ranks; at most 1."""
        means = [row / self.num_steps for row in self.absolute_sums]
        scale = np.percentile(np.concatenate(means), 99)
        if scale > 0:
            return [np.minimum(row / scale, 1.0) for row in means]
        return [(row > 0).astype(np.float64) for row in means]

    def save(self, target: Path) -> None:
        """:raises TrainerError: where a number is not finite, or the file cannot be written"""
        self._require_finite()
        rows = {
            "layer_scores": self.layer_scores(),
            "absolute_sums": self.absolute_sums,
            "signed_sums": self.signed_sums,
            "moving_averages": self.moving_averages,
        }
        fields: dict[str, object] = {
            "schema_version": SCHEMA_VERSION,
            "model_name": self.model_name,
            "num_heads": self.num_heads,
            "num_kv_heads": max(self.layer_kv_heads),
            "num_steps": self.num_steps,
            "num_tokens": self.num_tokens,
            "mean_loss": float(self.mean_loss),
            "layer_kv_heads": self.layer_kv_heads,
            **{name: [row.tolist() for row in values] for name, values in rows.items()},
            "provenance": {key: value for key, value in asdict(self.provenance).items() if value != ""},
        }
        if self.fine_tune is not None:
            curve = [list(point) for point in self.fine_tune.held_out_losses]
            fields["fine_tune"] = {**asdict(self.fine_tune), "held_out_losses": curve}
        write_text(target, json_text(fields))

    def _require_finite(self) -> None:
        if self.num_steps < 1:
            raise TrainerError(ErrorKind.USAGE, "gate gradients of no example; expected at least one")
        for name in ("absolute_sums", "signed_sums", "moving_averages"):
            for layer, row in enumerate(getattr(self, name)):
                if not np.isfinite(row).all():
                    raise TrainerError(ErrorKind.MALFORMED, f"{name}: layer {layer} holds numbers that are not finite")
