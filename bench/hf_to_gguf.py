#!/usr/bin/env python3
"""From a Hugging Face folder in BF16 to a quantised GGUF: plasticity in one pass against llama.cpp's two programs,
convert_hf_to_gguf.py to a GGUF in BF16 and llama-quantize from there, with the same importance matrix and the same type
for every tensor.

The folder is an off-grid model, exported. Both sides run by turns, so that the file cache holds it for both. Figures of a
side are those of its worst program for memory, of all its files together for disk (the source is not counted) and of all
its programs for time. Resident memory holds pages of files that are mapped, which the system may drop; anonymous memory
does not. On Linux only: both are read in /proc.
"""

import json
import os
import statistics
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from quantize_speed import recipe_like, types_of
from workbench import ROOT, Workbench, parser_for, remove, say, stop_at_failure

MIXES = ["Q4_K_M", "Q3_K_S"]
SAMPLING_SECONDS = 0.02


@dataclass
class Usage:
    """What a program, or several one after the other, took."""
    seconds: float = 0
    cpu_seconds: float = 0
    peak_resident_bytes: int = 0
    peak_anonymous_bytes: int = 0
    peak_disk_bytes: int = 0

    def then(self, other):
        peaks = {key: max(getattr(self, key), getattr(other, key)) for key in asdict(self) if key.startswith("peak_")}
        return Usage(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, **peaks)


def memory_bytes(pid):
    """Largest resident memory so far, and anonymous memory now; 0 once the process is gone.

    What wait4 says of the former would not do: it counts the memory of the Python process that forked it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0, 0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    peak, anonymous, shared = (int(fields.get(key, "0 kB").split()[0]) * 1024 for key in ("VmHWM", "RssAnon", "RssShmem"))
    return peak, anonymous + shared


def disk_bytes(folder):
    """Allocated to all files below; one that goes while it is looked at counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            pass
    return total


def watch(command, folder):
    """Runs to the end. `folder` is where it writes, temporary files too."""
    command = [str(part) for part in command]
    with open(folder.parent / "output.log", "w+", encoding="utf-8", errors="replace") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(folder)})
        usage, is_over = Usage(), threading.Event()

        def sample():
            while not is_over.wait(SAMPLING_SECONDS):
                resident, anonymous = memory_bytes(process.pid)
                usage.peak_resident_bytes = max(usage.peak_resident_bytes, resident)
                usage.peak_anonymous_bytes = max(usage.peak_anonymous_bytes, anonymous)
                usage.peak_disk_bytes = max(usage.peak_disk_bytes, disk_bytes(folder))

        sampler = threading.Thread(target=sample)
        sampler.start()
        _, status, used = os.wait4(process.pid, 0)
        usage.seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        is_over.set()
        sampler.join()
        log.seek(0)
        stop_at_failure(command, process.returncode, log.read())
    usage.cpu_seconds = used.ru_utime + used.ru_stime
    usage.peak_disk_bytes = max(usage.peak_disk_bytes, disk_bytes(folder))
    return usage


class Sides:
    """Both ways from one folder to a file of one mix. Each run begins without what the one before wrote."""

    def __init__(self, bench, folder, imatrix, mix):
        self._bench, self._folder, self._imatrix, self._mix = bench, folder, imatrix, mix
        self._python = bench.run([ROOT / "bench" / "setup_venv", ROOT / "bench" / "requirements_convert.txt"]).stdout.strip()
        self._recipe = bench.work / "recipe.json"
        self._stock, self._own = bench.work / "stock", bench.work / "own"
        self.types, self.bytes = {}, {}

    def _empty(self, folder):
        if folder.exists():
            remove(folder)
        folder.mkdir()
        return folder / "out.gguf"

    def _look_at(self, who, file):
        self.types[who], self.bytes[who] = types_of(file), file.stat().st_size

    def run_stock(self):
        output = self._empty(self._stock)
        converted = self._stock / "bf16.gguf"
        script = self._bench.llama_bin.parent / "share" / "llama.cpp" / "convert_hf_to_gguf.py"
        convert = watch([self._python, script, self._folder, "--outtype", "bf16", "--outfile", converted], self._stock)
        quantize = watch([self._bench.llama_bin / "llama-quantize", "--imatrix", self._imatrix, converted, output,
                          self._mix, self._bench.options.threads], self._stock)
        self._look_at("stock", output)
        if not self._recipe.exists():
            self._recipe.write_text(json.dumps(recipe_like(output, self._folder)))
        remove(self._stock)
        return {"convert": convert, "quantize": quantize, "total": convert.then(quantize)}

    def run_own(self):
        output = self._empty(self._own)
        compress = watch([self._bench.program, "compress", self._folder, "--recipe", self._recipe, "--imatrix",
                          self._imatrix, "-o", output, "--quiet", "-t", self._bench.options.threads], self._own)
        self._look_at("own", output)
        remove(self._own)
        return {"total": compress}

    def close(self):
        remove(self._recipe)


def median_of(runs):
    """[{step: Usage}] → {step: {key: median}}, with all wall times."""
    def summary(step):
        usages = [asdict(run[step]) for run in runs]
        medians = {key: round(statistics.median(usage[key] for usage in usages), 2) for key in usages[0]}
        return medians | {"all_seconds": [round(usage["seconds"], 2) for usage in usages]}
    return {step: summary(step) for step in runs[0]}


def measure_mix(bench, folder, imatrix, mix):
    sides = Sides(bench, folder, imatrix, mix)
    runs = {"stock": [], "own": []}
    for turn in range(max(bench.options.repetitions, bench.options.stock_repetitions)):
        if turn < bench.options.stock_repetitions:
            runs["stock"].append(sides.run_stock())
        if turn < bench.options.repetitions:
            runs["own"].append(sides.run_own())
    assert sides.types["stock"] == sides.types["own"], f"{mix}: the types differ"
    sides.close()
    figures = {who: {"bytes": sides.bytes[who], "steps": median_of(runs[who])} for who in runs}
    stock, own = (figures[who]["steps"]["total"] for who in ("stock", "own"))
    figures["times_less"] = {key: round(stock[key] / own[key], 2) for key in asdict(Usage())}
    say(f"{mix}: {json.dumps(figures)}")
    return figures


def measure(bench, name):
    base = bench.offgrid_base(name)
    imatrix, _ = bench.imatrix(base)
    folder = bench.work / f"{name}-bf16"
    bench.plasticity("export", base, "--format", "hf", "--dtype", "bf16", "-o", folder)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {"folder_bytes": weights, "mixes": {mix: measure_mix(bench, folder, imatrix, mix) for mix in bench.options.mixes}}


def main():
    parser = parser_for(__doc__, tokens=1024)
    parser.set_defaults(models=["qwen2.5-coder-1.5b"])
    parser.add_argument("--mixes", nargs="+", default=MIXES, help="as llama-quantize names them")
    parser.add_argument("--repetitions", type=int, default=3, help="of plasticity")
    parser.add_argument("--stock-repetitions", type=int, default=3, help="of llama.cpp's two programs")
    options = parser.parse_args()
    if options.stock_repetitions < 1 or options.repetitions < 1:
        parser.error("each side runs once at least")
    with Workbench(options) as bench:
        bench.finish("hf_to_gguf", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
