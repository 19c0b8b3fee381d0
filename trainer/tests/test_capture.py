"""The captured gradients are derivatives: of finite differences, and of one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import tiny_model
from peft import LoraConfig, get_peft_model
from torch import nn

from plasticity_trainer import ErrorKind, GateGradientCapture, TrainerError
from plasticity_trainer.geometry import attention_layers
from plasticity_trainer.loss import target_loss

TOKENS = torch.tensor([[5, 17, 200, 33, 8, 91, 120, 4], [9, 9, 250, 1, 77, 30, 2, 61]])
TARGETS = torch.tensor([[False, True, True, False, True, True, True, True], [False] * 5 + [True] * 3])


def gradients(model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> list[np.ndarray]:
    with GateGradientCapture(model) as capture:
        target_loss(model(input_ids=tokens).logits, tokens, targets, weights).total.backward()
        return capture.collect()


def loss_with_gate(model: nn.Module, layer: int, head: int, gate: float) -> float:
    """Of the first example, with one head's output multiplied."""
    output = attention_layers(model)[layer].output

    def scale(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        factors = torch.ones(4, dtype=inputs[0].dtype)
        factors[head] = gate
        return (inputs[0] * factors.repeat_interleave(8),)

    handle = output.register_forward_pre_hook(scale)
    try:
        with torch.no_grad():
            logits = model(input_ids=TOKENS[:1]).logits
        return float(target_loss(logits, TOKENS[:1], TARGETS[:1], torch.ones(1)).total)
    finally:
        handle.remove()


def slope_of_gate(model: nn.Module, layer: int, head: int) -> float:
    """By four points. Norms of transformers compute in F32 whatever the model's type, hence the wide step."""
    step = 0.02
    near, far = (
        loss_with_gate(model, layer, head, 1 + n * step) - loss_with_gate(model, layer, head, 1 - n * step)
        for n in (1, 2)
    )
    return (8 * near - far) / (12 * step)


#: F32's 10⁻⁷ in the loss over the step, and step⁴.
SLOPE_ERROR = 3e-5


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_equals_finite_differences(family: str, layer: int) -> None:
    model = tiny_model(family).double().requires_grad_(False)
    captured = gradients(model, TOKENS[:1], TARGETS[:1], torch.ones(1))[layer][0]
    slopes = [slope_of_gate(model, layer, head) for head in range(4)]
    np.testing.assert_allclose(captured, slopes, rtol=0, atol=SLOPE_ERROR)
    assert min(abs(slope) for slope in slopes) > 10 * SLOPE_ERROR


def test_each_sequence_has_its_own_gradient() -> None:
    model = tiny_model().requires_grad_(False)
    together = gradients(model, TOKENS, TARGETS, torch.ones(2))
    for row in range(2):
        alone = gradients(model, TOKENS[row : row + 1], TARGETS[row : row + 1], torch.ones(1))
        for layer in range(2):
            np.testing.assert_allclose(together[layer][row], alone[layer][0], rtol=1e-4, atol=1e-6)


def adapted(model: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def test_a_new_adapter_changes_nothing() -> None:
    plain = gradients(tiny_model().requires_grad_(False), TOKENS, TARGETS, torch.ones(2))
    with_adapter = gradients(adapted(tiny_model()), TOKENS, TARGETS, torch.ones(2))
    for layer in range(2):
        np.testing.assert_allclose(with_adapter[layer], plain[layer], rtol=1e-5, atol=1e-7)


def test_the_gate_is_on_what_the_adapter_reads_too() -> None:
    model = adapted(tiny_model()).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    captured = gradients(model, TOKENS[:1], TARGETS[:1], torch.ones(1))
    slopes = [slope_of_gate(model, 1, head) for head in range(4)]
    np.testing.assert_allclose(captured[1][0], slopes, rtol=0, atol=SLOPE_ERROR)


def test_gradient_checkpointing_changes_nothing() -> None:
    plain = gradients(tiny_model().requires_grad_(False), TOKENS, TARGETS, torch.ones(2))
    model = tiny_model().requires_grad_(False).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for expected, found in zip(plain, gradients(model, TOKENS, TARGETS, torch.ones(2)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_passes_without_gradients_are_left_alone() -> None:
    model = tiny_model()
    with GateGradientCapture(model) as capture, torch.no_grad():
        model(input_ids=TOKENS)
        with pytest.raises(TrainerError, match="no gradient has reached the gates of layer 0") as raised:
            capture.collect()
    assert raised.value.kind is ErrorKind.USAGE


def test_removal_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    GateGradientCapture(model).remove()
    assert all(not layer.output._forward_pre_hooks for layer in attention_layers(model))


def test_other_models_are_refused() -> None:
    with pytest.raises(TrainerError, match="has no config"):
        GateGradientCapture(nn.Linear(3, 3))


def test_loss_is_the_mean_over_targets() -> None:
    logits = torch.randn(2, 8, 300, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.25, 0.75])
    prediction = target_loss(logits, TOKENS, TARGETS, weights)
    means = [
        nn.functional.cross_entropy(logits[row, :-1][TARGETS[row, 1:]], TOKENS[row, 1:][TARGETS[row, 1:]])
        for row in range(2)
    ]
    expected = 0.25 * means[0] + 0.75 * means[1]
    assert prediction.example_losses.tolist() == pytest.approx([float(mean.detach()) for mean in means])
    (slopes,) = torch.autograd.grad(prediction.total, logits)
    (expected_slopes,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(slopes, expected_slopes)
