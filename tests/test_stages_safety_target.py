"""A local model as a target of the safety evaluation: the same replies resumed or not, and a state for every item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.running.targets import LocalTarget
from ahalab.stages.safety_target import TOO_LONG, LocalModelTarget
from safety_runs import made_items


def replies(
    base: Path, items: tuple[SafetyItem, ...], seed: int = 0, stop_after: int | None = None
) -> list[TargetReply]:
    rows: list[TargetReply] = []
    target = LocalModelTarget(
        "t",
        LocalTarget(local=str(base), max_new_tokens=6),
        seed,
        1,
        lambda: stop_after is not None and len(rows) >= stop_after,
    )
    if stop_after is None:
        target.replies(items, rows.append)
    else:
        with pytest.raises(Interrupted):
            target.replies(items, rows.append)
    return rows


def test_an_interrupted_target_goes_on_to_the_same_replies(trained_base: Path) -> None:
    items = made_items(80)
    whole = replies(trained_base, items)
    first = replies(trained_base, items, stop_after=1)
    assert 0 < len(first) < 80
    done = {row.item for row in first}
    rest = replies(trained_base, tuple(item for item in items if item.id not in done))
    assert first + rest == whole
    assert replies(trained_base, items, seed=1) != whole


def test_an_items_reply_does_not_hang_on_its_neighbours(trained_base: Path) -> None:
    items = made_items(20)
    assert replies(trained_base, items)[13] == replies(trained_base, items[13:14])[0]


def test_a_question_that_leaves_no_room_is_an_error_of_its_own(trained_base: Path) -> None:
    first, second, third = made_items(3)
    rows = replies(trained_base, (first, replace(second, prompt="1 " * 5000), third))
    assert [row.error for row in rows] == ["", TOO_LONG, ""]


def test_thinking_and_answer_are_told_apart_and_tokens_counted(trained_base: Path) -> None:
    rows = replies(trained_base, made_items(20))
    assert all(row.tokens_out > 0 for row in rows)
    assert not any("<think>" in f"{row.answer}{row.thinking}" for row in rows)


def test_a_model_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no config"):
        LocalModelTarget("t", LocalTarget(local=str(tmp_path)), 0, 1, lambda: False)


def test_a_small_model_in_any_folder_makes_no_safety_claim(trained_base: Path) -> None:
    target = LocalModelTarget("r1", LocalTarget(local=str(trained_base)), 0, 1, lambda: False)
    identity = target.identity()
    assert identity["claim"] is False
    assert 0 < identity["parameters"] < 200_000_000
