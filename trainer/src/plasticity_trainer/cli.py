"""plasticity-train: the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from .adapter import TARGETS, LoraOptions
from .errors import ErrorKind, TrainerError
from .run import RunOptions, RunResult, run
from .training import TrainingOptions

T = TypeVar("T", int, float)

_DESCRIPTION = """\
Which heads does the task use? Fine-tunes LoRA adapters on q, k, v and o over the task's data and captures, for every
query head, the gradient of the loss with respect to a gate on its output. Writes DIR/gate_gradients.json, which
plasticity plan reads, and DIR/adapter (PEFT). On several GPUs: accelerate launch -m
plasticity_trainer …"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="plasticity-train", description=_DESCRIPTION)
    training, lora = TrainingOptions(), LoraOptions()
    needed = made.add_argument_group("what")
    needed.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    needed.add_argument("--data", type=Path, nargs="+", required=True, help="text, source trees or JSONL of the task")
    needed.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    needed.add_argument("--max-tokens", type=_count, default=0, help="stop after so many tokens; 0: all of the data")
    needed.add_argument("--chunk", type=int, default=512, help="tokens an example of plain text holds (%(default)s)")

    needed.add_argument("--stats", action="store_true", help="also write DIR/stats.gguf (imatrix form) and curvature")
    needed.add_argument(
        "--curvature-every",
        type=_count,
        default=4,
        help="with --stats: draw labels for one example of so many; 0: no curvature (%(default)s)",
    )

    tuning = made.add_argument_group("fine-tune")
    tuning.add_argument("--no-lora", action="store_true", help="train nothing: gradients of the network as it is")
    tuning.add_argument("--adapter", type=Path, metavar="FOLDER", help="go on from this PEFT folder")
    tuning.add_argument("--rank", type=_positive, help=f"of a new adapter ({lora.rank})")
    tuning.add_argument("--alpha", type=float, help=f"of a new adapter ({lora.alpha:g})")
    tuning.add_argument("--dropout", type=_share, help=f"of a new adapter ({lora.dropout:g})")
    tuning.add_argument("--epochs", type=_positive, default=1, help="(%(default)s)")
    tuning.add_argument("--lr", type=float, default=training.learning_rate, help="largest learning rate (%(default)s)")
    tuning.add_argument("--warmup", type=_share, default=training.warmup, help="share of the steps (%(default)s)")
    tuning.add_argument("--weight-decay", type=float, default=training.weight_decay, help="(%(default)s)")
    tuning.add_argument(
        "--batch",
        type=_positive,
        default=training.batch,
        help="examples a step, of all processes together (%(default)s)",
    )
    tuning.add_argument(
        "--lora-targets",
        type=_targets,
        help=f"of a new adapter, some of {','.join(TARGETS)} ({','.join(lora.targets)})",
    )
    tuning.add_argument(
        "--holdout-every",
        type=_count,
        default=10,
        help="hold one example of so many out of the fine-tune, and show its loss; 0: none (%(default)s)",
    )
    tuning.add_argument("--seed", type=_count, default=0, help="of a new adapter and of dropout (%(default)s)")

    machine = made.add_argument_group("machine")
    machine.add_argument(
        "--micro-batch", type=_positive, default=1, help="examples in one pass of one process (%(default)s)"
    )
    machine.add_argument(
        "--dtype", choices=["auto", "f32", "bf16"], default="auto", help="of the weights; auto: bf16 on a GPU, else f32"
    )
    machine.add_argument(
        "--attn",
        choices=["sdpa", "eager", "flash_attention_2"],
        default="sdpa",
        help="how attention is computed (%(default)s)",
    )
    machine.add_argument(
        "--checkpointing",
        action="store_true",
        help="keep activations between blocks only and compute the others again: less memory",
    )
    machine.add_argument("--force", action="store_true", help="replace what is in DIR")
    machine.add_argument("--quiet", action="store_true", help="no progress")
    machine.add_argument("--json", action="store_true", help="result as JSON")
    return made


def options_from(arguments: argparse.Namespace) -> RunOptions:
    """:raises TrainerError: where options contradict each other"""
    asked = {name: getattr(arguments, name) for name in ("rank", "alpha", "dropout", "lora_targets")}
    asked = {name.removeprefix("lora_"): value for name, value in asked.items() if value is not None}
    if arguments.no_lora and (asked or arguments.adapter or arguments.epochs != 1):
        raise TrainerError(
            ErrorKind.USAGE,
            "--no-lora with --adapter, --rank, --alpha, --dropout or --epochs; leave one of the two out",
        )
    if arguments.adapter and asked:
        raise TrainerError(
            ErrorKind.USAGE, f"--adapter with {', '.join('--' + name for name in asked)}; the adapter says that itself"
        )
    return RunOptions(
        model=arguments.model,
        data=arguments.data,
        output=arguments.output,
        training=TrainingOptions(
            epochs=arguments.epochs,
            batch=arguments.batch,
            micro_batch=arguments.micro_batch,
            learning_rate=arguments.lr,
            warmup=arguments.warmup,
            weight_decay=arguments.weight_decay,
        ),
        lora=None if arguments.no_lora else LoraOptions(**asked),
        adapter=arguments.adapter,
        holdout_every=arguments.holdout_every,
        chunk=arguments.chunk,
        max_tokens=arguments.max_tokens,
        dtype=arguments.dtype,
        attention=arguments.attn,
        checkpointing=arguments.checkpointing,
        seed=arguments.seed,
        statistics=arguments.stats,
        curvature_every=arguments.curvature_every,
        overwrite=arguments.force,
        quiet=arguments.quiet,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """:returns: the exit code: 0, or that of the error's kind, as of the native program"""
    arguments = parser().parse_args(argv)
    try:
        result = run(options_from(arguments))
    except TrainerError as problem:
        print(f"plasticity-train: {problem}", file=sys.stderr)
        return int(problem.kind)
    if result.is_main:
        print(_as_json(result) if arguments.json else _as_text(result))
    return 0


def _as_json(result: RunResult) -> str:
    return json.dumps(
        {
            "output": str(result.output),
            "examples": result.examples,
            "tokens": result.tokens,
            "mean_loss": result.mean_loss,
            "processes": result.processes,
            "held_out_losses": result.fine_tune.held_out_losses if result.fine_tune else [],
        }
    )


def _as_text(result: RunResult) -> str:
    text = (
        f"{result.output}: {result.examples} examples ({result.tokens} target tokens), mean loss {result.mean_loss:.4f}"
    )
    held_out = result.fine_tune.held_out_losses if result.fine_tune else []
    return text + "".join(f"; held out after {step} steps {loss:.4f}" for step, loss in held_out)


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(text.split(","))
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}; expected some of {', '.join(TARGETS)}")
    return targets


def _count(text: str) -> int:
    return _number_between(int(text), 0, 2**63)


def _positive(text: str) -> int:
    return _number_between(int(text), 1, 2**31)


def _share(text: str) -> float:
    return _number_between(float(text), 0.0, 1.0)


def _number_between(value: T, lowest: T, highest: T) -> T:
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{value}; expected {lowest} to {highest}")
    return value
