"""The one exception of this package; its kind is the exit code, as in the native program."""

from __future__ import annotations

import enum


class ErrorKind(enum.IntEnum):
    """What went wrong. The values are exit codes."""

    USAGE = 2
    MISSING = 3
    MALFORMED = 4
    IO = 6


class TrainerError(Exception):
    """Says what, where, what was found, what was expected and what helps."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
