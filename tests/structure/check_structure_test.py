#!/usr/bin/env python3
"""Plants one violation of each rule in an otherwise sound tree and expects check_structure to name it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import check_structure  # noqa: E402

SOUND = {
    "src/core/error.h": "#pragma once\n",
    "src/core/error.cpp": '#include "core/error.h"\n',
    "src/quant/quantize.h": '#include "core/error.h"\n',
    "src/score/score.cpp": '#include "plasticity/score.h"\n#include "core/error.h"\n#include <vector>\n',
    "src/cli/main.cpp": '#include "plasticity/score.h"\n#include "plasticity/plan.h"\n',
    "include/plasticity/score.h": '#include "plasticity/error.h"\n#include <vector>\n',
    "include/plasticity/plan.h": "#pragma once\n",
    "scripts/tool": "#!/usr/bin/env bash\n" + "true\n" * 400,
    "docs/long.md": "prose\n" * 900,
}


class CheckStructure(unittest.TestCase):
    def violations(self, **changes):
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**SOUND, **changes.get("files", {})}.items():
                path = Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return list(check_structure.find_violations(root))

    def expect_one(self, name, text, *words):
        found = self.violations(files={name: text})
        self.assertEqual(len(found), 1, found)
        for word in (name, *words):
            self.assertIn(word, found[0])

    def test_a_sound_tree_has_none(self):
        self.assertEqual(self.violations(), [])

    def test_a_stage_includes_another_stage(self):
        self.expect_one("src/plan/plan.h", '#include "score/saliency.h"\n', "sibling", "score")

    def test_a_stage_includes_the_public_header_of_another(self):
        self.expect_one("src/plan/plan.h", '#include "plasticity/score.h"\n', "sibling", "score")

    def test_a_public_header_includes_another_stage(self):
        self.expect_one("include/plasticity/plan.h", "#include <plasticity/score.h>\n", "sibling", "score")

    def test_a_public_header_includes_a_private_one(self):
        self.expect_one("include/plasticity/plan.h", '#include "core/error.h"\n', "not installed")

    def test_engine_and_quant_do_not_know_each_other(self):
        self.expect_one("src/engine/decoder.h", '#include "quant/quantize.h"\n', "sibling", "quant")

    def test_a_layer_includes_a_higher_one(self):
        for lower, higher in [("core", "io"), ("io", "model"), ("model", "artifact"), ("artifact", "engine"),
                              ("quant", "compress"), ("infer", "api"), ("api", "cli"), ("core", "cli")]:
            with self.subTest(lower=lower, higher=higher):
                self.expect_one(f"src/{lower}/x.h", f'  # include "{higher}/y.h"\n', "above")

    def test_a_source_a_header_and_a_script_are_too_long(self):
        own_header = '#include "core/error.h"\n'
        for name, first in [("src/core/x.cpp", own_header), ("src/core/x.h", ""), ("tests/core/x_test.cpp", ""),
                            ("scripts/x", "#!/bin/sh\n"), ("scripts/x.py", "")]:
            with self.subTest(name=name):
                filler = "\n" * (check_structure.MAX_LINES - first.count("\n"))
                self.assertEqual(self.violations(files={name: first + filler}), [])
                self.expect_one(name, first + filler + "\n", "501 lines")

    def test_unfinished_work(self):
        for mark in ("TO" + "DO", "FIX" + "ME"):
            with self.subTest(mark=mark):
                self.expect_one("src/core/x.h", f"int a;\n// {mark}: later\n", ":2:")

    def test_a_source_without_a_header(self):
        self.expect_one("src/io/reader.cpp", '#include "core/error.h"\n', "no header of io/")

    def test_the_program_itself_fails(self):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "src/plan").mkdir(parents=True)
            Path(root, "src/plan/plan.h").write_text('#include "score/saliency.h"\n', encoding="utf-8")
            ran = subprocess.run([sys.executable, check_structure.__file__, root], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("src/plan/plan.h", ran.stderr)


if __name__ == "__main__":
    unittest.main()
