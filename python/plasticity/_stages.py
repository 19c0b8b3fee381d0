"""The five stages, from files to files. Options are those of the command line; None leaves one at its default."""

import codecs
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from plasticity import _native
from plasticity._results import CompressResult, InferResult, OnProgress, Progress, Report

Path = str | os.PathLike[str]
Paths = Path | Sequence[Path]


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _document(arguments: dict[str, Any]) -> str:
    """The JSON object of a function's arguments."""
    options = {name: value for name, value in arguments.items() if value is not None and not name.startswith("on_")}
    return json.dumps({name.replace("_", "-"): _plain(value) for name, value in options.items()})


def _told(on_progress: OnProgress | None) -> Callable[..., bool | None] | None:
    return None if on_progress is None else lambda *event: on_progress(Progress(*event))


def score(
    model: Path,
    data: Paths,
    output: Path,
    *,
    stats: Path | None = None,
    curvature_every: int | None = None,
    gram: Path | None = None,
    gram_tokens: int | None = None,
    slice: str | None = None,  # noqa: A002  (the command line's name)
    tokens: int | None = None,
    chunk: int | None = None,
    resume: bool | None = None,
    checkpoint_every: int | None = None,
    memory: int | str | None = None,
    precision: str | None = None,
    epochs: int | None = None,
    rank: int | None = None,
    alpha: float | None = None,
    lora_targets: str | None = None,
    lr: float | None = None,
    warmup: float | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    batch: int | None = None,
    holdout_every: int | None = None,
    shuffle: bool | None = None,
    adapter: Path | None = None,
    save_adapter: Path | None = None,
    backend: str | None = None,
    gpu_layers: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    force: bool | None = None,
    on_progress: OnProgress | None = None,
) -> _native.GateGradients:
    """Which heads does the task use? Writes gate_gradients.json to `output`, and returns what it holds."""
    _native.score(_document(locals()), _told(on_progress))
    return _native.load_gate_gradients(output)


def plan(
    model: Path,
    scores: Path,
    output: Path | None = None,
    *,
    device: str | None = None,
    target_size: int | str | None = None,
    target_bpw: float | None = None,
    stats: Path | None = None,
    gram: Path | None = None,
    gram_memory: int | str | None = None,
    damages: Path | None = None,
    context: int | None = None,
    kv_type: str | None = None,
    policy: str | None = None,
    prune: str | None = None,
    align: str | None = None,
    allow_own: bool | None = None,
    floor: str | None = None,
    tensor_type: str | Sequence[str] | None = None,
    data: Paths | None = None,
    calibrate: bool | None = None,
    refine: float | None = None,
    refine_trials: int | None = None,
    calibration_tokens: int | None = None,
    resume: bool | None = None,
    threads: int | None = None,
    force: bool | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """What to prune, and a type for every tensor, within exactly one of `device`, `target_size` and `target_bpw`.

    Returns the recipe, written to `output` where one is named.
    """
    recipe: dict[str, Any] = json.loads(_native.plan(_document(locals()), _told(on_progress)))
    return recipe


def compress(
    model: Path,
    recipe: Path,
    output: Path,
    *,
    stats: Path | None = None,
    gram: Path | None = None,
    gram_memory: int | str | None = None,
    adapter: Path | None = None,
    dry_run: bool | None = None,
    no_tokenizer: bool | None = None,
    threads: int | None = None,
    force: bool | None = None,
    on_progress: OnProgress | None = None,
) -> CompressResult:
    """Slices, quantises and writes one GGUF to `output`."""
    return CompressResult(**json.loads(_native.compress(_document(locals()), _told(on_progress))))


def verify(
    model: Path,
    *,
    base: Path | None = None,
    base_adapter: Path | None = None,
    data: Paths | None = None,
    device: str | None = None,
    thresholds: Path | None = None,
    tasks: Path | None = None,
    stock: Path | None = None,
    context: int | None = None,
    chunks: int | None = None,
    output: Path | None = None,
    backend: str | None = None,
    gpu_layers: int | None = None,
    threads: int | None = None,
    force: bool | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Does the file hold what its recipe says, and how good is it?"""
    return Report(json.loads(_native.verify(_document(locals()), _told(on_progress))))


def infer(
    model: Path,
    prompt: str,
    *,
    predict: int | None = None,
    stop: str | Sequence[str] | None = None,
    chat: bool | None = None,
    system: str | None = None,
    logprobs: int | None = None,
    ctx_size: int | None = None,
    kv_type: str | None = None,
    repack: bool | None = None,
    temp: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repeat_penalty: float | None = None,
    repeat_last_n: int | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    grammar: str | None = None,
    lora: Path | None = None,
    draft: Path | None = None,
    draft_max: int | None = None,
    seed: int | None = None,
    backend: str | None = None,
    gpu_layers: int | None = None,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    on_text: Callable[[str], bool | None] | None = None,
) -> InferResult:
    """Completes a prompt. `on_text` is called with each piece of text as it is decided; False ends the stage."""
    document = _document(locals())
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end within a character
    tell = None if on_text is None else lambda piece: on_text(decoder.decode(piece))
    return InferResult(**json.loads(_native.infer(document, _told(on_progress), tell)))
