"""Each ordering's verdict is read off an interval, and what is not in the table is said to be missing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ahalab.analysis.evaluations import Figure
from ahalab.analysis.orderings import (
    FEWEST,
    MARGIN,
    PAPER_ORDERINGS,
    Claim,
    Outcome,
    Relation,
    Verdict,
    decide,
    judge,
    markdown_orderings,
    parse_ordering,
)
from ahalab.analysis.stage_table import StageTable, TableRow
from ahalab.errors import UserError

Interval = tuple[float, float]


def table(
    differences: Mapping[tuple[str, str, str], Interval], values: Mapping[tuple[str, str], Interval] = {}
) -> StageTable:
    names = {name for row, other, _ in differences for name in (row, other)} | {row for row, _ in values}
    cells: dict[str, dict[str, Figure]] = {name: {} for name in names}
    for (row, column), (low, high) in values.items():
        cells[row][column] = Figure((low + high) / 2, low, high, 100, 2)
    return StageTable(
        columns=["reasoning"],
        rows={name: TableRow(name, f"eval_{name}", cells[name]) for name in sorted(names)},
        differences={
            key: Figure((low + high) / 2, low, high, 100, 2) for key, (low, high) in differences.items()
        },
    )


def outcome(name: str, found: StageTable) -> Outcome:
    return judge(found, [PAPER_ORDERINGS[name]])[0]


@pytest.mark.parametrize(
    ("relation", "low", "high", "verdict"),
    [
        ("above", 0.001, 0.4, "holds"),
        ("above", 0.001, 0.02, "holds"),
        ("above", -0.2, -0.1, "does not"),
        ("above", -0.01, 0.02, "does not"),
        ("above", 0.0, 0.029, "does not"),
        ("above", -0.01, 0.05, "undecided"),
        ("above", -0.3, 0.3, "undecided"),
        ("not_below", -0.02, 0.5, "holds"),
        ("not_below", 0.1, 0.5, "holds"),
        ("not_below", -0.2, -0.04, "does not"),
        ("not_below", -0.05, 0.01, "undecided"),
        ("level", -0.02, 0.02, "holds"),
        ("level", 0.001, 0.02, "holds"),
        ("level", 0.04, 0.2, "does not"),
        ("level", -0.2, -0.04, "does not"),
        ("level", -0.02, 0.04, "undecided"),
    ],
)
def test_a_verdict_follows_from_the_interval(
    relation: Relation, low: float, high: float, verdict: Verdict
) -> None:
    claim = Claim(relation, "a", "reasoning", "b", margin=0.03)
    assert decide(claim, Figure((low + high) / 2, low, high)) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.95, 0.99, "holds"), (0.90, 0.949, "does not"), (0.94, 0.96, "undecided")],
)
def test_a_threshold_is_reached_by_the_whole_interval(low: float, high: float, verdict: Verdict) -> None:
    assert decide(Claim("at_least", "a", "x", margin=0.95), Figure(0.95, low, high)) == verdict


def test_a_number_without_an_interval_decides_nothing() -> None:
    assert decide(Claim("above", "a", "x", "b"), Figure(0.5)) == "not measured"
    assert decide(Claim("above", "a", "x", "b"), None) == "not measured"


ABOVE, LEVEL, BELOW, WIDE = (0.05, 0.15), (-0.01, 0.01), (-0.15, -0.05), (-0.2, 0.2)

THREE_WAYS = [
    ("dev1_below_zero", {("zero", "dev1", "reasoning"): ABOVE}, "holds"),
    ("dev1_below_zero", {("zero", "dev1", "reasoning"): BELOW}, "does not"),
    ("dev1_below_zero", {("zero", "dev1", "reasoning"): LEVEL}, "does not"),
    ("dev1_below_zero", {("zero", "dev1", "reasoning"): WIDE}, "undecided"),
    ("dev2_restores", {("dev2", "dev1", "reasoning"): ABOVE, ("dev2", "zero", "reasoning"): LEVEL}, "holds"),
    (
        "dev2_restores",
        {("dev2", "dev1", "reasoning"): ABOVE, ("dev2", "zero", "reasoning"): BELOW},
        "does not",
    ),
    (
        "dev2_restores",
        {("dev2", "dev1", "reasoning"): LEVEL, ("dev2", "zero", "reasoning"): WIDE},
        "does not",
    ),
    (
        "dev2_restores",
        {("dev2", "dev1", "reasoning"): ABOVE, ("dev2", "zero", "reasoning"): WIDE},
        "undecided",
    ),
    ("r1_most_helpful", {("r1", "dev3", "win_rate"): ABOVE, ("r1", "zero", "win_rate"): LEVEL}, "holds"),
    ("r1_most_helpful", {("r1", "dev3", "win_rate"): ABOVE, ("r1", "zero", "win_rate"): BELOW}, "does not"),
    ("r1_most_helpful", {("r1", "dev3", "win_rate"): WIDE, ("r1", "zero", "win_rate"): ABOVE}, "undecided"),
    ("r1_safest", {("r1", "dev3", "safe"): LEVEL, ("r1", "base", "safe"): ABOVE}, "holds"),
    ("r1_safest", {("r1", "dev3", "safe"): BELOW}, "does not"),
    ("r1_safest", {("r1", "dev3", "safe"): WIDE}, "undecided"),
    ("r1_keeps_reasoning", {("r1", "dev3", "reasoning"): LEVEL}, "holds"),
    ("r1_keeps_reasoning", {("r1", "dev3", "reasoning"): ABOVE}, "holds"),
    ("r1_keeps_reasoning", {("r1", "dev3", "reasoning"): BELOW}, "does not"),
    ("r1_keeps_reasoning", {("r1", "dev3", "reasoning"): WIDE}, "undecided"),
    ("language_reward_needed", {("dev2", "no_language", "language_consistency"): ABOVE}, "holds"),
    ("language_reward_needed", {("dev2", "no_language", "language_consistency"): LEVEL}, "does not"),
    ("language_reward_needed", {("dev2", "no_language", "language_consistency"): WIDE}, "undecided"),
    ("distillation_beats_rl", {("distilled", "student_rl", "reasoning"): ABOVE}, "holds"),
    ("distillation_beats_rl", {("distilled", "student_rl", "reasoning"): BELOW}, "does not"),
    ("distillation_beats_rl", {("distilled", "student_rl", "reasoning"): WIDE}, "undecided"),
    (
        "unbounded_preference_hacks",
        {("r1", "unbounded", "reasoning"): LEVEL, ("r1", "unbounded", "helpfulness"): ABOVE},
        "holds",
    ),
    (
        "unbounded_preference_hacks",
        {("r1", "unbounded", "reasoning"): LEVEL, ("r1", "unbounded", "helpfulness"): BELOW},
        "does not",
    ),
    (
        "unbounded_preference_hacks",
        {("r1", "unbounded", "reasoning"): WIDE, ("r1", "unbounded", "helpfulness"): BELOW},
        "undecided",
    ),
]


@pytest.mark.parametrize(("name", "differences", "verdict"), THREE_WAYS)
def test_every_ordering_of_the_paper_can_come_out_three_ways(
    name: str, differences: Mapping[tuple[str, str, str], Interval], verdict: Verdict
) -> None:
    assert outcome(name, table(differences)).verdict == verdict
    turned = {
        (other, row, column): (-high, -low) for (row, other, column), (low, high) in differences.items()
    }
    assert outcome(name, table(turned)).verdict == verdict, "whichever way the difference is stored"


@pytest.mark.parametrize(
    ("dev2", "r1", "verdict"),
    [
        ((0.96, 0.99), None, "holds"),
        ((0.96, 0.99), (0.97, 0.98), "holds"),
        ((0.96, 0.99), (0.90, 0.94), "does not"),
        ((0.94, 0.99), (0.96, 0.98), "undecided"),
    ],
)
def test_language_consistency_is_asked_of_every_stage_with_the_reward(
    dev2: Interval, r1: Interval | None, verdict: Verdict
) -> None:
    column = "language_consistency"
    values = {("dev2", column): dev2, **({("r1", column): r1} if r1 else {})}
    assert outcome("one_language", table({}, values)).verdict == verdict


def test_the_three_ways_cover_every_ordering() -> None:
    tested: dict[str, set[str]] = {}
    for name, _, verdict in THREE_WAYS:
        tested.setdefault(name, set()).add(verdict)
    assert tested.keys() | {"one_language"} == PAPER_ORDERINGS.keys()
    assert all(found == {"holds", "does not", "undecided"} for found in tested.values())


def test_a_missing_row_is_named() -> None:
    found = outcome("distillation_beats_rl", table({("distilled", "base", "reasoning"): ABOVE}))
    assert (found.verdict, found.why) == ("not measured", "needs the row student_rl")
    both = outcome("dev2_restores", table({("dev2", "dev1", "reasoning"): ABOVE}))
    assert (both.verdict, both.why) == ("not measured", "needs the row zero")


def test_a_part_that_fails_decides_though_another_is_missing() -> None:
    assert outcome("dev2_restores", table({("dev2", "dev1", "reasoning"): BELOW})).verdict == "does not"


def test_a_measure_that_was_not_taken_is_named() -> None:
    found = outcome("r1_safest", table({("r1", "dev3", "reasoning"): ABOVE}))
    assert (found.verdict, found.why) == ("not measured", "needs safety of r1 and dev3")


def test_the_deciding_numbers_are_told() -> None:
    found = outcome(
        "dev2_restores",
        table({("dev2", "dev1", "reasoning"): (0.05, 0.15), ("dev2", "zero", "reasoning"): (-0.15, -0.05)}),
    )
    assert found.why == "dev2 − zero, reasoning (all): -10.0 [-15.0, -5.0]"
    told = found.as_dict()
    assert told["comparisons"][0]["verdict"] == "holds"
    assert told["comparisons"][1]["margin"] == MARGIN
    assert "*does not*" in markdown_orderings([told])


def test_orderings_in_words() -> None:
    found = table({("a", "b", "math"): ABOVE}, {("a", "safe"): (0.9, 0.95)})
    asked = [
        "a above b on math",
        "a level with b on math within 0.2",
        "a not below b on math",
        "a at least 0.8 on safe",
    ]
    assert [one.verdict for one in judge(found, [parse_ordering(text) for text in asked])] == ["holds"] * 4
    assert parse_ordering("dev2_restores") is PAPER_ORDERINGS["dev2_restores"]


@pytest.mark.parametrize(
    "text", ["dev2_restore", "a above b", "a over b on math", "", "a at least 95 on safe"]
)
def test_an_ordering_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected `ROW above ROW on COLUMN`"):
        parse_ordering(text)


def test_columns_are_found_by_what_the_table_calls_them_and_slips_are_refused() -> None:
    for said, column in (("mathematics", "math"), ("safety", "safe"), ("language", "language_consistency")):
        assert parse_ordering(f"a above b on {said}").claims[0].column == column
    assert parse_ordering("a above b on stem").claims[0].column == "stem", "a domain of somebody's own"
    with pytest.raises(UserError, match="did you mean `reasoning`"):
        parse_ordering("a above b on reasonin")


def test_few_prompts_decide_nothing_however_short_their_interval() -> None:
    claim = Claim("above", "a", "reasoning", "b")
    assert decide(claim, Figure(0.5, 0.5, 0.5, FEWEST, 2)) == "holds"
    assert decide(claim, Figure(0.5, 0.5, 0.5, FEWEST - 1, 2)) == "undecided"
    few = StageTable([], {}, {("zero", "dev1", "reasoning"): Figure(0.5, 0.5, 0.5, 4, 2)})
    assert outcome("dev1_below_zero", few).why.endswith("(only 4 prompts)")
