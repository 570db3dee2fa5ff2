"""The run report: one HTML file that needs nothing else, and the same numbers as `report.json` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ahalab.report.comparison import comparison_section, level_table
from ahalab.report.data import data_section, hacking_notes, reward_models_section
from ahalab.report.document import check_place, document
from ahalab.report.facts import facts_section, figures_section, settings_section, stages_section
from ahalab.report.headline import lead, tiles
from ahalab.report.health import unchanging
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.panel import Panel
from ahalab.report.panels import Panels
from ahalab.report.paper import paper_section
from ahalab.report.safety import is_safety_evaluation, write_safety_report
from ahalab.report.samples import faults_section, samples_section
from ahalab.report.stage_table import stage_tables_section
from ahalab.report.summary import Summary, Training, summarise
from ahalab.report.twin import twin_text
from ahalab.report.wording import counted, listing, number
from ahalab.runs.atomic import write_text

TABLE_ROWS = 11
"""Rows of the table of numbers under a figure: step 0, the last step, and nine between (our choice)."""


def write_report(run_folder: Path, output: Path | None = None) -> Path:
    """Write the report of a run, finished or at work, and return the page's path.

    `output` defaults to `report.html` in the run folder; `report.json` (the same name, .json) is written beside it.
    The same folder gives the same bytes. UserError when the folder is missing or the output cannot be written;
    whatever is missing or broken inside the folder becomes a sentence in the page. The folder of a safety evaluation
    gets a page of its own (`write_safety_report`).
    """
    run_folder = Path(run_folder)
    if is_safety_evaluation(run_folder):
        return write_safety_report(run_folder, output)
    summary = summarise(run_folder)
    output = check_place(output if output is not None else run_folder / "report.html")
    panels = Panels.draw(summary)
    write_text(output, page(summary, panels))
    write_text(output.with_suffix(".json"), twin_text(summary, panels))
    return output


def page(summary: Summary, panels: Panels) -> Safe:
    """The whole document."""
    sections = [
        ("stage-table", "Stage table", stage_tables_section(summary)),
        ("result", "Before and after", comparison_section(summary)),
        ("paper", "The paper's figures", paper_section(panels.paper) if summary.stages else Safe("")),
        ("levels", "Levels", _levels_section(summary, panels)),
        ("language", "Language", _language_section(panels.language)),
        ("data", "Data", data_section(summary)),
        ("reward-models", "Reward models", reward_models_section(summary)),
        *_training_sections(summary, panels.of_stage),
        ("samples", "Samples", samples_section(summary)),
        ("format", "Format", faults_section(summary)),
        (
            "run",
            "Run facts",
            join(
                stages_section(summary),
                facts_section(summary),
                figures_section(summary),
                settings_section(summary),
            ),
        ),
    ]
    present = [(name, label, content) for name, label, content in sections if content]
    body = element(
        "body",
        element(
            "main",
            _header(summary),
            element(
                "nav",
                # Of many trainings only the curves are linked: what tells of their health lies right below.
                [
                    element("a", label, href=f"#{name}")
                    for name, label, _ in present
                    if len(summary.training) <= 2 or not name.startswith("health")
                ],
                aria_label="Sections",
            ),
            [element("section", content, id=name) for name, _, content in present],
            element(
                "footer",
                element(
                    "p",
                    "Made by ahalab from this run's own folder. A step is one policy update; the figures of step s "
                    "describe samples drawn before update s, so step 0 is the base itself. All numbers are also in "
                    "the file of the same name ending in .json.",
                ),
            ),
        ),
    )
    return document(f"{summary.title} — ahalab run report", body)


def _header(summary: Summary) -> Safe:
    facts = [f"base {summary.base}"]
    facts += [f"preset {summary.preset}"] if summary.preset else []
    facts += [f"seed {summary.seed}"] if summary.seed else []
    return element(
        "header",
        element("p", "ahalab run report", class_="over"),
        element("h1", summary.title),
        element("p", [element("span", fact) for fact in facts], class_="under"),
        _notices(summary),
        tiles(summary),
        element("p", lead(summary), class_="lead"),
    )


def _notices(summary: Summary) -> Safe:
    notices = [*hacking_notes(summary), *summary.notices]
    if not notices:
        return Safe("")
    return element("div", [element("p", notice) for notice in notices], class_="note", role="note")


def _levels_section(summary: Summary, panels: Panels) -> Safe:
    if panels.levels is None and panels.effort is None:
        return Safe("")
    intro = "Held-out problems, grouped by the level their source gives them"
    intro += ", and by how often they are answered right." if panels.effort else "."
    shown = [_figure(panel) for panel in (panels.levels, panels.effort) if panel]
    shown += [level_table(summary.compared[0])] if panels.levels else []
    return join(
        element("h2", "By difficulty"),
        element("p", intro, class_="intro"),
        element("div", shown, class_="grid"),
    )


def _language_section(panel: Panel | None) -> Safe:
    if panel is None:
        return Safe("")
    return join(element("h2", "Language of the thinking"), element("div", _figure(panel), class_="grid"))


def _training_sections(
    summary: Summary, panels: Mapping[str, tuple[list[Panel], list[Panel]]]
) -> list[tuple[str, str, Safe]]:
    sections = []
    for i, training in enumerate(summary.training):
        learning, health = panels[training.stage]
        several = f" · {training.stage}" if len(summary.training) > 1 else ""
        mark = f"-{i + 1}" if i else ""
        sections.append((f"curves{mark}", f"Curves{several}", _curves_section(training, learning)))
        if health or unchanging(training):
            sections.append((f"health{mark}", f"Health{several}", _health_section(training, health)))
    return sections


def _curves_section(training: Training, panels: list[Panel]) -> Safe:
    heading = element("h2", f"What changed over the steps of stage {training.stage}")
    if not panels:
        return join(
            heading, element("p", "No step of this stage has been written yet: no curve can be drawn.")
        )
    intro = f"{counted(training.curves.updates, 'step', 'steps')}."
    if training.curves.rollouts:
        intro = (
            f"{intro[:-1]}, from the samples drawn for training. Each dot marks step 0, the weights the stage "
            "started from; the dotted line keeps that level in sight."
        )
    return join(
        heading,
        element("p", intro, class_="intro"),
        element("div", [_figure(panel) for panel in panels], class_="grid"),
    )


def _health_section(training: Training, panels: list[Panel]) -> Safe:
    flat = unchanging(training)
    return join(
        element("h2", f"Health of the training in stage {training.stage}"),
        element("p", "Horizontal axes: policy updates made, as above.", class_="intro"),
        element("div", [_figure(panel) for panel in panels], class_="grid three"),
        element("p", f"The same at every step: {listing(flat)}.", class_="intro after") if flat else "",
    )


def _figure(panel: Panel) -> Safe:
    key = [
        element("li", element("i"), label, class_=f"c{colour} {style}".strip())
        for colour, style, label in panel.key
    ]
    return element(
        "figure",
        element("p", f"Paper: figure {panel.paper}", class_="paper") if panel.paper else "",
        element("h3", panel.heading),
        element("ul", key, class_="key") if key else "",
        panel.svg,
        element("figcaption", [element("p", sentence) for sentence in panel.caption]),
        _numbers(panel),
        id=panel.anchor,
    )


def _numbers(panel: Panel) -> Safe:
    """The drawn values at a few steps as a table, for readers who cannot see the drawing."""
    if not panel.curves:
        return Safe("")
    steps = sorted({step for curve in panel.curves for step in curve.steps})
    last = len(steps) - 1
    kept = sorted({steps[round(i * last / (TABLE_ROWS - 1))] for i in range(TABLE_ROWS)})
    values = [dict(zip(curve.steps, curve.values, strict=True)) for curve in panel.curves]
    labels = [label for _, style, label in panel.key if style != "diamond"] or [panel.heading]
    rows = [
        element(
            "tr",
            element("th", f"{step:,}", scope="row"),
            [element("td", number(found[step]) if step in found else "–") for found in values],
        )
        for step in kept
    ]
    head = element("tr", [element("th", name, scope="col") for name in ("step", *labels)])
    table = element("table", element("thead", head), element("tbody", rows))
    return element("details", element("summary", "The numbers"), element("div", table, **SCROLLING))
