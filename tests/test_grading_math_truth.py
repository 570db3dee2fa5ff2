"""The truth table of mathematical answers: over a thousand pairs decided by hand, and who disagrees with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ahalab.grading import GraderPool
from ahalab.records import GradeRequest, Verdict
from proof_tools import write_result

TABLE = Path(__file__).parent / "data" / "math_truth.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]
LEAST_AGREEMENT = 0.98

KNOWN = {
    (
        r"(1,2,\ldots,n)",
        "(1,2,...,n)",
    ): "dots for left-out terms cannot be read, unless both are written alike",
    (
        r"\text{A, C}",
        "A and C",
    ): "words are compared as one text; for several letters use the verifier `choice`",
    ("否", "答案是否"): "是否 also means 'whether'; such a text is taken to say both",
    (
        "8",
        "at least 8",
    ): "in prose 'at least 8' mostly answers how many are needed, so that the number counts",
}
"""Where the verifier disagrees with the table, as (gold, answer), and why. docs/math.md lists them, too."""


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(2, cpu_seconds=20) as pool:
        pool.start(["math"])
        yield pool


@pytest.fixture(scope="module")
def verdicts(pool: GraderPool) -> list[Verdict]:
    return pool.grade_all([GradeRequest("math", row["answer"], row["gold"]) for row in ROWS])


def disagreements(verdicts: list[Verdict]) -> dict[tuple[str, str], str]:
    return {
        (row["gold"], row["answer"]): f"{row['kind']}: {verdict.error or verdict.score}"
        for row, verdict in zip(ROWS, verdicts, strict=True)
        if verdict.score != float(row["equal"])
    }


def has_han(row: dict[str, Any]) -> bool:
    return any("\u3400" <= character <= "\u9fff" for character in row["gold"] + row["answer"])


def test_the_table_is_as_large_and_as_mixed_as_promised() -> None:
    assert len(ROWS) >= 550
    assert len({(row["gold"], row["answer"]) for row in ROWS}) == len(ROWS)
    assert sum(not row["equal"] for row in ROWS) >= len(ROWS) / 3
    assert sum(map(has_han, ROWS)) >= 60
    assert min(Counter(row["kind"] for row in ROWS).values()) >= 10


def test_the_verifier_agrees_with_the_table_but_for_what_is_listed(verdicts: list[Verdict]) -> None:
    found = disagreements(verdicts)
    assert {pair: found[pair] for pair in found.keys() - KNOWN.keys()} == {}, "new disagreements"
    assert KNOWN.keys() - found.keys() == set(), (
        "these agree now: take them off the list, and out of docs/math.md"
    )
    assert 1 - len(found) / len(ROWS) >= LEAST_AGREEMENT


def test_every_disagreement_is_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "math.md").read_text(encoding="utf-8")
    assert [pair for pair in KNOWN if f"`{pair[0]}`" not in page or f"`{pair[1]}`" not in page] == []


def test_a_gold_answer_of_the_table_is_equal_to_itself_boxed_and_announced(pool: GraderPool) -> None:
    golds = list(dict.fromkeys(row["gold"] for row in ROWS))[::4]
    dresses = ("\\boxed{%s}", "So the final answer is \\boxed{%s}.")
    dressed = [(dress % gold, gold) for gold in golds for dress in dresses if "boxed" not in gold]
    results = pool.grade_all([GradeRequest("math", answer, gold) for answer, gold in dressed])
    assert {pair: v for pair, v in zip(dressed, results, strict=True) if v != Verdict(1.0)} == {}


@pytest.mark.proof
def test_the_table_by_kind(verdicts: list[Verdict]) -> None:
    found = disagreements(verdicts)
    kinds = Counter(row["kind"] for row in ROWS)
    lines = [
        f"{len(ROWS)} pairs, {sum(not row['equal'] for row in ROWS)} of them unequal,"
        f" {sum(map(has_han, ROWS))} with Chinese: {len(ROWS) - len(found)} agree,"
        f" {100 * (1 - len(found) / len(ROWS)):.1f} %.",
        "",
        "| kind | pairs | unequal | agree |",
        "|---|---|---|---|",
    ]
    for kind, pairs in sorted(kinds.items()):
        rows = [row for row in ROWS if row["kind"] == kind]
        wrong = sum((row["gold"], row["answer"]) in found for row in rows)
        lines.append(f"| {kind} | {pairs} | {sum(not row['equal'] for row in rows)} | {pairs - wrong} |")
    lines += ["", "| gold | answer | table | verifier | reason |", "|---|---|---|---|---|"]
    for row, verdict in zip(ROWS, verdicts, strict=True):
        pair = (row["gold"], row["answer"])
        if pair in found:
            said = verdict.error or ("equal" if verdict.score else "not equal")
            truth = "equal" if row["equal"] else "not equal"
            lines.append(f"| `{pair[0]}` | `{pair[1]}` | {truth} | {said} | {KNOWN.get(pair, 'not known')} |")
    print("\n".join(lines))
    write_result("math-truth", "python -m pytest tests/test_grading_math_truth.py -m proof -s", lines)
