"""What a `reward_model` stage learns from: a split by question; unusable rows and settings are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.policy.load import load_policy
from ahalab.policy.reward_model import ResponseFormat
from ahalab.records import PreferencePair
from ahalab.stages.datasets import write_labelled, write_pairs
from ahalab.stages.reward_examples import labelled_examples, pair_examples, question_group, split_by_question
from ahalab.stages.reward_model import run_reward_model
from reward_data import config_of, context_of, toy_labelled, toy_pairs, write_toy


def _form(base: Path) -> ResponseFormat:
    return ResponseFormat(load_policy(str(base)).tokenizer, "auto")


def test_no_question_is_on_both_sides_of_the_split(random_base: Path) -> None:
    examples, _ = pair_examples(toy_pairs(300, questions=40), _form(random_base), 999)
    train, held = split_by_question(examples, 0.25, "here")
    assert len(train) + len(held) == 300
    assert {e.group for e in train}.isdisjoint(e.group for e in held)
    assert 0.1 < len(held) / 300 < 0.45


def test_a_question_is_held_out_whatever_the_other_rows(random_base: Path) -> None:
    examples, _ = pair_examples(toy_pairs(300, questions=100), _form(random_base), 999)
    _, held = split_by_question(examples, 0.2, "here")
    _, fewer = split_by_question(examples[:150], 0.2, "here")
    assert {e.group for e in fewer} <= {e.group for e in held}


def test_questions_that_differ_in_case_or_space_or_later_turns_are_one_group() -> None:
    one = question_group("What is  this?\n")
    assert one == question_group("what is this?")
    assert one == question_group("User: What is this?\n\nAssistant: A cat.\n\nUser: And that?")
    assert one != question_group("What is that?")


def test_both_labels_are_on_both_sides_however_few_rows(random_base: Path) -> None:
    examples, _ = labelled_examples(toy_labelled(12, questions=12), _form(random_base), 999)
    for side in split_by_question(examples, 0.01, "here"):
        assert {example.safe for example in side} == {True, False}


def test_too_few_rows_are_refused(random_base: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", toy_pairs(3))
    with pytest.raises(UserError, match=r"stages\.rm: pairwise\.data: 3 usable rows are too few"):
        run_reward_model(config_of("pairwise"), context_of(tmp_path, random_base, "pairwise"))


def test_one_question_cannot_be_split(random_base: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", toy_pairs(20, questions=1))
    with pytest.raises(UserError, match="several questions"):
        run_reward_model(config_of("pairwise"), context_of(tmp_path, random_base, "pairwise"))


@pytest.mark.parametrize("safe", [True, False])
def test_labels_of_one_class_are_refused(safe: bool, random_base: Path, tmp_path: Path) -> None:
    rows = [row for row in toy_labelled(60) if row.safe is safe]
    write_labelled(tmp_path / "data", rows)
    with pytest.raises(UserError, match=rf"all {len(rows)} labels are {'safe' if safe else 'unsafe'}"):
        run_reward_model(config_of("pointwise"), context_of(tmp_path, random_base, "pointwise"))


def test_rows_longer_than_the_limit_are_dropped_and_counted(random_base: Path, tmp_path: Path) -> None:
    pairs = toy_pairs(60)
    long = PreferencePair("long", "Why?", "so " * 400, "no", "instructions", "en", "toy")
    write_pairs(tmp_path / "data", [*pairs, long])
    config = config_of("pairwise", epochs=1, max_tokens=128)
    result = run_reward_model(config, context_of(tmp_path, random_base, "pairwise"))
    assert result.figures["dropped"] == {"longer than max_tokens": 1}
    assert result.figures["rows"] + result.figures["held_out"] == 60


def test_data_of_the_wrong_kind_are_refused(random_base: Path, tmp_path: Path) -> None:
    write_toy(tmp_path, "pointwise", 20)
    with pytest.raises(UserError, match="preference pairs"):
        run_reward_model(config_of("pairwise"), context_of(tmp_path, random_base, "pairwise"))


def test_exactly_one_kind_must_be_given() -> None:
    with pytest.raises(UserError, match="exactly one"):
        config_of("pairwise", pointwise={"data": ["data"]})
    with pytest.raises(UserError, match="exactly one"):
        config_of("pairwise", pairwise=None)


def test_the_paper_preset_is_the_paper_s() -> None:
    config = config_of("pairwise", preset="paper", epochs=1, batch_size=256, learning_rate=6e-6)
    assert (config.max_tokens, config.floor) == (8192, 6e-6)
    from ahalab.stages.reward_model import PRESETS, RewardModelConfig

    for name, value in PRESETS["paper"].items():
        extra = RewardModelConfig.model_fields[name].json_schema_extra
        assert isinstance(extra, dict)
        assert extra["paper"] in (value, "not said"), name


def test_a_rate_that_would_rise_is_refused() -> None:
    assert config_of("pairwise", learning_rate=1e-3).floor == pytest.approx(1e-4)
    with pytest.raises(UserError, match=r"final_learning_rate \(0.01\) is above"):
        config_of("pairwise", learning_rate=1e-3, final_learning_rate=1e-2)


def test_its_inputs_are_named_to_the_pipeline() -> None:
    refs = config_of(
        "pointwise", entries=["labels", {"file": "more.jsonl"}, {"stage": "others"}]
    ).input_refs()
    assert {name: ref.source for name, ref in refs.items()} == {
        "from": "base",
        "pointwise.data[0]": "labels",
        "pointwise.data[2]": "others",
    }
    assert refs["pointwise.data[0]"].kinds == ("dataset",)
