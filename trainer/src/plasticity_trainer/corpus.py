"""Task data before tokenisation, read as the native program reads it: text, source trees, JSONL."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ErrorKind, TrainerError
from .json_text import refuse_duplicates

_EXPECTED = 'expected an object with "text", "prompt" and "completion", "messages" or "tokens"'


@dataclass(frozen=True)
class TextRecord:
    """Plain text, to be cut into chunks."""

    text: str


@dataclass(frozen=True)
class CompletionRecord:
    """Only the completion is to be learnt."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class MessagesRecord:
    """A conversation; only what the assistant says is to be learnt."""

    messages: list[dict[str, str]]
    where: str


@dataclass(frozen=True)
class TokensRecord:
    """Ids as they are."""

    tokens: list[int]
    where: str


Record = TextRecord | CompletionRecord | MessagesRecord | TokensRecord


def list_data_files(paths: Sequence[Path]) -> list[Path]:
    """Files as given; folders recursively, in sorted order, without hidden entries.

    :raises TrainerError: where a path does not exist, or there are no files
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise TrainerError(ErrorKind.MISSING, f"data: {path} does not exist")
        files += sorted(_files_below(path), key=_sort_key) if path.is_dir() else [path]
    if not files:
        raise TrainerError(
            ErrorKind.USAGE,
            f"data: no files in {paths[0] if paths else 'what was given'}; expected text, source code or JSONL",
        )
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith(".") and Path(parent, name).is_file())


def _sort_key(path: Path) -> list[bytes]:
    """Name by name and byte by byte, as std::filesystem compares paths."""
    return os.fsencode(path).split(b"/")


def read_corpus(paths: Sequence[Path]) -> list[Record]:
    """Text files become a record each, JSONL files one a line. Files of folders that are no text are passed over.

    :raises TrainerError: naming file and line
    """
    named = set(paths)
    records: list[Record] = []
    for path in list_data_files(paths):
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise TrainerError(ErrorKind.IO, f"data: {path} cannot be read: {problem}") from None
        text = _as_text(content)
        if text is None:
            if path in named:
                raise TrainerError(
                    ErrorKind.MALFORMED, f"data: {path} is not UTF-8 text; expected text, source code or JSONL"
                )
        elif path.suffix in (".jsonl", ".ndjson"):
            records += _read_jsonl(path, text)
        elif text:
            records.append(TextRecord(text))
    if not records:
        raise TrainerError(ErrorKind.USAGE, "data: nothing but empty or binary files in what was given")
    return records


def _as_text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _read_jsonl(path: Path, text: str) -> list[Record]:
    records: list[Record] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip(" \t\r"):
            continue
        where = f"{path}:{number}"
        try:
            records.append(_parse_record(json.loads(line, object_pairs_hook=refuse_duplicates), where))
        except ValueError as problem:
            problems.append(f"{where}: {problem}; {_EXPECTED}")
    if problems:
        raise TrainerError(ErrorKind.MALFORMED, "data: " + "\n".join(problems))
    return records


def _parse_record(value: object, where: str) -> Record:
    """:raises ValueError: saying what is wrong"""
    if not isinstance(value, dict):
        raise ValueError(f"got a JSON {type(value).__name__}")
    if "tokens" in value:
        return TokensRecord(_token_ids(value["tokens"]), where)
    if "messages" in value:
        return MessagesRecord(_messages(value["messages"]), where)
    if "prompt" in value and "completion" in value:
        return CompletionRecord(_text(value, "prompt"), _text(value, "completion"))
    if "text" in value:
        return TextRecord(_text(value, "text"))
    raise ValueError("none of the known fields")


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise ValueError(f"{key}: got {type(text).__name__}")
    return text


def _messages(value: object) -> list[dict[str, str]]:
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise ValueError("messages: expected an array of objects")
    return [{"role": _text(message, "role"), "content": _text(message, "content")} for message in value]


def _token_ids(value: object) -> list[int]:
    if not isinstance(value, list):
        raise ValueError(f"tokens: got {type(value).__name__}")
    for token in value:
        if type(token) is not int or not 0 <= token < 2**31:
            raise ValueError(f"tokens: {token!r} is no token id")
    return value
