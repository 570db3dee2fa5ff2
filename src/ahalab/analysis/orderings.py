"""The paper's orderings as data, and what a stage table says of each: holds, does not, undecided, not measured.

A verdict is read off the 95 % interval [low, high] of a paired difference d (or of one row's value), never off the
two values alone. With the margin m of the claim:

    above       d = row − other     holds: low > 0            does not: low ≤ 0 and high < m
    not_below   d = row − other     holds: low > −m           does not: high < −m
    level       d = row − other     holds: −m < low, high < m does not: low > m or high < −m
    at_least    value of the row    holds: low ≥ threshold    does not: high < threshold

and undecided otherwise, and always over fewer than 30 prompts: more prompts (or seeds) would tell. So `above` does not
hold where the row is below, and also where the two are shown to be level; a difference that could still be 0 or could
still be of size is undecided.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.analysis.evaluations import Figure
from ahalab.analysis.stage_table import COLUMNS, StageTable, column_label, markdown_cell, points
from ahalab.errors import UserError
from ahalab.validation import nearest, suggestion

Relation = Literal["above", "not_below", "level", "at_least"]
Verdict = Literal["holds", "does not", "undecided", "not measured"]

MARGIN = 0.03
"""Differences below 3 points are of no size (our choice: about the largest half-width of 1,000 prompts)."""
FEWEST = 30
"""Prompts below which nothing is decided (our choice): a bootstrap of few prompts, or of prompts that all came out the
same, gives an interval that is far too short."""
MOST_TOLD = 2
"""Comparisons of one claim that are told in full where it holds."""
LANGUAGE_THRESHOLD = 0.95
"""Asked of the tiny world; the paper prints no number, its Figure 7 shows a stable curve."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One comparison."""

    relation: Relation
    row: str
    column: str
    than: str | None = None
    """The other row; None for `at_least`."""
    margin: float = MARGIN
    """For `at_least`: the threshold."""
    optional: bool = False
    """Left out, and not missed, where one of its rows is not in the table."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """One sentence of the paper (or of a person) and the comparisons it stands for."""

    name: str
    sentence: str
    source: str
    claims: tuple[Claim, ...]
    combine: Literal["all", "any"] = "all"


@dataclass(frozen=True, slots=True)
class Decided:
    """One comparison's verdict and the interval that decided it."""

    claim: Claim
    verdict: Verdict
    figure: Figure | None

    @property
    def text(self) -> str:
        """As "dev2 − dev1, reasoning (all): +4.1 [+1.0, +7.2]"."""
        claim = self.claim
        what = claim.row if claim.than is None else f"{claim.row} − {claim.than}"
        few = f" (only {self.figure.n} prompts)" if self.figure and _is_few(self.figure) else ""
        return (
            f"{what}, {column_label(claim.column)}: {points(self.figure, signed=claim.than is not None)}{few}"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the table says of an ordering."""

    ordering: Ordering
    verdict: Verdict
    decided: tuple[Decided, ...]
    missing: tuple[str, ...] = ()
    """Rows and measures that the ordering needs and the table lacks."""

    @property
    def why(self) -> str:
        """The comparisons that decided, in numbers."""
        if self.verdict == "not measured":
            return f"needs {', '.join(self.missing)}"
        told = self.deciding
        if self.verdict == "holds" and len(told) > MOST_TOLD:
            closest = min(told, key=lambda one: (one.figure.low or 0.0) if one.figure else 0.0)
            return f"{closest.text}, the closest of {len(told)}"
        return "; ".join(one.text for one in told)

    @property
    def deciding(self) -> tuple[Decided, ...]:
        """The comparisons whose verdict is the ordering's; all of them where it holds."""
        return tuple(one for one in self.decided if one.verdict == self.verdict) or self.decided

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.ordering.name,
            "sentence": self.ordering.sentence,
            "source": self.ordering.source,
            "verdict": self.verdict,
            "why": self.why,
            "comparisons": [
                {
                    "relation": one.claim.relation,
                    "row": one.claim.row,
                    "than": one.claim.than,
                    "column": one.claim.column,
                    "threshold" if one.claim.relation == "at_least" else "margin": one.claim.margin,
                    "value": one.figure.value if one.figure else None,
                    "low": one.figure.low if one.figure else None,
                    "high": one.figure.high if one.figure else None,
                    "verdict": one.verdict,
                }
                for one in self.decided
            ],
        }


def _best(column: str) -> tuple[Claim, ...]:
    """r1 not below any stage before it; dev3 is what it started from and must be there."""
    others = [
        Claim("not_below", "r1", column, than, optional=True) for than in ("base", "zero", "dev1", "dev2")
    ]
    return (Claim("not_below", "r1", column, "dev3"), *others)


PAPER_ORDERINGS: dict[str, Ordering] = {
    ordering.name: ordering
    for ordering in (
        Ordering(
            "dev1_below_zero",
            "The small cold-start set costs reasoning: dev1 is below zero.",
            "Table 3: AIME 77.9 → 59.0, MATH-500 95.9 → 94.2",
            (Claim("above", "zero", "reasoning", "dev1"),),
        ),
        Ordering(
            "dev2_restores",
            "Reasoning RL restores it: dev2 is above dev1 and not below zero.",
            "Table 3: AIME 59.0 → 74.0, MATH-500 94.2 → 95.9, LiveCodeBench 57.5 → 63.5",
            (
                Claim("above", "dev2", "reasoning", "dev1"),
                Claim("not_below", "dev2", "reasoning", "zero"),
            ),
        ),
        Ordering(
            "r1_most_helpful",
            "r1 is the best stage in helpfulness, or level with the best.",
            "Table 3: AlpacaEval 2.0 62.1 → 87.6, ArenaHard 75.6 → 92.3",
            _best("win_rate"),
        ),
        Ordering(
            "r1_safest",
            "r1 is the best stage in safety, or level with the best.",
            "§2.7: the safety reward model joins in the last stage",
            _best("safe"),
        ),
        Ordering(
            "r1_keeps_reasoning",
            "Alignment costs no reasoning: r1 is level with dev3 or above it.",
            "Table 3: AIME 78.1 → 79.8, MATH-500 95.4 → 97.3",
            (Claim("not_below", "r1", "reasoning", "dev3"),),
        ),
        Ordering(
            "one_language",
            "With the language reward the thinking stays in one language.",
            "Figure 7: stable with the reward",
            (
                Claim("at_least", "dev2", "language_consistency", margin=LANGUAGE_THRESHOLD),
                Claim("at_least", "r1", "language_consistency", margin=LANGUAGE_THRESHOLD, optional=True),
            ),
        ),
        Ordering(
            "language_reward_needed",
            "Without the language reward consistency falls: dev2 without it is below dev2.",
            "Figure 7: consistency decays without the reward",
            (Claim("above", "dev2", "language_consistency", "no_language"),),
        ),
        Ordering(
            "distillation_beats_rl",
            "The distilled student is above the same student after RL alone.",
            "Appendix F: Distill-Qwen-32B 72.6 against Qwen2.5-32B-Zero 47.0 on AIME",
            (Claim("above", "distilled", "reasoning", "student_rl"),),
        ),
        Ordering(
            "unbounded_preference_hacks",
            "With the preference reward from the first step on, what the rules measure ends below r1.",
            "Figure 6: the reward rises while Codeforces falls",
            (
                Claim("above", "r1", "reasoning", "unbounded"),
                Claim("above", "r1", "helpfulness", "unbounded"),
            ),
            "any",
        ),
    )
}
"""By name. Rows are called as here: base, zero, dev1, dev2, dev3, r1, distilled, and of the ablations
`no_language` (dev2 trained without the language reward), `student_rl` (the student after RL alone) and `unbounded`
(r1 with the preference reward from the first step)."""


_SENTENCE = re.compile(
    r"(?P<row>\S+) (?P<relation>above|not below|level with) (?P<than>\S+) on (?P<column>\S+)"
    r"(?: within (?P<margin>0?\.\d+|0|1))?"
)
_LEAST = re.compile(r"(?P<row>\S+) at least (?P<margin>0?\.\d+|0|1) on (?P<column>\S+)")
_ALSO_CALLED = {"mathematics": "math", "safety": "safe", "language": "language_consistency"}
"""What people see in the table's first column, or say, for what the column is called."""
_RELATIONS: dict[str, Relation] = {"above": "above", "not below": "not_below", "level with": "level"}


def parse_ordering(text: str) -> Ordering:
    """An ordering of `PAPER_ORDERINGS` by name, or one in words.

    "dev2 above dev1 on reasoning" · "r1 not below dev3 on code" · "r1 level with dev3 on math within 0.05" ·
    "r1 at least 0.95 on language_consistency". Without `within` the margin is `MARGIN`. A column is one of `COLUMNS` or
    a domain's name.

    Raises:
        UserError: neither.
    """
    if text in PAPER_ORDERINGS:
        return PAPER_ORDERINGS[text]
    words = " ".join(text.split())
    if match := _LEAST.fullmatch(words):
        claim = Claim("at_least", match["row"], _column(match["column"]), margin=float(match["margin"]))
    elif match := _SENTENCE.fullmatch(words):
        margin = MARGIN if match["margin"] is None else float(match["margin"])
        relation = _RELATIONS[match["relation"]]
        claim = Claim(relation, match["row"], _column(match["column"]), match["than"], margin)
    else:
        raise UserError(
            f"ordering {text!r}: expected `ROW above ROW on COLUMN`, `… not below …`, `… level with …`, `ROW at least "
            f"0.95 on COLUMN`, or a name of the paper's; {suggestion(text, list(PAPER_ORDERINGS))}"
        )
    return Ordering(words, words, "not the paper's", (claim,))


def _column(name: str) -> str:
    """The column that is meant. Any name may be a domain's; one that nearly is a known column is taken for a slip."""
    found = _ALSO_CALLED.get(name, name)
    near = nearest(found, COLUMNS)
    alike = near is not None and difflib.SequenceMatcher(None, found.lower(), near.lower()).ratio() >= 0.75
    if found not in COLUMNS and alike:
        raise UserError(f"ordering on {name!r}: {suggestion(name, list(COLUMNS))}")
    return found


def judge(table: StageTable, orderings: Sequence[Ordering]) -> list[Outcome]:
    """What the table says of each ordering, in their order."""
    return [_judge(table, ordering) for ordering in orderings]


def decide(claim: Claim, figure: Figure | None) -> Verdict:
    """The verdict of one comparison from the interval of its figure (see the module's text)."""
    if figure is None or figure.low is None or figure.high is None:
        return "not measured"
    if _is_few(figure):
        return "undecided"
    low, high, margin = figure.low, figure.high, claim.margin
    match claim.relation:
        case "above":
            holds, fails = low > 0, high < margin
        case "not_below":
            holds, fails = low > -margin, high < -margin
        case "level":
            holds, fails = -margin < low and high < margin, low > margin or high < -margin
        case "at_least":
            holds, fails = low >= margin, high < margin
    return "holds" if holds else "does not" if fails else "undecided"


def _is_few(figure: Figure) -> bool:
    return figure.n is not None and figure.n < FEWEST


def _judge(table: StageTable, ordering: Ordering) -> Outcome:
    decided, missing = [], []
    for claim in ordering.claims:
        figure = (
            table.cell(claim.row, claim.column)
            if claim.than is None
            else table.difference(claim.row, claim.than, claim.column)
        )
        if figure is None and claim.optional:
            continue
        if figure is None:
            missing += _missing(table, claim)
        decided.append(Decided(claim, decide(claim, figure), figure))
    verdicts = [one.verdict for one in decided]
    return Outcome(
        ordering, _combined(verdicts, ordering.combine), tuple(decided), tuple(dict.fromkeys(missing))
    )


def _combined(verdicts: Sequence[Verdict], combine: Literal["all", "any"]) -> Verdict:
    decisive: Verdict
    other: Verdict
    decisive, other = ("does not", "holds") if combine == "all" else ("holds", "does not")
    if decisive in verdicts:
        return decisive
    if "not measured" in verdicts or not verdicts:
        return "not measured"
    return other if all(verdict == other for verdict in verdicts) else "undecided"


def _missing(table: StageTable, claim: Claim) -> list[str]:
    rows = [row for row in (claim.row, claim.than) if row is not None and row not in table.rows]
    if rows:
        return [f"the row {row}" for row in rows]
    return [f"{column_label(claim.column)} of {claim.row}{f' and {claim.than}' if claim.than else ''}"]


def table_with(table: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The content of a `table.json` with its orderings."""
    return {**table, "orderings": [outcome.as_dict() for outcome in outcomes]}


def markdown_orderings(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """Orderings (as `Outcome.as_dict`) as a Markdown table."""
    lines = ["| ordering | verdict | decided by | the paper |", "|---|---|---|---|"]
    for one in outcomes:
        cells = (one["sentence"], f"*{one['verdict']}*", one["why"], one["source"])
        lines.append(f"| {' | '.join(markdown_cell(str(cell)) for cell in cells)} |")
    return "\n".join([*lines, ""])
