"""`report.json`: the numbers of the page for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ahalab.analysis.curves import Curve
from ahalab.analysis.samples import ShownSample
from ahalab.analysis.stage_table import StageTable
from ahalab.report.panel import Panel
from ahalab.report.panels import Panels
from ahalab.report.paper import as_data
from ahalab.report.summary import Summary, Training

TWIN_FORMAT = 1
"""Raised when a key changes its meaning or goes away."""


def twin_text(summary: Summary, panels: Panels) -> str:
    """The page's numbers, sentences and samples as JSON text: one line a key, in the page's order, in ASCII."""
    pair = summary.before_after
    content: dict[str, Any] = {
        "format": TWIN_FORMAT,
        "recipe": summary.title,
        "base": summary.base,
        "preset": summary.preset,
        "seed": summary.seed,
        "notices": summary.notices,
        "before_after": {"before": pair[0].stage, "after": pair[1].stage} if pair else None,
        "evaluations": [asdict(evaluation) for group in summary.comparisons for evaluation in group],
        "stage_tables": {name: _table(table) for name, table in summary.tables.items()},
        "paper_figures": as_data(panels.paper),
        "levels": list(panels.levels.caption) if panels.levels else [],
        "effort": {
            "captions": list(panels.effort.caption) if panels.effort else [],
            "by_stage": {
                stage: {band: asdict(figure) for band, figure in effort.bands.items()}
                for stage, effort in summary.efforts.items()
            },
        },
        "language": list(panels.language.caption) if panels.language else [],
        "training": [_training(training, *panels.of_stage[training.stage]) for training in summary.training],
        "held_out_pair": _pair(summary.pair),
        "stages": [asdict(stage) for stage in summary.stages],
        "environment": dict(summary.environment),
    }
    # ASCII, because a sample may hold half an emoji, which UTF-8 cannot say and JSON can.
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=True, allow_nan=False, default=str)}"
        for key, value in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _table(table: StageTable) -> dict[str, Any]:
    return {
        "columns": list(table.columns),
        "reference": table.reference,
        "prompts": dict(table.prompts),
        "rows": {name: asdict(row) for name, row in table.rows.items()},
        "differences": [
            {"row": row, "minus": other, "column": column, **asdict(figure)}
            for (row, other, column), figure in table.differences.items()
        ],
        "orderings": [dict(one) for one in table.orderings],
    }


def _training(training: Training, learning: list[Panel], health: list[Panel]) -> dict[str, Any]:
    scan = training.samples
    return {
        "stage": training.stage,
        "from": training.source,
        "steps": training.curves.updates,
        "samples": scan.rows,
        "totals": dict(training.curves.totals),
        "seconds": dict(training.time_shares),
        "captions": {panel.name: list(panel.caption) for panel in (*learning, *health)},
        "curves": {name: _curve(curve) for name, curve in training.curves.by_name.items()},
        "words": {name: _curve(curve) for name, curve in training.curves.words.items()},
        "consensus": _consensus(training),
        "levels": {curve.name: _curve(curve) for curve in training.groups.level_curves()},
        "outcomes": {
            str(step): {
                side: asdict(outcomes[step])
                for side, outcomes in (("right", scan.right), ("wrong", scan.wrong))
                if step in outcomes
            }
            for step in sorted(set(scan.right) | set(scan.wrong))
        },
        "faults": {str(step): dict(sorted(faults.items())) for step, faults in sorted(scan.faults.items())},
        "first_reflective": asdict(scan.first_reflective) if scan.first_reflective else None,
        "onsets": {word: asdict(onset) for word, onset in training.onsets.items()},
        "reflection_helps": asdict(training.helps) if training.helps else None,
        "pair": _pair(scan.pair),
    }


def _consensus(training: Training) -> dict[str, Any] | None:
    """pass@1 and cons@k of the same prompts, those that can be voted on."""
    groups = training.groups
    single, voted = groups.curve("pass@1", groups.single), groups.curve("cons", groups.voted)
    if single is None or voted is None:
        return None
    return {"k": groups.k, "pass@1": _curve(single), "cons": _curve(voted)}


def _curve(curve: Curve) -> dict[str, Any]:
    step, value = curve.highest
    return {
        "first": curve.first,
        "last": curve.last,
        "ratio": curve.ratio,
        "end_mean": curve.end,
        "highest": {"step": step, "value": value},
        "steps": list(curve.steps),
        "values": list(curve.values),
    }


def _pair(pair: tuple[ShownSample, ShownSample] | None) -> list[dict[str, Any]] | None:
    return [asdict(shown) for shown in pair] if pair else None
