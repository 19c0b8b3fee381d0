#!/usr/bin/env python3
"""lm-eval's local-completions, unmodified, against `plasticity serve`: does it see what `plasticity eval` computes?

    $(bench/setup_venv bench/requirements_lm_eval.txt) bench/lm_eval_served.py MODEL TEXT [--program build/plasticity]

The task: the second half of pieces of TEXT, 512 tokens each, after their first half; its log-likelihoods, one request a
piece. `eval` scores the same halves, for its context is cut into them. Prints one JSON document; exit code 1 where a
log-likelihood differs by more than 1e-3 of itself.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is to be fetched

from lm_eval import simple_evaluate
from transformers import AutoTokenizer

CONTEXT, TOLERANCE = 512, 1e-3
GIVEN = CONTEXT // 2 + 1  # tokens; eval scores those behind


def pieces_of(text, tokenizer, count):
    """(given, continuation) of CONTEXT tokens each, where both sides of the cut are words by themselves, too."""
    ids, start, pieces = tokenizer(text)["input_ids"], 0, []
    while len(pieces) < count and start + CONTEXT <= len(ids):
        piece = ids[start:start + CONTEXT]
        given, whole = tokenizer.decode(piece[:GIVEN]), tokenizer.decode(piece)
        is_clean = given == given.rstrip() and tokenizer(whole)["input_ids"] == piece and tokenizer(given)["input_ids"] == piece[:GIVEN]
        if is_clean:
            pieces.append((given, whole[len(given):]))
        start += CONTEXT if is_clean else 1
    return pieces


def served(url, folder, pieces, name):
    """Log-likelihoods as lm-eval asks for them."""
    data = folder / "task.jsonl"
    data.write_text("".join(json.dumps({"given": given, "continuation": rest}) + "\n" for given, rest in pieces), encoding="utf-8")
    task = {"task": "continuations", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test", "output_type": "loglikelihood", "doc_to_text": "{{given}}", "doc_to_target": "{{continuation}}",
            "target_delimiter": "", "metric_list": [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}]}
    found = simple_evaluate(model="local-completions", tasks=[task], log_samples=True, bootstrap_iters=0, model_args={
        "model": name, "base_url": url + "/v1/completions", "tokenizer": str(folder / "hf"), "tokenizer_backend": "huggingface",
        "num_concurrent": 2, "max_length": CONTEXT + 8, "tokenized_requests": True})
    samples = sorted(found["samples"]["continuations"], key=lambda sample: sample["doc_id"])
    return [sample["filtered_resps"][0][0] for sample in samples]


def evaluated(program, model, folder, given, rest):
    path = folder / "piece.txt"
    path.write_text(given + rest, encoding="utf-8")
    ran = subprocess.run([program, "eval", model, "--data", path, "-c", str(CONTEXT), "--chunks", "1", "--json", "--quiet"],
                         capture_output=True, check=True)
    result = json.loads(ran.stdout)
    return -math.log(result["perplexity"]) * result["positions"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--program", default="build/plasticity")
    parser.add_argument("--pieces", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([options.program, "export", options.model, "--format", "hf", "-o", folder / "hf", "--quiet"], check=True)
        pieces = pieces_of(options.text.read_text(encoding="utf-8"), AutoTokenizer.from_pretrained(folder / "hf"), options.pieces)
        server = subprocess.Popen([options.program, "serve", options.model, "--port", "0", "-c", str(CONTEXT + 8), "--slots", "2"],
                                  stdout=subprocess.PIPE, text=True)
        try:
            ours = served(server.stdout.readline().strip(), folder, pieces, options.model.stem)
        finally:
            server.terminate()
            server.wait(timeout=60)
        own = [evaluated(options.program, options.model, folder, *piece) for piece in pieces]
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, own, strict=True))
    print(json.dumps({"pieces": len(pieces), "served": ours, "evaluated": own, "largest_relative_difference": worst}, indent=2))
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
