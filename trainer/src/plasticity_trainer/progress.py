"""How far a run is, on stderr; stdout is for results."""

from __future__ import annotations

import sys
import time

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Tokens done, tokens/s, time left and the newest losses: one line that is written over on a terminal, else a line
    every ten seconds. A quiet one says nothing, as all ranks but the first do."""

    def __init__(self, n_tokens: int, *, quiet: bool) -> None:
        self._n_tokens = n_tokens
        self._quiet = quiet
        self._done = 0
        self._start = time.monotonic()
        self._shown = self._start
        self._is_terminal = sys.stderr.isatty()

    def note(self, text: str) -> None:
        if not self._quiet:
            self._end_line()
            print(f"plasticity-train: {text}", file=sys.stderr, flush=True)

    def advance(self, n_tokens: int, text: str) -> None:
        self._done += n_tokens
        now = time.monotonic()
        if self._quiet or now - self._shown < (0.1 if self._is_terminal else _SECONDS_BETWEEN_LINES):
            return
        self._shown = now
        rate = self._done / max(now - self._start, 1e-9)
        left = (self._n_tokens - self._done) / rate
        line = f"{self._done}/{self._n_tokens} tokens, {rate:.0f}/s, {_duration(left)} left, {text}"
        print(
            f"\r\x1b[K{line}" if self._is_terminal else line,
            end="" if self._is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        if not self._quiet:
            self._end_line()

    def _end_line(self) -> None:
        if self._is_terminal and self._shown > self._start:
            print(file=sys.stderr)
            self._shown = self._start


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
