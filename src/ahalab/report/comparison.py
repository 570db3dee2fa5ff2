"""The before/after tables: held out where there are evaluations, else from the training samples."""

from __future__ import annotations

from collections.abc import Sequence

from ahalab.analysis.curves import Curve, ratio
from ahalab.analysis.evaluations import Evaluation, Figure, figure_ratio
from ahalab.report.headline import CURVE_OF, main_training
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.summary import Summary
from ahalab.report.wording import counted, flatten, listing, number, times, whole

ROWS = (
    ("pass@1", "Held-out pass@1", "share"),
    ("pass@16", "Held-out pass@16", "share"),
    ("thinking_tokens", "Thinking length", "tokens per answer"),
    ("tokens_per_answer", "Answer length, all parts", "tokens"),
    ("reflective_per_answer", "Reflective words", "per answer"),
    ("reflective_per_1k", "Reflective words", "per 1,000 tokens"),
    ("format", "Format followed", "share"),
    ("language_mixing", "Languages mixed", "share"),
    ("truncated", "Cut at the length limit", "share"),
)
"""(figure, row name, unit) of the before/after table; other pass@k and cons@k rows follow pass@1."""


def comparison_section(summary: Summary) -> Safe:
    """Before and after in one table per set of held-out prompts; what is missing is said."""
    heading = element("h2", "Before and after")
    compared = [evaluations for evaluations in summary.compared if len(evaluations) > 1]
    if compared:
        return join(heading, [_comparison_table(evaluations) for evaluations in compared])
    done = [evaluation.of for evaluations in summary.compared for evaluation in evaluations]
    reason = (
        f"Only {listing(done)} has been evaluated on held-out prompts so far"
        if done
        else "No evaluate stage has finished in this run"
    )
    sentence = f"{reason}: a held-out comparison needs one of the base and one of the trained weights."
    return join(
        heading, element("p", sentence, class_="intro"), *_single_tables(summary), _training_table(summary)
    )


def _single_tables(summary: Summary) -> list[Safe]:
    return [_comparison_table(evaluations) for evaluations in summary.compared]


def _comparison_table(evaluations: Sequence[Evaluation]) -> Safe:
    first, last = evaluations[0], evaluations[-1]
    compared = len(evaluations) > 1
    rows = []
    for name, label, unit in _rows_of(evaluations):
        cells = [_cell(evaluation.figures.get(name)) for evaluation in evaluations]
        grown = times(figure_ratio(first.figures.get(name), last.figures.get(name))).replace(" times", "×")
        rows.append(
            element(
                "tr",
                element("th", label, " ", element("span", unit, class_="unit"), scope="row"),
                cells,
                element("td", grown or "–", class_="ratio") if compared else "",
            )
        )
    titles = [column_title(i, evaluations) for i in range(len(evaluations))]
    head = element(
        "tr",
        element("th", "Held-out prompts", scope="col"),
        [element("th", title, scope="col") for title in titles],
        element("th", "Ratio", scope="col") if compared else "",
    )
    caption = (
        f"{_how_sampled(last)}In brackets: 95 % interval over prompts. Ratio: after over before, where "
        f"before is above zero. {_troubles(evaluations)}"
    )
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", head),
            element("tbody", rows),
            class_="figures",
        ),
        **SCROLLING,
    )


def _how_sampled(evaluation: Evaluation) -> str:
    figure, settings = evaluation.figures.get("pass@1"), flatten(evaluation.settings)
    parts = [
        f"{whole(figure.n)} prompts" if figure and figure.n is not None else "",
        f"{whole(figure.k)} samples each" if figure and figure.k is not None else "",
        f"temperature {settings['temperature']}" if "temperature" in settings else "",
        f"top-p {settings['top_p']}" if "top_p" in settings else "",
        f"at most {settings['max_new_tokens']} tokens" if "max_new_tokens" in settings else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f"{said}. " if said else ""


def _troubles(evaluations: Sequence[Evaluation]) -> str:
    """Grader errors of the evaluations, none included: a silent zero is what a reader must be able to rule out."""
    told = [
        f"{counted(figure.value, 'grader error', 'grader errors')} {column_title(i, evaluations).lower()}"
        for i, evaluation in enumerate(evaluations)
        if (figure := evaluation.figures.get("grader_errors"))
    ]
    text = listing(told)
    return f"{text[:1].upper()}{text[1:]}." if told else ""


def _rows_of(evaluations: Sequence[Evaluation]) -> list[tuple[str, str, str]]:
    present = {name for evaluation in evaluations for name in evaluation.figures}
    others = sorted(
        (name for name in present if "@" in name and name not in dict.fromkeys(row[0] for row in ROWS)),
        key=lambda name: (name.split("@")[0], len(name), name),
    )
    rows = [ROWS[0], *((name, f"Held-out {name}", "share") for name in others), *ROWS[1:]]
    return [row for row in rows if row[0] in present]


def column_title(index: int, evaluations: Sequence[Evaluation]) -> str:
    """A column's head: "Before (base)", "After (zero)", or the bare name of what lies between or stands alone."""
    evaluation = evaluations[index]
    if evaluations[0].of == evaluations[-1].of or 0 < index < len(evaluations) - 1:
        return evaluation.of
    return f"{'Before' if index == 0 else 'After'} ({evaluation.of})"


def _cell(figure: Figure | None) -> Safe:
    if figure is None:
        return element("td", "–")
    if figure.low is None or figure.high is None:
        return element("td", number(figure.value), " ", element("span", class_="range"))
    spread = f"[{number(figure.low)}, {number(figure.high)}]"
    return element("td", number(figure.value), " ", element("span", spread, class_="range"))


def level_table(evaluations: Sequence[Evaluation]) -> Safe:
    """pass@1 by level, one column an evaluation."""
    shown = [evaluation for evaluation in evaluations if evaluation.levels]
    compared = len(shown) > 1
    rows = []
    for name in dict.fromkeys(name for evaluation in shown for name in evaluation.levels):
        first, last = shown[0].levels.get(name), shown[-1].levels.get(name)
        grown = times(figure_ratio(first, last)).replace(" times", "×")
        rows.append(
            element(
                "tr",
                element("th", f"Level {name}", scope="row"),
                [_cell(evaluation.levels.get(name)) for evaluation in shown],
                element("td", grown or "–", class_="ratio") if compared else "",
            )
        )
    titles = [column_title(i, shown) for i in range(len(shown))]
    head = element(
        "tr",
        [element("th", title, scope="col") for title in ("Held-out pass@1", *titles)],
        element("th", "Ratio", scope="col") if compared else "",
    )
    return element(
        "div",
        element("table", element("thead", head), element("tbody", rows), class_="figures"),
        **SCROLLING,
    )


def _training_table(summary: Summary) -> Safe:
    """Step 0 against the end of training, for a run without held-out figures."""
    training = main_training(summary)
    if training is None:
        return Safe("")
    rows = []
    for name, label, unit in ROWS:
        curve = training.curves.get(CURVE_OF.get(name, name))
        if curve is not None:
            rows.append(_training_row("Accuracy" if name == "pass@1" else label, unit, curve))
    head = ("Training samples", "First step", "Last step", "Mean of the last steps", "Ratio")
    if not rows:
        return Safe("")
    return element(
        "div",
        element(
            "table",
            element(
                "caption",
                "From the samples drawn for training, not held out. Ratio: mean of the last over first.",
            ),
            element("thead", element("tr", [element("th", name, scope="col") for name in head])),
            element("tbody", rows),
        ),
        **SCROLLING,
    )


def _training_row(label: str, unit: str, curve: Curve) -> Safe:
    grown = times(ratio(curve.first, curve.end)).replace(" times", "×")
    return element(
        "tr",
        element("th", label, " ", element("span", unit, class_="unit"), scope="row"),
        element("td", number(curve.first), " ", element("span", f"step {curve.steps[0]}", class_="range")),
        element("td", number(curve.last), " ", element("span", f"step {curve.steps[-1]}", class_="range")),
        element("td", number(curve.end)),
        element("td", grown or "–", class_="ratio"),
    )
