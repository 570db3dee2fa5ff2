"""Training curves of one stage, read from its `metrics.jsonl`, with step 0 always in front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ahalab.errors import AhaError
from ahalab.runs.readers import read_metrics

TAIL_STEPS = 10
"""Steps whose mean stands for "at the end": one step of 128 samples is too noisy for a headline (our choice)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over steps. `steps[i]` is the number of updates made before `values[i]`: 0 is the start.

    Only finite values are kept: a step without the figure is absent, not zero.
    """

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def first(self) -> float:
        return self.values[0]

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def starts_at_step_0(self) -> bool:
        return self.steps[0] == 0

    @property
    def end(self) -> float:
        """Mean of the last `TAIL_STEPS` values, fewer in a short curve: never more than half of it."""
        count = max(1, min(TAIL_STEPS, len(self.values) // 2))
        return math.fsum(self.values[-count:]) / count

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def highest(self) -> tuple[int, float]:
        """(step, value) of the maximum, the earliest where several are equal."""
        best = max(range(len(self.values)), key=lambda i: (self.values[i], -i))
        return self.steps[best], self.values[best]

    @property
    def ratio(self) -> float | None:
        """Last value over first; None where the first is not above zero."""
        return ratio(self.first, self.last)

    def smoothed(self) -> Curve:
        """Mean over a window that shrinks towards the first value, which stays as recorded, and is cut at the end."""
        half = smoothing_width(len(self.values)) // 2
        sums = [0.0]
        for value in self.values:
            sums.append(sums[-1] + value)
        smooth = [self.values[0]]
        for i in range(1, len(self.values)):
            low, high = i - min(half, i), min(i + min(half, i), len(self.values) - 1)
            smooth.append((sums[high + 1] - sums[low]) / (high - low + 1))
        return Curve(self.name, self.steps, tuple(smooth))

    def thinned(self, points: int) -> Curve:
        """At most about `points` points for drawing: means of equal bins, first and last value kept as they are."""
        inner = len(self.values) - 2
        if len(self.values) <= points or inner < 1:
            return self
        bins = max(1, points - 2)
        steps, values = [self.steps[0]], [self.first]
        for i in range(bins):
            low, high = 1 + inner * i // bins, 1 + inner * (i + 1) // bins
            if low < high:
                steps.append(round(sum(self.steps[low:high]) / (high - low)))
                values.append(math.fsum(self.values[low:high]) / (high - low))
        return Curve(self.name, (*steps, self.steps[-1]), (*values, self.last))


def smoothing_width(points: int) -> int:
    """Width of the smoothing window, odd: about a fifteenth of the curve, 1 (none) below 15 points (our choice)."""
    return 1 if points < 15 else 2 * max(1, points // 30) + 1


def ratio(before: float, after: float) -> float | None:
    """`after / before`, or None where `before` is not above zero and a ratio would say nothing."""
    return after / before if before > 0 else None


@dataclass(frozen=True, slots=True)
class Curves:
    """All curves of one stage."""

    by_name: Mapping[str, Curve]
    words: Mapping[str, Curve]
    """Reflective words per answer, one curve a word; a step that lists words, but not this one, counts as 0."""
    rows: int = 0
    updates: int = 0
    """Updates made up to the last row."""
    rollouts: Mapping[int, int] = field(default_factory=dict)
    """Rollout to the updates made before its samples were drawn."""
    totals: Mapping[str, float] = field(default_factory=dict)
    """Sums over all steps of the counting columns (`SUMMED`)."""
    truncated: int = 0
    """Half-written last lines that were left out."""
    trouble: str | None = None
    """Why reading stopped early, for the person."""

    def get(self, name: str) -> Curve | None:
        return self.by_name.get(name)

    def starting_with(self, prefix: str) -> dict[str, Curve]:
        return {name: curve for name, curve in self.by_name.items() if name.startswith(prefix)}

    def top_words(self, count: int) -> list[Curve]:
        """The words with the highest mean rate, highest first; words never seen are left out."""
        seen = [curve for curve in self.words.values() if curve.mean > 0]
        return sorted(seen, key=lambda curve: (-curve.mean, curve.name))[:count]


ABOUT_SAMPLES = frozenset(
    {
        "reward",
        "accuracy",
        "format",
        "tokens_per_answer",
        "thinking_tokens",
        "reflective_per_answer",
        "reflective_per_1k",
        "language_mixing",
        "truncated",
    }
)
"""Columns about samples (as are `words` and `reward/…`): with several updates a rollout, the mean of its rows."""
VERDICTS = "verdicts/"
"""Beginning of the curves made of the counts under `verdicts`: the share of each outcome among those with a name."""
ABOUT_ROLLOUT = frozenset({"groups", "effective_groups", "dropped_groups", "ungraded_groups"})
"""Columns that repeat the whole rollout's figure in each of its rows: taken once."""
SUMMED = ("generated_tokens", "grader_errors", *sorted(ABOUT_ROLLOUT))


def read_curves(stage_dir: Path) -> Curves:
    """Curves of a finished or running stage; a damaged file gives what could be read and `trouble`."""
    rows: list[Mapping[str, Any]] = []
    trouble = None
    reader: Any = None
    try:
        reader = read_metrics(stage_dir)
        for row in reader:
            rows.append(row)
    except (AhaError, OSError, UnicodeDecodeError) as error:
        trouble = str(error)
    return build_curves(rows, truncated=int(getattr(reader, "truncated", 0) or 0), trouble=trouble)


def build_curves(
    rows: Sequence[Mapping[str, Any]], *, truncated: int = 0, trouble: str | None = None
) -> Curves:
    """Curves from metric rows, any order; a step that appears twice keeps its last row.

    The row of step s describes update s; its samples were drawn before the first update of its rollout. Where steps
    are counted from 1, those of the first rollout were drawn after 0 updates: the base is step 0 either way.
    """
    by_step = {int(row["step"]): row for row in rows if is_number(row.get("step"))}
    origin = 1 if by_step and min(by_step) == 1 else 0
    columns: dict[str, dict[int, list[float]]] = {}
    words: dict[str, dict[int, list[float]]] = {}
    listed: dict[int, int] = {}
    rollouts: dict[int, int] = {}
    kinds = {kind for row in by_step.values() for kind, _ in _verdict_shares(row)}
    for step, row in sorted(by_step.items()):
        rollout = row.get("rollout")
        # Rollouts count from 1; a stage without any (pretraining) writes 0.
        drawn = (
            rollouts.setdefault(int(rollout), step - origin)
            if is_number(rollout) and rollout
            else step - origin
        )
        for name, value in [*row.items(), *_verdict_shares(row, kinds)]:
            if name not in ("step", "rollout") and is_number(value):
                pooled = (
                    name in ABOUT_SAMPLES or name in ABOUT_ROLLOUT or name.startswith(("reward/", VERDICTS))
                )
                columns.setdefault(name, {}).setdefault(drawn if pooled else step - origin, []).append(
                    float(value)
                )
        rates = row.get("words")
        if isinstance(rates, Mapping):
            listed[drawn] = listed.get(drawn, 0) + 1
            for word, rate in rates.items():
                if is_number(rate):
                    words.setdefault(str(word), {}).setdefault(drawn, []).append(float(rate))
    by_name = {
        name: Curve(name, tuple(points), tuple(math.fsum(values) / len(values) for values in points.values()))
        for name, points in columns.items()
    }
    return Curves(
        by_name=by_name,
        words={
            word: Curve(
                word, tuple(listed), tuple(math.fsum(rates.get(s, ())) / n for s, n in listed.items())
            )
            for word, rates in sorted(words.items())
        },
        rows=len(by_step),
        updates=max(by_step, default=0) + (1 - origin if rollouts else 0),
        rollouts=rollouts,
        totals={name: math.fsum(by_name[name].values) if name in by_name else 0.0 for name in SUMMED},
        truncated=truncated,
        trouble=trouble,
    )


def _verdict_shares(row: Mapping[str, Any], kinds: Iterable[str] = ()) -> list[tuple[str, float]]:
    """(curve, value) of a row's verdicts; of `kinds`, curves of other rows, those that this one lacks are 0."""
    found = row.get("verdicts")
    counts = (
        {name: count for name, count in found.items() if is_number(count)}
        if isinstance(found, Mapping)
        else {}
    )
    total = sum(counts.values())
    if total <= 0:
        return []
    shares = {f"{VERDICTS}{name}": count / total for name, count in counts.items()}
    return list({**dict.fromkeys(sorted(kinds), 0.0), **shares}.items())


def is_number(value: object) -> TypeGuard[int | float]:
    """A finite int or float that a float can hold; True and False are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def share_curve(name: str, part: Curve | None, whole: Curve | None) -> Curve | None:
    """`part / whole` at the steps both have, such as effective groups of all groups."""
    if part is None or whole is None:
        return None
    wholes = dict(zip(whole.steps, whole.values, strict=True))
    pairs: Iterable[tuple[int, float]] = zip(part.steps, part.values, strict=True)
    kept = [(step, value / wholes[step]) for step, value in pairs if wholes.get(step, 0.0) > 0]
    return Curve(name, tuple(s for s, _ in kept), tuple(v for _, v in kept)) if kept else None
