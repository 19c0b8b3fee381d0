"""Hashes say what they are of, and only that; bench/trainer_agreement.py compares them with the native program's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_model
from safetensors.torch import load_file, save_file

from plasticity_trainer import ErrorKind, TrainerError
from plasticity_trainer.provenance import model_name, model_sha256

#: GGUF's names and order of what a tiny Qwen2 holds, and where Hugging Face has it.
_BLOCK = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
]
NAMES = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    *((f"blk.{layer}.{gguf}", f"model.layers.{layer}.{hf}") for layer in range(2) for gguf, hf in _BLOCK),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
]


def saved(folder: Path, **options: bool) -> Path:
    tiny_model("qwen2", **options).to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_hash_is_over_names_types_shapes_and_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    digest = hashlib.sha256()
    for gguf, hf in NAMES:
        weight = weights[hf]
        rows, cols = weight.shape if weight.dim() == 2 else (1, *weight.shape)
        digest.update(f"{gguf}|bf16|".encode() + rows.to_bytes(8, "little") + cols.to_bytes(8, "little"))
        digest.update(weight.view(torch.uint8).numpy().tobytes())
    assert model_sha256(folder) == digest.hexdigest()


def test_shards_do_not_matter(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole")
    tiny_model("qwen2").to(torch.bfloat16).save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    assert model_sha256(tmp_path / "parts") == model_sha256(whole)


def test_a_copy_of_a_tied_matrix_does_not_count(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", tied=True)
    before = model_sha256(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "lm_head.weight": weights["model.embed_tokens.weight"].clone()}, folder / "model.safetensors")
    assert model_sha256(folder) == before


def test_layouts_that_are_computed_with_are_hashed_by_file(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": {"rope_type": "llama3"}}))
    assert model_sha256(folder).startswith("files:")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TrainerError, match="no such file") as raised:
        model_sha256(tmp_path)
    assert raised.value.kind is ErrorKind.MISSING


def test_models_are_named_as_the_native_program_does(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--Owner--Some-Model" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert model_name(snapshot) == "Some-Model"
    (snapshot / "config.json").write_text('{"_name_or_path": "Owner/Other"}')
    assert model_name(snapshot) == "Other"
