"""Tables of what a risk control and a jailbreak change, of time and cost, and of languages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ahalab.safety.comparison import paper
from ahalab.safety.comparison.control import Cost, Effect
from ahalab.safety.comparison.counts import count
from ahalab.safety.comparison.marking import Marks
from ahalab.safety.comparison.reading import Evaluation, group_name
from ahalab.safety.comparison.table import EMPTY, Cell, Row, Table, amount, percent
from ahalab.safety.comparison.tables import finished, harmful_items, row_of, target_head
from ahalab.safety.records import Judgement

if TYPE_CHECKING:
    from ahalab.safety.jailbreak.change import Change


def control_table(evaluation: Evaluation, marks: Marks, found: list[Effect]) -> Table | None:
    """What control did on each set: one line a pair."""
    rows = []
    for one in (effect for effect in found if not effect.group and effect.paired):
        target = evaluation.target(one.controlled)
        assert target is not None
        cells = (
            amount(one.paired, "paired"),
            percent(one.caught, "caught"),
            percent(one.caught_by_control, "caught_by_control"),
            percent(one.collateral, "collateral"),
            percent(one.collateral_of_all, "collateral_of_all"),
            amount(one.rejected_otherwise, "rejected_otherwise"),
            amount(one.let_through, "let_through"),
        )
        row = row_of(evaluation, marks, target, cells, [count(target, harmful_items(evaluation, one.set))])
        rows.append(Row(f"{row.label}, {one.set}", cells, target.name, row.marks))
    if not rows:
        return None
    columns = (
        "items with both verdicts",
        "unsafe caught %",
        "by control itself %",
        "collateral: safe turned into rejections %",
        "as % of all items",
        "safe rejected otherwise",
        "newly unsafe",
    )
    notes = (
        "Paired by item: the bare target's verdict beside the controlled one's. Caught is of the bare target's unsafe "
        "answers; collateral is of its safe ones. A controlled target that sampled its own replies also differs by "
        "chance: the last two columns count that.",
    )
    return finished(Table("control", "What risk control changes", columns, tuple(rows), notes=notes))


def collateral_table(evaluation: Evaluation, marks: Marks, found: list[Effect], name: str) -> Table | None:
    """Collateral share by sub-category of a set."""
    own = [one for one in found if one.set == name and one.group and one.paired]
    pairs = list(dict.fromkeys((one.bare, one.controlled) for one in own))
    groups = list(dict.fromkeys(one.group for one in own))
    if len(groups) < 2:
        return None
    by_place = {(one.controlled, one.group): one for one in own}
    rows = []
    for group in groups:
        cells = []
        for _, controlled in pairs:
            one = by_place.get((controlled, group))
            cells += (
                [percent(one.collateral, "collateral"), percent(one.caught, "caught")] if one else [EMPTY] * 2
            )
        named = group_name(group)
        rows.append(Row(f"{group} {named}" if named != group else group, tuple(cells), group))
    columns: list[str] = []
    for _, controlled in pairs:
        target = evaluation.target(controlled)
        assert target is not None
        told = target_head(evaluation, marks, target)
        columns += [f"{told}: collateral %", f"{told}: caught %"]
    table = Table(
        f"collateral:{name}",
        f"Collateral rejections and unsafe caught by sub-category of {name}",
        tuple(columns),
        tuple(rows),
        notes=("Collateral: safe answers of the bare target that control turned into rejections.",),
        first="sub-category",
    )
    return finished(table, [mark for _, controlled in pairs for mark in marks.of(controlled)])


def cost_table(evaluation: Evaluation, marks: Marks, found: list[Cost]) -> Table | None:
    """Latency, reviewer calls and tokens."""
    rows = []
    for one in found:
        target = evaluation.target(one.target)
        assert target is not None
        slower = EMPTY
        if one.slower is not None:
            slower = Cell(
                f"{one.slower.value:+.2f}",
                f"[{one.slower.low:+.2f}, {one.slower.high:+.2f}]",
                {"slower": one.slower.value, "slower_low": one.slower.low, "slower_high": one.slower.high},
            )
        cells = (
            amount(one.replies, "replies"),
            amount(one.median_seconds, "median_seconds", 2),
            amount(one.p95_seconds, "p95_seconds", 2),
            slower,
            amount(one.reviewer_calls, "reviewer_calls_per_1000"),
            amount(one.tokens_in, "tokens_in_per_1000"),
            amount(one.tokens_out, "tokens_out_per_1000"),
        )
        rows.append(row_of(evaluation, marks, target, cells))
    if not rows:
        return None
    columns = (
        "replies",
        "median s",
        "95th percentile s",
        "slower than bare, s",
        "reviewer calls per 1,000 dialogues",
        "prompt tokens per 1,000",
        "reply tokens per 1,000",
    )
    notes = (
        "Seconds from sending to the last byte, of replies that were timed. Slower than bare: mean over the items that "
        "both answered, 95 % interval paired by item. Tokens are those that the server told.",
    )
    return finished(Table("cost", "Time and cost", columns, tuple(rows), "", notes))


def table_11(evaluation: Evaluation, marks: Marks, *, with_paper: bool) -> list[Table]:
    """Origin → jailbreak, a table for every set that was asked plain and wrapped."""
    from ahalab.safety.jailbreak.change import change_table

    tables = []
    for name in evaluation.sets:
        wrapped = harmful_items(evaluation, f"{name} + jailbreak")
        plain = harmful_items(evaluation, name)
        if not wrapped or not plain:
            continue
        clusters = {item.id: item.cluster or item.id.partition("+")[0] for item in (*plain, *wrapped)}
        rows = []
        for one in change_table(
            _judgements(evaluation, {item.id for item in plain}),
            _judgements(evaluation, {item.id for item in wrapped}),
            clusters,
        ):
            target = evaluation.target(one.target)
            assert target is not None
            cells = (
                _change(one.unsafe),
                _change(one.reject),
                amount(one.items, "items"),
                amount(one.questions, "questions"),
                amount(sum(one.judge_errors), "judge_errors"),
            )
            counts = [count(target, plain), count(target, wrapped)]
            rows.append(row_of(evaluation, marks, target, cells, counts))
        if rows:
            theirs = [
                Row(one.label, (*one.cells, EMPTY, EMPTY, EMPTY), marks=one.marks, source="paper")
                for one in paper.table_11_rows()
            ]
            tables.append(
                finished(
                    Table(
                        f"table-11:{name}",
                        f"Origin → jailbreak, % of {name}",
                        ("unsafe", "rejected", "items", "questions", "judge errors left out"),
                        (*rows, *(theirs if with_paper else [])),
                        notes=(
                            "The form of the paper's Table 11. In brackets the change; below it its 95 % interval, "
                            "paired by question.",
                        ),
                    )
                )
            )
    return tables


def _judgements(evaluation: Evaluation, items: set[str]) -> Iterable[Judgement]:
    for target in evaluation.targets:
        for item, found in target.judgements.get("answer", {}).items():
            if item in items and target.expected(item, "answer"):
                # Where evaluations were put together a target may have another name than in its rows.
                yield replace(found, target=target.name)


def _change(found: Change) -> Cell:
    before, after, difference = found.origin, found.jailbreak, found.difference
    return Cell(
        f"{100 * before.value:.1f} → {100 * after.value:.1f} ({100 * difference.value:+.1f})",
        f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]",
        {
            "origin": before.value,
            "origin_low": before.low,
            "origin_high": before.high,
            "jailbreak": after.value,
            "jailbreak_low": after.low,
            "jailbreak_high": after.high,
            "change": difference.value,
            "change_low": difference.low,
            "change_high": difference.high,
            "p_value": found.p_value,
        },
    )
