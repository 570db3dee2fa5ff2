"""Decoding at fixed sizes equals plain decoding, whatever enters, leaves and moves; sizes are bounded and reused.

On a CPU the recorded function runs as it is on the same fixed tensors, so what is shown here is the filling up, the
masks, the addresses and the choice of sizes. The recording itself needs a GPU: see the last tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ahalab.errors import UserError
from ahalab.policy.forward import graphs, make_decoder
from ahalab.policy.forward.graphs import GraphDecoder, Size
from ahalab.policy.forward.static_cache import Storage, bucket, company_of, multiple
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from forward_models import LEAN, build
from test_forward_cache import Rows as PlainRows
from test_rollout_engine import assert_same_or_explained

KEY = RolloutKey(3, "graphs", 1)


class Rows(PlainRows):
    """Follows a `GraphDecoder`'s cache and checks each hidden state against the whole sequence run anew."""

    def __init__(self, model: Any, rows: int, capacity: int, **settings: Any) -> None:
        super().__init__(model, rows, capacity)
        self.decoder = GraphDecoder(model, "fp32", **settings)
        self.cache = self.decoder.new_cache(rows, capacity)


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes small enough that a short test goes through several."""
    for name, size in (("ROWS", 4), ("TOKENS", 8), ("PLACES", 4)):
        monkeypatch.setattr(graphs, name, size)


def test_sizes_are_powers_of_two_and_then_multiples() -> None:
    assert [multiple(n, 64) for n in (1, 64, 65)] == [64, 64, 128]
    assert [bucket(n, 32) for n in (1, 2, 3, 5, 17, 31, 32, 33, 64, 65)] == [
        1,
        2,
        4,
        8,
        32,
        32,
        32,
        64,
        64,
        96,
    ]


@pytest.mark.parametrize("name", LEAN)
def test_fixed_steps_equal_running_the_whole_sequence(name: str) -> None:
    kind, changes = LEAN[name]
    rows = Rows(build(kind, **changes), rows=6, capacity=60)
    late = rows.prefill([5, 17, 9, 11], [[0, 1], [2], [3], []])[3]
    rows.decode(times=4)
    rows.cache.free([1])
    rows.cache.move([3], [1])
    rows.held[1] = rows.held.pop(3)
    rows.cache.enter(3, [3, 4])
    rows.held.update({3: list(late), 4: list(late)})
    rows.decode(times=7)
    rows.cache.free([0, 2])
    rows.cache.move([3, 4], [0, 2])
    rows.held[0], rows.held[2] = rows.held.pop(3), rows.held.pop(4)
    rows.cache.forget(0)
    rows.cache.forget(1)
    rows.prefill([3], [[3]])
    rows.decode(times=3)
    rows.decode([3, 0], times=2)
    rows.decode(times=2)
    assert len(rows.decoder.sizes) > 1


def test_rows_that_fill_up_a_batch_write_to_no_ones_memory() -> None:
    rows = Rows(build("Llama"), rows=8, capacity=40)
    rows.prefill([5, 6], [[0, 1, 2], [3, 4, 5, 6, 7]])
    rows.decode(times=2)
    # Only the first three of eight held rows go on: the fourth of the recorded size is not row 3.
    before = [tensor.clone() for tensor in rows.decoder._storage.own]
    kept = {slot: rows.held.pop(slot) for slot in range(3, 8)}
    rows.decode(times=2)
    heads = rows.model.config.num_key_value_heads
    for old, new in zip(before, rows.decoder._storage.own, strict=True):
        assert torch.equal(old[3 * heads : 8 * heads], new[3 * heads : 8 * heads])
    rows.held.update(kept)
    rows.decode(times=2)


def test_memory_that_grows_makes_new_recordings_and_keeps_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ahalab.policy.forward.static_cache._BLOCK", 16)
    rows = Rows(build("Llama"), rows=3, capacity=100)
    rows.prefill([4, 6], [[0, 1], [2]])
    generation = rows.decoder._storage.generation
    rows.decode(times=70)
    assert rows.decoder._storage.generation > generation + 2


def test_a_second_rollout_takes_the_memory_and_recordings_of_the_first() -> None:
    decoder = GraphDecoder(build("Llama"), "fp32")
    tokens = torch.zeros(3, dtype=torch.int64)
    made: list[Size] = []
    prepare = decoder._prepare

    def counted(size: Size, *, dense: bool) -> Any:
        made.append(size)
        return prepare(size, dense=dense)

    decoder._prepare = counted  # type: ignore[method-assign]
    for rollout in range(2):
        cache = decoder.new_cache(4, 30)
        decoder.prefill([[1, 2, 3], [4, 5]], cache, [[0, 1], [2]])
        for _ in range(3):
            decoder.decode(tokens, None, cache)
        assert len(made) == 1, rollout
    decoder.new_cache(4, 30)
    with pytest.raises(ValueError, match="one made later"):
        decoder.decode(tokens, None, cache)


def test_only_so_many_sizes_are_kept_and_the_oldest_goes_first() -> None:
    rows = Rows(build("Llama"), rows=8, capacity=60, max_graphs=2)
    rows.prefill([5], [[0, 1, 2, 3, 4, 5, 6, 7]])
    rows.decode(times=20)
    assert len(rows.decoder.sizes) == 2
    assert [size.own_length for size in rows.decoder.sizes] == [16, 24]


def test_company_at_fixed_sizes_seats_every_row_at_its_prompt() -> None:
    grid, back = company_of(np.array([1, 0, 1]), rows=4, prompts=2, seats=4, kv_heads=2)
    # Prompt 0, head 0: row 1's; prompt 1, head 1: rows 0 and 2. Empty seats repeat (row 0, head 0).
    assert grid.reshape(2, 2, 4).tolist() == [[[2, 0, 0, 0], [3, 0, 0, 0]], [[0, 4, 0, 0], [1, 5, 0, 0]]]
    assert back.reshape(4, 2).tolist() == [[8, 12], [0, 4], [9, 13], [0, 4]]


def test_storage_moves_only_when_it_must() -> None:
    storage = Storage(layers=1, kv_heads=2, head_dim=4, dtype=torch.float32, device=torch.device("cpu"))
    storage.fit_own(4, 1)
    storage.own[0][:, 0] = 7.0
    storage.fit_own(3, 200)
    assert (storage.generation, storage.rows, storage.room) == (1, 4, 256)
    storage.fit_own(4, 257)
    assert (storage.generation, storage.rows, storage.room) == (2, 4, 512)
    assert storage.own[0][:, 0].eq(7.0).all()
    assert storage.own[0][:, 1:].eq(0.0).all()


@pytest.mark.parametrize("max_rows", [5, 128])
def test_the_engine_samples_the_same_through_fixed_steps(max_rows: int) -> None:
    model = build("Llama")
    asked = [PromptTokens(str(i), tuple(range(i, 2 * i + 3))) for i in range(7)]
    sampling = Sampling(30, stop_ids=(3, 50))
    plain = list(EmbeddedEngine(make_decoder(model), max_rows=max_rows).generate(asked, 5, sampling, KEY))
    fixed = list(
        EmbeddedEngine(GraphDecoder(model, "fp32"), max_rows=max_rows).generate(asked, 5, sampling, KEY)
    )
    assert {sample.finish for sample in plain} == {"stop", "length"}
    assert_same_or_explained(make_decoder(model), asked, plain, fixed, sampling)


def test_the_next_rollout_samples_from_the_weights_as_they_are_then() -> None:
    model = build("Qwen2")
    decoder = GraphDecoder(model, "fp32")
    engine = EmbeddedEngine(decoder)
    asked = [PromptTokens("p", (1, 2, 3))]
    before = list(engine.generate(asked, 2, Sampling(8), KEY))
    addresses = [layer.inputs.weight.data_ptr() for layer in decoder._prepared.layers]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-1.1)
    after = list(engine.generate(asked, 2, Sampling(8), KEY))
    assert before != after
    assert after == list(EmbeddedEngine(GraphDecoder(model, "fp32")).generate(asked, 2, Sampling(8), KEY))
    assert [layer.inputs.weight.data_ptr() for layer in decoder._prepared.layers] == addresses


def test_bf16_steps_lie_near_fp32_ones() -> None:
    model = build("Qwen3", head_dim=16)
    hidden = {}
    for precision in ("fp32", "bf16"):
        decoder = GraphDecoder(model, precision)
        cache = decoder.new_cache(4, 30)
        decoder.prefill([[1, 2, 3], [4, 5]], cache, [[0, 1], [2]])
        for step in range(4):
            state = decoder.decode(torch.tensor([step, 5, 9]), None, cache)
        assert state.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
        hidden[precision] = decoder.logits(state)
        assert hidden[precision].dtype == torch.float32
    error = (hidden["fp32"] - hidden["bf16"]).norm() / hidden["fp32"].norm()
    assert 0 < float(error) < 0.02


def test_int8_and_branches_of_plain_parts_are_refused() -> None:
    with pytest.raises(UserError, match="fp32 or bf16"):
        GraphDecoder(build("Llama"), "int8")
    with pytest.raises(ValueError, match="branches"):
        GraphDecoder(build("Llama"), "fp32", branches=2)


def test_a_sequence_longer_than_the_capacity_and_a_free_slot_are_refused() -> None:
    rows = Rows(build("Llama"), rows=1, capacity=6)
    rows.prefill([4], [[0]])
    rows.decode(times=2)
    with pytest.raises(ValueError, match="capacity"):
        rows.decode()
    with pytest.raises(ValueError, match="does not fit"):
        rows.prefill([7], [[0]])
    rows.cache.free([0])
    with pytest.raises(ValueError, match="holds no sequence"):
        rows.decoder.decode(torch.tensor([1]), None, rows.cache)
