"""`summarise(folder)`: all tables of a safety evaluation, written beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.safety.comparison.circular import keyword_files, unknowns
from ahalab.safety.comparison.control import Cost, Effect, costs, effects
from ahalab.safety.comparison.headline import (
    Headline,
    JudgeRecord,
    headline_table,
    headlines,
    language_table,
)
from ahalab.safety.comparison.marking import NO_CLAIM, Marks, marks_of
from ahalab.safety.comparison.reading import Evaluation, is_wrapped, load_evaluation
from ahalab.safety.comparison.slices import SliceFigures, figures
from ahalab.safety.comparison.table import Table, without_empty
from ahalab.safety.comparison.tables import (
    harmful_items,
    over_refusal_table,
    subcategory_table,
    table_9,
    table_10,
    thinking_table,
    verdict_tables,
)
from ahalab.safety.comparison.tables_control import collateral_table, control_table, cost_table, table_11
from ahalab.safety.comparison.tables_languages import multilingual_tables
from ahalab.safety.comparison.tables_metrics import metric_tables

SCHEMA = 1


@dataclass(slots=True)
class Summary:
    """An evaluation (or several put together) in figures and tables."""

    evaluation: Evaluation
    marks: Marks
    headlines: list[Headline]
    figures: list[SliceFigures]
    effects: list[Effect]
    costs: list[Cost]
    tables: list[Table]
    notices: list[str]
    """What must be known before any figure is read, most important first."""

    def table(self, key: str) -> Table | None:
        """The table of that key, such as "table-9" or "table-10:safety-1120"."""
        return next((one for one in self.tables if one.key == key), None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what `summary.json` holds."""
        evaluation = self.evaluation
        return {
            "schema": SCHEMA,
            "name": evaluation.name,
            "notices": self.notices,
            "sets": [
                {"set": name, "sha256": hash_, "items": len(evaluation.set_items(name))}
                for name, hash_ in evaluation.set_hashes().items()
            ],
            "judge": evaluation.judge,
            "judge_identity": evaluation.judge_identity,
            "other_judges": evaluation.other_judges,
            "targets": [
                {
                    "target": one.name,
                    "control_of": one.control_of,
                    "claim": one.claim,
                    "circular": [
                        circle.as_dict() for circle in self.marks.circles if circle.target == one.name
                    ],
                    "keyword_files": keyword_files(one),
                    "replies": len(one.replies),
                }
                for one in evaluation.targets
            ],
            "circular": bool(self.marks.circles),
            "headlines": [one.as_dict() for one in self.headlines],
            "tables": [one.as_dict() for one in self.tables],
            "control": [one.as_dict() for one in self.effects],
            "costs": [one.as_dict() for one in self.costs],
            "figures": [one.as_dict() for one in self.figures],
        }


def summarise(folder: Path, *, judge: str | None = None, with_paper: bool = False) -> Summary:
    """The summary of a folder, written to it: summary.json, summary.md, results.jsonl, results.parquet, charts/.

    UserError as `load_evaluation`.
    """
    from ahalab.safety.comparison.writing import write_summary

    summary = summary_of(load_evaluation(folder, judge), with_paper=with_paper)
    write_summary(summary, Path(folder))
    return summary


def summary_of(evaluation: Evaluation, *, with_paper: bool = False) -> Summary:
    """Everything of an evaluation, nothing written."""
    marks = marks_of(evaluation)
    found_headlines = headlines(evaluation, JudgeRecord())
    found_effects, found_costs = effects(evaluation), costs(evaluation)
    plain = [name for name in evaluation.sets if harmful_items(evaluation, name)]
    tables: list[Table | None] = [
        headline_table(evaluation, marks, found_headlines),
        table_9(evaluation, marks, with_paper=with_paper),
        *(table_10(evaluation, marks, name, with_paper=with_paper) for name in plain),
        *table_11(evaluation, marks, with_paper=with_paper),
        control_table(evaluation, marks, found_effects),
        *verdict_tables(evaluation, marks),
        *metric_tables(evaluation, marks),
        over_refusal_table(evaluation, marks),
        *(
            table
            for name in plain
            for table in multilingual_tables(evaluation, marks, name, with_paper=with_paper)
        ),
        *(language_table(evaluation, marks, found_headlines, name) for name in plain),
        *(thinking_table(evaluation, marks, name) for name in plain),
        *(subcategory_table(evaluation, marks, name) for name in plain),
        *(collateral_table(evaluation, marks, found_effects, name) for name in plain),
        cost_table(evaluation, marks, found_costs),
    ]
    return Summary(
        evaluation,
        marks,
        found_headlines,
        list(figures(evaluation)),
        found_effects,
        found_costs,
        without_empty(tables),
        _notices(evaluation, marks),
    )


def _notices(evaluation: Evaluation, marks: Marks) -> list[str]:
    told = [f"mixed: {one}." for one in evaluation.settings.get("mixed", [])]
    checks = [one.name for one in evaluation.targets if not one.claim]
    if checks:
        told.append(f"{NO_CLAIM}: {', '.join(checks)}.")
    told += [f"circular: {one.target}: {one.told}." for one in marks.circles]
    told += [f"{one}." for one in unknowns(evaluation)]
    if not evaluation.judge and evaluation.targets:
        told.append("No judge has judged these replies yet: `aha safety judge` does.")
    if evaluation.other_judges:
        told.append(
            f"Figures are by judge {evaluation.judge}; these judged as well: {', '.join(evaluation.other_judges)}."
        )
    if any(is_wrapped(one) for one in evaluation.items.values()):
        told.append(
            "Wrapped questions (jailbreak) are a set of their own; no figure mixes them with plain ones."
        )
    return told
