"""JSON as the native program prints its artefacts, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import ErrorKind, TrainerError


def json_text(value: object) -> str:
    """Two spaces of indent, arrays of plain values on one line, numbers that read back to the same double."""
    return _formatted(value, 0) + "\n"


def _formatted(value: object, indent: int) -> str:
    is_plain_list = isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value)
    if not isinstance(value, (list, dict)) or not value or is_plain_list:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    line = "\n" + " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_formatted(item, indent + 2)}" for key, item in value.items()]
    else:
        items = [_formatted(item, indent + 2) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + line + ("," + line).join(items) + "\n" + " " * indent + closing


def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An ``object_pairs_hook``: a key that stands twice would hide one of its values."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def read_json_object(path: Path) -> dict[str, Any]:
    """:raises TrainerError: where the file is missing or holds no JSON object"""
    try:
        parsed = json.loads(path.read_bytes(), object_pairs_hook=refuse_duplicates)
    except FileNotFoundError:
        raise TrainerError(ErrorKind.MISSING, f"{path}: no such file") from None
    except ValueError as problem:
        raise TrainerError(ErrorKind.MALFORMED, f"{path}: no JSON: {problem}") from None
    if not isinstance(parsed, dict):
        raise TrainerError(ErrorKind.MALFORMED, f"{path}: got a {type(parsed).__name__}; expected a JSON object")
    return parsed


@contextlib.contextmanager
def appears_whole(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; what was written there takes the target's place when the block ends."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(target: Path, text: str) -> None:
    """Replaces `target` by a file that holds `text`. :raises TrainerError: where that cannot be written"""
    write_file(target, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_file(target: Path, write: Callable[[Path], object]) -> None:
    """Has `write` make a file beside `target`, which then takes its place."""
    try:
        with appears_whole(target) as partial:
            write(partial)
    except OSError as problem:
        raise TrainerError(ErrorKind.IO, f"{target}: cannot be written: {problem}") from None
