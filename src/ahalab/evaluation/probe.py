"""What the causal probe found, from its rows: accuracy by arm, and the difference that a reflective word makes.

The probe is ours: the paper counts reflective words (appendix C) and does not ask what they cause.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ahalab.evaluation.estimators import bootstrap
from ahalab.evaluation.paired import paired_difference

ARMS = ("with", "without", "free")
"""With the reflective word forced, with it forbidden as the next token, and as the model itself goes on."""
DIFFERENCES = (("with", "without"), ("with", "free"), ("free", "without"))
SMALLEST_GROUP = 10
"""Prompts of a word at least, for a line of its own (our choice)."""

Row = Mapping[str, Any]
"""One continuation; see `ahalab.stages.probe`."""

_MEANS: dict[str, Callable[[Row], float | None]] = {
    "accuracy": lambda row: row["correct"],
    "new_tokens": lambda row: row["new_tokens"],
    "further_reflective": lambda row: row["further"],
    "truncated": lambda row: float(row["finish"] == "length"),
    "begins_reflective": lambda row: float(row["begins_reflective"]),
}


def probe_figures(rows: Iterable[Row], k: int) -> dict[str, Any]:
    """The estimates from continuations, JSON-able: over all prompts, by the original sample's verdict, by word.

    A continuation whose grader failed leaves the mean of its prompt and arm; both are counted. Intervals resample
    prompts, never continuations; differences are paired by prompt.
    """
    kept = list(rows)
    by_word: dict[str, list[Row]] = defaultdict(list)
    for row in kept:
        by_word[str(row["word"])].append(row)
    prompts_of = {word: len({row["item"] for row in found}) for word, found in by_word.items()}
    return {
        **_group(kept, k),
        "original": {
            "right": _group([row for row in kept if row["original_correct"] is True], k),
            "wrong": _group([row for row in kept if row["original_correct"] is False], k),
            "not_graded": len({row["item"] for row in kept if row["original_correct"] is None}),
        },
        "words": dict(sorted(prompts_of.items(), key=lambda pair: (-pair[1], pair[0]))),
        "by_word": {
            word: _group(found, k)
            for word, found in sorted(by_word.items())
            if prompts_of[word] >= SMALLEST_GROUP
        },
        "missing": {arm: k * len({row["item"] for row in kept}) - _count(kept, arm) for arm in ARMS},
        "grader_errors": dict(Counter(str(row["error"]) for row in kept if row["error"] is not None)),
    }


def _group(rows: Sequence[Row], k: int) -> dict[str, Any]:
    arms = {arm: [row for row in rows if row["arm"] == arm] for arm in ARMS}
    accuracy = {arm: _items(found, _MEANS["accuracy"]) for arm, found in arms.items()}
    differences = {}
    for ours, theirs in DIFFERENCES:
        found = paired_difference(accuracy[ours], accuracy[theirs], k)
        differences[f"{ours} - {theirs}"] = found.as_dict() if found else None
    return {
        "prompts": len({row["item"] for row in rows}),
        "arms": {
            arm: {name: _estimate(_items(found, value), k) for name, value in _MEANS.items()}
            for arm, found in arms.items()
        },
        "differences": differences,
    }


def _count(rows: Sequence[Row], arm: str) -> int:
    return sum(row["arm"] == arm for row in rows)


def _items(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, float]:
    """Prompt → mean over its continuations; None leaves one out."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (one := value(row)) is not None:
            found[str(row["item"])].append(float(one))
    return {item: sum(values) / len(values) for item, values in found.items()}


def _estimate(items: Mapping[str, float], k: int) -> dict[str, float | int | str] | None:
    return bootstrap(list(items.values()), k).as_dict() if items else None


def in_words(figures: Mapping[str, Any]) -> str:
    """One sentence: what the difference says, and what it does not."""
    found = figures["differences"]["with - without"]
    if found is None:
        return "No prompt could be measured in both arms."
    told = (
        f"Forcing the reflective word instead of forbidding it changed accuracy by {100 * found['value']:+.1f} points "
        f"(95 % interval {100 * found['low']:+.1f} to {100 * found['high']:+.1f}, {found['n']} prompts)"
    )
    if found["low"] > 0:
        return f"{told}: the word helps."
    if found["high"] < 0:
        return f"{told}: the word harms."
    return f"{told}: no effect can be told from none at this size."


HABIT = 0.9
"""Share of free continuations that begin with a reflective word, from which the caution is told (our choice)."""


def _warning(figures: Mapping[str, Any]) -> list[str]:
    begins = figures["arms"]["free"]["begins_reflective"]
    if begins is None or begins["value"] < HABIT:
        return []
    return [
        "",
        f"Left free, {100 * begins['value']:.0f} % of the continuations begin with a reflective word: without one the "
        "model is where it hardly ever goes by itself, and part of the difference may be that it is lost there.",
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """The probe's table for a README."""
    figures = report["figures"]
    groups = [
        ("all", figures),
        *((f"original {name}", figures["original"][name]) for name in ("right", "wrong")),
    ]
    groups += [(f"word: {word}", found) for word, found in figures["by_word"].items()]
    lines = [
        in_words(figures),
        *_warning(figures),
        "",
        "| samples | prompts | with | without | free | with − without |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, group in groups:
        cells = [_percent(group["arms"][arm]["accuracy"]) for arm in ARMS]
        difference = _percent(group["differences"]["with - without"], sign=True)
        lines.append(f"| {name} | {group['prompts']} | {' | '.join(cells)} | {difference} |")
    lines += ["", "| arm | new tokens | further reflective words | begins with one | truncated |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for arm in ARMS:
        found = figures["arms"][arm]
        lines.append(
            f"| {arm} | {_plain(found['new_tokens'], 1)} | {_plain(found['further_reflective'], 2)} "
            f"| {_share(found['begins_reflective'])} | {_share(found['truncated'])} |"
        )
    skipped = report["skipped"]
    told = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) if skipped else "none"
    lines += ["", f"Samples read: {report['read']}. Left out: {told}.", *_notes(figures)]
    return "\n".join(lines) + "\n"


def _notes(figures: Mapping[str, Any]) -> list[str]:
    errors = figures["grader_errors"]
    told = [f"Grader errors: {', '.join(f'{n} × {kind}' for kind, n in errors.items())}."] if errors else []
    if missing := figures["missing"]["without"]:
        told.append(f"Continuations without the word that could not be had, however often drawn: {missing}.")
    return told


def _percent(found: Mapping[str, float] | None, *, sign: bool = False) -> str:
    if found is None:
        return "–"
    form = "{:+.1f}" if sign else "{:.1f}"
    value, low, high = (form.format(100 * found[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(found: Mapping[str, float] | None, digits: int) -> str:
    return "–" if found is None else f"{found['value']:.{digits}f}"


def _share(found: Mapping[str, float] | None) -> str:
    return "–" if found is None else f"{100 * found['value']:.1f} %"
