"""One pass over a training stage's samples, group by group: the vote of a prompt's samples, and levels over steps.

A group is the samples of one prompt in one rollout; they stand one after another. Only sums are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import Curve, is_number
from ahalab.analysis.samples import is_correct, scan_samples
from ahalab.evaluation.measures import GENERAL_DOMAINS
from ahalab.grading.normal import final_answer, plain_number, plain_text

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
    watcher = GroupWatcher()
    watcher.found.trouble = scan_samples(stage_dir, stage_dir.name, rollouts, [watcher.add]).trouble
    return watcher.close()


class GroupWatcher:
    """Fills `Groups` from the rows of a pass over samples, see `scan_samples`."""

    def __init__(self) -> None:
        self.found = Groups()
        self._group: list[Mapping[str, Any]] = []
        self._step = 0

    def add(self, row: Mapping[str, Any], step: int) -> None:
        """One row, in the order of the files."""
        if self._group and (
            _prompt(row) != _prompt(self._group[0]) or row.get("sample") == self._group[0].get("sample")
        ):
            self.close()
        if not self._group:
            self._step = step
        self._group.append(row)
        _count_level(self.found, row, step)

    def close(self) -> Groups:
        """End the last group."""
        _close(self.found, self._group, self._step)
        self._group = []
        return self.found


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


def _prompt(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("rollout"), row.get("prompt_id")


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
