"""LoRA on projections of attention, and of the feed-forward part where asked, by peft."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from .errors import ErrorKind, TrainerError
from .json_text import read_json_object

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


_FILES = ("adapter_config.json", "adapter_model.safetensors")
_A, _B = ".lora_A.weight", ".lora_B.weight"
_MODULE = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_A\.weight$")
_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_GGUF_NAMES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]


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


def adapter_options(model: Any) -> LoraOptions:
    """What the adapter in place is like; targets by their modules' names."""
    config = model.peft_config["default"]
    names = [name for group in TARGETS.values() for name in group]
    targets = sorted(config.target_modules, key=lambda name: (names.index(name) if name in names else -1, name))
    return LoraOptions(config.r, float(config.lora_alpha), config.lora_dropout, tuple(targets))


def adapter_sha256(folder: Path) -> str:
    """The native program's hash of an adapter: over rank, alpha, names, shapes and values, block by block.

    Of adapters on fused projections, which it has no names for, "files:" and a hash of the folder's files.
    """
    config = read_json_object(folder / "adapter_config.json")
    weights_path = folder / "adapter_model.safetensors"
    try:
        weights = load_file(weights_path)
    except (OSError, SafetensorError) as problem:
        raise TrainerError(ErrorKind.MALFORMED, f"{weights_path}: {problem}") from None
    places = {name: _place(name) for name in weights if name.endswith(_A)}
    if any(place is None for place in places.values()):
        digests = [hashlib.sha256((folder / name).read_bytes()).digest() for name in _FILES]
        return "files:" + hashlib.sha256(b"".join(digests)).hexdigest()
    alpha = float(config["lora_alpha"])
    digest = hashlib.sha256(f"{config['r']} {int(alpha) if alpha.is_integer() else alpha}\n".encode())
    for name, (block, role) in sorted(places.items(), key=lambda item: item[1] or (0, 0)):  # type: ignore[misc]
        a, b = weights[name].float(), weights[name.removesuffix(_A) + _B].float()
        digest.update(f"blk.{block}.{_GGUF_NAMES[role]}.weight {b.shape[0]} {a.shape[1]}\n".encode())
        digest.update(a.numpy().tobytes() + b.numpy().tobytes())
    return digest.hexdigest()


def _place(name: str) -> tuple[int, int] | None:
    """Block, and the projection's place in it; None for other names."""
    found = _MODULE.search(name)
    return (int(found[1]), _MODULES.index(found[2])) if found and found[2] in _MODULES else None
