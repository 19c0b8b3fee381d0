#!/usr/bin/env python3
"""Writes what a large model's inputs look like to this program, without the model: shapes are true, weights are not.

OUT/model/  config.json, model.safetensors.index.json and shards of BF16: the first rows of every matrix are seeded
            normal numbers, the rest are holes in a sparse file, which read as zeros. --dense fills all rows.
OUT/gate_gradients.json   seeded scores for every query head
OUT/stats.gguf            seeded activations of every input channel (an imatrix)
OUT/gram.gguf             with --gram: Gram matrices of neighbouring channels that go together, for every input

Usage: shaped_model.py OUT --shape NAME [--layers N] [--vocabulary N] [--dense] [--gram]    (same seed, same bytes)
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

SHARD_BYTES = 5 * 10**9
TILE_ROWS = 64  # that a sparse matrix holds
SEED = 1


@dataclass(frozen=True)
class Shape:
    family: str
    layers: int
    width: int
    heads: int
    groups: int
    ffn: int
    vocabulary: int
    biases: bool = False
    head_dim: int = 128

    def matrices(self, layer):
        """Hugging Face name, GGUF name, shape; in the order in which Hugging Face writes them."""
        width, queries, keys = self.width, self.heads * self.head_dim, self.groups * self.head_dim
        hf, gguf = f"model.layers.{layer}.", f"blk.{layer}."
        return [(hf + "self_attn.q_proj", gguf + "attn_q", (queries, width)),
                (hf + "self_attn.k_proj", gguf + "attn_k", (keys, width)),
                (hf + "self_attn.v_proj", gguf + "attn_v", (keys, width)),
                (hf + "self_attn.o_proj", gguf + "attn_output", (width, queries)),
                (hf + "mlp.gate_proj", gguf + "ffn_gate", (self.ffn, width)),
                (hf + "mlp.up_proj", gguf + "ffn_up", (self.ffn, width)),
                (hf + "mlp.down_proj", gguf + "ffn_down", (width, self.ffn))]

    def tensors(self):
        """Hugging Face name and shape of everything in the shards."""
        yield "model.embed_tokens.weight", (self.vocabulary, self.width)
        for layer in range(self.layers):
            for name, _, shape in self.matrices(layer):
                yield f"{name}.weight", shape
                if self.biases and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                    yield f"{name}.bias", (shape[0],)
            yield f"model.layers.{layer}.input_layernorm.weight", (self.width,)
            yield f"model.layers.{layer}.post_attention_layernorm.weight", (self.width,)
        yield "model.norm.weight", (self.width,)
        yield "lm_head.weight", (self.vocabulary, self.width)


SHAPES = {"llama-70b": Shape("llama", 80, 8192, 64, 8, 28672, 128256),
          "qwen2.5-coder-7b": Shape("qwen2", 28, 3584, 28, 4, 18944, 152064, biases=True),
          "qwen2.5-coder-32b": Shape("qwen2", 64, 5120, 40, 8, 27648, 152064, biases=True)}


def config_of(shape):
    architecture = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[shape.family]
    return {"architectures": [architecture], "model_type": shape.family, "hidden_size": shape.width,
            "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.groups,
            "intermediate_size": shape.ffn, "vocab_size": shape.vocabulary, "head_dim": shape.head_dim,
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "hidden_act": "silu"}


def byte_size(shape):
    return 2 * int(np.prod(shape, dtype=np.int64))


def shards_of(tensors):
    """Lists of tensors, each of at most SHARD_BYTES."""
    shards, size = [[]], 0
    for name, shape in tensors:
        if shards[-1] and size + byte_size(shape) > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += byte_size(shape)
    return shards


class Weights:
    """Normal numbers as BF16, cut out of one pool at another place for every row."""

    def __init__(self, widest):
        generator = np.random.default_rng(SEED)
        values = generator.normal(0, 0.02, (1 << 20) + widest).astype(np.float32)
        self._pool = (values.view(np.uint32) >> 16).astype(np.uint16)
        self._ones = np.full(widest, 0x3F80, np.uint16)
        self._offsets = generator

    def rows(self, n, columns):
        starts = self._offsets.integers(0, 1 << 20, n)
        return b"".join(self._pool[start:start + columns].tobytes() for start in starts)

    def ones(self, n):
        return self._ones[:n].tobytes()


def write_shard(path, tensors, weights, dense):
    header, offset = {}, 0
    for name, shape in tensors:
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + byte_size(shape)]}
        offset += byte_size(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        for name, shape in tensors:
            file.seek(start + header[name]["data_offsets"][0])
            if len(shape) == 1:
                file.write(weights.ones(shape[0]))
                continue
            rows = shape[0] if dense else min(shape[0], TILE_ROWS)
            for first in range(0, rows, TILE_ROWS):
                file.write(weights.rows(min(TILE_ROWS, rows - first), shape[1]))
        file.truncate(start + offset)


def write_model(folder, shape, dense):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config_of(shape), indent=1))
    shards = shards_of(shape.tensors())
    weights = Weights(max(shape.ffn, shape.width, shape.heads * shape.head_dim))
    places = {}
    for index, tensors in enumerate(shards):
        name = f"model-{index + 1:05}-of-{len(shards):05}.safetensors"
        write_shard(folder / name, tensors, weights, dense)
        places |= dict.fromkeys((tensor for tensor, _ in tensors), name)
    total = sum(byte_size(tensor) for _, tensor in shape.tensors())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=1))


def write_scores(path, shape):
    """Scores as pruning meets them: most heads matter some, a few much, and layers differ."""
    generator = np.random.default_rng(SEED)
    layers = generator.uniform(0.3, 1.0, (shape.layers, 1))
    scores = np.minimum(layers * generator.gamma(2.0, 0.25, (shape.layers, shape.heads)), 1.0)
    path.write_text(json.dumps({"layer_scores": scores.round(6).tolist(), "num_steps": 100, "model_name": "shaped",
                                "num_heads": shape.heads, "num_kv_heads": shape.groups}))


def write_statistics(path, shape):
    """Sums over 4,096 tokens, channels and rows as unequal as they are in models, and curvature as score has it."""
    generator = np.random.default_rng(SEED)
    writer = GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["seeded"])
    writer.add_uint32("imatrix.chunk_count", 8)
    writer.add_uint32("imatrix.chunk_size", 512)

    def add_curvature(name, rows, columns, gates=0):
        parts = {"out_grad2": rows, "in_grad2": columns, "gate_grad2": gates}
        for part, length in parts.items():
            if length:
                writer.add_tensor(f"{name}.{part}", generator.gamma(0.5, 1.0 / length, length))
        writer.add_tensor(f"{name}.grad2_count", np.array([4096.0]))

    for layer in range(shape.layers):
        for _, name, (rows, columns) in shape.matrices(layer):
            squares = generator.gamma(0.5, 8192.0, (1, columns)).astype(np.float32)
            writer.add_tensor(f"{name}.weight.in_sum2", squares)
            writer.add_tensor(f"{name}.weight.counts", np.array([[4096.0]], np.float32))
            add_curvature(f"{name}.weight", rows, columns, shape.heads if name.endswith("attn_output") else 0)
    for name in ("token_embd.weight.lookup", "output.weight"):
        add_curvature(name, shape.vocabulary, shape.width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gram_block(width, most=16384):
    return next(width // n for n in range(1, 17) if width % n == 0 and width // n <= most)


def gram_inputs(shape):
    """GGUF name of the first matrix that reads an input, and the input's width."""
    for layer in range(shape.layers):
        for _, name, (_, columns) in shape.matrices(layer):
            if not name.endswith(("attn_k", "attn_v", "ffn_up")):
                yield f"{name}.weight", columns


def write_gram(path, shape):
    """Σ x xᵀ where channels i and j correlate by 0.9^|i − j|: a row of the triangle is the end of one vector."""
    writer = GGUFWriter(path, "")
    writer.add_type("gram")
    writer.add_uint64("gram.tokens", 4096)
    writer.add_array("gram.datasets", ["seeded"])
    writer.add_string("gram.model_sha256", "")
    blocks = []
    for name, width in gram_inputs(shape):
        block = gram_block(width)
        triangle = block * (block + 1) // 2
        n_blocks = width // block
        writer.add_tensor_info(f"{name}.gram", (n_blocks, triangle), np.dtype(np.float32), 4 * n_blocks * triangle,
                               raw_dtype=GGMLQuantizationType.F32)
        blocks.append((block, n_blocks))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    file = writer.fout[0]
    writer.write_padding(file, file.tell())
    for block, n_blocks in blocks:
        row = (4096 * 0.9 ** np.arange(block, dtype=np.float64)[::-1]).astype(np.float32)
        start = file.tell()
        for _ in range(n_blocks):
            for length in range(1, block + 1):
                file.write(row[block - length:].tobytes())
        writer.write_padding(file, file.tell() - start)
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--gram", action="store_true")
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    shape = replace(shape, layers=options.layers or shape.layers, vocabulary=options.vocabulary or shape.vocabulary)
    write_model(options.target / "model", shape, options.dense)
    write_scores(options.target / "gate_gradients.json", shape)
    write_statistics(options.target / "stats.gguf", shape)
    if options.gram:
        write_gram(options.target / "gram.gguf", shape)
    print(json.dumps(asdict(shape)))


if __name__ == "__main__":
    main()
