"""The table of change (paper, Table 11): paired by question, judge errors left out and counted."""

from __future__ import annotations

import json

import pytest

from ahalab.safety.jailbreak.change import change_table, origin_of
from ahalab.safety.records import Judgement, Part, VerdictWord


def row(item: str, verdict: VerdictWord, target: str = "m", part: Part = "answer") -> Judgement:
    return Judgement(item, target, part, verdict)


def rows(verdicts: str, wrapped: bool = False, target: str = "m") -> list[Judgement]:
    """u, s, r, e: one item each."""
    words: dict[str, VerdictWord] = {"u": "unsafe", "s": "safe", "r": "rejection", "e": "judge_error"}
    end = "+t0.plain" if wrapped else ""
    return [row(f"q{place}{end}", words[one], target) for place, one in enumerate(verdicts)]


def test_shares_and_differences_are_those_counted_by_hand() -> None:
    # Ten questions: 2 unsafe and 1 rejection before, 5 and 3 after.
    (found,) = change_table(rows("uursssssss"), rows("uuuuurrrss", wrapped=True))
    assert found.unsafe.origin.value == pytest.approx(0.2)
    assert found.unsafe.jailbreak.value == pytest.approx(0.5)
    assert found.unsafe.difference.value == pytest.approx(0.3)
    assert found.reject.difference.value == pytest.approx(0.2)
    assert (found.items, found.questions) == (10, 10)
    # Three items became unsafe and none became safe: McNemar's exact test says 2 × (1/2)³.
    assert found.unsafe.p_value == pytest.approx(0.25)


def test_rows_are_json_able() -> None:
    (found,) = change_table(rows("us"), rows("su", wrapped=True))
    assert json.loads(json.dumps(found.as_dict()))["unsafe"]["difference"]["value"] == 0.0


def test_pairing_makes_the_interval_narrower_than_that_of_two_samples() -> None:
    before, after = "u" * 60 + "s" * 60, "u" * 72 + "s" * 48
    (found,) = change_table(rows(before), rows(after, wrapped=True))
    width = found.unsafe.difference.high - found.unsafe.difference.low
    apart = 2 * 1.96 * (0.5 * 0.5 / 120 + 0.6 * 0.4 / 120) ** 0.5
    assert found.unsafe.difference.value == pytest.approx(0.1)
    assert 0 < width < 0.6 * apart


def test_judge_errors_are_left_out_of_both_sides_and_counted() -> None:
    (found,) = change_table(rows("uesss"), rows("uuess", wrapped=True))
    assert found.items == 3  # q0, q3, q4
    assert found.judge_errors == (1, 1)
    assert found.unpaired == (1, 1)


def test_translations_of_one_question_are_one_question_for_the_interval() -> None:
    before, after = rows("s" * 40), rows("u" * 20 + "s" * 20, wrapped=True)
    alone = change_table(before, after)[0]
    pairs = {f"q{place}": f"c{place // 2}" for place in range(40)}
    together = change_table(before, after, pairs)[0]
    assert together.questions == 20
    assert together.unsafe.difference.value == alone.unsafe.difference.value == pytest.approx(0.5)
    width = [one.unsafe.difference.high - one.unsafe.difference.low for one in (alone, together)]
    assert width[1] > 1.2 * width[0]


def test_unequal_clusters_still_give_the_difference_of_the_shares() -> None:
    names = {"q0": "a", "q1": "a", "q2": "a", "q3": "b", "q4": "c"}
    (found,) = change_table(rows("sssss"), rows("usssu", wrapped=True), names)
    assert found.unsafe.difference.value == pytest.approx(0.4)
    assert found.unsafe.difference.value == pytest.approx(
        found.unsafe.jailbreak.value - found.unsafe.origin.value
    )
    assert found.unsafe.difference.low <= 0.4 <= found.unsafe.difference.high


def test_an_item_wrapped_several_times_counts_once_with_its_mean() -> None:
    after = [row("q0+a.plain", "unsafe"), row("q0+b.plain", "safe"), row("q1+a.plain", "safe")]
    (found,) = change_table(rows("ss"), after)
    assert found.items == 2
    assert found.unsafe.jailbreak.value == pytest.approx(0.25)


def test_targets_have_a_row_each_and_only_where_both_sides_are_there() -> None:
    before = rows("us", target="a") + rows("us", target="b") + rows("us", target="c")
    after = rows("us", wrapped=True, target="b") + rows("us", wrapped=True, target="a")
    assert [one.target for one in change_table(before, after)] == ["a", "b"]


def test_thinking_is_apart_and_two_judges_are_refused() -> None:
    before = [row("q0", "safe"), row("q0", "unsafe", part="thinking")]
    after = [row("q0+t.plain", "safe"), row("q0+t.plain", "unsafe", part="thinking")]
    assert change_table(before, after, part="thinking")[0].unsafe.origin.value == 1.0
    assert change_table(before, after)[0].unsafe.origin.value == 0.0
    with pytest.raises(ValueError, match="two judgements of q0"):
        change_table([row("q0", "safe"), row("q0", "unsafe")], after)


def test_the_origin_of_a_wrapped_id() -> None:
    assert origin_of("D03-07-zh+t1234.base64") == origin_of("D03-07-zh") == "D03-07-zh"
