"""The figures of one suite, and the table of several: every figure with its interval, n, k and settings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from ahalab.evaluation.estimators import estimate_mean, pass_at_k
from ahalab.evaluation.figures import evaluation_figures
from ahalab.evaluation.measures import GENERAL_DOMAINS, score
from ahalab.evaluation.votes import cons_at_k

RIGHT = 1.0
Votes = dict[str, list[tuple[str | None, float | None]]]
"""Prompt id → (answer, score) of its samples, of prompts with a right answer."""


def suite_figures(
    rows: Iterable[Mapping[str, Any]], k: int, pass_at: Sequence[int], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a suite's rows (`ahalab.stages.suites.rows`), `k` an item.

    pass@1 is the mean over an item's graded samples; pass@j and cons@k are of the items whose k samples were all
    graded. Samples that a server failed to give, or a grader to grade, are counted and are no zeros.
    """
    votes: Votes = defaultdict(list)
    found: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    items: set[str] = set()
    samples = 0

    def given() -> Iterator[Mapping[str, Any]]:
        nonlocal samples
        for row in rows:
            samples += 1
            items.add(row["prompt_id"])
            if row["error"] is not None:
                errors[str(row["error"]).partition(":")[0]] += 1
            if row["answerer_error"] is not None:
                continue
            found[row["found"]] += 1
            if row["domain"] not in GENERAL_DOMAINS:
                votes[row["prompt_id"]].append((row["answer"], score(row)))
            yield row

    watched = given()
    first = next(watched, None)
    figures: dict[str, Any] = {"settings": dict(settings), "pass@1": None}
    if first is not None:
        figures |= evaluation_figures(chain([first], watched), k, settings)
    figures |= {f"pass@{j}": _pass_at(votes, k, j) for j in sorted({*pass_at, k} - {1})}
    if k > 1:
        figures[f"cons@{k}"] = _consensus(votes, k)
    return figures | {
        "n": len(items),
        "k": k,
        "samples": samples,
        "found": dict(found.most_common()),
        "no_answer": found["no answer"] + found["cut off"],
        "errors": dict(errors.most_common()),
    }


def _full(votes: Votes, k: int) -> list[list[tuple[str | None, float | None]]]:
    return [
        samples
        for samples in votes.values()
        if len(samples) == k and all(value is not None for _, value in samples)
    ]


def _pass_at(votes: Votes, k: int, j: int) -> dict[str, Any] | None:
    values = [pass_at_k(k, sum(value == RIGHT for _, value in samples), j) for samples in _full(votes, k)]
    return estimate_mean(values, k).as_dict() if values else None


def _consensus(votes: Votes, k: int) -> dict[str, Any] | None:
    values = [
        cons_at_k([answer for answer, _ in samples], [value == RIGHT for _, value in samples])
        for samples in _full(votes, k)
    ]
    return estimate_mean(values, k).as_dict() if values else None
