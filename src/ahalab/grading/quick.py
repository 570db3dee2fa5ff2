"""Scores given at once, in the calling process: no round trip to a worker where a verdict is certain and cheap.

A worker can be killed, the caller cannot. So only what is bounded is done here: short texts, compared in linear
time; nothing is parsed as code and no library is imported. Whatever fails goes to a worker, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ahalab.grading.choice import choice_verifier
from ahalab.grading.countdown import countdown_verifier
from ahalab.grading.numbers import number_verdict
from ahalab.grading.verifiers import exact_verifier
from ahalab.grading.world import helpful_verifier, safe_verifier
from ahalab.records import GradeRequest

QUICK_LIMIT = 1_000
"""Longest answer or gold answer that is compared here, in characters. Our choice: even a run of combining
characters, which Unicode's normal forms sort, then takes under 5 ms."""


def quick_score(request: GradeRequest) -> float | None:
    """What the request's verifier says of it, or None where a worker has to be asked."""
    verifier = _VERIFIERS.get(request.verifier)
    answer, gold = request.answer or "", request.gold or ""
    if verifier is None or max(len(answer), len(gold)) > QUICK_LIMIT:
        return None
    try:
        return verifier(answer, gold, request.extra)
    except Exception:  # not swallowed: the worker meets it too, and names it
        return None


def _choice(answer: str, gold: str, extra: Mapping[str, Any]) -> float | None:
    options = extra.get("options") or ()
    return choice_verifier(answer, gold, extra) if sum(map(len, options)) <= QUICK_LIMIT else None


_VERIFIERS: dict[str, Callable[[str, str, Mapping[str, Any]], float | None]] = {
    "exact": exact_verifier,
    "choice": _choice,
    "countdown": countdown_verifier,
    "math": lambda answer, gold, _extra: number_verdict(answer, gold),
    "helpful": helpful_verifier,
    "safe": safe_verifier,
}
