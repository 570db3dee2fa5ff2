"""Run by `test_forward_kernels` in a process of its own: each Triton kernel against its plain form, on the CPU.

    TRITON_INTERPRET=1 python kernels_under_interpreter.py

Prints one line a check and "all equal" last; ends with an error at the first difference.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from ahalab.policy.forward.graphs import GraphDecoder
from ahalab.policy.forward.kernels import TritonOps
from ahalab.policy.forward.static_cache import company_of
from ahalab.policy.forward.step_ops import Geometry, PlainOps, Seats, StepRows
from forward_models import LEAN, build

GEOMETRIES = {
    "grouped heads": Geometry(heads=9, kv_heads=3, head_dim=16, scale=0.25, epsilon=1e-5),
    "one kv head each": Geometry(heads=4, kv_heads=4, head_dim=16, scale=0.3, epsilon=1e-6),
    "one kv head for all": Geometry(heads=6, kv_heads=1, head_dim=32, scale=0.2, epsilon=1e-6),
}


def rows_of(kv_heads: int) -> StepRows:
    """Five rows at three prompts, of unequal age, and one that only fills up."""
    places = torch.tensor([2, 0, 2, 1, 0, 0])
    prompt_lengths = torch.tensor([37, 5, 37, 20, 5, 0])
    grid, back = company_of(places[:5].numpy(), rows=6, prompts=3, seats=3, kv_heads=kv_heads)
    seats = Seats(torch.from_numpy(grid), torch.from_numpy(back), prompts=3, prompt_length=40, own_length=50)
    return StepRows(
        slots=torch.tensor([0, 1, 2, 3, 4, 7]),
        places=places,
        prompt_lengths=prompt_lengths,
        own=torch.tensor([0, 49, 17, 3, 31, 0]),
        dense=True,
        seats=seats,
    )


def check(name: str, geometry: Geometry, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random).to(dtype)

    g, rows = geometry, rows_of(geometry.kv_heads)
    plain = PlainOps(g)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    shape = (len(rows), (g.heads + 2 * g.kv_heads) * g.head_dim)
    joint, width = noise(*shape), 24
    table = tuple(torch.randn(100, g.head_dim // 2, generator=random) for _ in range(2))
    for programs in (1, 60):
        quick = TritonOps(g, programs=programs, block=16)
        results = []
        for ops in (plain, quick):
            random.manual_seed(1)
            own = noise(8 * g.kv_heads, 60, g.head_dim), noise(8 * g.kv_heads, 60, g.head_dim)
            prompt = noise(4 * g.kv_heads, 45, g.head_dim), noise(4 * g.kv_heads, 45, g.head_dim)
            residual, delta = torch.randn(len(rows), width, generator=random), noise(len(rows), width)
            weight = torch.rand(width, generator=random)
            norms = noise(g.head_dim), noise(g.head_dim)
            begun = ops.begin(rows if ops is plain else replace(rows, seats=None), dtype)
            first = ops.add_norm(residual, None, weight, dtype)
            second = ops.add_norm(residual, delta, weight, dtype)
            query = ops.place_heads(joint, None, table, begun, *own)
            turned = ops.place_heads(joint, norms, table, begun, *own)
            attended = ops.attend(query, own, prompt, begun)
            gated = ops.gated(noise(len(rows), 2 * width))
            # The row that only fills up is left out: nobody reads its result.
            results.append((first, second, residual, query, turned, *own, attended[:-1], gated))
        for expected, got in zip(*results, strict=True):
            torch.testing.assert_close(got, expected, **tolerance)
    print(f"{name}, {dtype}: equal")


def check_whole_steps(name: str, branches: int) -> None:
    """Whole decoding steps through the kernels against plain ones."""
    kind, changes = LEAN[name]
    model = build(kind, **{"head_dim": 16, "num_hidden_layers": 2, **changes})
    geometry = GraphDecoder(model, "fp32")._geometry
    hidden = []
    for ops, count in ((PlainOps(geometry), 1), (TritonOps(geometry, programs=20, block=16), branches)):
        decoder = GraphDecoder(model, "fp32", ops=ops, branches=count)
        cache = decoder.new_cache(8, 40)
        decoder.prefill([[1, 2, 3], [4, 5, 6, 7, 8, 9]], cache, [[0, 1, 2], [3, 4]])
        states = [decoder.decode(torch.arange(5) + step, None, cache) for step in range(2)]
        cache.free([1])
        cache.move([4], [1])
        states += [decoder.decode(torch.arange(4) + step, None, cache) for step in range(2)]
        states.append(decoder.decode(torch.tensor([7, 8]), torch.tensor([2, 0]), cache))
        hidden.append(torch.cat(states))
    torch.testing.assert_close(hidden[1], hidden[0], rtol=1e-5, atol=1e-5)
    print(f"whole steps of {name} in {branches} branches: equal")


if __name__ == "__main__":
    check("grouped heads", GEOMETRIES["grouped heads"], torch.float32)
    check("one kv head for all", GEOMETRIES["one kv head for all"], torch.float32)
    # The interpreter has no bf16 products.
    check("one kv head each", GEOMETRIES["one kv head each"], torch.float16)
    check_whole_steps("qwen3, norms, wide heads", 2)
    check_whole_steps("qwen2, biases, tied", 1)
    print("all equal")
