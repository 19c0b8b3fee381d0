#!/usr/bin/env python3
"""Writes an F16 GGUF of random weights whose shape bars 256-wide blocks somewhere: what no small real model has.

Its vocabulary is the 256 bytes and three tokens more, its embeddings are tied, and every matrix keeps the size of what
it maps, so that errors of weights show in the logits as they would in a trained model's first steps.
Usage: ragged_model.py SHAPE OUT.gguf [--seed N]    (same seed, same bytes)
"""

import argparse
from dataclasses import dataclass

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType


@dataclass(frozen=True)
class Shape:
    """A llama's."""
    title: str
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    feed_forward: int
    layers: int = 1


SHAPES = {"25x128": Shape("random, 25 heads × 128 = 3200, FFN 8640", 25, 5, 128, 3200, 8640),
          "ffn-2720": Shape("random, width 1024, FFN 2720", 16, 4, 64, 1024, 2720, 2)}
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "i n", "e r"]


def letters():
    """GPT-2's letters for the 256 bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def add_tokenizer(writer):
    tokens = letters() + [merge.replace(" ", "") for merge in MERGES] + CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (len(tokens) - len(CONTROL)) + [TokenType.CONTROL] * len(CONTROL))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    return len(tokens)


def add_weights(writer, shape, n_vocab, random):
    def matrix(name, rows, cols):
        writer.add_tensor(f"{name}.weight", random.normal(0, cols ** -0.5, (rows, cols)).astype(np.float16))

    def norm(name):
        writer.add_tensor(f"{name}.weight", random.uniform(0.8, 1.2, shape.width).astype(np.float32))

    matrix("token_embd", n_vocab, shape.width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm")
        matrix(block + "attn_q", shape.heads * shape.head_dim, shape.width)
        matrix(block + "attn_k", shape.kv_heads * shape.head_dim, shape.width)
        matrix(block + "attn_v", shape.kv_heads * shape.head_dim, shape.width)
        matrix(block + "attn_output", shape.width, shape.heads * shape.head_dim)
        norm(block + "ffn_norm")
        matrix(block + "ffn_gate", shape.feed_forward, shape.width)
        matrix(block + "ffn_up", shape.feed_forward, shape.width)
        matrix(block + "ffn_down", shape.width, shape.feed_forward)
    norm("output_norm")


def write(shape, target, seed=1):
    writer = GGUFWriter(target, "llama")
    writer.add_name(shape.title)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_block_count(shape.layers)
    writer.add_context_length(2048)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    n_vocab = add_tokenizer(writer)
    writer.add_vocab_size(n_vocab)
    add_weights(writer, shape, n_vocab, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(SHAPES[options.shape], options.target, options.seed)


if __name__ == "__main__":
    main()
