#!/usr/bin/env python3
"""A model through a Hugging Face folder and back, as F16: llama-perplexity before and after.

GGUF → folder (config.json, tokenizer.json, safetensors) → GGUF. The file that a round trip must equal is the original with its
weights decoded to F16 by llama-quantize; the original itself is measured too (it is quantised, and its engine quantises
activations for it, so it may differ in the last places).
"""

import json

from workbench import Workbench, number_in, parser_for, remove, say


def round_trip(bench, original):
    folder, back = bench.work / "folder", bench.work / "back.gguf"
    bench.plasticity("export", original, "--format", "hf", "--dtype", "f16", "-o", folder)
    bench.plasticity("export", folder, "--format", "gguf", "--dtype", "f16", "-o", back)
    remove(folder)
    return back


def decoded(bench, original):
    target = bench.work / "decoded.gguf"
    bench.llama("llama-quantize", "--allow-requantize", original, target, "F16", bench.options.threads)
    return target


def perplexity(bench, file):
    return number_in(bench.stock_perplexity(file), "Final estimate: PPL =")


def measure(bench, name):
    original = bench.model(name)
    figures = {"original": perplexity(bench, original)}
    for label, make in (("original_as_f16", decoded), ("round_trip", round_trip)):
        file = make(bench, original)
        figures[label] = perplexity(bench, file)
        remove(file)
    say(f"{name}: {json.dumps(figures)}")
    return figures


def main():
    parser = parser_for(__doc__, chunks=8)
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("hf_round_trip", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
