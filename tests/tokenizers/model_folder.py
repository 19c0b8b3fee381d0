"""The smallest model that a tokenizer can stand in: one llama block of width 8, all weights zero."""

import json
import math
import pathlib
import struct

WIDTH = 8


def write_model_folder(folder, n_vocab):
    """config.json and model.safetensors beside the tokenizer's files that are in the folder already."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n_vocab, "hidden_size": WIDTH,
        "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": WIDTH,
        "intermediate_size": WIDTH, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 128,
        "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "float16",
    }
    block = {f"self_attn.{name}_proj": [WIDTH, WIDTH] for name in "qkvo"}
    block |= {f"mlp.{name}_proj": [WIDTH, WIDTH] for name in ("gate", "up", "down")}
    block |= {"input_layernorm": [WIDTH], "post_attention_layernorm": [WIDTH]}
    shapes = {"model.embed_tokens.weight": [n_vocab, WIDTH], "model.norm.weight": [WIDTH]}
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in block.items()}

    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder = pathlib.Path(folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
