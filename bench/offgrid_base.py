#!/usr/bin/env python3
"""Writes an F16 GGUF of the same function as IN whose weights lie on no quantisation grid any more.

Models found as packages are quantised already. Quantising their weights once more at the same type loses next to
nothing, so a comparison made on them flatters every quantiser. A network does not notice when a channel is scaled by
s on one side of a place where nothing mixes channels, and by 1/s on the other:

    RMSNorm weight ÷ s   and the columns of what reads it (q, k, v; gate, up) × s
    rows of v × s        and the columns of o that read that value dimension ÷ s (all query heads of the KV group)
    rows of up × s       and the columns of down ÷ s      (SiLU acts on gate alone)

Embeddings and the output matrix have no such partner that would leave tied matrices tied: they stay as they are.

Such scales are what `plan --equalize` makes good for, too. With --dither every weight of the blocks' matrices moves by up
to half a step of its block instead: the scales of channels stay as they were trained, and it is another, noisier model.
Usage: offgrid_base.py IN.gguf OUT.gguf [--seed N] [--dither]    (llama and qwen2; same seed, same bytes)
"""

import argparse
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize

# Of s: log-uniform between 1/WIDEST and WIDEST.
WIDEST = 1.4


class Weights:
    """All tensors as F32, rows first, by GGUF's names."""

    def __init__(self, reader):
        self._tensors = {tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
                         for tensor in reader.tensors}

    def __getitem__(self, name):
        return self._tensors[name]

    def __contains__(self, name):
        return name in self._tensors

    def items(self):
        return self._tensors.items()

    def scale_rows(self, name, s):
        if name in self:
            tensor = self._tensors[name]
            tensor *= s[:, None] if tensor.ndim == 2 else s

    def scale_columns(self, name, s):
        self._tensors[name] *= s[None, :]

    def drop(self, name):
        del self._tensors[name]

    def rename(self, name, new_name):
        self._tensors[new_name] = self._tensors.pop(name)


def rescale_norm(weights, norm, readers, random):
    s = random(weights[norm].shape[0])
    weights.scale_rows(norm, 1 / s)
    for reader in readers:
        weights.scale_columns(reader, s)


def rescale_values(weights, block, n_heads, n_groups, random):
    rows = weights[f"{block}.attn_v.weight"].shape[0]
    s = random(rows)
    weights.scale_rows(f"{block}.attn_v.weight", s)
    weights.scale_rows(f"{block}.attn_v.bias", s)
    of_group = s.reshape(n_groups, rows // n_groups)
    of_query_heads = np.repeat(of_group, n_heads // n_groups, axis=0).reshape(-1)
    weights.scale_columns(f"{block}.attn_output.weight", 1 / of_query_heads)


def rescale_feed_forward(weights, block, random):
    s = random(weights[f"{block}.ffn_up.weight"].shape[0])
    weights.scale_rows(f"{block}.ffn_up.weight", s)
    weights.scale_columns(f"{block}.ffn_down.weight", 1 / s)


def rescale(weights, reader, generator):
    architecture = reader.fields["general.architecture"].contents()
    if architecture not in ("llama", "qwen2"):
        sys.exit(f"offgrid_base: architecture is {architecture}; expected llama or qwen2")
    n_layers = int(reader.fields[f"{architecture}.block_count"].contents())
    n_heads = int(reader.fields[f"{architecture}.attention.head_count"].contents())
    n_groups = int(reader.fields[f"{architecture}.attention.head_count_kv"].contents())
    widest = np.log(WIDEST)

    def random(n):
        return np.exp(generator.uniform(-widest, widest, n)).astype(np.float32)

    for layer in range(n_layers):
        block = f"blk.{layer}"
        rescale_norm(weights, f"{block}.attn_norm.weight", [f"{block}.attn_{x}.weight" for x in "qkv"], random)
        rescale_values(weights, block, n_heads, n_groups, random)
        rescale_norm(weights, f"{block}.ffn_norm.weight", [f"{block}.ffn_{x}.weight" for x in ("gate", "up")], random)
        rescale_feed_forward(weights, block, random)


def dither(weights, generator):
    """A step is the least distance between two of the 32 weights of a block."""
    for name, tensor in weights.items():
        if tensor.ndim != 2 or not name.startswith("blk."):
            continue
        blocks = tensor.reshape(-1, 32)
        gaps = np.diff(np.sort(blocks, axis=1), axis=1)
        gaps[gaps <= 1e-6 * np.abs(blocks).max(axis=1, keepdims=True)] = np.inf
        steps = gaps.min(axis=1, keepdims=True)
        steps[np.isinf(steps)] = 0  # all alike
        blocks += (generator.uniform(-0.5, 0.5, blocks.shape) * steps).astype(np.float32)


def tie(weights, reader):
    """These models tie embedding and output; a file with both holds one matrix at two precisions. The finer stays."""
    if "output.weight" not in weights:
        return
    bits = {tensor.name: tensor.n_bytes / tensor.n_elements for tensor in reader.tensors}
    if bits["output.weight"] > bits["token_embd.weight"]:
        weights.drop("token_embd.weight")
        weights.rename("output.weight", "token_embd.weight")
    else:
        weights.drop("output.weight")


def copy_metadata(reader, writer):
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            writer.add_key_value(name, field.contents(), GGUFValueType.ARRAY, sub_type=field.types[-1])
        else:
            writer.add_key_value(name, field.contents(), field.types[0])
    writer.add_file_type(LlamaFileType.MOSTLY_F16)


def write(weights, reader, target):
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer)
    for name, tensor in sorted(weights.items()):
        if tensor.ndim == 2:
            writer.add_tensor(name, tensor.astype(np.float16), raw_dtype=GGMLQuantizationType.F16)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dither", action="store_true")
    options = parser.parse_args()
    reader = GGUFReader(options.source)
    weights = Weights(reader)
    tie(weights, reader)
    generator = np.random.default_rng(options.seed)
    if options.dither:
        dither(weights, generator)
    else:
        rescale(weights, reader, generator)
    write(weights, reader, options.target)


if __name__ == "__main__":
    main()
