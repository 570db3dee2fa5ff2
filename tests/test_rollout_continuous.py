"""Rows that join and leave a running batch at any step are what they are alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ahalab.counter import row_key
from ahalab.policy.forward import make_decoder
from ahalab.records import Sample
from ahalab.rollout.continuous import ContinuousBatch, Row
from ahalab.rollout.differences import explain_difference
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from forward_models import build
from test_rollout_engine import ALL, STOPS

KEY = RolloutKey(5, "serve", 0)
MIX = (
    Sampling(9, 1.0, stop_ids=STOPS),
    Sampling(30, 0.7, 0.9, stop_ids=STOPS),
    Sampling(70, 0.0),
    Sampling(1, 1.3, top_k=5),
)


def asked(count: int) -> list[tuple[PromptTokens, Sampling]]:
    generator = np.random.default_rng(3)
    return [
        (
            PromptTokens(
                f"p{at}", tuple(generator.integers(4, 40, size=int(generator.integers(1, 30))).tolist())
            ),
            MIX[at % len(MIX)],
        )
        for at in range(count)
    ]


def row_of(prompt: PromptTokens, sampling: Sampling) -> Row:
    return Row(prompt.token_ids, sampling, row_key(KEY.seed, KEY.stage, KEY.rollout, prompt.prompt_id, 0))


def together(
    decoder: object, work: list[tuple[PromptTokens, Sampling]], rows: int
) -> tuple[dict[str, Sample], ContinuousBatch]:
    """All of them through one batch, joining a few at a time."""
    batch = ContinuousBatch(decoder, rows, 128)  # type: ignore[arg-type]
    waiting = list(work)
    names: dict[Row, str] = {}
    tokens: dict[str, list[int]] = {prompt.prompt_id: [] for prompt, _ in work}
    ended: dict[str, Sample] = {}
    step = 0
    while waiting or batch.rows:
        joining = min(len(waiting), rows - len(batch.rows), 1 + step % 3)
        new = [waiting.pop(0) for _ in range(joining)]
        if new:
            entering = [row_of(*one) for one in new]
            names.update({row: prompt.prompt_id for row, (prompt, _) in zip(entering, new, strict=True)})
            batch.enter(entering)
        for row, token, finish in batch.step():
            name = names[row]
            assert name not in ended
            tokens[name].append(token)
            if finish:
                ended[name] = Sample(name, 0, tuple(tokens[name]), (), finish)
        step += 1
    return ended, batch


@pytest.mark.parametrize("rows", [1, 3, 24])
@pytest.mark.parametrize("name", ["llama, grouped heads", "gpt2"])
def test_a_reply_does_not_depend_on_who_else_is_in_the_batch(name: str, rows: int) -> None:
    kind, changes = ALL[name]
    decoder = make_decoder(build(kind, **changes))
    work = asked(24)
    found, _ = together(decoder, work, rows)
    assert found.keys() == {prompt.prompt_id for prompt, _ in work}
    for prompt, sampling in work:
        (alone,) = EmbeddedEngine(decoder, max_rows=1).generate([prompt], 1, sampling, KEY)
        other = found[prompt.prompt_id]
        difference = explain_difference(decoder, prompt, alone, other, sampling, KEY)
        assert difference is None or difference.explained
        if difference is None:
            assert other.finish == alone.finish


def test_a_cancelled_row_leaves_and_the_others_go_on_as_before() -> None:
    decoder = make_decoder(build(*_lean()))
    work = asked(6)
    expected, _ = together(decoder, work, 6)
    batch = ContinuousBatch(decoder, 6, 128)
    rows = [row_of(*one) for one in work]
    batch.enter(rows)
    got: dict[Row, list[int]] = {row: [] for row in rows}
    rows[2].cancelled = True
    for step in range(80):
        for row, token, _ in batch.step():
            got[row].append(token)
        if step == 4:
            rows[1].cancelled = True
    assert not batch.rows
    assert got[rows[2]] == []
    assert len(got[rows[1]]) <= 5
    for at in (0, 3, 4, 5):
        assert tuple(got[rows[at]]) == expected[work[at][0].prompt_id].token_ids


def test_memory_is_given_back_under_load_and_changes_no_reply() -> None:
    decoder = make_decoder(build(*_lean()))
    cache = decoder.new_cache(32, 128)
    generator = torch.Generator().manual_seed(1)

    def hidden(rows: list[int], steps: int) -> torch.Tensor:
        out = torch.empty(0)
        for step in range(steps):
            tokens = torch.tensor([4 + (7 * row + step) % 30 for row in rows])
            out = decoder.decode(tokens, None, cache)
        return out

    prompts = [
        torch.randint(4, 40, (60 if at == 1 else 3,), generator=generator).tolist() for at in range(32)
    ]
    decoder.prefill(prompts, cache, [[at] for at in range(32)])
    hidden(list(range(32)), 60)
    big = sum(tensor.numel() for tensor in (*cache._own, *cache._prompt))  # type: ignore[attr-defined]
    cache.free(list(range(1, 32)))
    for at in range(1, 32):
        cache.forget(at)
    cache.shrink(1)
    small = sum(tensor.numel() for tensor in (*cache._own, *cache._prompt))  # type: ignore[attr-defined]
    assert small < big / 8
    after = hidden([0], 3)

    alone = decoder.new_cache(1, 128)
    decoder.prefill(prompts[:1], alone, [[0]])
    cache = alone
    hidden([0], 60)
    torch.testing.assert_close(after, hidden([0], 3), rtol=0, atol=1e-5)


def test_more_rows_than_there_is_room_for_are_refused() -> None:
    batch = ContinuousBatch(make_decoder(build(*_lean())), 1, 64)
    batch.enter([Row((5,), Sampling(4), 1)])
    with pytest.raises(ValueError, match="1 of 1"):
        batch.enter([Row((5,), Sampling(4), 1)])


def _lean() -> tuple[str]:
    return (ALL["llama, grouped heads"][0],)


def test_rows_that_join_do_not_inherit_the_length_of_one_that_left() -> None:
    decoder = make_decoder(build(*_lean()))
    cache = decoder.new_cache(64, 1000)
    decoder.prefill([[5] * 90, [6] * 3], cache, [[0], [1]])
    for _ in range(400):
        decoder.decode(torch.tensor([7, 8]), None, cache)
    cache.free([0])
    cache.forget(0)
    cache.move([1], [0])
    cache._own_lengths[0] = 40  # a row that has not come as far
    decoder.prefill([[9] * 4] * 20, cache, [[at] for at in range(1, 21)])
    decoder.decode(torch.full((21,), 7), None, cache)
    rows, room = cache._own[0].shape[0] // cache._heads, cache._own[0].shape[1]  # type: ignore[attr-defined]
    assert rows >= 21
    assert room < 100
    assert cache._prompt[0].shape[1] == 4  # type: ignore[attr-defined]
