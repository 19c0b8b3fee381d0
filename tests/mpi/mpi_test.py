#!/usr/bin/env python3
"""score under mpirun on a real model: two processes against one, and what is left when one of them is killed.

Usage: mpi_test.py PROGRAM MODEL MPIRUN
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOKENS, CHUNK = 1024, 128
DATA = Path(__file__).resolve().parents[2] / "src" / "core"
# Open MPI: as root in a container, more processes than processors, each on any of them.
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                            "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}


class Trial:
    def __init__(self, program, model, mpirun, folder):
        self._score = [program, "score", model, "--data", DATA, "--tokens", TOKENS, "--chunk", CHUNK, "-t", 1, "--force",
                       "--checkpoint-every", 2]
        self._mpirun, self._folder = mpirun, folder

    def command(self, name, *more):
        files = ["-o", self._folder / f"{name}.json", "--stats", self._folder / f"{name}.gguf"]
        return [str(part) for part in [*self._score, *files, *more]]

    def start(self, name, *more, processes=2):
        return subprocess.Popen([self._mpirun, "-n", str(processes), *self.command(name, *more)], env=ENVIRONMENT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, name, *more, processes=1):
        if processes == 1:
            done = subprocess.run(self.command(name, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            code, output = done.returncode, done.stdout
        else:
            started = self.start(name, *more, processes=processes)
            output, _ = started.communicate()
            code = started.returncode
        assert code == 0, output
        return output

    def scores(self, name):
        document = json.loads((self._folder / f"{name}.json").read_text())
        document.pop("fine_tune", None)
        return document

    def checkpoints(self, name):
        return sorted(path.name for path in self._folder.glob(f"{name}.json.checkpoint*"))


def sums_of(path):
    """Every F64 array of the statistics, by name. (Little GGUF reader: the package is not part of the test set-up.)"""
    data = path.read_bytes()
    at = 8

    def take(fmt):
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values[0]

    def text():
        nonlocal at
        n = take("Q")
        value = data[at:at + n]
        at += n
        return value.decode()

    def skip(kind):
        nonlocal at
        sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
        if kind == 8:
            text()
        elif kind == 9:
            inner, n = take("I"), take("Q")
            for _ in range(n):
                skip(inner)
        else:
            at += sizes[kind]

    n_tensors, n_keys = take("Q"), take("Q")
    for _ in range(n_keys):
        text()
        skip(take("I"))
    infos = []
    for _ in range(n_tensors):
        name = text()
        shape = [take("Q") for _ in range(take("I"))]
        infos.append((name, shape, take("I"), take("Q")))
    base = (at + 31) // 32 * 32
    sums = {}
    for name, shape, kind, offset in infos:
        count = 1
        for n in shape:
            count *= n
        if kind in (0, 28):  # F32, F64
            letter = {0: "f", 28: "d"}[kind]
            sums[name] = struct.unpack_from(f"<{count}{letter}", data, base + offset)
    return sums


def largest_difference(a, b):
    assert a.keys() == b.keys() and a
    return max(abs(x - y) / max(abs(y), 1e-300) for name in b for x, y in zip(a[name], b[name]))


def rank_of(process):
    for entry in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
        if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
            return int(entry.split(b"=")[1])
    return None


def kill_rank(mpirun, rank):
    children = subprocess.run(["pgrep", "-P", str(mpirun.pid)], stdout=subprocess.PIPE, text=True).stdout.split()
    victims = [int(child) for child in children if rank_of(child) == rank]
    assert len(victims) == 1, children
    os.kill(victims[0], signal.SIGKILL)


def check_two_against_one(trial, folder):
    trial.run("one")
    trial.run("two", processes=2)
    assert trial.scores("two") == trial.scores("one"), "gate gradients differ"
    difference = largest_difference(sums_of(folder / "two.gguf"), sums_of(folder / "one.gguf"))
    print(f"two processes: gate gradients are the same; statistics differ by {difference:.1e}")
    assert difference < 2e-7, difference  # what is stored as F32 may round the other way
    assert not trial.checkpoints("two")


def check_a_killed_rank(trial, folder):
    started = trial.start("killed")
    while len(trial.checkpoints("killed")) < 2:
        assert started.poll() is None, started.communicate()[0]
        time.sleep(0.05)
    kill_rank(started, 1)
    output, _ = started.communicate()
    assert started.returncode != 0
    assert "signal 9" in output, output
    assert not (folder / "killed.json").exists() and not (folder / "killed.gguf").exists()
    assert trial.checkpoints("killed") == ["killed.json.checkpoint", "killed.json.checkpoint.rank1"]
    output = trial.run("killed", "--resume", processes=2)
    assert "continues after" in output, output
    assert trial.scores("killed") == trial.scores("two"), "the resumed run differs"
    assert (folder / "killed.gguf").read_bytes() == (folder / "two.gguf").read_bytes()
    assert not trial.checkpoints("killed")
    print("one of two processes killed: mpirun says so, checkpoints are left, and the resumed run is the same")


def check_an_error_ends_all(trial, folder):
    started = trial.start("gram", "--gram", folder / "g.gguf")
    output, _ = started.communicate()
    assert started.returncode != 0 and "several processes" in output, output


def main():
    program, model, mpirun = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="plasticity-mpi-") as name:
        folder = Path(name)
        trial = Trial(program, model, mpirun, folder)
        check_two_against_one(trial, folder)
        check_a_killed_rank(trial, folder)
        check_an_error_ends_all(trial, folder)


if __name__ == "__main__":
    main()
