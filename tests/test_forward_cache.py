"""Cached decoding equals running each row's whole sequence again, whatever enters, leaves and moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ahalab.policy.forward import cache, make_decoder
from forward_models import GENERIC, LEAN, VOCABULARY, build, logits_of

ALL = {**LEAN, **GENERIC}


class Rows:
    """Follows what a cache should hold, and checks every hidden state against the whole sequence run anew."""

    def __init__(self, model: Any, rows: int, capacity: int) -> None:
        self.model = model
        self.decoder = make_decoder(model)
        self.cache = self.decoder.new_cache(rows, capacity)
        self.random = torch.Generator().manual_seed(5)
        self.held: dict[int, list[int]] = {}

    def prefill(self, lengths: list[int], slots: list[list[int]]) -> list[list[int]]:
        prompts = [torch.randint(0, VOCABULARY, (n,), generator=self.random).tolist() for n in lengths]
        hidden = self.decoder.prefill(prompts, self.cache, slots)
        for state, prompt, where in zip(hidden, prompts, slots, strict=True):
            self._same(state, prompt)
            self.held.update({slot: list(prompt) for slot in where})
        return prompts

    def decode(self, slots: list[int] | None = None, times: int = 1) -> None:
        for _ in range(times):
            chosen = list(range(len(self.held))) if slots is None else slots
            tokens = torch.randint(0, VOCABULARY, (len(chosen),), generator=self.random)
            for slot, token in zip(chosen, tokens.tolist(), strict=True):
                self.held[slot].append(token)
            named = None if slots is None else torch.tensor(slots)
            hidden = self.decoder.decode(tokens, named, self.cache)
            for slot, state in zip(chosen, hidden, strict=True):
                self._same(state, self.held[slot])

    def _same(self, state: torch.Tensor, tokens: list[int]) -> None:
        with torch.inference_mode():
            expected = self.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
            torch.testing.assert_close(logits_of(self.decoder, state), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_cached_decoding_equals_running_the_whole_sequence(name: str) -> None:
    kind, changes = ALL[name]
    rows = Rows(build(kind, **changes), rows=6, capacity=60)
    late = rows.prefill([5, 17, 9, 11], [[0, 1], [2], [3], []])[3]
    rows.decode(times=4)
    # Row 1 leaves and the last row takes its slot; two rows of a prompt run earlier enter.
    rows.cache.free([1])
    rows.cache.move([3], [1])
    rows.held[1] = rows.held.pop(3)
    rows.cache.enter(3, [3, 4])
    rows.held.update({3: list(late), 4: list(late)})
    rows.decode(times=3)
    # Prompts 0 and 1 end: the slots and the prompts' places close up.
    rows.cache.free([0, 2])
    rows.cache.move([3, 4], [0, 2])
    rows.held[0], rows.held[2] = rows.held.pop(3), rows.held.pop(4)
    rows.cache.forget(0)
    rows.cache.forget(1)
    rows.prefill([3], [[3]])
    rows.decode(times=3)
    rows.decode([3, 0], times=2)
    rows.decode(times=2)


def test_rows_grow_past_the_first_block() -> None:
    rows = Rows(build("Llama"), rows=3, capacity=160)
    rows.prefill([4, 6], [[0, 1], [2]])
    rows.decode(times=70)
    rows.cache.free([2])
    del rows.held[2]
    rows.decode(times=60)


def test_many_rows_of_unequal_age_are_sorted_and_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_SORT_AFTER", 0)
    rows = Rows(build("Llama"), rows=40, capacity=60)
    prompts = rows.prefill([5, 8, 3, 6], [list(range(12)), [], [], []])
    orders = 0
    for step in range(24):
        if step in (3, 7, 11):
            entering = list(range(len(rows.held), len(rows.held) + 9))
            rows.cache.enter(1 + step // 4, entering)
            rows.held.update({slot: list(prompts[1 + step // 4]) for slot in entering})
        if step % 5 == 4:
            # An old row leaves and the youngest takes its slot: the disorder that sorting undoes.
            last = len(rows.held) - 1
            rows.cache.free([step % 4])
            rows.cache.move([last], [step % 4])
            rows.held[step % 4] = rows.held.pop(last)
        order = rows.cache.tidy(len(rows.held))
        if order is not None:
            orders += 1
            rows.held = {slot: rows.held[int(old)] for slot, old in enumerate(order)}
        rows.decode()
    assert orders > 0


def test_a_sequence_longer_than_the_capacity_is_refused() -> None:
    rows = Rows(build("Llama"), rows=1, capacity=6)
    rows.prefill([4], [[0]])
    rows.decode(times=2)
    with pytest.raises(ValueError, match="capacity"):
        rows.decode()
    with pytest.raises(ValueError, match="does not fit"):
        rows.prefill([7], [[0]])


@pytest.mark.parametrize("kind", ["Llama", "Gemma"])
def test_a_free_slot_cannot_be_decoded(kind: str) -> None:
    rows = Rows(build(kind), rows=2, capacity=9)
    rows.prefill([4], [[0]])
    with pytest.raises(ValueError, match="holds no sequence"):
        rows.decoder.decode(torch.tensor([1, 1]), None, rows.cache)


def test_decoding_leaves_the_model_trainable() -> None:
    model = build("Llama")
    rows = Rows(model, rows=1, capacity=9)
    rows.prefill([4], [[0]])
    rows.decode(times=2)
    # The table of the rotary embedding was made while decoding; the backward pass must accept it.
    rows.decoder.packed_hidden(torch.arange(5), [5]).sum().backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad is not None
