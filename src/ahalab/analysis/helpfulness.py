"""Do reflections help: accuracy with and without reflective words, among answers to the same problem.

Compared as they come, answers with reflective words may well be right less often although reflecting helps: a model
reflects most where the problem is hard, and hard problems are answered wrong more often with or without it (Simpson's
paradox). So answers are compared inside strata of equal difficulty:

* by level: inside (level, step), combined with Mantel-Haenszel weights n₁n₀/(n₁+n₀); steps too, because a model that
  learns reflects more and is right more often at the same time;
* by prompt: inside the group of one prompt at one step, where some samples reflect and some do not. A prompt's
  difference is the mean over its groups, the figure the mean over prompts, with a 95 % percentile bootstrap interval
  over prompts (prompts are resampled, never samples).

Even the latter is no experiment: a sample may reflect because it has gone wrong. The causal probe answers that. The
paper does not make this comparison; all of it is our choice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ahalab.analysis.evaluations import Figure
from ahalab.analysis.tally import Cell, GroupTable, Tally

RESAMPLES = 2000
LEAST_PROMPTS = 5
"""Fewer give a difference without an interval, which would be too narrow; so are bands of difficulty left out."""
BANDS = (
    (1.0, "1"),
    (0.75, "0.75 to 1"),
    (0.5, "0.5 to 0.75"),
    (0.25, "0.25 to 0.5"),
    (0.0, "under 0.25"),
)
"""(lower bound, name) of the share of a group's answers that are right, the easiest first; as in the report."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Answers without and with reflective words."""

    without: int
    reflecting: int
    accuracy_without: float | None
    accuracy_reflecting: float | None
    difference: float | None
    """With minus without, matched as the place says; None where one of the two is missing."""


@dataclass(frozen=True, slots=True)
class Help:
    """What the samples say."""

    raw: Compared
    """As they come: not matched."""
    levels: Mapping[str, Compared] = field(default_factory=dict)
    """Per level, matched by step."""
    by_level: float | None = None
    """Difference matched by level and step."""
    within_prompts: Figure | None = None
    """Difference inside prompts; `n` is the prompts that have both kinds."""
    groups: int = 0
    """Groups of one prompt at one step that have both kinds."""
    tokens: Mapping[str, Figure] = field(default_factory=dict)
    """Thinking tokens of right answers by how often their prompt is answered right (paper, figure 18)."""

    @property
    def turned(self) -> bool:
        """Whether matching turns the sign: Simpson's paradox in these samples."""
        matched = self.within_prompts.value if self.within_prompts else self.by_level
        return bool(matched and self.raw.difference and matched * self.raw.difference < 0)


def measure_help(tally: Tally) -> Help:
    """All comparisons of one stream of samples. Effort is of the last tenth of the steps: of the trained model."""
    everything = _sum(tally.ungrouped.values())
    levels = {
        name: _compare(_sum(cells.values()), mantel_haenszel(cells.values()))
        for name, cells in sorted(tally.levels.items(), key=lambda item: _order(item[0]))
    }
    strata = [cell for cells in tally.levels.values() for cell in cells.values()]
    within, groups = within_prompts(tally.groups)
    last = set(tally.last_tenth()) if tally.steps else set()
    return Help(
        _compare(everything, _raw(everything)),
        levels,
        mantel_haenszel(strata),
        within,
        groups,
        tokens_by_difficulty(tally.groups, last),
    )


def mantel_haenszel(strata: Iterable[Cell]) -> float | None:
    """Difference of shares, with minus without, inside strata; None where no stratum has both kinds."""
    weights, weighted = [], []
    for cell in strata:
        without, reflecting = cell.share(False), cell.share(True)
        if without is not None and reflecting is not None:
            weight = cell.answers[0] * cell.answers[1] / sum(cell.answers)
            weights.append(weight)
            weighted.append(weight * (reflecting - without))
    return math.fsum(weighted) / math.fsum(weights) if weights else None


def within_prompts(groups: GroupTable) -> tuple[Figure | None, int]:
    """(difference inside prompts with its interval, groups that have both kinds)."""
    sums: dict[int, tuple[float, int]] = {}
    for one in groups:
        if one.without and one.reflecting:
            total, count = sums.get(one.prompt, (0.0, 0))
            difference = one.reflecting_right / one.reflecting - one.without_right / one.without
            sums[one.prompt] = total + difference, count + 1
    figure = bootstrap_mean(Counter(total / count for total, count in sums.values()))
    return figure, sum(count for _, count in sums.values())


def tokens_by_difficulty(groups: GroupTable, steps: set[int]) -> dict[str, Figure]:
    """Band of difficulty → mean over groups of the thinking tokens of their right answers, with an interval.

    A group's difficulty is the share of its own answers that are right. Groups of one answer, and bands of fewer than
    `LEAST_PROMPTS` groups, are left out.
    """
    means: dict[str, Counter[float]] = {name: Counter() for _, name in BANDS}
    for one in groups:
        graded = one.without + one.reflecting
        if one.step in steps and graded > 1 and one.right_counted:
            share = (one.without_right + one.reflecting_right) / graded
            band = next(name for bound, name in BANDS if share >= bound)
            means[band][one.right_tokens / one.right_counted] += 1
    found = {
        name: bootstrap_mean(values) for name, values in means.items() if values.total() >= LEAST_PROMPTS
    }
    return {name: figure for name, figure in found.items() if figure}


def bootstrap_mean(values: Counter[float]) -> Figure | None:
    """Mean of values (value → how often) with its 95 % percentile bootstrap interval; none below `LEAST_PROMPTS`.

    The same resampling as that of evaluations, drawn as counts of equal values: a million prompts need no more memory
    than their distinct differences. The draws are fixed: the same values give the same interval.
    """
    n = values.total()
    if not n:
        return None
    distinct = np.array(sorted(values), dtype=np.float64)
    often = np.array([values[value] for value in sorted(values)], dtype=np.float64)
    mean = float(distinct @ often) / n
    if n < LEAST_PROMPTS:
        return Figure(mean, n=n)
    rng = np.random.Generator(np.random.Philox(key=12345))
    shares = often / often.sum()
    means = np.array([rng.multinomial(n, shares) @ distinct for _ in range(RESAMPLES)]) / n
    low, high = np.quantile(means, [0.025, 0.975])
    return Figure(mean, float(low), float(high), n)


def _compare(cell: Cell, difference: float | None) -> Compared:
    return Compared(cell.answers[0], cell.answers[1], cell.share(False), cell.share(True), difference)


def _raw(cell: Cell) -> float | None:
    without, reflecting = cell.share(False), cell.share(True)
    return None if without is None or reflecting is None else reflecting - without


def _sum(cells: Iterable[Cell]) -> Cell:
    total = Cell()
    for cell in cells:
        for kind in (0, 1):
            total.answers[kind] += cell.answers[kind]
            total.right[kind] += cell.right[kind]
    return total


def _order(level: str) -> tuple[float, str]:
    try:
        return float(level), level
    except ValueError:
        return math.inf, level
