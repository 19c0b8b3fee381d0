"""The callback captures in a Trainer what the capture does by itself, whatever weights the Trainer gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from plasticity_trainer import GateGradientCallback, GateGradientCapture
from plasticity_trainer.loss import target_loss

TOKENS = torch.randint(0, 300, (6, 12), generator=torch.Generator().manual_seed(1))
#: Examples of different numbers of targets, which a Trainer weighs by them.
N_IGNORED = [2, 3, 5, 1, 7, 4]


class Sequences(Dataset):
    def __len__(self) -> int:
        return len(TOKENS)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        labels = TOKENS[index].clone()
        labels[: N_IGNORED[index]] = -100
        return {"input_ids": TOKENS[index], "labels": labels}


def expected_gradients() -> tuple[list[np.ndarray], float]:
    """[example] of [layer, head], and the mean loss."""
    model = tiny_model().requires_grad_(False)
    gradients, losses = [], []
    with GateGradientCapture(model) as capture:
        for row, n_ignored in enumerate(N_IGNORED):
            tokens = TOKENS[row : row + 1]
            targets = (torch.arange(12) >= max(n_ignored, 1))[None, :]
            prediction = target_loss(model(input_ids=tokens).logits, tokens, targets, torch.ones(1))
            prediction.total.backward()
            gradients.append(np.concatenate(capture.collect()))
            losses.append(float(prediction.example_losses[0]))
    return gradients, float(np.mean(losses))


@pytest.mark.parametrize(("batch", "accumulation"), [(2, 1), (1, 4)])
def test_captures_every_example(batch: int, accumulation: int, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM")
    callback = GateGradientCallback(tmp_path / "gate_gradients.json")
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=1,
        learning_rate=0.0,  # so that every example meets the same network
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    model = get_peft_model(tiny_model(), config)
    Trainer(model, arguments, train_dataset=Sequences(), callbacks=[callback]).train()

    gradients, mean_loss = expected_gradients()
    found = json.loads((tmp_path / "gate_gradients.json").read_text())
    absolute = np.sum(np.abs(gradients), axis=0)
    np.testing.assert_allclose(found["absolute_sums"], absolute, rtol=0, atol=1e-4 * absolute.max())
    np.testing.assert_allclose(found["signed_sums"], np.sum(gradients, axis=0), rtol=0, atol=1e-4 * absolute.max())
    assert found["num_steps"] == 6
    assert found["num_tokens"] == sum(12 - max(n, 1) for n in N_IGNORED)
    assert found["mean_loss"] == pytest.approx(mean_loss, rel=1e-5)
    assert found["provenance"]["model_sha256"] == "unknown"
    assert not any(module._forward_pre_hooks for module in model.modules())
