"""What the stages return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    task: str
    done: int
    total: int
    """0: unknown."""
    unit: str
    """"tokens", "bytes", "tensors"."""
    detail: str
    note: str
    """Not empty: a line worth reading, and nothing else has happened."""


OnProgress = Callable[[Progress], bool | None]
"""Returns False to end the stage, which then raises Cancelled and leaves nothing half-written."""


@dataclass(frozen=True)
class CompressResult:
    """The file that was written; byte counts of it and of the model."""

    output: str
    file_bytes: int
    source_bytes: int
    compression_ratio: float
    tensors: int
    compensated: int
    with_error_feedback: int
    output_error_ratio: float | None
    narrowed_by_memory: int
    left_out_by_memory: int
    sources: list[dict[str, str]]
    sha256: str | None
    seconds: float
    dry_run: bool


@dataclass(frozen=True)
class Report:
    """The outcome of a verification. Failed checks are no exception."""

    document: Mapping[str, Any]
    """report.json."""

    @property
    def passed(self) -> bool:
        """All checks passed."""
        return bool(self.document["passed"])

    @property
    def checks(self) -> list[dict[str, Any]]:
        """What was looked at: name, passed and detail."""
        return list(self.document["checks"])


@dataclass(frozen=True)
class InferResult:
    """A completion."""

    text: str
    prompt_tokens: int
    generated_tokens: int
    prompt_tokens_per_second: float
    generated_tokens_per_second: float
    guessed_tokens: int
    """By a draft; 0 without one."""
    accepted_tokens: int
    stop_reason: str
    """"end of text", "stop string", "length" or "context"."""
    backend: str
    context_length: int
    load_seconds: float
    prompt_seconds: float
    generation_seconds: float
    token_ids: list[int]
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    """With logprobs: each token with its log probability and the likeliest ones at its place."""
