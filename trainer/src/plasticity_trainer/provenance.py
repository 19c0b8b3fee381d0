"""Hashes that say what scores are of: the native program's, wherever they can be had from the folder's own bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ErrorKind, TrainerError
from .json_text import read_json_object

_TILE_BYTES = 4 << 20
_TYPES = {"BF16": "bf16", "F16": "f16", "F32": "f32"}

#: What a block's weights are called, in the order in which the native program keeps them, GGUF's name behind it.
_BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3")
_IN_BLOCK = re.compile(r"model\.layers\.(0|[1-9]\d*)\.(.+)")
_OUTPUT = "output.weight"
_EMBEDDING = "token_embd.weight"


@dataclass(frozen=True)
class _Weight:
    gguf_name: str
    rank: tuple[int, int, bool]
    """block (the embedding before all, the output behind all), place in it, whether a bias"""
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    n_bytes: int

    def pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.n_bytes
            while left:
                piece = file.read(min(left, _TILE_BYTES))
                if not piece:
                    raise TrainerError(ErrorKind.MALFORMED, f"{self.path}: ends before {self.gguf_name} does")
                left -= len(piece)
                yield piece

    def digest(self) -> bytes:
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.digest()


def model_name(folder: Path) -> str:
    """As the native program calls the model of a folder."""
    named = Path(str(read_json_object(folder / "config.json").get("_name_or_path") or "")).name
    whole = folder.resolve()
    if named or whole.parent.name != "snapshots" or not whole.parents[1].name.startswith("models--"):
        return named or whole.name
    return whole.parents[1].name.rsplit("--", 1)[1]


def model_sha256(folder: Path) -> str:
    """The native program's hash of the weights: over names, types, shapes and bytes, in GGUF's names and order.

    Layouts that the native program takes apart or computes with (fused projections, experts, FP8, offsets on norms,
    RoPE factors) are hashed file by file instead, and the result begins with "files:".
    """
    config = read_json_object(folder / "config.json")
    shards = _shards(folder)
    weights = _plain_weights(config, shards)
    if weights is None:
        return "files:" + _sha256_of_files(shards)
    digest = hashlib.sha256()
    for weight in weights:
        rows, cols = (1, *weight.shape)[-2:]
        digest.update(f"{weight.gguf_name}|{weight.dtype}|".encode())
        digest.update(rows.to_bytes(8, "little") + cols.to_bytes(8, "little"))
        for piece in weight.pieces():
            digest.update(piece)
    return digest.hexdigest()


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    names = set(read_json_object(index)["weight_map"].values()) if index.exists() else {"model.safetensors"}
    shards = [folder / name for name in sorted(names)]
    for shard in shards:
        if not shard.exists():
            raise TrainerError(ErrorKind.MISSING, f"{shard}: no such file; expected a folder of safetensors")
    return shards


def _plain_weights(config: dict[str, Any], shards: list[Path]) -> list[_Weight] | None:
    """In order; None where the folder is none of the plain layouts."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    is_plain = (
        config.get("model_type") in _FAMILIES
        and "quantization_config" not in config
        and rope.get("rope_type", rope.get("type")) != "llama3"
    )
    found = [_weight(path, name, fields, begin) for path in shards for name, fields, begin in _entries(path)]
    if not is_plain or None in found:
        return None
    weights = sorted((weight for weight in found if weight is not None), key=lambda weight: weight.rank)
    return _without_tied_copy(weights, config.get("tie_word_embeddings"))


def _without_tied_copy(weights: list[_Weight], is_tied: bool | None) -> list[_Weight] | None:
    """A second copy of a tied matrix does not count; None where it takes the native program to tell."""
    by_name = {weight.gguf_name: weight for weight in weights}
    output, embedding = by_name.get(_OUTPUT), by_name.get(_EMBEDDING)
    if output is None or embedding is None:
        return weights
    if not is_tied and output.dtype != embedding.dtype:
        return None
    if is_tied or (output.shape == embedding.shape and output.digest() == embedding.digest()):
        return [weight for weight in weights if weight is not output]
    return weights


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Name, header fields and where the data begins, of every tensor of a safetensors file."""
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if n_header > path.stat().st_size - 8:
            raise TrainerError(ErrorKind.MALFORMED, f"{path}: a header of {n_header} bytes; the file is shorter")
        header = json.loads(file.read(n_header))
    for name, fields in header.items():
        if name != "__metadata__":
            yield name, fields, 8 + n_header


def _weight(path: Path, name: str, fields: dict[str, Any], data_begin: int) -> _Weight | None:
    stem, _, kind = name.rpartition(".")
    in_block = _IN_BLOCK.fullmatch(stem)
    names = _BLOCK_NAMES if in_block else _OUTER_NAMES
    own = in_block[2] if in_block else stem
    if own not in names or kind not in ("weight", "bias") or fields["dtype"] not in _TYPES:
        return None
    prefix = f"blk.{in_block[1]}." if in_block else ""
    block = int(in_block[1]) if in_block else (-1 if own == "model.embed_tokens" else 1 << 30)
    begin, end = fields["data_offsets"]
    return _Weight(
        gguf_name=f"{prefix}{names[own]}.{kind}",
        rank=(block, list(names).index(own), kind == "bias"),
        dtype=_TYPES[fields["dtype"]],
        shape=tuple(fields["shape"]),
        path=path,
        offset=data_begin + begin,
        n_bytes=end - begin,
    )


def _sha256_of_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
