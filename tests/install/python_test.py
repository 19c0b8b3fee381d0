#!/usr/bin/env python3
"""`pip install .` into a fresh virtual environment, and what the package promises. Usage: python_test.py SOURCES MODEL"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from command import run

SOURCES, MODEL = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
MYPY = "mypy==2.4.1"


class Package(unittest.TestCase):
    """Every test sees the same environment."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        run(sys.executable, "-m", "venv", cls.folder / "venv")
        cls.python = cls.folder / "venv/bin/python"
        # As the scripts build, and by CMake's name for the compiler: what is compiled already is not compiled again.
        run("bash", "-c", 'source "$0/scripts/common.sh" && CC=${CC:-cc} CXX=${CXX:-c++} exec "$@"', SOURCES,
            cls.python, "-m", "pip", "install", "--disable-pip-version-check", SOURCES, MYPY)

    def python_says(self, code, *arguments):
        return run(self.python, "-c", code, *arguments, cwd=self.folder)

    def test_example_compresses_and_runs(self):
        with tempfile.TemporaryDirectory() as work:
            text = run(self.python, SOURCES / "examples/compress.py", MODEL, __file__, cwd=work)
            self.assertGreater(len(text), 10)
            size = pathlib.Path(work, "small.gguf").stat().st_size
            self.assertLess(size, MODEL.stat().st_size)

    def test_numbers_are_views(self):
        self.python_says("""
import sys, numpy, plasticity
model, text = sys.argv[1:]
scores = plasticity.score(model, text, "s.json", stats="s.gguf", tokens=64, curvature_every=1, force=True)
rows = scores.absolute_sums
assert len(rows) == 30 and rows[0].shape == (9,) and rows[0].dtype == numpy.float64
assert not rows[0].flags.writeable and not rows[0].flags.owndata
assert numpy.shares_memory(rows[0], scores.absolute_sums[0])
assert max(row.max() for row in scores.layer_scores()) == 1
del scores
assert numpy.isfinite(rows[29]).all()  # the view keeps what it looks into
statistics = plasticity.load_statistics("s.gguf")
matrix = statistics.find("blk.0.attn_q.weight")
assert matrix.sum_of_squares.shape == (576,) and matrix.count > 0
assert statistics.find_curvature("blk.0.attn_q.weight").columns.shape == (576,)
assert statistics.find("nothing") is None
""", MODEL, __file__)

    def test_errors_have_kinds(self):
        self.python_says("""
import plasticity
def raises(kind, base, call):
    try:
        call()
    except kind as problem:
        assert isinstance(problem, base) and isinstance(problem, plasticity.Error) and str(problem)
    else:
        raise AssertionError(kind)
raises(plasticity.MissingError, FileNotFoundError, lambda: plasticity.infer("none.gguf", "a"))
raises(plasticity.UsageError, ValueError, lambda: plasticity.plan("m", "s"))
raises(plasticity.MalformedError, ValueError, lambda: plasticity.load_gate_gradients(__import__("json").__file__))
""")

    def test_callbacks_end_a_stage(self):
        self.python_says("""
import sys, plasticity
def fail(progress):
    raise KeyError("mine")
try:
    plasticity.score(sys.argv[1], sys.argv[2], "never.json", on_progress=fail)
except KeyError as problem:
    assert problem.args == ("mine",)
try:
    plasticity.infer(sys.argv[1], "a", on_text=lambda text: False)
except plasticity.Cancelled:
    sys.exit(0)
sys.exit(1)
""", MODEL, __file__)
        self.assertFalse((self.folder / "never.json").exists())

    def test_keyboard_interrupt(self):
        code = ("import sys, plasticity\nprint('ready', flush=True)\n"
                "plasticity.infer(sys.argv[1], 'Once', predict=100000, ctx_size=8192, temp=1, on_text=lambda t: print(flush=True))")
        child = subprocess.Popen([self.python, "-c", code, MODEL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3):
            child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, problem = child.communicate(timeout=60)
        self.assertIn("KeyboardInterrupt", problem)
        self.assertEqual(child.returncode, -signal.SIGINT)

    def test_documented_options_are_those_that_there_are(self):
        rows = re.findall(r"^\| (score|plan|compress|verify|infer) \| (.*) \|$", (SOURCES / "docs/library.md").read_text(), re.M)
        self.assertEqual(len(rows), 5)
        for stage, keys in rows:
            refusal = self.python_says(f"""
import json, plasticity._native
options = dict(model="m", data="d", base="b", output="o", scores="s", recipe="r", prompt="p", device="16gb", none=1)
if "{stage}" == "infer":
    del options["device"]
try:
    plasticity._native.{stage}(json.dumps(options))
except plasticity.UsageError as problem:
    print(problem)
""")
            known = refusal.strip().split("expected of ")[1].split(", ")
            self.assertEqual(sorted(re.findall("`(.*?)`", keys)), known)

    def test_types(self):
        environment = os.environ | {"MYPY_CACHE_DIR": str(self.folder / "mypy")}
        run(self.python, "-m", "mypy", "--strict", SOURCES / "examples/compress.py", env=environment)
        run(self.python, "-m", "mypy", "--strict", "-p", "plasticity", env=environment, cwd=self.folder)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
