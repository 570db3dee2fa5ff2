"""How verdicts change when questions are wrapped: the paper's Table 11 (D.3.5), with intervals paired by question.

change_table(origin, jailbreak, clusters) -> list[ChangeRow]      one row a target, in the order of `origin`
    origin, jailbreak   judgements of the plain and of the wrapped items, of any targets, of one judge
    clusters            item id → its question, for both kinds of item; an id that is not in it is its own question
change_markdown(rows) -> str                                      the table as text, form of Table 11
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ahalab.evaluation.estimators import ENOUGH_ITEMS, Estimate, bootstrap
from ahalab.evaluation.intervals import wilson
from ahalab.evaluation.paired import FEWEST_DIFFERING, Comparison, compare, sign_flip
from ahalab.safety.records import Judgement, Part, VerdictWord

WRAPPED = "+"
"""Stands in an item's id between the plain item's id and the template's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One verdict's share before and after, over the items that have a verdict in both."""

    origin: Estimate
    jailbreak: Estimate
    difference: Estimate
    """Jailbreak less origin; the interval is paired: what differs between questions cancels."""
    p_value: float
    test: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One line of the table. Shares are from 0 to 1."""

    target: str
    unsafe: Change
    reject: Change
    items: int
    """Plain items with a verdict both plain and wrapped: what the line is made of."""
    questions: int
    """Independent questions among them: translations of one question count once."""
    judge_errors: tuple[int, int]
    """Left out, plain and wrapped, since the judge gave no verdict."""
    unpaired: tuple[int, int]
    """Left out, plain and wrapped, since the other side has no verdict."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def origin_of(item: str) -> str:
    """The plain item's id of a wrapped item's id (and of a plain one: itself)."""
    return item.partition(WRAPPED)[0]


def change_table(
    origin: Iterable[Judgement],
    jailbreak: Iterable[Judgement],
    clusters: Mapping[str, str] | None = None,
    part: Part = "answer",
) -> list[ChangeRow]:
    """The table of change of every target that has verdicts on both, in the order of `origin`.

    Judgements of other parts are passed over; judge errors are left out and counted. Where an item was wrapped several
    times, its wrapped share is the mean over them. Targets with nothing in common have no row.

    Raises:
        ValueError: two judgements of one item, target and part: give one judge's judgements only.
    """
    before, before_errors = _verdicts(origin, part)
    after, after_errors = _verdicts(jailbreak, part)
    rows = []
    for target, plain in before.items():
        wrapped: dict[str, list[VerdictWord]] = defaultdict(list)
        for item, verdict in after.get(target, {}).items():
            wrapped[origin_of(item)].append(verdict)
        shared = [item for item in plain if item in wrapped]
        if not shared:
            continue
        question = {item: (clusters or {}).get(item) or item for item in shared}
        rows.append(
            ChangeRow(
                target,
                _change("unsafe", plain, wrapped, question),
                _change("rejection", plain, wrapped, question),
                len(shared),
                len(set(question.values())),
                (before_errors[target], after_errors[target]),
                (
                    len(plain) - len(shared),
                    sum(len(found) for item, found in wrapped.items() if item not in plain),
                ),
            )
        )
    return rows


def _verdicts(
    judgements: Iterable[Judgement], part: Part
) -> tuple[dict[str, dict[str, VerdictWord]], dict[str, int]]:
    """Target → item → verdict, and target → judge errors."""
    found: dict[str, dict[str, VerdictWord]] = {}
    errors: dict[str, int] = defaultdict(int)
    seen: set[tuple[str, str]] = set()
    for one in judgements:
        if one.part != part:
            continue
        if (one.target, one.item) in seen:
            raise ValueError(
                f"two judgements of {one.item} of {one.target}: give one judge's judgements only"
            )
        seen.add((one.target, one.item))
        of_target = found.setdefault(one.target, {})
        if one.verdict == "judge_error":
            errors[one.target] += 1
        else:
            of_target[one.item] = one.verdict
    return found, errors


def _change(
    verdict: VerdictWord,
    plain: Mapping[str, VerdictWord],
    wrapped: Mapping[str, Sequence[VerdictWord]],
    question: Mapping[str, str],
) -> Change:
    first: dict[str, list[float]] = defaultdict(list)
    second: dict[str, list[float]] = defaultdict(list)
    for item, cluster in question.items():
        first[cluster].append(float(plain[item] == verdict))
        second[cluster].append(sum(one == verdict for one in wrapped[item]) / len(wrapped[item]))
    found = _paired(first, second)
    return Change(_share(first), _share(second), found.difference, found.p_value, found.test)


def _paired(first: Mapping[str, list[float]], second: Mapping[str, list[float]]) -> Comparison:
    """Second less first. Questions of unequal size are weighed by their items: the difference is that of the shares."""
    ours = {name: float(np.mean(values)) for name, values in second.items()}
    theirs = {name: float(np.mean(values)) for name, values in first.items()}
    found = compare(ours, theirs, k=1)
    sizes = [len(values) for values in first.values()]
    if len(set(sizes)) == 1:
        return found
    sums = np.asarray([sum(second[name]) - sum(first[name]) for name in first])
    differing = sums[np.abs(sums) > 1e-9]
    whole = bootstrap(sums.tolist(), 1, [float(size) for size in sizes])
    if len(sizes) < ENOUGH_ITEMS or len(differing) < FEWEST_DIFFERING:
        # Too few for a bootstrap: the interval of the questions' means, moved to the items' difference.
        shift = whole.value - found.difference.value
        low, high = found.difference.low + shift, found.difference.high + shift
        whole = Estimate(whole.value, max(-1.0, low), min(1.0, high), len(sizes), 1, found.difference.method)
    p_value, test = sign_flip(differing)
    return Comparison(whole, found.n, found.wins, found.losses, found.ties, p_value, test)


def _share(clusters: Mapping[str, list[float]]) -> Estimate:
    """The share over the items; Wilson's interval over the questions' worth of items (design effect, our choice)."""
    values = [value for found in clusters.values() for value in found]
    n, share = len(values), float(np.mean(values))
    return Estimate(share, *wilson(share, _worth(clusters, share, n)), n, 1, "wilson")


def _worth(clusters: Mapping[str, list[float]], share: float, n: int) -> float:
    """Independent items that tell as much: n over the design effect, which is never taken for less than 1."""
    if len(clusters) == n or share <= 0.0 or share >= 1.0:
        return float(len(clusters))
    between = sum((sum(found) - share * len(found)) ** 2 for found in clusters.values())
    plain = n * share * (1.0 - share)
    return n / max(1.0, between / plain)
