"""The matrices of a transformers model under the names that statistics are kept by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from .errors import ErrorKind, TrainerError
from .geometry import attention_layers, base_of, text_config

_IN_BLOCK = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:self_attn|mlp)\.(\w+_proj)$")

#: GGUF's names of what a module holds, rows behind one another.
_NAMES = {
    "q_proj": ["attn_q"],
    "k_proj": ["attn_k"],
    "v_proj": ["attn_v"],
    "qkv_proj": ["attn_q", "attn_k", "attn_v"],
    "o_proj": ["attn_output"],
    "gate_proj": ["ffn_gate"],
    "up_proj": ["ffn_up"],
    "gate_up_proj": ["ffn_gate", "ffn_up"],
    "down_proj": ["ffn_down"],
}
#: Modules whose input others read too, and whose sums therefore stand for these as well.
_SHARED_INPUT = {
    "q_proj": ["attn_q", "attn_k", "attn_v"],
    "qkv_proj": ["attn_q", "attn_k", "attn_v"],
    "gate_proj": ["ffn_gate", "ffn_up"],
    "gate_up_proj": ["ffn_gate", "ffn_up"],
    "o_proj": ["attn_output"],
    "down_proj": ["ffn_down"],
}

EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"
#: The embedding as it is read.
LOOKUP = EMBEDDING + ".lookup"


@dataclass(frozen=True)
class Matrix:
    """Rows of a linear layer's weight."""

    name: str
    """GGUF's: "blk.0.attn_q.weight" """
    first_row: int
    n_rows: int


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer that is part of a block."""

    module: nn.Module
    """without its adapter"""
    n_inputs: int
    matrices: list[Matrix]
    input_of: list[str]
    """names of all matrices that read the same input; empty where another layer stands for them"""
    n_gates: int
    """query heads of an attention output, channels of down; else 0"""


@dataclass(frozen=True)
class ModelMatrices:
    layers: list[LinearLayer]
    embedding: nn.Module
    head: nn.Module
    """reads [batch, tokens, width], writes logits"""
    output_name: str
    """of the matrix of `head`: the embedding's where the two are tied"""
    n_vocab: int
    width: int
    logit_divisor: float
    """what the head's logits are divided by afterwards (granite)"""


def model_matrices(model: nn.Module) -> ModelMatrices:
    """:param model: of transformers, adapters of peft or not, not wrapped by DDP
    :raises TrainerError: where a block has no feed-forward part that is known, such as a mixture of experts"""
    n_blocks = len(attention_layers(model))
    heads = {id(layer.output): layer for layer in attention_layers(model)}
    layers = []
    for name, module in model.named_modules():
        found = _IN_BLOCK.search(name)
        if not found:
            continue
        base, kind, prefix = base_of(module), found[2], f"blk.{found[1]}."
        attention = heads.get(id(module))
        n_gates = attention.n_heads if attention else base.in_features if kind == "down_proj" else 0
        layers.append(
            LinearLayer(
                module=base,
                n_inputs=int(base.in_features),
                matrices=_split(prefix, _NAMES[kind], int(base.out_features), model) if kind in _NAMES else [],
                input_of=[f"{prefix}{other}.weight" for other in _SHARED_INPUT.get(kind, [])],
                n_gates=int(n_gates),
            )
        )
    n_down = sum(matrix.name.endswith("ffn_down.weight") for layer in layers for matrix in layer.matrices)
    if n_down != n_blocks:
        raise TrainerError(
            ErrorKind.MALFORMED,
            f"statistics: {n_down} of {n_blocks} blocks have an mlp.down_proj; "
            "expected one in each. Mixtures of experts are not counted: leave "
            "out --stats",
        )
    return _with_ends(model, layers)


def _split(prefix: str, kinds: list[str], n_rows: int, model: nn.Module) -> list[Matrix]:
    if len(kinds) == 3:
        layer = attention_layers(model)[0]
        n_key_rows = n_rows * layer.n_kv_heads // (layer.n_heads + 2 * layer.n_kv_heads)
        counts = [n_rows - 2 * n_key_rows, n_key_rows, n_key_rows]
    else:
        counts = [n_rows // len(kinds)] * len(kinds)
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return [
        Matrix(f"{prefix}{kind}.weight", start, count) for kind, start, count in zip(kinds, starts, counts, strict=True)
    ]


def _with_ends(model: nn.Module, layers: list[LinearLayer]) -> ModelMatrices:
    config = text_config(model)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[operator]
    return ModelMatrices(
        layers=layers,
        embedding=embedding,
        head=head,
        output_name=EMBEDDING if config.tie_word_embeddings else OUTPUT,
        n_vocab=int(embedding.num_embeddings),
        width=int(embedding.embedding_dim),
        logit_divisor=float(getattr(config, "logits_scaling", 1.0)),
    )
