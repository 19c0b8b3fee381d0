#!/usr/bin/env python3
"""Runs every ```sh block of a Markdown file, in order, in one shell and an empty folder: documentation that cannot rot.

    run_commands.py FILE.md PROGRAM MODEL

PROGRAM is put on the PATH as `plasticity`, MODEL into $MODEL. The first command that fails ends the run.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile


def shell_blocks(markdown):
    return re.findall(r"^```sh\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)


def main():
    document, program, model = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    blocks = shell_blocks(document.read_text(encoding="utf-8"))
    if not blocks:
        sys.exit(f"{document}: no ```sh block; expected at least one")
    if not model.exists():
        sys.exit(f"{model} does not exist; run scripts/fetch_model smollm2 first")
    with tempfile.TemporaryDirectory() as scratch:
        tools = pathlib.Path(scratch, "bin")
        tools.mkdir()
        (tools / "plasticity").symlink_to(program)
        folder = pathlib.Path(scratch, "work")
        folder.mkdir()
        environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "MODEL": str(model)}
        script = "set -euxo pipefail\n" + "\n".join(blocks)
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False)
    print(f"{document.name}: {len(blocks)} blocks, exit code {done.returncode}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
