"""The paper's tables of Appendix D.3 made of an evaluation: verdicts, by category, by benchmark, by sub-category."""

from __future__ import annotations

from collections.abc import Sequence

from ahalab.safety.comparison import paper
from ahalab.safety.comparison.counts import Counts, count
from ahalab.safety.comparison.marking import Marks, explained, label
from ahalab.safety.comparison.rates import Rate
from ahalab.safety.comparison.reading import (
    Answered,
    Evaluation,
    View,
    category_of,
    group_name,
    in_order,
    is_wrapped,
    set_of,
)
from ahalab.safety.comparison.scores import score, scored_sets
from ahalab.safety.comparison.table import EMPTY, Cell, Row, Table, amount, pair, percent, points
from ahalab.safety.records import SafetyItem
from ahalab.safety.taxonomy import load_taxonomy

BOTH = ("unsafe", "rejection")


def verdict_tables(evaluation: Evaluation, marks: Marks) -> list[Table]:
    """For every set of questions: what became of them, target by target."""
    return [_verdicts(evaluation, marks, name) for name in evaluation.sets if harmful_items(evaluation, name)]


def _verdicts(evaluation: Evaluation, marks: Marks, name: str) -> Table:
    items = harmful_items(evaluation, name)
    rows = []
    for target in evaluation.targets:
        one = count(target, items)
        if not one.items:
            continue
        cells = (
            amount(one.items, "items"),
            percent(one.unsafe, "unsafe"),
            percent(one.safe, "safe"),
            percent(one.rejection, "rejection"),
            amount(one.by_control, "rejections_by_control"),
            amount(one.verdicts["judge_error"], "judge_error"),
            amount(one.missing, "missing"),
            percent(one.coherent, "coherent"),
            percent(one.unsafe_of_coherent, "unsafe_of_coherent"),
        )
        rows.append(row_of(evaluation, marks, target, cells, [one]))
    columns = (
        "items",
        "unsafe %",
        "safe %",
        "rejection %",
        "by control",
        "judge errors",
        "missing",
        "coherent %",
        "unsafe % of coherent",
    )
    return finished(
        Table(
            f"verdicts:{name}",
            f"Verdicts on {name}",
            columns,
            tuple(rows),
            notes=(
                "Rates are over the items with a verdict. Wilson's 95 % intervals; translations and wrapped forms of "
                "a question count as one draw.",
                *_reasons(evaluation, items),
            ),
        )
    )


def _reasons(evaluation: Evaluation, items: Sequence[SafetyItem]) -> list[str]:
    told = []
    for target in evaluation.targets:
        one = count(target, items)
        parts = [f"{number:,} {reason}" for reason, number in one.reasons.items()]
        told += [f"{target.name}: {one.incomplete}."] if one.items and one.incomplete else []
        told += [f"{target.name}: {one.doubtful}."] if one.doubtful else []
        told += [f"{target.name}, verdicts by reason: {', '.join(parts)}."] if parts else []
    return told


def table_10(evaluation: Evaluation, marks: Marks, name: str, *, with_paper: bool) -> Table | None:
    """Unsafe and rejected by category, controlled targets under bare ones; None where a set has no categories."""
    items = harmful_items(evaluation, name)
    categories = [
        one.id
        for one in load_taxonomy().categories
        if any(category_of(item.group) == one.id for item in items)
    ]
    if not categories:
        return None
    rows = []
    for target in evaluation.targets:
        counts = [
            count(target, [item for item in items if category_of(item.group) == one]) for one in categories
        ]
        counts.append(count(target, items))
        if counts[-1].items:
            cells = tuple(pair(one.unsafe, one.rejection, BOTH) for one in counts)
            rows.append(row_of(evaluation, marks, target, cells, counts))
    compared = with_paper and not any(map(is_wrapped, items))
    return finished(
        Table(
            f"table-10:{name}",
            f"Unsafe / rejected by category, % of {name}",
            (*map(group_name, categories), "Overall"),
            (*rows, *(paper.table_10_rows(categories) if compared else [])),
            notes=("The form of the paper's Table 10. Lower is better; a rejection is better than unsafe.",),
        )
    )


def table_9(evaluation: Evaluation, marks: Marks, *, with_paper: bool) -> Table | None:
    """Benchmarks by targets, higher is safer; in brackets the same target without its control."""
    sets = [
        name
        for name in evaluation.sets
        if (items := harmful_items(evaluation, name)) and not is_wrapped(items[0])
    ]
    rows = []
    for target in evaluation.targets:
        bare = evaluation.target(target.control_of) if target.control_of else None
        scores = [score(evaluation, target, name) for name in sets]
        without = [score(evaluation, bare, name) if bare else None for name in sets]
        cells = [_with_and_without(one, other) for one, other in zip(scores, without, strict=True)]
        if len(sets) > 1:
            cells.append(_average(scores, without))
        if any(scores):
            counts = [count(target, harmful_items(evaluation, name)) for name in sets]
            rows.append(row_of(evaluation, marks, target, tuple(cells), counts))
    if not rows:
        return None
    return finished(
        Table(
            "table-9",
            "Benchmarks, % safe, higher is safer",
            (*sets, *(["average"] if len(sets) > 1 else [])),
            (*rows, *(paper.table_9_rows(sets, len(sets) > 1) if with_paper else [])),
            "refusal is safe",
            notes=(
                "The form of the paper's Table 9: every refusal counts as safe, also one that a control made; in "
                "brackets the same target without its risk control.",
                scored_sets(evaluation, sets),
            ),
        )
    )


def _with_and_without(one: Rate | None, bare: Rate | None) -> Cell:
    cell = percent(one, "safe")
    if bare is None or one is None:
        return cell
    figures = {**cell.figures, "without_control": bare.value}
    return Cell(f"{cell.text} ({points(bare.value)})", cell.interval, figures)


def _average(found: Sequence[Rate | None], without: Sequence[Rate | None]) -> Cell:
    """Mean over the benchmarks, as the paper's last column; empty unless every one was answered."""
    mean, bare = _mean(found), _mean(without)
    if mean is None:
        return EMPTY
    figures: dict[str, float | int | None] = {"safe": mean, "without_control": bare}
    return Cell(points(mean) + (f" ({points(bare)})" if bare is not None else ""), figures=figures)


def _mean(found: Sequence[Rate | None]) -> float | None:
    values = [one.value for one in found if one is not None]
    return sum(values) / len(values) if values and len(values) == len(found) else None


def subcategory_table(evaluation: Evaluation, marks: Marks, name: str) -> Table | None:
    """Unsafe and rejected by sub-category (or the set's own groups), a column a target."""
    items = harmful_items(evaluation, name)
    groups = in_order(item.group for item in items)
    if len(groups) < 2:
        return None
    rows = []
    for group in groups:
        own = [item for item in items if item.group == group]
        counts = [count(target, own) for target in evaluation.targets]
        named = group_name(group)
        rows.append(
            Row(
                f"{group} {named}" if named != group else group,
                tuple(pair(one.unsafe, one.rejection, BOTH) for one in counts),
                target=group,
            )
        )
    table = Table(
        f"groups:{name}",
        f"Unsafe / rejected by sub-category, % of {name}",
        tuple(target_head(evaluation, marks, one) for one in evaluation.targets),
        tuple(rows),
        notes=("A sub-category has few items: read the intervals.",),
        first="sub-category",
    )
    return finished(table, [mark for one in evaluation.targets for mark in marks.of(one.name)])


def thinking_table(evaluation: Evaluation, marks: Marks, name: str) -> Table | None:
    """Unsafe by part: the answer, the thinking, the worse of the two; None where thinking was not judged."""
    if "thinking" not in evaluation.views:
        return None
    items = harmful_items(evaluation, name)
    views: tuple[View, ...] = ("answer", "thinking", "worst")
    rows = []
    for target in evaluation.targets:
        counts = [count(target, items, view) for view in views]
        if not counts[1].judged:
            continue
        only = sum(
            target.verdict(item.id, "thinking") == "unsafe" and target.verdict(item.id, "answer") != "unsafe"
            for item in items
        )
        cells = (*(percent(one.unsafe, "unsafe") for one in counts), amount(only, "only_thinking"))
        rows.append(row_of(evaluation, marks, target, cells, counts))
    return finished(
        Table(
            f"thinking:{name}",
            f"Unsafe by part of the reply, % of {name}",
            ("answer", "thinking", "worse of both", "unsafe in thinking only (items)"),
            tuple(rows),
            notes=("Thinking is judged where a reply has some; the worse of both is over all items.",),
        )
    )


def over_refusal_table(evaluation: Evaluation, marks: Marks) -> Table | None:
    """Rejections of harmless questions: what caution costs."""
    items = [item for item in evaluation.items.values() if not item.harmful and not is_wrapped(item)]
    sets = list(dict.fromkeys(map(set_of, items)))
    rows = []
    for target in evaluation.targets:
        counts = [count(target, [item for item in items if set_of(item) == name]) for name in sets]
        if any(one.items for one in counts):
            cells = tuple(percent(one.rejection, "rejection") for one in counts)
            rows.append(row_of(evaluation, marks, target, cells, counts))
    if not rows:
        return None
    return finished(
        Table(
            "over-refusal",
            "Over-refusal: rejected harmless questions, %",
            tuple(sets),
            tuple(rows),
            notes=("Lower is better: a good answer helps with these questions.",),
        )
    )


def harmful_items(evaluation: Evaluation, name: str) -> list[SafetyItem]:
    """The items of a set that rates of safety are over."""
    return [item for item in evaluation.set_items(name) if item.harmful]


def row_of(
    evaluation: Evaluation,
    marks: Marks,
    target: Answered,
    cells: tuple[Cell, ...],
    counts: Sequence[Counts] = (),
) -> Row:
    """A target's line, marked for it and for these counts of it."""
    return Row(label(target, evaluation.targets), cells, target.name, marks.of(target.name, counts))


def target_head(evaluation: Evaluation, marks: Marks, target: Answered) -> str:
    """A target as a column's heading, with its marks."""
    found = marks.of(target.name)
    return label(target, evaluation.targets) + (f" [{', '.join(found)}]" if found else "")


def finished(table: Table, in_heads: Sequence[str] = ()) -> Table:
    """The table with its marks explained, those of its columns' headings too."""
    found = [*in_heads, *(mark for row in table.rows for mark in row.marks)]
    notes = [*table.notes, *explained(found)]
    if any(row.source == "paper" for row in table.rows):
        notes.append(paper.note())
    return Table(
        table.key, table.title, table.columns, table.rows, table.convention, tuple(notes), table.first
    )
