#!/usr/bin/env python3
"""Records what transformers computes for a tiny random model of each family, for tests that run without it.

Usage: families.py DIRECTORY [FAMILY...]     (pip install torch transformers numpy; tests/data/families holds the result)

One JSON file each: config.json's fields, tensor shapes, token ids, logits at some positions, the mean cross-entropy and
the gradient of it with respect to a gate on every query head. The weights are not stored: they follow from a tensor's
name by a counter-based generator that tests/support/reference_model.cpp repeats.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

VOCABULARY = 264
TOKENS = [(37 * i * i + 11 * i + 5) % 256 for i in range(24)]
POSITIONS = [0, 5, 8, 12, 17, 23]  # of the logits kept: within, at the edge of and beyond a window of 8

COMMON = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128, bos_token_id=None, eos_token_id=None,
              pad_token_id=None)
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
GEMMA_ROPE = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
              "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}

FAMILIES = {
    "llama": ("LlamaConfig", dict(rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                                                   "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                                   "original_max_position_embeddings": 32})),
    "mistral": ("MistralConfig", dict(rope_parameters=ROPE, head_dim=32, sliding_window=None)),
    "qwen2": ("Qwen2Config", dict(rope_parameters=ROPE, tie_word_embeddings=True)),
    "qwen3": ("Qwen3Config", dict(rope_parameters=ROPE, head_dim=32, tie_word_embeddings=True)),
    "granite": ("GraniteConfig", dict(rope_parameters=ROPE, tie_word_embeddings=True, embedding_multiplier=12.0,
                                      residual_multiplier=0.22, attention_multiplier=0.0883, logits_scaling=8.0)),
    "smollm3": ("SmolLM3Config", dict(rope_parameters=ROPE, tie_word_embeddings=True)),
    "gemma3": ("Gemma3TextConfig", dict(rope_parameters=GEMMA_ROPE, head_dim=16, query_pre_attn_scalar=16,
                                        num_hidden_layers=7, sliding_window=8, hidden_size=48)),
    "phi3": ("Phi3Config", dict(rope_parameters=ROPE)),
    "qwen3moe": ("Qwen3MoeConfig", dict(rope_parameters=ROPE, num_experts=4, num_experts_per_tok=2, head_dim=16,
                                        moe_intermediate_size=32, norm_topk_prob=True, num_hidden_layers=2)),
}


def scramble(value):
    """SplitMix64, on arrays of uint64."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def fnv1a(name):
    value = 14695981039346656037
    for byte in name.encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return np.array([value], dtype=np.uint64)


def weights_of(name, shape, norms_are_offsets):
    """Uniform: norms near 1 (or near 0 where 1 is added), biases small, matrices of unit gain."""
    is_norm = len(shape) == 1 and not name.endswith(".bias")
    stream = scramble(fnv1a(name))
    bits = scramble(stream + np.arange(int(np.prod(shape)), dtype=np.uint64))
    uniform = ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).astype(np.float32)
    scale = np.float32(0.1) if len(shape) == 1 else np.sqrt(np.float32(3.0) / np.float32(shape[-1]))
    base = np.float32(1.0) if is_norm and not norms_are_offsets else np.float32(0.0)
    return torch.from_numpy((base + scale * uniform).reshape(shape))


def fill(model, norms_are_offsets):
    """Gives a model its weights by the names that save_pretrained writes. Returns these names with their shapes."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = Path(folder, "model.safetensors")
        shapes = {name: list(value.shape) for name, value in load_file(path).items()}
        save_file({name: weights_of(name, shape, norms_are_offsets).contiguous() for name, shape in shapes.items()},
                  path, metadata={"format": "pt"})
        filled = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return filled.eval(), shapes


def record_heads(model, heads):
    """Keeps what every o_proj reads, which is where the gates sit."""

    def keep(_, inputs):
        inputs[0].retain_grad()
        heads.append(inputs[0])

    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(keep)


def record(name):
    config_class, options = FAMILIES[name]
    config = getattr(transformers, config_class)(**{**COMMON, **options})
    model, shapes = fill(transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32), name == "gemma3")

    heads = []
    record_heads(model, heads)
    tokens = torch.tensor([TOKENS])
    logits = model(tokens).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[0, 1:])
    loss.backward()
    n_head = config.num_attention_heads
    gates = [(h * h.grad).double().reshape(len(TOKENS), n_head, -1).sum((0, 2)).tolist() for h in heads]
    kept = config.to_dict()
    kept["architectures"] = [type(model).__name__]
    return {
        "config": {key: value for key, value in kept.items() if key not in ("transformers_version", "dtype")},
        "tensors": shapes,
        "tokens": TOKENS,
        "positions": POSITIONS,
        "logits": [[round(v, 5) for v in logits[position].tolist()] for position in POSITIONS],
        "loss": loss.item(),
        "gates": [[float(f"{gate:.7g}") for gate in layer] for layer in gates],
    }


def main(arguments):
    if not arguments:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    for name in arguments[1:] or FAMILIES:
        text = json.dumps(record(name), separators=(",", ":")) + "\n"
        Path(arguments[0], f"{name}.json").write_text(text)
        print(f"{name}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
