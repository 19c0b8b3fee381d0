#!/usr/bin/env python3
"""Records what PyTorch's autograd says of every query head's gate, for tests/integration/gate_gradients_test.cpp.

Needs torch and transformers (`pip install torch transformers`); `make test` needs neither.

    plasticity export MODEL.gguf --format hf --dtype bf16 -o FOLDER
    gate_gradients.py FOLDER TEXT_FILE OUT.json [--tokens 256]

The folder is exported first so that both sides start from the same numbers: a GGUF's blocks are dequantised with other
roundings by other programs, and gate gradients, sums that nearly cancel, amplify that a thousandfold.
A factor 1 stands on every head's output, before o_proj; the loss is the mean cross-entropy of tokens 1… given those
before. OUT.json holds the token ids, the loss and d loss / d gate.
"""

import argparse
import hashlib
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def gate_gradients(model, tokens):
    """Loss and [layer][head] gradients of factors on the heads' outputs, by hooks before every o_proj."""
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    gates = [torch.ones(config.num_attention_heads, requires_grad=True) for _ in model.model.layers]
    hooks = []
    for gate, layer in zip(gates, model.model.layers):
        hooks.append(layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _, inputs, gate=gate: (inputs[0] * gate.repeat_interleave(head_dim),)))
    ids = torch.tensor([tokens])
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    # In F32 the sum over tens of thousands of tokens is off by 1e-5, which the gates' cancelling sums turn into 1e-3.
    loss = torch.nn.functional.cross_entropy(logits.double(), ids[0, 1:])
    gradients = torch.autograd.grad(loss, gates)
    for hook in hooks:
        hook.remove()
    return loss.item(), [g.tolist() for g in gradients]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="Hugging Face folder")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = tokenizer(options.text.read_text(), add_special_tokens=False)["input_ids"][: options.tokens]
    loss, gradients = gate_gradients(model, tokens)
    record = {
        "weights_sha256": hashlib.sha256((options.model / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": f"torch {torch.__version__}, F32, eager attention",
        "tokens": tokens,
        "loss": loss,
        "gate_gradients": gradients,
    }
    options.output.write_text(json.dumps(record) + "\n")
    print(f"{len(tokens)} tokens, loss {loss:.6f}, {sum(map(len, gradients))} heads -> {options.output}")


if __name__ == "__main__":
    main()
