#!/usr/bin/env python3
"""Shows that transformers loads an exported folder and continues prompts as this program does, greedily.

Needs torch and transformers (`pip install torch transformers`); `make test` needs neither.

    plasticity export MODEL.gguf --format hf --dtype f32 -o FOLDER
    plasticity export FOLDER --format gguf -o FOLDER.gguf
    greedy_tokens.py FOLDER FOLDER.gguf --program build/plasticity [--tokens 32]

Both sides start from the same numbers, in F32, and both must give the same tokens: those of the prompt, and the argmax of
each step after it. Prints for each prompt how many agree; the exit code is 1 when any does not.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "def is_prime(n):\n",
    "The capital of France is",
    "import os\nimport sys\n\n\ndef main():\n",
    "Once upon a time, in a small village near the sea,",
    "Q: What is 12 + 30?\nA:",
    "Der schnelle braune Fuchs",
    "<|im_start|>user\nWrite a haiku about rain.<|im_end|>\n<|im_start|>assistant\n",
]


def by_program(arguments, prompt):
    ran = subprocess.run([arguments.program, "infer", arguments.gguf, "-p", prompt, "-n", str(arguments.tokens), "--temp",
                          "0", "--json", "--quiet"], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(ran.stdout)


def by_transformers(model, tokenizer, prompt, count):
    """The ids of the prompt and of up to `count` tokens after it, ending before the end of generation."""
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out = model.generate(ids, max_new_tokens=count, do_sample=False, pad_token_id=0)
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    new = out[0, ids.shape[1]:].tolist()
    return ids[0].tolist(), [token for token in new if token not in ends]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--tokens", type=int, default=32)
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {type(model).__name__}")
    agreed = total = 0
    for prompt in PROMPTS:
        ids, expected = by_transformers(model, tokenizer, prompt, arguments.tokens)
        got = by_program(arguments, prompt)
        text = tokenizer.decode(expected, skip_special_tokens=True)
        same = (got["text"], got["prompt_tokens"], got["generated_tokens"]) == (text, len(ids), len(expected))
        agreed, total = agreed + same, total + 1
        print(f"{'same' if same else 'DIFFERENT'}: {len(ids)} + {len(expected)} tokens: {prompt!r} -> {text!r}")
    print(f"{agreed} of {total} prompts continue alike")
    sys.exit(0 if agreed == total else 1)


if __name__ == "__main__":
    main()
