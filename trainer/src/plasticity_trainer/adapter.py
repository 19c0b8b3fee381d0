"""LoRA on projections of attention, and of the feed-forward part where asked, by peft."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from .errors import ErrorKind, TrainerError

#: What `--lora-targets` calls them. Fused projections are adapted as one.
TARGETS = {
    "q": ("q_proj", "qkv_proj"),
    "k": ("k_proj", "qkv_proj"),
    "v": ("v_proj", "qkv_proj"),
    "o": ("o_proj",),
    "gate": ("gate_proj", "gate_up_proj"),
    "up": ("up_proj", "gate_up_proj"),
    "down": ("down_proj",),
}


@dataclass(frozen=True)
class LoraOptions:
    """What a new adapter is like. It begins as no change: A uniform as Kaiming has it (a = √5), B zero."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q", "k", "v", "o")
    """keys of TARGETS"""


def new_adapter(model: PreTrainedModel, options: LoraOptions, seed: int) -> PeftModel:
    """:returns: the model with adapters that can be trained, all else frozen"""
    found = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    modules = [name for target in options.targets for name in TARGETS[target] if name in found]
    if not modules:
        raise TrainerError(
            ErrorKind.MALFORMED, f"{type(model).__name__} has no projections of {', '.join(options.targets)} to adapt"
        )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # type: ignore[arg-type]  # peft's formula takes any number
        lora_dropout=options.dropout,
        target_modules=sorted(set(modules)),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A saved adapter, to be trained further. :raises TrainerError: where there is none, or it does not fit"""
    if not (folder / "adapter_config.json").exists():
        raise TrainerError(ErrorKind.MISSING, f"{folder}: no adapter_config.json; expected a PEFT folder")
    try:
        return PeftModel.from_pretrained(model, folder, is_trainable=True)
    except (ValueError, RuntimeError, KeyError) as problem:
        raise TrainerError(ErrorKind.MALFORMED, f"{folder}: does not fit the model: {problem}") from None


def adapter_options(model: nn.Module) -> LoraOptions:
    """What the adapter in place is like; targets by their modules' names."""
    config = model.peft_config["default"]  # type: ignore[index, union-attr]
    names = [name for group in TARGETS.values() for name in group]
    targets = sorted(config.target_modules, key=lambda name: (names.index(name) if name in names else -1, name))
    return LoraOptions(config.r, float(config.lora_alpha), config.lora_dropout, tuple(targets))


def adapter_sha256(folder: Path) -> str:
    """Over the files of a PEFT folder that say what the adapter computes."""
    digest = hashlib.sha256()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if (folder / name).exists():
            digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return "files:" + digest.hexdigest()
