"""One of two processes that share a model's weights by FSDP2 (test_sharded.py). Argument: where rank 0 writes.

accelerate shards on GPUs only; what it calls for that, torch's fully_shard, works on CPUs too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from conftest import tiny_model
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from plasticity_trainer.adapter import LoraOptions, new_adapter
from plasticity_trainer.curvature import CurvatureCollector
from plasticity_trainer.examples import Example
from plasticity_trainer.progress import Progress
from plasticity_trainer.training import GateTrainer, TrainingOptions

# Seven examples in steps of three: in the third step one process has nothing to do but takes part.
LENGTHS = [12, 9, 14, 8, 12, 10, 11]


def examples() -> list[Example]:
    generator = np.random.default_rng(5)
    return [
        Example(generator.integers(0, 300, length, dtype=np.int32), np.ones(length, dtype=np.uint8))
        for length in LENGTHS
    ]


def model_with_adapter(*, sharded: bool) -> nn.Module:
    model = new_adapter(tiny_model().requires_grad_(False), LoraOptions(rank=4), seed=2)
    if sharded:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for layer in model.base_model.model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model.train()


def run(*, sharded: bool) -> dict[str, np.ndarray]:
    accelerator = Accelerator()  # before the model: it brings the processes together
    model = model_with_adapter(sharded=sharded)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], weight_decay=0.0)
    trainer = GateTrainer(accelerator, model, optimizer)
    options = TrainingOptions(epochs=2, batch=3, learning_rate=0.01)
    trainer.train(examples(), [], options, Progress(1, quiet=True))
    trainer.close()
    trainer.sums.reduce()
    collector = CurvatureCollector(model, seed=1)
    collector.collect(examples(), 2, torch.device("cpu"))
    return {
        "absolute": trainer.sums.absolute,
        "average": trainer.sums.average,
        "losses": np.array(trainer.curves.training),
        "query": collector.sums["blk.1.attn_q.weight"].rows,
        "count": np.array(collector.sums["blk.1.attn_q.weight"].count),
    }


def main() -> None:
    found = run(sharded="WORLD_SIZE" in os.environ)
    if int(os.environ.get("RANK", "0")) == 0:
        np.savez(Path(sys.argv[1]), **found)


if __name__ == "__main__":
    main()
