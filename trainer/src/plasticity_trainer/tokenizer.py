"""Text → ids of a Hugging Face folder, with the native program's rules for special tokens."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .errors import ErrorKind, TrainerError
from .json_text import read_json_object

_SPECIAL_NAMES = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_SPECIAL_BRACKETS = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


def looks_special(token: str) -> bool:
    """Several models forget to mark their control tokens; llama.cpp, and so the native program, goes by their looks."""
    return token in _SPECIAL_NAMES or any(
        len(token) >= len(opening) + len(closing) and token.startswith(opening) and token.endswith(closing)
        for opening, closing in _SPECIAL_BRACKETS
    )


class TaskTokenizer:
    """The tokenizer.json of a folder. In plain text, control tokens that are spelt out are text like any other; in
    prompts and conversations they are tokens. A text begins with BOS (and ends with EOS) where the folder says so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        fields = read_json_object(folder / "tokenizer.json")
        config_path = folder / "tokenizer_config.json"
        config = read_json_object(config_path) if config_path.exists() else {}
        self.sha256 = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
        for token in fields.get("added_tokens", []):
            token["special"] = token.get("special", False) or looks_special(token["content"])
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(fields))
        except Exception as problem:  # the library raises Exception itself
            raise TrainerError(ErrorKind.MALFORMED, f"{folder / 'tokenizer.json'}: {problem}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        first, last = _added_around(fields.get("post_processor"))
        self.bos = self._added_id(config, "bos", first)
        self.eos = self._added_id(config, "eos", last)

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """:param parse_special: control tokens spelt out in the text become their ids
        :param add_special: BOS and EOS where the folder asks for them"""
        self._tokenizer.encode_special_tokens = not parse_special
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not add_special:
            return ids
        return [*_present(self.bos), *ids, *_present(self.eos)]

    def apply_chat_template(self, messages: list[dict[str, str]], *, open_answer: bool) -> str:
        """The conversation in the folder's own template. :raises TrainerError: where it has none"""
        try:
            text = self._chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_answer)
        except Exception as problem:  # templates raise what they like
            raise TrainerError(ErrorKind.USAGE, f"{self._folder}: chat template: {problem}") from None
        return str(text)

    @cached_property
    def _chat(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self._folder)

    def _added_id(self, config: dict[str, Any], name: str, by_processor: str | None) -> int | None:
        """Of the token that a text is given, if it is given one: tokenizer_config.json goes before tokenizer.json."""
        asked = config.get(f"add_{name}_token")
        if not (by_processor is not None if asked is None else asked):
            return None
        token = by_processor or config.get(f"{name}_token")
        content = token["content"] if isinstance(token, dict) else token
        found = self._tokenizer.token_to_id(content) if content else None
        if found is None:
            raise TrainerError(
                ErrorKind.MALFORMED,
                f"{self._folder}: a text is to be given the {name} token; got {content!r}, which is no token",
            )
        return int(found)


def _present(token: int | None) -> list[int]:
    return [] if token is None else [token]


def _added_around(post_processor: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """What the post-processor puts before and behind a text."""
    first = last = None
    for processor in (post_processor or {}).get("processors", [post_processor or {}]):
        past_text = False
        for piece in processor.get("single", []) if processor.get("type") == "TemplateProcessing" else []:
            if "SpecialToken" not in piece:
                past_text = True
            elif past_text:
                last = piece["SpecialToken"]["id"]
            else:
                first = piece["SpecialToken"]["id"]
    return first, last
