"""Task data becomes the examples that the native program makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plasticity_trainer import ErrorKind, TrainerError
from plasticity_trainer.corpus import CompletionRecord, TextRecord, TokensRecord, list_data_files, read_corpus
from plasticity_trainer.examples import MAX_RECORD_TOKENS, ExampleSet, collate, make_examples
from plasticity_trainer.tokenizer import TaskTokenizer


@pytest.fixture
def tokenizer(model_folder: Path) -> TaskTokenizer:
    return TaskTokenizer(model_folder)


def examples_of(path: Path, tokenizer: TaskTokenizer, **options: int) -> ExampleSet:
    return make_examples(read_corpus([path]), tokenizer, **options)


def test_folders_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    # Name by name: "a" goes before "a-b", though "-" goes before "/".
    for name in ("a-b/x.py", "a/z.py", "b.py", ".hidden/y.py", "a/.hidden.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [str(path.relative_to(tmp_path)) for path in list_data_files([tmp_path])] == ["a/z.py", "a-b/x.py", "b.py"]


def test_files_that_are_no_text_are_passed_over_in_folders_only(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"\xff\xfe")
    (tmp_path / "text").write_text("text")
    assert read_corpus([tmp_path]) == [TextRecord("text")]
    with pytest.raises(TrainerError, match="is not UTF-8 text") as raised:
        read_corpus([tmp_path / "image"])
    assert raised.value.kind is ErrorKind.MALFORMED


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="nowhere does not exist") as raised:
        read_corpus([tmp_path / "nowhere"])
    assert raised.value.kind is ErrorKind.MISSING


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('{"text": 3}\n\n{"tokens": [1, 2]}\n{"tokens": [true]}\n{"text": "a", "text": "b"}\n{"other": 1}\n')
    with pytest.raises(TrainerError) as raised:
        read_corpus([path])
    for number, problem in ((1, "text: got int"), (4, "True is no token id"), (5, "stands twice"), (6, "none of the")):
        assert f"{path}:{number}: " in str(raised.value)
        assert problem in str(raised.value)
    assert f"{path}:3: " not in str(raised.value)


def test_records_of_all_forms(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    lines = [{"tokens": [1, 2, 3]}, {"prompt": "p", "completion": "c"}, {"text": "t"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_corpus([path]) == [TokensRecord([1, 2, 3], f"{path}:1"), CompletionRecord("p", "c"), TextRecord("t")]


def test_text_is_cut_into_whole_chunks(task_file: Path, tokenizer: TaskTokenizer) -> None:
    made = examples_of(task_file, tokenizer, chunk=32)
    whole = tokenizer.encode(task_file.read_text(), add_special=True, parse_special=False)
    assert len(made.examples) == len(whole) // 32
    assert [token for example in made.examples for token in example.tokens] == whole[: 32 * len(made.examples)]
    assert all(example.n_targets == 31 for example in made.examples)


def test_tokens_are_counted_by_whole_examples(task_file: Path, tokenizer: TaskTokenizer) -> None:
    assert examples_of(task_file, tokenizer, chunk=32, max_tokens=33).n_tokens == 64


def test_only_completions_are_targets(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps({"prompt": "def f1(x)", "completion": ": return x<|end|>"}))
    (example,) = examples_of(path, tokenizer).examples
    prompt = tokenizer.encode("def f1(x)", add_special=True, parse_special=True)
    assert example.targets.tolist() == [0] * len(prompt) + [1] * (len(example.tokens) - len(prompt))
    assert example.tokens[-1] == 290  # <|end|>, as one token


def test_control_tokens_in_plain_text_are_text(tokenizer: TaskTokenizer) -> None:
    assert 290 not in tokenizer.encode("x<|end|>", add_special=True, parse_special=False)
    assert tokenizer.encode("x<|end|>", add_special=True, parse_special=True)[-1] == 290


def test_conversations(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TaskTokenizer(model_folder)

    def render(messages: list[dict[str, str]], *, open_answer: bool) -> str:
        text = "".join(f"{message['role']}:{message['content']}<|end|>" for message in messages)
        return text + ("assistant:" if open_answer else "")

    monkeypatch.setattr(tokenizer, "apply_chat_template", render)
    path = tmp_path / "task.jsonl"
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    path.write_text(json.dumps({"messages": [{"role": role, "content": content} for role, content in said]}))
    (example,) = examples_of(path, tokenizer).examples
    learnt = [int(token) for token, target in zip(example.tokens, example.targets, strict=True) if target]
    expected = [tokenizer.encode(f"{answer}<|end|>", add_special=False, parse_special=True) for answer in "bd"]
    assert learnt == expected[0] + expected[1]


def test_long_records_are_cut(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps({"tokens": [1] * (MAX_RECORD_TOKENS + 1)}))
    made = examples_of(path, tokenizer)
    assert (made.n_tokens, made.n_shortened) == (MAX_RECORD_TOKENS, 1)


def test_nothing_to_predict(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('{"prompt": "p", "completion": ""}')
    with pytest.raises(TrainerError, match="nothing to predict") as raised:
        examples_of(path, tokenizer)
    assert raised.value.kind is ErrorKind.USAGE


def test_batches_are_filled_on_the_right(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('{"tokens": [5, 6, 7]}\n{"tokens": [8, 9]}')
    batch = collate(examples_of(path, tokenizer).examples)
    assert batch.tokens.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.targets.tolist() == [[False, True, True], [False, True, False]]
