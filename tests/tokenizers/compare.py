#!/usr/bin/env python3
"""Stock libllama on the GGUF written by `plasticity export` against HF tokenizers on the tokenizer.json it came from.

    compare.py NAME --build DIR [--gguf FILE] [--show N]

NAME is one of scripts/fetch_tokenizer, or of a model whose GGUF file --gguf names. A GGUF file is first written as a
Hugging Face folder; then it must also tokenise as the GGUF written from that folder does. More than 10,000 texts are
compared twice: with control tokens recognised, and with control tokens taken as plain text. In the second comparison HF
tokenizers is told which tokens libllama holds for control tokens, where tokenizer.json marks them otherwise.

Every difference has to have one of the causes known of libllama, and none may be left over:

    composes     libllama does not normalise; the tokenizer wants NFC. The text in NFC must give HF's ids.
    end mark     libllama holds "</s>" for a control token in every vocabulary. HF with that token added must agree.
    lost bytes   the vocabulary has no token for a byte of the text. Both leave it out, HF before merging.
    blank        libllama's expressions see white space outside ASCII as a vertical tab (deepseek-llm only).
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata

import model_folder
import texts

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIN_TEXTS = 10_000

# Which causes a tokenizer may have.
KNOWN = {
    "qwen3": {"composes", "end mark", "composes and end mark"},
    "qwen2.5-coder-0.5b": {"composes", "end mark", "composes and end mark"},
    "smollm2": {"lost bytes"},
    "deepseek-llm": {"blank"},
}


def fetch(name):
    return subprocess.run([ROOT / "scripts/fetch_tokenizer", name], stdout=subprocess.PIPE, check=True,
                          text=True).stdout.strip()


def with_reference_python():
    """Runs this script again by the Python that has the pinned HF tokenizers, unless this is it."""
    python = fetch("reference")
    if pathlib.Path(sys.executable) != pathlib.Path(python):
        os.execv(python, [python, *sys.argv])


class StockTokenizer:
    """libllama through tests/tokenizers/tokenize_lines."""

    def __init__(self, build, gguf):
        self.command = [build / "tokenize_lines", gguf]
        listed = subprocess.run([*self.command, "--control"], stdout=subprocess.PIPE, check=True).stdout
        self.control = set(listed.decode().split("\0")[:-1])

    def encode(self, batch):
        """[(ids with control tokens recognised, ids with them as plain text)]"""
        records = b"".join(struct.pack("<I", len(text)) + text for text in (text.encode() for text in batch))
        out = subprocess.run(self.command, input=records, stdout=subprocess.PIPE, check=True).stdout
        numbers = memoryview(out).cast("i")
        at, ids = 0, []
        while at < len(numbers):
            count = numbers[at]
            ids.append(numbers[at + 1:at + 1 + count].tolist())
            at += 1 + count
        assert len(ids) == 2 * len(batch)
        return list(zip(ids[::2], ids[1::2]))


class Reference:
    """HF tokenizers. `control`: the tokens that plain text must not turn into."""

    def __init__(self, folder, control):
        from tokenizers import Tokenizer
        described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_str(json.dumps(described))
        self.composes = "NFC" in json.dumps(described["normalizer"])
        vocabulary = described["model"]["vocab"]
        self.byte_level = not described["model"].get("byte_fallback")
        self.lost_bytes = {byte for byte, letter in byte_letters().items() if letter not in vocabulary}
        self.n_vocab = 1 + max([*vocabulary.values(), *(token["id"] for token in described["added_tokens"])])
        self.added = [token["content"] for token in described["added_tokens"]]
        self.remarked = 0
        for token in described["added_tokens"]:
            is_control = token["content"] in control
            self.remarked += token["special"] != is_control
            token["special"] = is_control
        self.plain = Tokenizer.from_str(json.dumps(described))
        self.plain.encode_special_tokens = True
        # Those that libllama adds by their texts alone.
        described["added_tokens"] += [
            {"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for token in sorted(control - set(self.added)) if token in vocabulary]
        self.marked = Tokenizer.from_str(json.dumps(described))

    def encode(self, batch):
        recognised, plain = (each.encode_batch(batch, add_special_tokens=False) for each in (self.tokenizer, self.plain))
        return [(one.ids, other.ids) for one, other in zip(recognised, plain)]

    def loses_bytes(self, text):
        return self.byte_level and any(byte in self.lost_bytes for byte in text.encode())


def byte_letters():
    """The letter that stands for each byte in byte-level BPE: itself where printable, else the next from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def prepare(arguments, scratch):
    """@returns the folder with tokenizer.json, the GGUF written from it, and the GGUF it came from or None."""
    source = pathlib.Path(arguments.gguf or fetch(arguments.name))
    folder = scratch / "folder"
    folder.mkdir()
    if source.is_dir():
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, folder)
        rows = {"gemma3": 262_144}.get(arguments.name)  # its last token belongs to the models with sight
    else:
        subprocess.run([arguments.build / "write_tokenizer_files", source, folder], check=True)
        rows = None
    model_folder.write_model_folder(folder, rows or Reference(folder, set()).n_vocab)
    written = scratch / "written.gguf"
    subprocess.run([arguments.build / "plasticity", "export", folder, "--format", "gguf", "-o", written, "--quiet"],
                   check=True)
    return folder, written, None if source.is_dir() else source


def cause_of(text, reference, got, composed, expected):
    marked = reference.marked.encode(text, add_special_tokens=False).ids
    if composed == expected:
        return "composes"
    if got == marked:
        return "end mark"
    if composed == marked:
        return "composes and end mark"
    if reference.loses_bytes(text):
        return "lost bytes"
    return "blank" if any(ord(letter) > 127 and letter.isspace() for letter in text) else "unknown"


def causes_of(stock, reference, batch, pairs, mode):
    """{index: cause} of the texts whose two lists of ids differ."""
    differing = [i for i, (got, expected) in enumerate(pairs) if got != expected]
    composed = stock.encode([unicodedata.normalize("NFC", batch[i]) for i in differing]) if reference.composes else None
    return {i: cause_of(batch[i], reference, pairs[i][0], composed[k][mode] if composed else None, pairs[i][1])
            for k, i in enumerate(differing)}


def compare(name, stock, reference, kinds, batch, show):
    got, expected = stock.encode(batch), reference.encode(batch)
    failed = False
    for mode, what in enumerate(("control tokens recognised", "control tokens as text")):
        pairs = [(one[mode], other[mode]) for one, other in zip(got, expected)]
        causes = causes_of(stock, reference, batch, pairs, mode)
        unexpected = [i for i, cause in causes.items() if cause not in KNOWN.get(name, set())]
        for i in unexpected[:show]:
            print(f"  {kinds[i]} {batch[i]!r}\n    got      {pairs[i][0]}\n    expected {pairs[i][1]}")
        failed |= bool(unexpected)
        counts = sorted(collections.Counter(causes.values()).items())
        print(f"{name}: {what}: {len(batch) - len(causes)} of {len(batch)} texts alike"
              + "".join(f"; {count} differ: {cause}" for cause, count in counts))
    return failed, got


def count_moved(original, got, batch):
    """How many of every third text the original GGUF tokenises otherwise than the one written from its folder."""
    return sum(one != other for one, other in zip(original.encode(batch[::3]), got[::3]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--gguf")
    parser.add_argument("--show", type=int, default=5, help="unexpected differences to print")
    arguments = parser.parse_args()
    with_reference_python()

    with tempfile.TemporaryDirectory() as scratch:
        folder, written, original = prepare(arguments, pathlib.Path(scratch))
        stock = StockTokenizer(arguments.build, written)
        reference = Reference(folder, stock.control)
        added = random.Random(3).sample(reference.added, min(len(reference.added), 40))
        kinds, batch = zip(*texts.texts(added))
        print(f"{arguments.name}: {len(reference.added)} added tokens, {reference.remarked} of them control tokens to "
              "libllama and not to tokenizer.json, or the reverse")
        failed, got = compare(arguments.name, stock, reference, kinds, batch, arguments.show)
        if original:
            moved = count_moved(StockTokenizer(arguments.build, original), got, batch)
            print(f"{arguments.name}: of every third text, {moved} that the original GGUF tokenises otherwise")
            failed |= moved > 0
    if len(batch) < MIN_TEXTS:
        sys.exit(f"only {len(batch)} texts; expected at least {MIN_TEXTS}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
