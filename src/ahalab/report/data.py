"""What the stages between the trainings made: data sets and why rows were dropped, and reward models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ahalab.analysis.curves import is_number
from ahalab.analysis.evaluations import as_figure
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.summary import StageFacts, Summary
from ahalab.report.wording import flatten, interval, listing, number, whole

STATISTICS = ("samples", "rounds", "tokens")
"""The columns of the paper's table of its SFT set (appendix B.3.3)."""
REWARD_FIGURES = (
    ("accuracy", "Held-out accuracy"),
    ("auc", "AUC"),
    ("calibration_error", "Calibration error"),
    ("length_correlation", "Correlation with length"),
    ("longer_wins", "The longer one wins"),
    ("held_out", "Rows held out"),
    ("rows", "Rows trained on"),
)
SHOWN = ("statistics", "dropped", "warnings", "reward_hacking")
"""Figures that have a place of their own on the page."""


def data_section(summary: Summary) -> Safe:
    """One block a stage that left data: its statistics and what was dropped; nothing where there is none."""
    blocks = [block for stage in summary.stages if (block := _data_block(stage))]
    return join(element("h2", "Data sets"), blocks) if blocks else Safe("")


def reward_models_section(summary: Summary) -> Safe:
    """Held-out figures of every reward model side by side, and their warnings."""
    models = [stage for stage in summary.stages if stage.kind == "reward_model" and stage.figures]
    if not models:
        return Safe("")
    rows = [
        element(
            "tr",
            element("th", label, scope="row"),
            [element("td", _shown(m.figures.get(name))) for m in models],
        )
        for name, label in REWARD_FIGURES
        if any(_shown(model.figures.get(name)) != "–" for model in models)
    ]
    names = [f"{model.name} ({model.figures.get('kind', 'reward model')})" for model in models]
    head = element("tr", [element("th", name, scope="col") for name in ("Held out", *names)])
    table = element(
        "table",
        element("caption", "In brackets: 95 % bootstrap interval over questions."),
        element("thead", head),
        element("tbody", rows),
    )
    warnings = [
        element("p", f"{model.name}: {warning}.")
        for model in models
        for warning in _texts(model.figures, "warnings")
    ]
    return join(
        element("h2", "Reward models"),
        element("div", table, **SCROLLING),
        element("div", warnings, class_="note", role="note") if warnings else "",
    )


def hacking_notes(summary: Summary) -> Iterator[str]:
    """A sentence for every RL stage whose reward-hacking watch fired."""
    for stage in summary.stages:
        found = stage.figures.get("reward_hacking")
        if isinstance(found, Mapping) and found.get("hacked"):
            yield (
                f"Stage {stage.name} was marked by the reward-hacking watch at step {found.get('step')}: the "
                "preference reward rose while the rules' score of held-out prompts fell."
            )


def other_figures(stage: StageFacts) -> dict[str, str]:
    """What else a stage's manifest says, flat."""
    return flatten({name: value for name, value in stage.figures.items() if name not in SHOWN})


def _data_block(stage: StageFacts) -> Safe | None:
    statistics = stage.figures.get("statistics")
    table = _statistics(statistics) if isinstance(statistics, Sequence) else None
    dropped = stage.figures.get("dropped")
    lost = _dropped(dropped) if isinstance(dropped, Mapping) else ""
    counts = _counts(stage) if stage.kind in ("preferences", "labels") else ""
    if table is None and not counts and (not lost or stage.kind != "sample"):
        return None
    return element(
        "div",
        element("h3", f"{stage.name} ({stage.kind})"),
        element("p", counts, class_="intro") if counts else "",
        table or "",
        element("p", lost, class_="intro") if lost else "",
        class_="dataset",
    )


def _statistics(rows: Sequence[Any]) -> Safe | None:
    known = [row for row in rows if isinstance(row, Mapping) and "domain" in row]
    if not known:
        return None
    lines = [
        element(
            "tr",
            element("th", str(row["domain"]), scope="row"),
            [element("td", _count(row.get(name))) for name in STATISTICS],
        )
        for row in known
    ]
    heads = ("Domain", "Samples", "Rounds (mean)", "Tokens (mean)")
    head = element("tr", [element("th", name, scope="col") for name in heads])
    return element("div", element("table", element("thead", head), element("tbody", lines)), **SCROLLING)


def _counts(stage: StageFacts) -> str:
    """The plain numbers of a preference or label set in one line."""
    parts = [
        f"{name.replace('_', ' ')} {_count(value)}"
        for name, value in stage.figures.items()
        if is_number(value)
    ]
    return ", ".join(parts)


def _dropped(dropped: Mapping[Any, Any]) -> str:
    counts = sorted(
        ((str(reason), float(count)) for reason, count in dropped.items() if is_number(count) and count),
        key=lambda item: (-item[1], item[0]),
    )
    return f"Left out: {listing([f'{whole(count)} {reason}' for reason, count in counts])}." if counts else ""


def _count(value: object) -> str:
    if not is_number(value):
        return "–"
    return whole(value) if float(value).is_integer() else number(float(value))


def _shown(value: object) -> str:
    figure = as_figure(value)
    if figure is None:
        return "–"
    return _count(figure.value) if figure.low is None else interval(figure)


def _texts(figures: Mapping[str, Any], name: str) -> list[str]:
    found = figures.get(name)
    return [str(text) for text in found] if isinstance(found, Sequence) and not isinstance(found, str) else []
