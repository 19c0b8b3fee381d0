#!/usr/bin/env python3
"""Runs clang-tidy on every source of src/, skipping those that passed before in exactly this form.

A file's form is its own text, that of every project header it reaches, its compile command, the checks (.clang-tidy)
and clang-tidy's version. Only a clean result is remembered, as an empty file named by the hash of all that.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def reached_headers(source, include_roots):
    """The source and all project headers that it includes, directly or not."""
    reached, pending = set(), [source]
    while pending:
        path = pending.pop()
        if path in reached:
            continue
        reached.add(path)
        for included in INCLUDE.findall(path.read_bytes()):
            for include_root in (*include_roots, path.parent):
                candidate = include_root / included.decode()
                if candidate.is_file():
                    pending.append(candidate)
                    break
    return sorted(reached)


def form_hash(command, source, settings, options):
    """Names files relative to the checkout, so that another clone of the same text finds the result."""
    digest = hashlib.sha256(settings)
    digest.update(command.replace(str(options.build), "BUILD").replace(str(options.root), "ROOT").encode())
    include_roots = [options.root / "src", options.root / "include", options.build / "generated"]
    for path in reached_headers(source, include_roots):
        digest.update(os.path.relpath(path, options.root).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def check(clang_tidy, build, source):
    """The complaints about one source, empty when it is clean."""
    ran = subprocess.run([clang_tidy, "-p", str(build), "--quiet", "--warnings-as-errors=*", str(source)],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True)
    # clang-tidy counts suppressed warnings of system headers on stderr; that is of no interest unless it fails.
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def changed_sources(options):
    """(source, marker of its present form) for every source of src/ without a remembered clean result."""
    version = subprocess.run([options.clang_tidy, "--version"], capture_output=True, check=True).stdout
    settings = version + (options.root / ".clang-tidy").read_bytes()
    for entry in json.loads((options.build / "compile_commands.json").read_text()):
        source = Path(entry["file"])
        if options.root / "src" not in source.parents:
            continue
        marker = options.cache / form_hash(entry["command"], source, settings, options)
        if not marker.exists():
            yield source, marker


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clang-tidy", required=True)
    for name in ("--build", "--cache", "--root"):
        parser.add_argument(name, required=True, type=Path)
    return parser.parse_args()


def main():
    options = parse_options()
    options.cache.mkdir(parents=True, exist_ok=True)
    changed = list(changed_sources(options))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = pool.map(lambda item: check(options.clang_tidy, options.build, item[0]), changed)
        for number, ((source, marker), complaint) in enumerate(zip(changed, complaints), start=1):
            print(f"[{number:{len(str(len(changed)))}}/{len(changed)}] clang-tidy {source.relative_to(options.root)}",
                  file=sys.stderr, flush=True)
            if complaint:
                failed += 1
                print(complaint, file=sys.stderr, flush=True)
            else:
                marker.touch()
    print(f"clang-tidy: {len(changed)} changed sources looked at, {failed} with complaints", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
