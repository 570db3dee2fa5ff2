"""The figures of one evaluation from its sample rows: over all prompts, by level, by domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ahalab.evaluation.estimators import bootstrap, estimate_mean, pass_at_k
from ahalab.evaluation.measures import (
    GENERAL_DOMAINS,
    INSTRUCTIONS,
    SAFETY,
    Measure,
    following,
    language_consistency,
    mean,
    rejection,
    safe,
    score,
    unsafe,
    verdict_counts,
)

Items = Mapping[str, Sequence[Mapping[str, Any]]]
"""Prompt id → what is kept of its samples."""

_KEPT = (
    "domain",
    "level",
    "correct",
    "tokens",
    "thinking_tokens",
    "well_formed",
    "mixed",
    "finish",
    "error",
    "reflective",
)
_READ_FROM_TEXT: dict[str, Measure] = {
    "language_consistency": language_consistency,
    "following": following,
}
"""Measures that need the texts: taken while a row is read, so that no text is kept."""


def _reflective(row: Mapping[str, Any]) -> float:
    return float(sum(row["reflective"].values()))


_MEANS: dict[str, Measure] = {
    "thinking_tokens": lambda row: row["thinking_tokens"],
    "tokens_per_answer": lambda row: row["tokens"],
    "reflective_per_answer": _reflective,
    "format": lambda row: row["well_formed"],
    "language_mixing": lambda row: row["mixed"],
    "language_consistency": lambda row: row["language_consistency"],
}
"""Figures that are means over samples; None leaves a sample out (a thinking without words mixes nothing)."""

_AMOUNTS = ("thinking_tokens", "tokens_per_answer", "reflective_per_answer")
"""Figures that are no shares."""

_DOMAIN_MEANS = ("format", "language_consistency", "thinking_tokens")
_OF_DOMAIN: dict[str, dict[str, Measure]] = {
    INSTRUCTIONS: {"following": lambda row: row["following"], "helpfulness": score},
    SAFETY: {"safe": safe, "rejection": rejection, "unsafe": unsafe},
}
"""What the general domains have instead of right and wrong."""


def evaluation_figures(
    rows: Iterable[Mapping[str, Any]], k: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The estimates from sample rows, `k` rows a prompt in order.

    A sample whose grader failed leaves its prompt's mean; a prompt with no graded sample leaves the estimate.
    Both are counted. pass@1, pass@k and the levels are of prompts that have a right answer: instructions and
    unsafe requests have figures of their own in `by_domain`.
    """
    items: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kept = {key: row[key] for key in _KEPT}
        kept["note"] = row.get("note")
        kept.update({name: measure(row) for name, measure in _READ_FROM_TEXT.items()})
        items[row["prompt_id"]].append(kept)
    checkable = {name: found for name, found in items.items() if found[0]["domain"] not in GENERAL_DOMAINS}
    everything = [row for samples in items.values() for row in samples]
    figures: dict[str, Any] = {
        "settings": dict(settings),
        "pass@1": _over_items(checkable, score, k),
        **{name: _over_items(items, value, k, name not in _AMOUNTS) for name, value in _MEANS.items()},
        "reflective_per_1k": bootstrap(
            [sum(1000.0 * _reflective(row) for row in samples) for samples in items.values()],
            k,
            [sum(row["tokens"] for row in samples) for samples in items.values()],
        ).as_dict(),
        "truncated": mean(row["finish"] == "length" for row in everything),
        "grader_errors": sum(row["error"] is not None for row in everything),
        **verdict_counts(row["note"] for row in everything),
        "prompts_not_graded": sum(mean(map(score, samples)) is None for samples in items.values()),
        "by_level": _by_level(checkable, k),
        "by_domain": _by_domain(items, k),
    }
    if k > 1:
        figures[f"pass@{k}"] = _pass_at_k(checkable, k)
    return figures


def _estimate(items: Sequence[float], k: int, share: bool = True) -> dict[str, Any] | None:
    return estimate_mean(items, k, share=share).as_dict() if items else None


def _over_items(items: Items, value: Measure, k: int, share: bool = True) -> dict[str, Any] | None:
    means = (mean(map(value, samples)) for samples in items.values())
    return _estimate([figure for figure in means if figure is not None], k, share)


def _pass_at_k(items: Items, k: int) -> dict[str, Any] | None:
    # Only prompts with all k samples graded: pass@k needs k.
    graded = ([score(row) for row in samples] for samples in items.values())
    full = [scores for scores in graded if len(scores) == k and None not in scores]
    return _estimate([pass_at_k(k, sum(one == 1.0 for one in scores), k) for scores in full], k)


def _by_level(items: Items, k: int) -> dict[str, Any]:
    levels: dict[int, dict[str, Sequence[Mapping[str, Any]]]] = defaultdict(dict)
    for name, samples in items.items():
        if samples[0]["level"] is not None and mean(map(score, samples)) is not None:
            levels[samples[0]["level"]][name] = samples
    return {str(level): {"pass@1": _over_items(levels[level], score, k)} for level in sorted(levels)}


def _by_domain(items: Items, k: int) -> dict[str, Any]:
    """Domain → its figures, in alphabetical order; `pass@1` is the mean score also where 1 does not mean right."""
    domains: dict[str, dict[str, Sequence[Mapping[str, Any]]]] = defaultdict(dict)
    for name, samples in items.items():
        domains[samples[0]["domain"]][name] = samples
    found: dict[str, Any] = {}
    for domain in sorted(domains):
        members = domains[domain]
        figures: dict[str, Any] = {"pass@1": _over_items(members, score, k)}
        if k > 1 and domain not in GENERAL_DOMAINS:
            figures[f"pass@{k}"] = _pass_at_k(members, k)
        figures |= {
            name: _over_items(members, _MEANS[name], k, name not in _AMOUNTS) for name in _DOMAIN_MEANS
        }
        figures |= {name: _over_items(members, one, k) for name, one in _OF_DOMAIN.get(domain, {}).items()}
        found[domain] = {**figures, "n": len(members), "k": k}
    return found
