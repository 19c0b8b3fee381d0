#!/usr/bin/env python3
"""Quantising a whole file: plasticity against llama-quantize, the same base, importance matrix and type of every tensor.

llama-quantize chooses the types of its mixes; a recipe repeats them tensor by tensor. Both programs run by turns. Wall
time depends on who else uses the machine, processor time hardly does. KL(base || file) is llama-perplexity's.
"""

import json
import statistics

from gguf import GGUFReader

from workbench import Workbench, parser_for, remove, say

MIXES = ["Q3_K_S", "Q4_K_M", "Q6_K", "IQ4_XS", "IQ3_S"]

HF_NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}


def hf_name(name):
    """Name of a GGUF matrix in Hugging Face's spelling, as recipes have it."""
    if name.startswith("blk."):
        _, layer, tensor, _ = name.split(".")
        return f"model.layers.{layer}.{HF_NAMES[tensor]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight"}[name]


def recipe_like(file, base):
    """A recipe that prunes nothing and gives every matrix the type it has in `file`."""
    reader = GGUFReader(file)
    fields = {field.split(".", 1)[1]: reader.fields[field].contents() for field in reader.fields
              if field.split(".")[0] == reader.fields["general.architecture"].contents()}
    heads, kv_heads = fields["attention.head_count"], fields["attention.head_count_kv"]
    layer = {"numHeads": heads, "numKvHeads": kv_heads, "retainedHeadIndices": list(range(heads)),
             "retainedKvHeadIndices": list(range(kv_heads)), "headScores": [1.0] * heads}
    matrices = [tensor for tensor in reader.tensors if len(tensor.shape) > 1]
    return {"schemaVersion": 1, "pipelineVersion": "", "baseModel": base.stem, "baseModelSha256": "", "policy": "tiers",
            "contextLength": 512, "kvType": "f16", "outputArchitecture": reader.fields["general.architecture"].contents(),
            "stock": True, "stockReason": "",
            "topology": {"baseModel": base.stem, "originalNumHeads": heads, "originalNumKvHeads": kv_heads,
                         "headDim": fields["embedding_length"] // heads, "parameterReduction": 0,
                         "precisionProfile": "",
                         "layers": [{"layerIndex": index, **layer} for index in range(fields["block_count"])]},
            "tensorQuantMap": [{"pattern": hf_name(tensor.name), "quantType": tensor.tensor_type.name,
                                "reason": "as llama-quantize has it"} for tensor in matrices],
            "deviceSpec": None,
            "budget": dict.fromkeys(["embeddingBytes", "attentionBytes", "mlpBytes", "normBytes", "kvCacheMaxBytes",
                                     "computeBytes", "totalBytes", "fileBytes", "limitBytes"], 0)}


def types_of(file):
    return {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(file).tensors if len(tensor.shape) > 1}


class Pair:
    """Both programs' files of one mix, and what making them took."""

    def __init__(self, bench, base, imatrix, mix):
        self._bench, self._base, self._imatrix, self._mix = bench, base, imatrix, mix
        self.stock, self.own = bench.work / "stock.gguf", bench.work / "own.gguf"
        self._recipe = bench.work / "recipe.json"

    def run_stock(self):
        return self._bench.llama("llama-quantize", "--imatrix", self._imatrix, self._base, self.stock, self._mix,
                                 self._bench.options.threads)

    def run_own(self):
        if not self._recipe.exists():
            self._recipe.write_text(json.dumps(recipe_like(self.stock, self._base)))
        return self._bench.plasticity("compress", self._base, "--recipe", self._recipe, "--imatrix", self._imatrix,
                                      "-o", self.own, "--force")

    def close(self):
        for path in (self.stock, self.own, self._recipe):
            remove(path)


def measure_mix(bench, base, imatrix, logits, mix):
    pair = Pair(bench, base, imatrix, mix)
    runs = {"stock": [], "own": []}
    for _ in range(bench.options.repetitions):
        runs["stock"].append(pair.run_stock())
        runs["own"].append(pair.run_own())
    assert types_of(pair.stock) == types_of(pair.own), f"{mix}: the types differ"
    figures = {}
    for who, file in (("stock", pair.stock), ("own", pair.own)):
        figures[who] = {"bytes": file.stat().st_size, "seconds": [round(run.seconds, 2) for run in runs[who]],
                        "cpu_seconds": [round(run.cpu_seconds, 2) for run in runs[who]]}
        figures[who] |= bench.stock_divergence(logits, file) if logits else {}
    for key in ("seconds", "cpu_seconds"):
        figures[f"times_faster_{key}"] = round(statistics.median(
            stock / own for stock, own in zip(figures["stock"][key], figures["own"][key])), 2)
    pair.close()
    say(f"{mix}: {json.dumps(figures)}")
    return figures


def measure(bench, name):
    base = bench.offgrid_base(name)
    imatrix, _ = bench.imatrix(base)
    logits = None
    if bench.options.quality:
        logits = bench.work / "base-logits.bin"
        bench.stock_perplexity(base, "--kl-divergence-base", logits)
    figures = {mix: measure_mix(bench, base, imatrix, logits, mix) for mix in bench.options.mixes}
    return {"base_bytes": base.stat().st_size, "mixes": figures}


def main():
    parser = parser_for(__doc__, tokens=8192, chunks=6)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--mixes", nargs="+", default=MIXES, help="as llama-quantize names them")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-quality", dest="quality", action="store_false", help="leave KL divergence out")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("quantize_speed", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
