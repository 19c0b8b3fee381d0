"""Examples to learn from: token ids, and which of them are to be predicted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .corpus import CompletionRecord, MessagesRecord, Record, TextRecord, TokensRecord
from .errors import ErrorKind, TrainerError
from .tokenizer import TaskTokenizer

#: A longer record is cut, as the native scorer does.
MAX_RECORD_TOKENS = 2048


@dataclass(frozen=True)
class Example:
    """One sequence."""

    tokens: npt.NDArray[np.int32]
    targets: npt.NDArray[np.uint8]
    """1: to be predicted from the tokens before it. The first never is."""

    @property
    def n_targets(self) -> int:
        return int(self.targets[1:].sum())


@dataclass(frozen=True)
class ExampleSet:
    examples: list[Example]
    n_shortened: int
    """records that were cut at MAX_RECORD_TOKENS"""

    @property
    def n_tokens(self) -> int:
        return sum(len(example.tokens) for example in self.examples)

    def sha256(self) -> str:
        """Over ids and targets, in order: the native program's data_sha256."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(f"{len(example.tokens)}\n".encode())
            digest.update(example.tokens.astype("<i4").tobytes())
            digest.update(example.targets.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Batch:
    """Examples beside one another, shorter ones filled up with zeros on the right, which nothing before them sees."""

    tokens: Tensor
    """[examples, tokens] ids"""
    targets: Tensor
    """[examples, tokens] bool: to be predicted"""
    lengths: list[int]
    """[examples] tokens without the filling"""

    def to(self, device: torch.device) -> Batch:
        return Batch(self.tokens.to(device), self.targets.to(device), self.lengths)


def collate(examples: Sequence[Example]) -> Batch:
    """:param examples: at least one"""
    lengths = [len(example.tokens) for example in examples]
    tokens = torch.zeros(len(examples), max(lengths), dtype=torch.long)
    targets = torch.zeros(len(examples), max(lengths), dtype=torch.bool)
    for row, (example, length) in enumerate(zip(examples, lengths, strict=True)):
        tokens[row, :length] = torch.from_numpy(example.tokens.astype(np.int64))
        targets[row, 1:length] = torch.from_numpy(example.targets[1:] != 0)
    return Batch(tokens, targets, lengths)


def make_examples(
    records: Sequence[Record], tokenizer: TaskTokenizer, *, chunk: int = 512, max_tokens: int = 0
) -> ExampleSet:
    """Plain text of all records is joined by newlines and cut into examples of exactly `chunk` tokens (a shorter rest
    is kept only when it is all there is); its first token becomes BOS where texts begin with one. Every other record
    is an example of its own, of whose tokens only the completion, or what the assistant says, is a target.

    :param max_tokens: whole examples are taken until so many tokens are reached; 0: all
    :raises TrainerError: where nothing remains, or a record cannot be tokenised
    """
    if not 2 <= chunk <= MAX_RECORD_TOKENS:
        raise TrainerError(ErrorKind.USAGE, f"--chunk {chunk}; expected 2 to {MAX_RECORD_TOKENS}")
    made = [_from_record(record, tokenizer) for record in records if not isinstance(record, TextRecord)]
    n_shortened = sum(len(example.tokens) > MAX_RECORD_TOKENS for example in made)
    cut = [Example(example.tokens[:MAX_RECORD_TOKENS], example.targets[:MAX_RECORD_TOKENS]) for example in made]
    candidates = [example for example in cut if example.n_targets > 0]
    text = ""
    for record in records:
        if isinstance(record, TextRecord):
            text += ("\n" if text else "") + record.text
    candidates += _from_plain_text(text, tokenizer, chunk)

    taken: list[Example] = []
    n_tokens = 0
    for example in candidates:
        if 0 < max_tokens <= n_tokens:
            break
        n_tokens += len(example.tokens)
        taken.append(example)
    if not taken:
        raise TrainerError(
            ErrorKind.USAGE,
            "the data holds nothing to predict; expected at least two tokens of text, or records with a completion",
        )
    return ExampleSet(taken, n_shortened)


def require_vocabulary(examples: Sequence[Example], n_vocab: int) -> None:
    """:raises TrainerError: where an id has no row in the model's embedding"""
    highest = max(int(example.tokens.max()) for example in examples)
    if highest >= n_vocab:
        raise TrainerError(
            ErrorKind.MALFORMED,
            f"token id {highest}; expected 0 to {n_vocab - 1}. Is the data tokenised for this model?",
        )


def _example(parts: Sequence[tuple[list[int], bool]]) -> Example:
    """:param parts: ids, and whether they are targets"""
    tokens = np.array([token for ids, _ in parts for token in ids], dtype=np.int32)
    targets = np.array([is_target for ids, is_target in parts for _ in ids], dtype=np.uint8)
    return Example(tokens, targets)


def _from_plain_text(text: str, tokenizer: TaskTokenizer, chunk: int) -> list[Example]:
    tokens = tokenizer.encode(text, add_special=True, parse_special=False)
    examples = []
    for begin in range(0, len(tokens), chunk):
        part = tokens[begin : begin + chunk]
        if len(part) < chunk and (begin > 0 or len(part) < 2):
            break
        if tokenizer.bos is not None:
            part[0] = tokenizer.bos
        examples.append(_example([(part, True)]))
    return examples


def _from_record(record: Record, tokenizer: TaskTokenizer) -> Example:
    if isinstance(record, CompletionRecord):
        return _example(
            [
                (tokenizer.encode(record.prompt, add_special=True, parse_special=True), False),
                (tokenizer.encode(record.completion, add_special=False, parse_special=True), True),
            ]
        )
    if isinstance(record, MessagesRecord):
        return _from_messages(record, tokenizer)
    assert isinstance(record, TokensRecord)
    return _example([(record.tokens, True)])


def _from_messages(record: MessagesRecord, tokenizer: TaskTokenizer) -> Example:
    """Each answer of the assistant is what the template adds to the conversation before it."""
    said: list[dict[str, str]] = []
    before = ""
    parts: list[tuple[list[int], bool]] = []
    for message in record.messages:
        if message["role"] == "assistant" and said:
            opened = tokenizer.apply_chat_template(said, open_answer=True)
            question = _added_text(opened, before, record)
            said.append(message)
            before_answer, before = opened, tokenizer.apply_chat_template(said, open_answer=False)
            answer = _added_text(before, before_answer, record)
            parts.append((tokenizer.encode(question, add_special=len(parts) == 0, parse_special=True), False))
            parts.append((tokenizer.encode(answer, add_special=False, parse_special=True), True))
        else:
            said.append(message)
    return _example(parts)


def _added_text(longer: str, before: str, record: MessagesRecord) -> str:
    if longer.startswith(before):
        return longer[len(before) :]
    raise TrainerError(
        ErrorKind.MALFORMED,
        f"{record.where}: the chat template rewrites earlier turns, so the assistant's words cannot be told apart; "
        'expected one that only appends. Use "prompt" and "completion"',
    )
