"""One pass over a training stage's samples, group by group: the vote of a prompt's samples, and levels over steps.

A group is the samples of one prompt in one rollout; they stand one after another. Only sums are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import Curve, is_number
from ahalab.analysis.samples import is_correct
from ahalab.errors import AhaError
from ahalab.evaluation.measures import GENERAL_DOMAINS
from ahalab.grading.normal import final_answer, plain_number, plain_text
from ahalab.runs.readers import read_samples

NOT_VOTED = (*GENERAL_DOMAINS, "code", "general")
"""Domains whose answers no vote can be taken on: programs and prose are hardly ever the same twice."""
BANDS = 6
"""Lines of accuracy by level at most: with more levels neighbours are put together (our choice)."""


@dataclass(slots=True)
class Tally:
    """A sum over `count` things."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """One more thing."""
        self.total += value
        self.count += 1


@dataclass(slots=True)
class Groups:
    """What the pass gave; steps are updates made before the samples were drawn."""

    single: dict[int, Tally] = field(default_factory=dict)
    """pass@1 of the groups that were voted on: the mean over their samples."""
    voted: dict[int, Tally] = field(default_factory=dict)
    """cons@k of the same groups."""
    k: int = 0
    """Samples of the largest group."""
    levels: dict[int, dict[int, Tally]] = field(default_factory=dict)
    """Level → step → right answers of all graded ones."""
    trouble: str | None = None

    def curve(self, name: str, tallies: Mapping[int, Tally]) -> Curve | None:
        """Means over steps."""
        steps = [step for step in sorted(tallies) if tallies[step].count]
        if not steps:
            return None
        return Curve(name, tuple(steps), tuple(tallies[step].total / tallies[step].count for step in steps))

    def level_curves(self) -> list[Curve]:
        """Accuracy by level, the easiest first; neighbouring levels are one where there are more than `BANDS`."""
        levels = sorted(self.levels)
        count = min(BANDS, len(levels))
        curves = []
        for i in range(count):
            band = levels[len(levels) * i // count : len(levels) * (i + 1) // count]
            sums: dict[int, Tally] = {}
            for level in band:
                for step, tally in self.levels[level].items():
                    whole = sums.setdefault(step, Tally())
                    whole.total += tally.total
                    whole.count += tally.count
            name = f"level {band[0]}" if len(band) == 1 else f"levels {band[0]} to {band[-1]}"
            curve = self.curve(name, sums)
            if curve is not None:
                curves.append(curve)
        return curves


def scan_groups(stage_dir: Path, rollouts: Mapping[int, int]) -> Groups:
    """Stream a training stage's samples; a damaged file gives what could be read and `trouble`.

    `rollouts` is that of the stage's `Curves`: it dates the samples.
    """
    found = Groups()
    group: list[Mapping[str, Any]] = []
    step, before = 0, None
    dates = _Dates(rollouts)
    for row in _rows(stage_dir, found):
        prompt = (row.get("rollout"), row.get("prompt_id"))
        again = bool(group) and row.get("sample") == group[0].get("sample")
        if prompt != before or again:
            _close(found, group, step)
            group, before, step = [], prompt, dates.step_of(row)
        group.append(row)
        _count_level(found, row, step)
    _close(found, group, step)
    return found


def vote(answers: list[tuple[str | None, bool]]) -> float:
    """Whether the majority's answer is right: 1 or 0, or between where answers tie. (answer, right) of each sample.

    Answers are normalised; samples without one do not vote. A tie counts as its expected value under a fair draw
    between the answers that lead (our choice: the paper does not say).
    """
    ballots: dict[str, list[bool]] = {}
    for answer, right in answers:
        if answer is not None:
            ballots.setdefault(normal(answer), []).append(right)
    most = max((len(votes) for votes in ballots.values()), default=0)
    leading = [votes for votes in ballots.values() if len(votes) == most]
    # One verdict an answer; verdicts of equal answers differ only where a grader failed on some.
    return sum(sum(votes) / len(votes) for votes in leading) / len(leading) if leading else 0.0


def normal(answer: str) -> str:
    """The form in which two answers are the same answer."""
    last = final_answer(answer)
    value = plain_number(last)
    if value is None:
        return plain_text(last)
    # Not `normalize`, which rounds long numbers to 28 digits.
    digits = f"{value:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if value == 0 else digits


class _Dates:
    """Updates made before a row's samples were drawn; a rollout without metrics yet is dated by its first row."""

    def __init__(self, rollouts: Mapping[int, int]) -> None:
        self._known = dict(rollouts)
        self._origin: int | None = None

    def step_of(self, row: Mapping[str, Any]) -> int:
        step = int(row["step"]) if is_number(row.get("step")) else 0
        rollout = (int(row["rollout"]) if is_number(row.get("rollout")) else 0) or step
        if self._origin is None:
            # As in the metrics: where steps are counted from 1, the first samples came after 0 updates.
            self._origin = int(step > 0 and rollout <= 1)
        return self._known.setdefault(rollout, step - self._origin)


def _rows(stage_dir: Path, found: Groups) -> Iterator[Mapping[str, Any]]:
    try:
        yield from read_samples(stage_dir)
    except (AhaError, OSError, UnicodeDecodeError) as error:
        found.trouble = str(error)


def _count_level(found: Groups, row: Mapping[str, Any], step: int) -> None:
    right, level = is_correct(row), row.get("level")
    if right is not None and is_number(level) and row.get("domain") not in GENERAL_DOMAINS:
        found.levels.setdefault(int(level), {}).setdefault(step, Tally()).add(float(right))


def _close(found: Groups, group: list[Mapping[str, Any]], step: int) -> None:
    graded = [
        (None if row.get("answer") is None else str(row["answer"]), right)
        for row in group
        if (right := is_correct(row)) is not None
    ]
    if len(graded) < 2 or group[0].get("domain") in NOT_VOTED:
        return
    found.k = max(found.k, len(group))
    found.single.setdefault(step, Tally()).add(sum(right for _, right in graded) / len(graded))
    found.voted.setdefault(step, Tally()).add(vote(graded))
