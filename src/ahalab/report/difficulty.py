"""Difficulty on the page: accuracy by level over the steps, by level before and after, and tokens against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ahalab.analysis.curves import ratio
from ahalab.analysis.evaluations import Evaluation, Figure
from ahalab.report.comparison import column_title
from ahalab.report.effort import ALL_RIGHT, BANDS, LEAST_PROMPTS, Effort
from ahalab.report.figures import draw_levels, level_colour
from ahalab.report.panel import Drawn, Panel, large, sentence_case
from ahalab.report.summary import Training
from ahalab.report.wording import counted, interval, listing, number, times


def levels_over_steps(training: Training) -> Panel | None:
    """Accuracy by level of difficulty over the steps; nothing where the samples have one level or none."""
    curves = training.groups.level_curves()
    if len(curves) < 2:
        return None
    lines: list[Drawn] = [(1 + i, curve.name, curve, False) for i, curve in enumerate(curves)]
    several = [curve for curve in curves if len(curve) > 1]
    told = [
        f"{sentence_case(curve.name)}: {number(curve.first)} at step {curve.steps[0]}, {number(curve.end)} on average "
        "over the last steps."
        for curve in several
    ]
    if several:
        most = max(several, key=lambda curve: curve.end - curve.first)
        gain = most.end - most.first
        told.append(
            f"the largest gain is that of {most.name}, {number(gain)}."
            if gain > 0
            else "no level ended higher than it began."
        )
    seen = (
        f"{listing([f'{curve.name} {number(curve.first)} → {number(curve.end)}' for curve in several])}; {told[-1]}"
        if several
        else None
    )
    return large(
        training,
        "steps-levels",
        "Accuracy by level of difficulty",
        "share of the samples of a level that are right",
        lines,
        share=True,
        more=[sentence_case(sentence) for sentence in told],
        told=0,
        paper="8",
        seen=seen and sentence_case(seen),
    )


def level_panel(evaluations: Sequence[Evaluation]) -> Panel | None:
    """pass@1 by level of difficulty, before and after."""
    shown = [evaluation for evaluation in evaluations if evaluation.levels]
    if not shown:
        return None
    columns = [(column_title(i, shown), evaluation.levels) for i, evaluation in enumerate(shown)]
    caption = [
        f"{title}: pass@1 {_extent([figure.value for figure in levels.values()])} over "
        f"{counted(len(levels), 'level', 'levels')}."
        for title, levels in columns
    ]
    first, last = shown[0].levels, shown[-1].levels
    gains = {name: last[name].value - first[name].value for name in first if name in last}
    if len(shown) > 1 and gains:
        best = max(gains, key=lambda name: gains[name])
        grown = times(ratio(first[best].value, last[best].value))
        what = (
            f"Largest gain at level {best}"
            if gains[best] > 0
            else f"No level gained; nearest to it is level {best}"
        )
        caption.append(
            f"{what}: {interval(first[best])} → {interval(last[best])}{f' ({grown})' if grown else ''}."
        )
    svg = draw_levels(
        "levels",
        f"Held-out pass@1 by level. {' '.join(caption)}",
        columns,
        levels=list(dict.fromkeys(level for _, figures in columns for level in figures)),
        x_label="level of difficulty",
        y_label="held-out pass@1",
        share=True,
    )
    return Panel("levels", "Held-out accuracy by level of difficulty", svg, _dots(columns), caption)


def effort_panel(evaluations: Sequence[Evaluation], efforts: Mapping[str, Effort]) -> Panel | None:
    """Thinking tokens of right answers against difficulty; nothing where right answers are of one band or none."""
    shown = [one for one in evaluations if one.stage in efforts and len(efforts[one.stage].bands) > 1]
    if not shown:
        return None
    columns = [(column_title(evaluations.index(one), evaluations), efforts[one.stage].bands) for one in shown]
    caption = [f"{title}: {_cost(bands)}" for title, bands in columns]
    seen = caption[-1]
    caption.append(
        f"Only right answers count; prompts without one, and groups of fewer than {LEAST_PROMPTS} prompts, are left "
        "out. Bars: 95 % intervals over the prompts of a group."
    )
    svg = draw_levels(
        "effort",
        f"Thinking tokens of right answers by difficulty. {' '.join(caption)}",
        columns,
        levels=[name for _, name in BANDS if any(name in bands for _, bands in columns)],
        x_label="share of a prompt's samples that are right",
        y_label="thinking tokens of a right answer",
    )
    heading = "Thinking tokens against difficulty"
    return Panel("effort", heading, svg, _dots(columns), caption, paper="18", seen=seen)


def _cost(bands: Mapping[str, Figure]) -> str:
    """Tokens of the easiest and of the hardest band, and how they compare."""
    (easy, cheap), *_, (hard, dear) = bands.items()
    where = "where every sample is right" if easy == ALL_RIGHT else f"where {easy} of the samples are right"
    compared = times(ratio(cheap.value, dear.value))
    certain = cheap.apart_from(dear)
    words = f" ({compared}{'' if certain else '; the intervals touch'})" if compared else ""
    return (
        f"a right answer takes {interval(cheap)} thinking tokens {where} ({_prompts(cheap)}), {interval(dear)} "
        f"where {hard} are ({_prompts(dear)}){words}."
    )


def _prompts(figure: Figure) -> str:
    return counted(figure.n or 0, "prompt", "prompts")


def _dots(columns: Sequence[tuple[str, Mapping[str, Figure]]]) -> list[tuple[int, str, str]]:
    return [(level_colour(i, len(columns)), "dot", title) for i, (title, _) in enumerate(columns)]


def _extent(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
