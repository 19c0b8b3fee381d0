#!/usr/bin/env python3
"""Every test that docs/robustness.md names exists, and the table is there. Usage: check_robustness.py ROOT

A test is named Suite.Name: TEST(Suite, Name) or one of its kinds, or for suites with parameters the name of one, as it
begins an entry of the list.
"""

import re
import sys
from pathlib import Path

ROW = re.compile(r"^\| [^|]+ \| (\w+)\.(\w+) \| [^|]*\|$", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| (?!case )[^-].*$", re.MULTILINE)
TEST = re.compile(r"\bTEST(?:_F|_P)?\((\w+),\s*(\w+)\)")
PARAMETER_SUITE = re.compile(r"class (\w+) : public testing::TestWithParam")
PARAMETER = re.compile(r"^\s*\{\"(\w+)\",", re.MULTILINE)


def tests_in(folder):
    """(suite, name) of everything that runs."""
    found = set()
    for path in folder.rglob("*_test.cpp"):
        text = path.read_text(encoding="utf-8")
        found.update(TEST.findall(text))
        for suite in PARAMETER_SUITE.findall(text):
            found.update((suite, name) for name in PARAMETER.findall(text))
    return found


def problems_of(document, known):
    rows = ROW.findall(document)
    if len(rows) != len(TABLE_ROW.findall(document)) or not rows:
        yield f"{len(TABLE_ROW.findall(document))} rows, of which {len(rows)} name a test as Suite.Name"
    for suite, name in rows:
        if (suite, name) not in known:
            yield f"no test {suite}.{name}"


def main(arguments):
    root = Path(arguments[1])
    document = (root / "docs/robustness.md").read_text(encoding="utf-8")
    known = tests_in(root / "tests")
    # A check that finds everything would be none.
    if not list(problems_of("| a | Nothing.Such | |\n", known)):
        print("the check itself is broken", file=sys.stderr)
        return 1
    problems = list(problems_of(document, known))
    for problem in problems:
        print(f"docs/robustness.md: {problem}", file=sys.stderr)
    print(f"{len(ROW.findall(document))} cases of malformed input, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
