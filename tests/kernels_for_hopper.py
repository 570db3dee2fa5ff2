"""Run by `test_forward_kernels` in a process of its own: compile the kernels for an H100, which needs no GPU.

Prints one JSON line: for each kernel and size the stack bytes (registers that did not fit), the shared memory, and
how many 16-byte copies ahead it makes.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ahalab.policy.forward import kernels

HOPPER = GPUTarget("cuda", 90, 32)
CUOBJDUMP = Path(triton.__path__[0]) / "backends/nvidia/bin/cuobjdump"


def facts(kernel: Any, types: dict[str, str], constants: dict[str, Any], **options: int) -> dict[str, int]:
    names = kernel.arg_names
    aligned = [name for name, kind in types.items() if kind != "fp32"]
    source = ASTSource(
        kernel,
        {name: types.get(name, "constexpr") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    made = triton.compile(source, target=HOPPER, options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [CUOBJDUMP, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": made.metadata.shared,
        "copies_ahead": len(re.findall(r"cp\.async\.cg\.shared", made.asm["ptx"])),
    }


def attend(kv_heads: int, groups: int, dim: int, splits: int, block: int, stages: int) -> dict[str, int]:
    halves = ("query", "own_keys", "own_values", "prompt_keys", "prompt_values", "out")
    partial = "*bf16" if splits == 1 else "*fp32"
    types = {
        **dict.fromkeys(halves, "*bf16"),
        **dict.fromkeys(("slots", "places", "prompt_lengths", "own"), "*i64"),
        **dict.fromkeys(("partial", "logs"), partial),
        **dict.fromkeys(("own_stride", "prompt_stride"), "i32"),
    }
    constants = {"KV_HEADS": kv_heads, "GROUPS": groups, "DIM": dim, "SPLITS": splits, "GROUP_BLOCK": 16}
    constants |= {"BLOCK": block, "PRECISION": "tf32"}
    return facts(kernels._attend, types, constants, num_warps=4, num_stages=stages)


def place_heads(heads: int, kv_heads: int, dim: int, norms: bool) -> dict[str, int]:
    halves = ("joint", "query", "keys", "values")
    types = {
        **dict.fromkeys(halves, "*bf16"),
        **dict.fromkeys(("query_norm", "key_norm", "cosines", "sines"), "*fp32"),
        **dict.fromkeys(("slots", "prompt_lengths", "own"), "*i64"),
        "own_stride": "i32",
        "epsilon": "fp32",
        "scale": "fp32",
    }
    constants = {"HEADS": heads, "KV_HEADS": kv_heads, "DIM": dim, "HAS_NORMS": norms}
    return facts(kernels._place_heads, types, constants, num_warps=1)


def add_norm(block: int) -> dict[str, int]:
    types = {"residual": "*fp32", "delta": "*bf16", "weight": "*fp32", "out": "*bf16", "width": "i32"}
    constants = {"HAS_DELTA": True, "BLOCK": block}
    return facts(kernels._add_norm, {**types, "epsilon": "fp32"}, constants, num_warps=4)


if __name__ == "__main__":
    made = {
        "attend, SmolLM2-135M": attend(3, 3, 64, 1, 64, 3),
        "attend, SmolLM2-135M, wide": attend(3, 3, 64, 1, 128, 3),
        "attend, Qwen2-1.5B": attend(2, 6, 128, 8, 64, 3),
        "attend, Qwen3-0.6B": attend(8, 2, 128, 1, 64, 3),
        "place_heads, SmolLM2-135M": place_heads(9, 3, 64, norms=False),
        "place_heads, Qwen3-0.6B": place_heads(16, 8, 128, norms=True),
        "add_norm, 1536": add_norm(2048),
        "gated": facts(
            kernels._gated, {"gate_up": "*bf16", "out": "*bf16", "width": "i32"}, {"BLOCK": 1024}, num_warps=4
        ),
        "combine": facts(
            kernels._combine,
            {"partial": "*fp32", "logs": "*fp32", "out": "*bf16"},
            {"DIM": 128, "SPLITS": 8, "SPLIT_BLOCK": 8},
            num_warps=1,
        ),
    }
    print(json.dumps(made))
