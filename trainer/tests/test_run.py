"""Whole runs of plasticity-train on a tiny model, by one process and by two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from plasticity_trainer.cli import main

KEYS = [
    "schema_version", "model_name", "num_heads", "num_kv_heads", "num_steps", "num_tokens", "mean_loss",
    "layer_kv_heads", "layer_scores", "absolute_sums", "signed_sums", "moving_averages", "provenance",
]  # fmt: skip
PROVENANCE = ["model_sha256", "tokenizer_sha256", "data_sha256", "chunk", "precision", "program_version"]


def arguments(model: Path, data: Path, output: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--data", str(data), "--output", str(output), "--chunk", "32", "--max-tokens",
            "224", "--dtype", "f32", "--quiet", *more]  # fmt: skip


def run(model: Path, data: Path, output: Path, *more: str) -> dict:
    assert main(arguments(model, data, output, *more)) == 0
    return json.loads((output / "gate_gradients.json").read_text())


def run_on_two(model: Path, data: Path, output: Path, *more: str) -> dict:
    """`accelerate launch --cpu` starts one process, whatever it is asked for; torchrun starts two."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*launch, "-m", "plasticity_trainer", *arguments(model, data, output, *more), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["processes"] == 2
    return json.loads((output / "gate_gradients.json").read_text())


def assert_same(found: dict, expected: dict, relative: float) -> None:
    for key in ("layer_scores", "absolute_sums", "signed_sums", "moving_averages"):
        scale = np.max(np.abs(expected[key]))
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=relative * scale, err_msg=key)
    for key in ("num_steps", "num_tokens", "layer_kv_heads", "provenance", "model_name"):
        assert found[key] == expected[key]
    assert found["mean_loss"] == pytest.approx(expected["mean_loss"], rel=relative)


def test_file_has_the_native_form(model_folder: Path, task_file: Path, tmp_path: Path) -> None:
    found = run(model_folder, task_file, tmp_path / "out", "--no-lora")
    assert list(found) == KEYS
    assert list(found["provenance"]) == PROVENANCE
    assert (found["schema_version"], found["num_heads"], found["num_kv_heads"]) == (1, 4, 2)
    assert (found["num_steps"], found["num_tokens"], found["layer_kv_heads"]) == (7, 7 * 31, [2, 2])
    means = np.array(found["absolute_sums"]) / 7
    expected = np.minimum(means / np.percentile(means, 99), 1)
    np.testing.assert_allclose(found["layer_scores"], expected, rtol=1e-12)
    assert (np.abs(found["signed_sums"]) <= np.array(found["absolute_sums"]) * (1 + 1e-12)).all()
    assert not (tmp_path / "out" / "adapter").exists()


def test_batches_do_not_matter(model_folder: Path, task_file: Path, tmp_path: Path) -> None:
    alone = run(model_folder, task_file, tmp_path / "alone", "--no-lora")
    together = run(model_folder, task_file, tmp_path / "together", "--no-lora", "--micro-batch", "3", "--batch", "5")
    assert_same(together, alone, 1e-5)


def test_fine_tune_learns_and_is_saved(model_folder: Path, task_file: Path, tmp_path: Path) -> None:
    options = ["--epochs", "3", "--lr", "0.01", "--batch", "2", "--rank", "4", "--holdout-every", "7"]
    found = run(model_folder, task_file, tmp_path / "out", *options)
    tuned = found["fine_tune"]
    assert found["num_steps"] == 3 * 6
    assert len(tuned["training_losses"]) == 3 * 3
    assert [step for step, _ in tuned["held_out_losses"]] == [0, 3, 6, 9]
    assert tuned["held_out_losses"][-1][1] < tuned["held_out_losses"][0][1] - 0.1
    assert (tuned["rank"], tuned["targets"]) == (4, ["q_proj", "k_proj", "v_proj", "o_proj"])
    saved = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), tmp_path / "out" / "adapter")
    assert any(parameter.abs().max() > 0 for name, parameter in saved.named_parameters() if "lora_B" in name)
    again = run(model_folder, task_file, tmp_path / "more", "--adapter", str(tmp_path / "out" / "adapter"))
    assert again["fine_tune"]["held_out_losses"] == []  # seven examples, and every tenth would be held out
    assert again["fine_tune"]["training_losses"][0] < tuned["training_losses"][0] - 0.1
    assert len(again["provenance"]["adapter_sha256"]) == 64


@pytest.mark.parametrize("options", [["--no-lora"], ["--lr", "0.01", "--epochs", "2", "--batch", "3"]])
def test_two_processes_equal_one(options: list[str], model_folder: Path, task_file: Path, tmp_path: Path) -> None:
    one = run(model_folder, task_file, tmp_path / "one", *options)
    two = run_on_two(model_folder, task_file, tmp_path / "two", *options)
    # Sums in another order; with an adapter their errors are fed back through the weights.
    assert_same(two, one, 1e-5 if options[0] == "--no-lora" else 1e-3)
    if options[0] != "--no-lora":
        assert two["fine_tune"]["training_losses"] == pytest.approx(one["fine_tune"]["training_losses"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--no-lora", "--rank", "4"], 2, "--no-lora with"),
        (["--adapter", "nowhere"], 3, "no adapter_config.json"),
        (["--chunk", "1"], 2, "expected 2 to 2048"),
    ],
)
def test_mistakes(options: list[str], code: int, message: str, model_folder: Path, task_file: Path, tmp_path: Path,
                  capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert main(arguments(model_folder, task_file, tmp_path / "out", *options)) == code
    assert message in capsys.readouterr().err


def test_nothing_is_replaced_unasked(model_folder: Path, task_file: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    run(model_folder, task_file, tmp_path / "out", "--no-lora")
    assert main(arguments(model_folder, task_file, tmp_path / "out", "--no-lora")) == 2
    assert "--force" in capsys.readouterr().err
    run(model_folder, task_file, tmp_path / "out", "--no-lora", "--force")
