"""The Triton kernels of a decoding step compute what the plain parts do, and compile for a Hopper GPU.

Triton comes with torch's GPU builds. Beside the CPU build it can be installed by hand (`pip install "triton>=3.9"`):
its interpreter then runs the kernels here, and its compiler makes the GPU's code without a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


def interprets() -> bool:
    """Whether the Triton that is installed, if any, is new enough."""
    try:
        return tuple(int(part) for part in version("triton").split(".")[:2]) >= (3, 9)
    except PackageNotFoundError:
        return False


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is for machines without a GPU")
@pytest.mark.skipif(not interprets(), reason="Triton's interpreter before 3.9 does not run with numpy 2.4")
def test_every_kernel_equals_the_plain_part() -> None:
    assert run("kernels_under_interpreter.py", TRITON_INTERPRET="1") == "all equal"


@needs_triton
def test_every_kernel_compiles_for_an_h100_and_keeps_to_its_registers() -> None:
    made = json.loads(run("kernels_for_hopper.py"))
    assert len(made) == 9
    for name, facts in made.items():
        assert facts["stack"] == 0, name
        # At least three programs on a processor with 228 KiB.
        assert facts["shared"] <= 76 * 1024, name
        # Keys and values arrive by 16-byte copies made ahead of their use.
        assert (facts["copies_ahead"] > 0) == name.startswith("attend"), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("record", [False, True])
def test_steps_on_a_gpu_equal_plain_ones(record: bool, branches: int) -> None:
    from ahalab.policy.forward.graphs import GraphDecoder
    from ahalab.policy.forward.step_ops import PlainOps
    from forward_models import build

    model = build("Qwen3", head_dim=16).cuda()
    plain = GraphDecoder(model, "fp32", record=False)
    plain._ops = PlainOps(plain._geometry)
    quick = GraphDecoder(model, "fp32", record=record, branches=branches)
    states = []
    for decoder in (plain, quick):
        cache = decoder.new_cache(8, 60)
        decoder.prefill([[1, 2, 3], [4, 5, 6, 7]], cache, [[0, 1, 2], [3, 4, 5]])
        steps = [decoder.decode(torch.arange(6, device="cuda") + step, None, cache) for step in range(20)]
        states.append(torch.cat(steps))
    torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=1e-3)
