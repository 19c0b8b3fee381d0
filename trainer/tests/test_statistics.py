"""Statistics against what autograd says of the weights themselves, and the file against another reader of GGUF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from gguf import GGUFReader
from torch import nn

from plasticity_trainer.activations import ActivationSums
from plasticity_trainer.curvature import CurvatureCollector
from plasticity_trainer.examples import Example, collate
from plasticity_trainer.matrices import model_matrices
from plasticity_trainer.sampling import draw_labels, example_seed, uniform_at
from plasticity_trainer.statistics import Statistics

TARGETS = np.array([[0, 1, 1, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0, 1]], dtype=np.uint8)
IDS = np.array([[5, 17, 200, 33, 5, 91, 120, 4], [9, 9, 250, 1, 77, 30, 9, 61]], dtype=np.int32)
EXAMPLES = [Example(ids, targets) for ids, targets in zip(IDS, TARGETS, strict=True)]
SEED = 3


def drawn_loss(model: nn.Module, example: Example) -> torch.Tensor:
    """Σ cross-entropy of the labels that the collector draws."""
    logits = model(input_ids=torch.from_numpy(example.tokens.astype(np.int64))[None]).logits[0, :-1]
    positions = torch.from_numpy(example.targets[1:] != 0).nonzero()[:, 0]
    p = logits.detach()[positions].double().softmax(-1)
    labels = draw_labels(p, example_seed(SEED, example.tokens), (positions + 1).tolist())
    return nn.functional.cross_entropy(logits[positions], labels, reduction="sum")


@pytest.fixture(scope="module")
def collected() -> CurvatureCollector:
    collector = CurvatureCollector(tiny_model(), SEED)
    collector.collect(EXAMPLES, 1, torch.device("cpu"))
    return collector


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj"),
        ("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj"),
        ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj"),
        ("blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj"),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj"),
        ("token_embd.weight.lookup", "model.embed_tokens"),
    ],
)
def test_curvature_is_the_square_of_the_weights_gradients(
    name: str, module: str, collected: CurvatureCollector
) -> None:
    model = tiny_model()
    expected = sum(
        torch.autograd.grad(drawn_loss(model, example), model.get_submodule(module).weight)[0].double().square()
        for example in EXAMPLES
    )
    sums = collected.sums[name]
    np.testing.assert_allclose(sums.rows, expected.sum(1), rtol=1e-4, atol=1e-9 * float(expected.max()))
    np.testing.assert_allclose(sums.columns, expected.sum(0), rtol=1e-4, atol=1e-9 * float(expected.max()))
    assert sums.count == 6 + 4


def test_output_curvature_is_the_mean_over_all_draws(collected: CurvatureCollector) -> None:
    model = tiny_model()
    rows = np.zeros(300)
    for example in EXAMPLES:
        hidden: list[torch.Tensor] = []
        handle = model.lm_head.register_forward_pre_hook(lambda _, inputs, kept=hidden: kept.append(inputs[0][0]))
        with torch.no_grad():
            p = model(input_ids=torch.from_numpy(example.tokens.astype(np.int64))[None]).logits[0].double().softmax(-1)
        handle.remove()
        for position in np.flatnonzero(example.targets[1:]):
            rows += (p[position] * (1 - p[position]) * hidden[0][position].double().square().sum()).numpy()
    np.testing.assert_allclose(collected.sums["output.weight"].rows, rows, rtol=1e-4)


def test_gates_of_heads_and_channels(collected: CurvatureCollector) -> None:
    for kind, module in (("attn_output", "self_attn.o_proj"), ("ffn_down", "mlp.down_proj")):
        model = tiny_model()
        gate = torch.ones(32 if kind == "attn_output" else 48, requires_grad=True)
        model.get_submodule(f"model.layers.1.{module}").register_forward_pre_hook(lambda _, x, gate=gate: x[0] * gate)
        slopes = [torch.autograd.grad(drawn_loss(model, example), gate)[0].double() for example in EXAMPLES]
        by_gate = [slope.reshape(4, 8).sum(1) if kind == "attn_output" else slope for slope in slopes]
        expected = sum(slope.square() for slope in by_gate)
        np.testing.assert_allclose(collected.sums[f"blk.1.{kind}.weight"].gates, expected, rtol=2e-4, atol=1e-7)


def test_activations_count_tokens_that_count() -> None:
    model = tiny_model(tied=True)
    sums = ActivationSums(model_matrices(model))
    short = Example(EXAMPLES[1].tokens[:5], EXAMPLES[1].targets[:5])
    seen: list[torch.Tensor] = []
    model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = collate([EXAMPLES[0], short, EXAMPLES[1]])
    sums.observe(batch, 2)
    with torch.no_grad():
        model(input_ids=batch.tokens)
        model(input_ids=batch.tokens)  # as gradient checkpointing does: not counted again
    found = sums.by_matrix()
    expected = seen[0][0].double().square().sum(0) + seen[0][1, :5].double().square().sum(0)
    for name in ("attn_q", "attn_k", "attn_v"):
        values, count = found[f"blk.0.{name}.weight"]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        assert count == 8 + 5
    assert found["token_embd.weight"][1] == 7 + 4  # the last position predicts nothing
    assert len(found) == 2 * 7 + 1


def test_file_is_read_back(collected: CurvatureCollector, tmp_path: Path) -> None:
    activations = {"blk.0.attn_q.weight": (np.array([1.5, 2.5]), 12)}
    Statistics(activations, collected.sums, ["task.py"], 32, 2).save(tmp_path / "stats.gguf")
    read = GGUFReader(tmp_path / "stats.gguf")
    assert read.get_field("general.type").contents() == "imatrix"
    assert read.get_field("imatrix.datasets").contents() == ["task.py"]
    assert (read.get_field("imatrix.chunk_count").contents(), read.get_field("imatrix.chunk_size").contents()) == (
        2,
        32,
    )
    tensors = {tensor.name: tensor for tensor in read.tensors}
    assert tensors["blk.0.attn_q.weight.in_sum2"].data.tolist() == [[1.5, 2.5]]
    assert tensors["blk.0.attn_q.weight.counts"].data.tolist() == [[12.0]]
    for name, sums in collected.sums.items():
        np.testing.assert_array_equal(tensors[f"{name}.out_grad2"].data, sums.rows)
        assert tensors[f"{name}.grad2_count"].data.tolist() == [10.0]
    assert len(tensors["blk.1.attn_output.weight.gate_grad2"].data) == 4
    assert "blk.1.attn_q.weight.gate_grad2" not in tensors


def test_uniform_numbers_are_splitmix64() -> None:
    # The generator's first outputs from 1234567 (Vigna's splitmix64.c), with their upper 53 bits.
    for index, word in enumerate([6457827717110365317, 3203168211198807973, 9817491932198370423]):
        assert uniform_at(1234567, index) == (word >> 11) * 2.0**-53


def test_labels_are_drawn_by_their_probability() -> None:
    p = torch.tensor([0.0, 0.25, 0.0, 0.75], dtype=torch.float64).repeat(4000, 1)
    labels = draw_labels(p, 9, list(range(4000)))
    assert set(labels.tolist()) == {1, 3}
    assert (labels == 1).double().mean() == pytest.approx(0.25, abs=0.03)  # four standard errors
