"""Tiny models with random weights and a tiny tokenizer, made for each session of tests; nothing is fetched."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(1)

_SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # so that heads differ, and no gradient vanishes
}


def tiny_model(family: str = "llama", *, tied: bool = False) -> PreTrainedModel:
    """Always the same weights."""
    torch.manual_seed(7)
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**_SIZES, tie_word_embeddings=tied)).eval()
    return Qwen2ForCausalLM(Qwen2Config(**_SIZES, tie_word_embeddings=tied)).eval()


TASK_TEXT = "\n".join(f"def f{i}(x): return x * {i} + (x - {i}) ** 2" for i in range(40))


def write_tokenizer(folder: Path) -> None:
    """Byte-level BPE with one control token, `<|end|>`, that its file forgets to mark."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TASK_TEXT], trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet))
    tokenizer.add_tokens(["<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole folder as transformers saves it."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny_model().save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "task.py"
    path.write_text(TASK_TEXT)
    return path
