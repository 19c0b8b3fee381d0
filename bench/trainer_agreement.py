#!/usr/bin/env python3
"""The native scorer against the Python trainer: the same model, tokens and options, in F32.

Both read one folder that `plasticity export` wrote, and one JSONL file of token ids. Without an adapter: the largest
difference of any gate's sums, against the largest sum; of every matrix' activations and curvature, against the largest of it; and
whether both say that they scored the same model and data. With --steps above 0: a LoRA fine-tune of so many steps from one beginning,
without dropout; loss curves, and rank correlation of the heads' scores.
Run it where the trainer is installed: scripts/trainer python bench/trainer_agreement.py --models smollm2
"""

import json
import sys

import numpy as np
from gguf import GGUFReader

from plasticity_trainer.adapter import LoraOptions, new_adapter
from plasticity_trainer.run import load_model
from tokenizers import Tokenizer
from workbench import Workbench, parser_for, say

BATCH = 2
LEARNING_RATE = 1e-3
SEED = 0


def token_file(bench, folder, n_examples):
    """Examples of task text as ids, so that no tokenizer can differ."""
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(bench.calibration.read_text(encoding="utf-8")).ids
    target, chunk = bench.work / f"task-{n_examples}.jsonl", bench.options.chunk
    lines = (json.dumps({"tokens": ids[i * chunk:(i + 1) * chunk]}) for i in range(n_examples))
    target.write_text("\n".join(lines), encoding="utf-8")
    return target


def native(bench, folder, data, name, *options):
    target = bench.work / f"native-{name}.json"
    run = bench.plasticity("score", folder, "--data", data, "--precision", "f32", "-o", target, *options)
    return json.loads(target.read_text()), run.seconds


def trainer(bench, folder, data, name, *options):
    target = bench.work / f"trainer-{name}"
    run = bench.run([sys.executable, "-m", "plasticity_trainer", "--model", folder, "--data", data, "--dtype", "f32",
                     "--output", target, "--quiet", *options])
    return json.loads((target / "gate_gradients.json").read_text()), run.seconds


def largest_difference(a, b, key):
    """Over the largest value of any head."""
    first, second = np.array(a[key]), np.array(b[key])
    return float(np.abs(first - second).max() / np.abs(second).max())


def rank_correlation(a, b):
    """Spearman's, of all heads; no two scores of a real model are equal."""
    ranks = [np.argsort(np.argsort(np.ravel(x["absolute_sums"]))) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def compare(found, expected):
    keys = ("absolute_sums", "signed_sums", "moving_averages")
    provenance = found["provenance"], expected["provenance"]
    hashes = ("model_sha256", "data_sha256", "adapter_sha256")
    return {
        "largest_difference": {key: largest_difference(found, expected, key) for key in keys},
        "rank_correlation": rank_correlation(found, expected),
        "mean_loss": {"native": found["mean_loss"], "trainer": expected["mean_loss"]},
        "same_hashes": {key: provenance[0].get(key) == provenance[1].get(key) for key in hashes},
    }


def compare_statistics(found, expected):
    """By kind of sum, the largest and the median over matrices of the largest difference, over the matrix' largest."""
    first, second = ({tensor.name: np.array(tensor.data, dtype=np.float64) for tensor in GGUFReader(path).tensors}
                     for path in (found, expected))
    by_kind = {}
    for name, values in second.items():
        difference = np.abs(first[name] - values).max() / np.abs(values).max()
        by_kind.setdefault(name.rsplit(".", 1)[1], []).append(difference)
    return {"same_tensors": sorted(first) == sorted(second),
            **{kind: {"largest": max(values), "median": float(np.median(values))} for kind, values in by_kind.items()}}


def without_adapter(bench, folder):
    data = token_file(bench, folder, max(1, bench.options.tokens // bench.options.chunk))
    stats = bench.work / "native.gguf"
    found, seconds = native(bench, folder, data, "plain", "--stats", stats)
    expected, trainer_seconds = trainer(bench, folder, data, "plain", "--no-lora", "--stats")
    return compare(found, expected) | {
        "statistics": compare_statistics(stats, bench.work / "trainer-plain" / "stats.gguf"),
        "seconds": {"native": seconds, "trainer": trainer_seconds},
    }


def with_adapter(bench, folder):
    """Both begin from one adapter, which peft makes."""
    data = token_file(bench, folder, bench.options.steps * BATCH)
    beginning = bench.work / "beginning"
    new_adapter(load_model(folder, "f32", "sdpa"), LoraOptions(), SEED).save_pretrained(beginning)
    options = ["--adapter", beginning, "--epochs", 1, "--batch", BATCH, "--lr", LEARNING_RATE, "--holdout-every", 0]
    found, seconds = native(bench, folder, data, "tuned", *options)
    expected, trainer_seconds = trainer(bench, folder, data, "tuned", *options)
    curves = [np.array(side["fine_tune"]["training_losses"]) for side in (found, expected)]
    return compare(found, expected) | {
        "steps": len(curves[0]),
        "losses": {"native": curves[0].tolist(), "trainer": curves[1].tolist()},
        "largest_loss_difference": float(np.max(np.abs(curves[0] - curves[1]) / curves[1])),
        "seconds": {"native": seconds, "trainer": trainer_seconds},
    }


def measure(bench, name):
    folder = bench.work / f"{name}-folder"
    bench.plasticity("export", bench.model(name), "--format", "hf", "--dtype", "f32", "-o", folder)
    figures = {"without_adapter": without_adapter(bench, folder)}
    if bench.options.steps:
        figures["with_adapter"] = with_adapter(bench, folder)
    say(f"{name}: {json.dumps(figures)}")
    return figures


def main():
    parser = parser_for(__doc__, tokens=2048)
    parser.add_argument("--chunk", type=int, default=256, help="tokens of an example")
    parser.add_argument("--steps", type=int, default=20, help="of the fine-tune; 0: none")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("trainer_agreement", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
