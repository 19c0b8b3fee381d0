"""Where the query heads of a transformers model are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from .errors import ErrorKind, TrainerError

_ATTENTION_OUTPUT = re.compile(r"(?:^|\.)layers\.(\d+)\.self_attn\.o_proj$")


@dataclass(frozen=True)
class AttentionLayer:
    """One block's attention. Query head h reads KV group h // (n_heads // n_kv_heads)."""

    index: int
    """of the block"""
    output: nn.Module
    """o_proj, or what peft put in its place: reads [batch, tokens, n_heads · head_dim]"""
    n_heads: int
    n_kv_heads: int


def base_of(module: nn.Module) -> Any:
    """The linear layer inside an adapter, or the module itself."""
    return getattr(module, "base_layer", module)


def attention_layers(model: nn.Module) -> list[AttentionLayer]:
    """The attention layers in order, found by transformers' module names; wrappers of peft, DDP and FSDP do not matter.

    :raises TrainerError: where there are none, or widths do not fit the heads that the configuration names
    """
    config = text_config(model)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = []
    for name, module in model.named_modules():
        found = _ATTENTION_OUTPUT.search(name)
        if not found:
            continue
        width = base_of(module).in_features
        if width % head_dim:
            raise TrainerError(
                ErrorKind.MALFORMED, f"{name}: reads {width} channels; expected whole heads of {head_dim}"
            )
        parent = model.get_submodule(name.removesuffix(".o_proj"))
        keys = getattr(parent, "k_proj", None)
        n_kv_heads = base_of(keys).out_features // head_dim if keys is not None else config.num_key_value_heads
        layers.append(AttentionLayer(int(found[1]), module, int(width) // head_dim, int(n_kv_heads)))
    if not layers:
        raise TrainerError(
            ErrorKind.MALFORMED,
            f"{type(model).__name__} has no modules named layers.*.self_attn.o_proj; expected a decoder of the llama "
            "or qwen2 kind",
        )
    return sorted(layers, key=lambda layer: layer.index)


def text_config(model: Any) -> Any:
    """Of the language model, whatever wraps it. :raises TrainerError: where there is none"""
    while not hasattr(model, "config"):
        if not hasattr(model, "module"):
            raise TrainerError(
                ErrorKind.USAGE, f"{type(model).__name__} has no config; expected a model of transformers"
            )
        model = model.module
    return model.config.get_text_config()
