"""The benchmark of the learner: both sides do the same work, and padding is counted as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import learner_memory
from benchmarks.learner import gradient_difference
from benchmarks.learner_batches import Batch, distinct_positions, spread_batch, waste
from benchmarks.learner_contestants import OurLearner, PaddedLoop, pad
from safetensors.torch import save_file

from ahalab.learning import TrainingOutput
from learning_tools import VOCAB, tiny_model

P, Q = (1, 2, 3), (1, 5)


def outputs() -> list[TrainingOutput]:
    return [
        TrainingOutput(P, (7, 8), 1.0, torch.tensor([-1.0, -2.0])),
        TrainingOutput(P, (7, 9, 9, 9), -1.0, torch.tensor([-3.0, -4.0, -5.0, -6.0])),
        TrainingOutput(Q, (6,), 0.5, torch.tensor([-7.0])),
    ]


def test_positions_are_counted_once_for_each_distinct_prefix() -> None:
    # 1 2 3 once, then 7 once, then 9 9; 1 5 shares the 1. A last token is never fed.
    assert distinct_positions([(o.prompt_ids, o.token_ids) for o in outputs()]) == 3 + 1 + 2 + 1
    assert distinct_positions([((4,), (5,))]) == 1
    assert distinct_positions([((4, 5), (6, 7)), ((4, 5), (6, 7))]) == 3


def test_waste_is_padding_and_repetition() -> None:
    rows = [(o.prompt_ids, o.token_ids) for o in outputs()]
    assert waste(7, rows) == 0.0
    # Three rows of 3 + 4 positions, 7 of them needed.
    assert waste(pad(outputs()).input_ids.numel(), rows) == pytest.approx(14 / 21)


def test_prompts_are_padded_on_the_left_and_completions_on_the_right() -> None:
    batch = pad(outputs())
    assert batch.input_ids.tolist() == [[1, 2, 3, 7, 8, 0, 0], [1, 2, 3, 7, 9, 9, 9], [0, 1, 5, 6, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1, 0, 0], [1] * 7, [0, 1, 1, 1, 0, 0, 0]]
    assert batch.completion_mask.sum(dim=1).tolist() == [2, 4, 1]
    assert batch.old_logprobs is not None
    assert batch.old_logprobs.tolist()[2] == [-7.0, 0.0, 0.0, 0.0]
    assert pad(outputs()[2:]).input_ids.tolist() == [[1, 5, 6]]


def test_a_batch_survives_its_file(tmp_path: Path) -> None:
    Batch("grpo", outputs()).write(tmp_path / "batch.json")
    again = Batch.read(tmp_path / "batch.json")
    assert again.loss == "grpo"
    assert again.tokens == 7
    assert again.rows == [(o.prompt_ids, o.token_ids) for o in outputs()]
    assert again.outputs[1].old_logprobs is not None
    assert again.outputs[1].old_logprobs.tolist() == [-3.0, -4.0, -5.0, -6.0]


def test_a_spread_batch_has_the_lengths_asked_for() -> None:
    batch = spread_batch(2, 50, 16, 96, VOCAB)
    lengths = [len(completion) for _, completion in batch.rows]
    assert min(lengths) >= 24
    assert max(lengths) <= 96
    assert max(lengths) - min(lengths) > 50
    assert len({prompt for prompt, _ in batch.rows}) == 2
    assert sum(float(o.advantage) for o in batch.outputs) == pytest.approx(0.0, abs=1e-4)


@pytest.fixture
def model_source(tmp_path: Path) -> dict[str, Any]:
    model = tiny_model()
    # As SmolLM2's: the pad token occurs in prompts, and transformers would give its embedding no gradient.
    model.config.pad_token_id = 3
    model.save_pretrained(tmp_path / "model")
    return {"folder": str(tmp_path / "model")}


@pytest.mark.parametrize("loss", ["grpo", "sft"])
@pytest.mark.parametrize(
    "settings", [{"micro_batch": 1}, {"micro_batch": 5}, {"micro_batch": 4, "by_length": True}]
)
def test_both_sides_make_the_same_gradient_and_the_same_step(
    tmp_path: Path, model_source: dict[str, Any], loss: Any, settings: dict[str, Any]
) -> None:
    path = str(tmp_path / "batch.json")
    rows = [*spread_batch(3, 4, 6, 20, VOCAB).outputs, TrainingOutput((3, 1, 3), (3, 2, 3), 1.0)]
    Batch(loss, rows).write(Path(path))
    files = [str(tmp_path / name) for name in ("ours.safetensors", "padded.safetensors")]
    ours = OurLearner(model_source, path, gradient=files[0], tokens_per_chunk=64)
    padded = PaddedLoop(model_source, path, gradient=files[1], **settings)
    first, second = ours.run(-1), padded.run(-1)
    assert max(gradient_difference(Path(files[0]), Path(files[1]))) < 1e-5
    assert first["tokens"] == second["tokens"] == ours.batch.tokens
    for (name, mine), theirs in zip(ours.model.named_parameters(), padded.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-7, msg=name)


def test_the_positions_are_those_that_ran(tmp_path: Path, model_source: dict[str, Any]) -> None:
    path = str(tmp_path / "batch.json")
    batch = spread_batch(2, 4, 10, 20, VOCAB)
    batch.write(Path(path))
    ours = OurLearner(model_source, path, tokens_per_chunk=10_000).run(-1)
    assert ours["positions"] == distinct_positions(batch.rows)
    assert ours["waste"] == 0.0
    padded = PaddedLoop(model_source, path, micro_batch=4).run(-1)
    longest = [max(len(c) for _, c in batch.rows[start : start + 4]) for start in (0, 4)]
    assert padded["positions"] == sum(4 * (10 + length) for length in longest)
    assert padded["waste"] == 1 - ours["positions"] / padded["positions"]


def test_the_fastest_micro_batch_is_taken(tmp_path: Path, model_source: dict[str, Any]) -> None:
    path = str(tmp_path / "batch.json")
    spread_batch(1, 4, 3, 8, VOCAB).write(Path(path))
    facts = PaddedLoop(model_source, path, tried=[1, 4]).describe()
    tried = facts["tried_seconds"]
    assert set(tried) == {"1", "4"}
    assert tried[str(facts["micro_batch"])] == min(tried.values())


def test_gradients_that_differ_are_told_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    save_file({"a": torch.tensor([3.0, 4.0]), "b": torch.zeros(2)}, one)
    save_file({"a": torch.tensor([3.0, 3.0]), "b": torch.zeros(2)}, other)
    assert gradient_difference(other, one) == pytest.approx((1 / 4, 1 / 5))
    save_file({"a": torch.tensor([3.0, 3.0])}, other)
    with pytest.raises(ValueError, match="b"):
        gradient_difference(other, one)


def test_memory_beyond_the_weights_takes_off_four_tensors() -> None:
    # 2 MiB of weights, gradients and moments more: (32 - 0) x 4,096 x 16 bytes.
    assert (
        learner_memory.beyond_weights({32: 10.0, 64: 15.0}, hidden=4096, vocabularies=(32, 64)) == 13.0 - 10.0
    )
