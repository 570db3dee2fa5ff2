"""Rectangles are cut at the least cost, and shared beginnings are computed once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

from ahalab.policy.forward import layout as layout_module
from ahalab.policy.forward import make_decoder
from ahalab.policy.forward.layout import Layout, Rectangle, plan_layout, plan_rectangles
from forward_models import build, segments


def cost(lengths: list[int], runs: list[tuple[int, int]], overhead: int) -> int:
    return sum(count * longest for count, longest in runs) - sum(lengths) + overhead * len(runs)


@pytest.mark.parametrize("overhead", [1, 4, 30])
def test_rectangles_cost_no_more_than_any_other_cut(overhead: int) -> None:
    lengths = sorted([3, 9, 4, 4, 17, 8, 3, 20])
    best = min(
        cost(
            lengths,
            [(b - a, lengths[b - 1]) for a, b in itertools.pairwise((0, *cuts, len(lengths)))],
            overhead,
        )
        for n in range(len(lengths))
        for cuts in itertools.combinations(range(1, len(lengths)), n)
    )
    runs = plan_rectangles(lengths, overhead)
    assert sum(count for count, _ in runs) == len(lengths)
    assert cost(lengths, runs, overhead) == best


def test_no_overhead_means_no_padding() -> None:
    assert plan_rectangles([3, 3, 5, 8, 8, 8], 0) == [(2, 3), (1, 5), (3, 8)]


def test_a_shared_beginning_is_computed_once() -> None:
    prompt = list(range(50))
    parts = [[*prompt, 60, 61], [*prompt, 60, 62, 63], [*prompt, 70], [9, 9, 9], [*prompt, 70]]
    tokens = np.array(list(itertools.chain(*parts)))
    plan = plan_layout(tokens, [len(part) for part in parts], overhead=0)
    # 50 + 60,61 + 62,63 + 70 + 9,9,9: the fifth is the third again.
    assert len(plan.tokens) == 50 + 2 + 2 + 1 + 3
    assert (plan.tokens[plan.output] == tokens).all()
    positions = np.concatenate([np.arange(len(part)) for part in parts])
    assert (plan.positions[plan.output] == positions).all()
    assert plan.gather is not None
    assert plan.scatter is not None
    assert (plan.gather[plan.scatter] == np.arange(len(plan.tokens))).all()


def test_nothing_shared_and_nothing_padded_needs_no_gathering() -> None:
    tokens = np.array([5, 6, 7, 1, 2, 3, 4, 8, 9, 9])
    plan = plan_layout(tokens, [3, 4, 3], overhead=0)
    assert plan.gather is None
    assert plan.scatter is None
    assert plan.rectangles == (Rectangle(2, 3), Rectangle(1, 4))
    assert (plan.tokens[plan.output] == tokens).all()


def changed_plan(
    tokens: np.ndarray, lengths: Sequence[int], *, overhead: int, skip_queries: bool, changed: int, skip: bool
) -> Layout:
    assert overhead != changed
    assert skip_queries
    return plan_layout(tokens, lengths, overhead=changed, skip_queries=skip)


@pytest.mark.parametrize("share_from", [0.0, 2.0])
@pytest.mark.parametrize("skip_block", [None, 1, 4])
@pytest.mark.parametrize("overhead", [0, 3, 4096])
def test_every_layout_gives_the_same_hidden_states(
    monkeypatch: pytest.MonkeyPatch, share_from: float, skip_block: int | None, overhead: int
) -> None:
    decoder = make_decoder(build("Llama"))
    parts = segments()
    alone = torch.cat([decoder.packed_hidden(part, [len(part)]) for part in parts])
    monkeypatch.setattr(layout_module, "SHARE_FROM", share_from)
    monkeypatch.setattr(layout_module, "_SKIP_BLOCK", skip_block or 16)
    changed = partial(changed_plan, changed=overhead, skip=skip_block is not None)
    monkeypatch.setattr("ahalab.policy.forward.lean.plan_layout", changed)
    together = decoder.packed_hidden(torch.cat(parts), [len(part) for part in parts])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_samples_of_a_group_share_their_prompt_in_the_learner_too() -> None:
    prompt = np.arange(40)
    rows = [np.concatenate((prompt, np.full(30 + i, i))) for i in range(8)]
    plan = plan_layout(np.concatenate(rows), [len(row) for row in rows], overhead=8)
    assert len(plan.tokens) == 40 + sum(30 + i for i in range(8))


def test_a_shared_prompt_is_asked_for_once_and_read_by_all() -> None:
    prompt = np.arange(40)
    rows = [np.concatenate((prompt, np.full(30, 100 + i))) for i in range(8)]
    plan = plan_layout(np.concatenate(rows), [70] * 8, overhead=8, skip_queries=True)
    # 40 shared tokens are two blocks of 16 and a rest that is asked for again.
    assert sorted(plan.rectangles) == [Rectangle(1, 70, 0), Rectangle(7, 70, 32)]
    assert plan.queries is not None
    assert plan.scatter is not None
    assert len(plan.queries) == 70 + 7 * 38
    assert (plan.queries[plan.scatter] == np.arange(len(plan.tokens))).all()


def test_gradients_of_a_group_are_those_of_its_samples_one_by_one() -> None:
    model = build("Qwen3", head_dim=16)
    decoder = make_decoder(model)
    torch.manual_seed(0)
    prompts = [torch.randint(0, 60, (n,)) for n in (37, 20, 3)]
    parts = [torch.cat((prompt, torch.randint(0, 60, (n,)))) for prompt in prompts for n in (5, 40, 5, 1)]
    parts.append(prompts[0])
    lengths = [len(part) for part in parts]
    directions = torch.randn(sum(lengths), decoder.hidden_size)

    def gradients(hidden: torch.Tensor) -> list[torch.Tensor]:
        (hidden * directions).sum().backward()  # type: ignore[no-untyped-call]
        found = [p.grad.clone() for p in model.model.parameters() if p.grad is not None]
        model.zero_grad()
        return found

    plan = decoder._layout(torch.cat(parts), lengths)
    assert any(rectangle.skip for rectangle in plan.rectangles)
    together = gradients(decoder.packed_hidden(torch.cat(parts), lengths))
    alone = gradients(torch.cat([decoder.packed_hidden(part, [len(part)]) for part in parts]))
    for one, other in zip(together, alone, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max()))
