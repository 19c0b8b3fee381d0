"""A model whose weights are spread over two processes gives what a whole one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from sharded_worker import run

WORKER = Path(__file__).with_name("sharded_worker.py")


def test_two_processes_share_a_model(tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(WORKER)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run([*launch, str(tmp_path / "two.npz")], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    whole, shared = run(sharded=False), np.load(tmp_path / "two.npz")
    np.testing.assert_allclose(shared["losses"], whole["losses"], rtol=1e-4)
    for key in ("absolute", "average", "query"):
        # Sums in another order, fed back through the weights.
        np.testing.assert_allclose(shared[key], whole[key], rtol=0, atol=1e-3 * whole[key].max(), err_msg=key)
    assert shared["count"] == whole["count"] == sum([12, 14, 12, 11]) - 4
