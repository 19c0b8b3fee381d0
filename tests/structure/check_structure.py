#!/usr/bin/env python3
"""Fails when the tree breaks a rule that no compiler checks. Usage: check_structure.py ROOT

The rules: a directory of src/ includes only itself and lower layers, so a stage never includes another stage;
public headers include only public ones; no hand-written file exceeds 500 lines; nothing is left marked as unfinished; every source file has a header.
"""

import re
import subprocess
import sys
from pathlib import Path

# Lowest first. Directories of one row never include each other.
LAYERS = [
    ["core"],
    ["io"],
    ["model"],
    ["artifact"],
    ["engine", "quant"],
    ["score", "plan", "compress", "heal", "verify", "infer", "serve", "report", "ipc"],
    ["api", "pipeline"],
    ["cli"],
]
RANK = {directory: rank for rank, row in enumerate(LAYERS) for directory in row}

MAX_LINES = 500
CODE_SUFFIXES = {".cpp", ".h", ".in", ".py", ".sh", ".cmake"}
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME"]) + r")\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def list_files(root):
    """Every file of the tree but ignored ones: git knows them; outside a checkout, all but build trees."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return sorted(path for path in (root / name for name in names if name) if path.is_file())
    return sorted(path for path in root.rglob("*")
                  if path.is_file() and not path.relative_to(root).parts[0].startswith(("build", ".")))


def directory_of(path):
    """The directory of src/ that a file, or an include of one, belongs to; None for a foreign header.

    include/plasticity/score.h declares what src/score/ defines, so it counts as part of it.
    """
    parts = [part for part in path.split("/") if part not in ("src", "include")]
    if len(parts) == 2 and parts[0] == "plasticity":
        directory = parts[1].removesuffix(".h")
    elif len(parts) >= 2:
        directory = parts[0]
    else:
        return None
    return directory if directory in RANK else None


def check_layers(name, text):
    """A directory includes itself or a lower layer."""
    own = directory_of(name)
    if own is None:
        return
    for included in INCLUDE.findall(text):
        other = directory_of(included)
        if other is None or other == own or RANK[other] < RANK[own]:
            continue
        relation = "a sibling of" if RANK[other] == RANK[own] else "above"
        yield f'{name}: includes "{included}", but {other}/ is {relation} {own}/; what both need belongs in a lower layer'


def check_public(name, text):
    """A public header is installed, and what it includes of this project with it."""
    if not name.startswith("include/"):
        return
    for included in INCLUDE.findall(text):
        if "/" in included and not included.startswith("plasticity/"):
            yield f'{name}: includes "{included}", which is not installed; what it needs of that belongs in include/'


def check_length(name, text):
    """One concept per file."""
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{name}: {lines} lines, at most {MAX_LINES}; split it by concept"


def check_finished(name, text):
    """What is missing belongs in an issue, not in the source."""
    for number, line in enumerate(text.splitlines(), start=1):
        if UNFINISHED.search(line):
            yield f"{name}:{number}: a mark of unfinished work; finish it, or write an issue"


def check_header(name, text):
    """Definitions stand behind a declaration that others read: own header, or one of the same directory."""
    if not name.startswith("src/") or not name.endswith(".cpp") or name.endswith("/main.cpp"):
        return
    own = directory_of(name)
    if not any(directory_of(included) == own for included in INCLUDE.findall(text)):
        yield f'{name}: includes no header of {own}/, so nothing declares what it defines'


CHECKS = [check_layers, check_public, check_length, check_finished, check_header]


def is_code(path):
    """Sources, headers and scripts; a script without a suffix shows itself by its first line."""
    if path.suffix in CODE_SUFFIXES or path.name in ("CMakeLists.txt", "Makefile"):
        return True
    with path.open("rb") as file:
        return path.suffix == "" and file.read(2) == b"#!"


def find_violations(root):
    """Every broken rule of the tree at root, one message each."""
    root = Path(root).resolve()
    for path in list_files(root):
        if not is_code(path):
            continue
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for check in CHECKS:
            yield from check(name, text)


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    violations = list(find_violations(arguments[1]))
    for violation in violations:
        print(violation, file=sys.stderr)
    print(f"{len(violations)} violations of the structure")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
