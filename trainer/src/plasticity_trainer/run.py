"""A whole run: folder and data in, gate_gradients.json and adapter out."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from .activations import ActivationSums
from .adapter import LoraOptions, adapter_options, adapter_sha256, load_adapter, new_adapter
from .artifact import FineTune, GateGradients, ScoreProvenance
from .corpus import read_corpus
from .curvature import CurvatureCollector
from .errors import ErrorKind, TrainerError
from .examples import MAX_RECORD_TOKENS, Example, ExampleSet, make_examples, require_vocabulary
from .matrices import model_matrices
from .progress import Progress
from .provenance import model_name, model_sha256
from .schedule import hold_out
from .statistics import Statistics
from .tokenizer import TaskTokenizer
from .training import GateTrainer, TrainingOptions

_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
GATE_GRADIENTS = "gate_gradients.json"
STATISTICS = "stats.gguf"
ADAPTER = "adapter"


@dataclass(frozen=True)
class RunOptions:
    """What `plasticity-train` is asked for."""

    model: Path
    data: list[Path]
    output: Path
    training: TrainingOptions
    lora: LoraOptions | None
    """None: the network stays as it is, and its gradients alone are captured"""
    adapter: Path | None = None
    """a PEFT folder to go on from, in place of a new one"""
    holdout_every: int = 10
    """example i is held out of a fine-tune where i mod holdout_every = holdout_every - 1; 0: none is"""
    chunk: int = 512
    max_tokens: int = 0
    dtype: str = "auto"
    attention: str = "sdpa"
    checkpointing: bool = False
    seed: int = 0
    statistics: bool = False
    curvature_every: int = 4
    """labels are drawn for one example of so many; 0: no curvature"""
    overwrite: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class RunResult:
    output: Path
    examples: int
    tokens: int
    mean_loss: float
    fine_tune: FineTune | None
    processes: int
    is_main: bool
    """this process is the one that speaks for all"""


def run(options: RunOptions) -> RunResult:
    """:raises TrainerError: naming what is wrong with inputs or options, on every rank"""
    _require_outputs(options)
    accelerator = Accelerator()
    if options.quiet or not accelerator.is_main_process:
        disable_progress_bar()
    _require_ranks(options, accelerator)
    tokenizer = TaskTokenizer(options.model)
    examples = make_examples(read_corpus(options.data), tokenizer, chunk=options.chunk, max_tokens=options.max_tokens)
    kept, held_out = _split(options, examples.examples)
    model, optimizer = _prepared(options, accelerator)
    plain = accelerator.unwrap_model(model)
    require_vocabulary(examples.examples, plain.get_input_embeddings().num_embeddings)

    trainer = GateTrainer(accelerator, model, optimizer)
    activations = ActivationSums(model_matrices(plain)) if options.statistics else None
    progress = Progress(
        sum(len(example.tokens) for example in kept) * options.training.epochs,
        quiet=options.quiet or not accelerator.is_main_process,
    )
    if examples.n_shortened:
        progress.note(f"{examples.n_shortened} records were cut at {MAX_RECORD_TOKENS} tokens")
    trainer.train(kept, held_out, options.training, progress, activations.observe if activations else None)
    trainer.close()
    progress.end()

    trainer.sums.reduce()
    weights_sha256 = model_sha256(options.model) if accelerator.is_main_process else ""
    gradients = _gradients(options, trainer, plain, _provenance(options, examples, tokenizer, weights_sha256))
    statistics = _statistics(options, accelerator, plain, kept, activations) if activations else None
    if optimizer is not None:
        _save_adapter(accelerator, model, options.output / ADAPTER)
    if accelerator.is_main_process:
        gradients.save(options.output / GATE_GRADIENTS)
        if statistics is not None:
            statistics.save(options.output / STATISTICS)
    accelerator.wait_for_everyone()
    return RunResult(
        output=options.output,
        examples=gradients.num_steps,
        tokens=gradients.num_tokens,
        mean_loss=gradients.mean_loss,
        fine_tune=gradients.fine_tune,
        processes=accelerator.num_processes,
        is_main=accelerator.is_main_process,
    )


def _split(options: RunOptions, examples: list[Example]) -> tuple[list[Example], list[Example]]:
    """What is learnt from, and what is held out of a fine-tune."""
    if options.lora is None:
        return examples, []
    kept, held_out = hold_out(len(examples), options.holdout_every)
    if not kept:
        raise TrainerError(ErrorKind.USAGE, f"--holdout-every {options.holdout_every} leaves no example to learn from")
    return [examples[index] for index in kept], [examples[index] for index in held_out]


def _require_outputs(options: RunOptions) -> None:
    if (options.output / GATE_GRADIENTS).exists() and not options.overwrite:
        raise TrainerError(ErrorKind.USAGE, f"{options.output / GATE_GRADIENTS} exists; pass --force to replace it")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise TrainerError(ErrorKind.IO, f"{options.output}: {problem}") from None


def _require_ranks(options: RunOptions, accelerator: Accelerator) -> None:
    if options.lora is not None and options.training.batch < accelerator.num_processes:
        raise TrainerError(
            ErrorKind.USAGE,
            f"--batch {options.training.batch} with {accelerator.num_processes} processes; expected at "
            "least an example of each step for every process",
        )


def precision_of(name: str) -> str:
    """What "auto" stands for: bf16 on a GPU that has it, else f32."""
    if name != "auto":
        return name
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "f32"


def load_model(folder: Path, dtype: str, attention: str) -> PreTrainedModel:
    """:raises TrainerError: where transformers cannot load it"""
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_DTYPES[precision_of(dtype)], attn_implementation=attention, local_files_only=True
        )
    except (OSError, ValueError, ImportError) as problem:
        kind = ErrorKind.MALFORMED if folder.is_dir() else ErrorKind.MISSING
        raise TrainerError(kind, f"{folder}: transformers cannot load it: {problem}") from None
    return model.requires_grad_(False)


def _prepared(options: RunOptions, accelerator: Accelerator) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """The model as ranks run it, with an optimiser where there is an adapter to train."""
    model: nn.Module = load_model(options.model, options.dtype, options.attention)
    if options.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    if options.lora is not None:
        assert isinstance(model, PreTrainedModel)
        model = (
            load_adapter(model, options.adapter) if options.adapter else new_adapter(model, options.lora, options.seed)
        )
    torch.manual_seed(options.seed + accelerator.process_index)  # of dropout
    model.train(options.lora is not None or options.checkpointing)
    is_sharded = accelerator.distributed_type == DistributedType.FSDP
    if options.lora is None and not is_sharded:
        return model.to(accelerator.device), None  # DDP refuses a model without anything to train
    # accelerate shards a model only together with an optimiser.
    trained = [p for p in model.parameters() if p.requires_grad or options.lora is None]
    optimizer = torch.optim.AdamW(
        trained,
        lr=options.training.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=options.training.weight_decay,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    return model, optimizer if options.lora is not None else None


def _provenance(
    options: RunOptions, examples: ExampleSet, tokenizer: TaskTokenizer, weights_sha256: str
) -> ScoreProvenance:
    return ScoreProvenance(
        model_sha256=weights_sha256,
        tokenizer_sha256="tokenizer.json:" + tokenizer.sha256,
        data_sha256=examples.sha256(),
        chunk=options.chunk,
        precision=precision_of(options.dtype),
        program_version="trainer " + importlib.metadata.version("plasticity-trainer"),
        adapter_sha256=adapter_sha256(options.adapter) if options.adapter else "",
    )


def _gradients(
    options: RunOptions, trainer: GateTrainer, model: nn.Module, provenance: ScoreProvenance
) -> GateGradients:
    sums = trainer.sums
    return GateGradients(
        model_name=model_name(options.model),
        num_steps=sums.n_examples,
        num_tokens=sums.n_tokens,
        mean_loss=sums.loss_sum / sums.n_examples,
        layer_kv_heads=trainer.kv_head_counts,
        absolute_sums=sums.rows(sums.absolute),
        signed_sums=sums.rows(sums.signed),
        moving_averages=sums.rows(sums.average),
        provenance=provenance,
        fine_tune=_fine_tune(options, trainer, model) if options.lora is not None else None,
    )


def _fine_tune(options: RunOptions, trainer: GateTrainer, model: nn.Module) -> FineTune:
    adapter = adapter_options(model)
    return FineTune(
        rank=adapter.rank,
        alpha=adapter.alpha,
        targets=list(adapter.targets),
        epochs=options.training.epochs,
        batch=options.training.batch,
        learning_rate=options.training.learning_rate,
        warmup=options.training.warmup,
        weight_decay=options.training.weight_decay,
        dropout=adapter.dropout,
        shuffle=False,
        holdout_every=options.holdout_every,
        seed=options.seed,
        training_losses=trainer.curves.training,
        held_out_losses=trainer.curves.held_out,
    )


def _statistics(
    options: RunOptions,
    accelerator: Accelerator,
    model: nn.Module,
    examples: list[Example],
    activations: ActivationSums,
) -> Statistics:
    """Activations as the last epoch saw them; curvature of the network as the run leaves it, adapter in place."""
    activations.remove()
    activations.reduce()
    curvature = {}
    if options.curvature_every:
        collector = CurvatureCollector(model, options.seed)
        collector.collect(examples, options.curvature_every, accelerator.device)
        curvature = collector.sums
    return Statistics(
        activations=activations.by_matrix(),
        curvature=curvature,
        datasets=[path.name for path in options.data],
        chunk_size=options.chunk,
        chunk_count=len(examples),
    )


def _save_adapter(accelerator: Accelerator, model: nn.Module, folder: Path) -> None:
    """A PEFT folder, whole weights of it from all ranks' shards."""
    state = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        accelerator.unwrap_model(model).save_pretrained(folder, state_dict=state)
