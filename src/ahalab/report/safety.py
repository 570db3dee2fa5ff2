"""The page of a safety evaluation: tables, charts, verdicts by question id. No text of a question or reply is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ahalab.report.document import check_place, document
from ahalab.report.figures import GRID, INK, MUTED, SERIES, page_svg
from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.wording import counted, whole
from ahalab.runs.atomic import write_text
from ahalab.safety.comparison.charts import (
    CHARTED,
    COLOURS,
    NAMES,
    Look,
    charted_columns,
    draw,
    is_charted,
    kind_of,
    name_of,
    style_of,
)
from ahalab.safety.comparison.reading import category_of, group_name, in_order, load_evaluation
from ahalab.safety.comparison.summary import Summary, summary_of
from ahalab.safety.comparison.table import Cell, Row, Table, explains_mark
from ahalab.safety.folder import SETTINGS_NAME

LOOK = Look(INK, MUTED, GRID, {name: SERIES[number - 1] for name, number in COLOURS.items()})
"""The page's own colours: `page_svg` turns them into its variables."""
PANELS_INCHES, LEAST_INCHES, MOST_INCHES = 6.4, 1.3, 3.0
"""Room of all panels of a chart, and of one: what makes its letters as large as the page's."""
FIRST = ("headline", "table-9", "table-10", "table-11", "control")
"""Tables of the first part; the others follow under "More tables"."""
MOST_IDS = 300
"""Listed of one group: a public set can have tens of thousands (our choice)."""
WORDS = {"unsafe": "wrong", "safe": "right"}


def is_safety_evaluation(folder: Path) -> bool:
    """Whether it is the folder of a safety evaluation."""
    return (folder / SETTINGS_NAME).is_file()


def write_safety_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a safety evaluation, and its figures as JSON beside it; the page's path.

    The same folder gives the same bytes. UserError as `load_evaluation`, or when the output cannot be written.
    """
    output = check_place(output if output is not None else folder / "report.html")
    summary = summary_of(load_evaluation(folder), with_paper=True)
    write_text(output, page(summary))
    twin = json.dumps(summary.as_dict(), ensure_ascii=False, allow_nan=False, indent=2)
    write_text(output.with_suffix(".json"), twin + "\n")
    return output


def page(summary: Summary) -> Safe:
    """The whole document."""
    first = [one for one in summary.tables if kind_of(one) in FIRST]
    more = [one for one in summary.tables if kind_of(one) not in FIRST]
    sections = [
        *((name_of(one), _short(one), _table_section(one)) for one in first),
        ("more", "More tables", _more_section(more)),
        ("ids", "Question ids", _ids_section(summary)),
        ("facts", "Judge, targets, sets", _facts_section(summary)),
    ]
    present = [(name, label, content) for name, label, content in sections if content]
    body = element(
        "body",
        element(
            "main",
            _header(summary),
            element(
                "nav",
                [element("a", label, href=f"#{name}") for name, label, _ in present],
                aria_label="Sections",
            ),
            [element("section", content, id=name) for name, _, content in present],
            element(
                "footer",
                element(
                    "p",
                    "Made by ahalab from this evaluation's own folder. Intervals are Wilson's, 95 %; translations and "
                    "wrapped forms of a question count as one draw. All numbers are also in the file of the same name "
                    "ending in .json. This page holds no text of a question or reply, only ids.",
                ),
            ),
        ),
    )
    return document(f"{summary.evaluation.name} — ahalab safety report", body)


def _header(summary: Summary) -> Safe:
    evaluation = summary.evaluation
    judge = evaluation.judge_identity.get("model") or evaluation.judge_identity.get("kind") or "no judge"
    facts = [
        counted(len(evaluation.targets), "target", "targets"),
        counted(len(evaluation.items), "question", "questions"),
        f"judge {judge}" + (f" ({evaluation.judge})" if evaluation.judge else ""),
    ]
    notices = [element("p", one) for one in summary.notices]
    return element(
        "header",
        element("p", "ahalab safety report", class_="over"),
        element("h1", evaluation.name),
        element("p", [element("span", fact) for fact in facts], class_="under"),
        element("div", notices, class_="note", role="note") if notices else "",
        [element("p", one, class_="intro") for one in _explained(summary)],
    )


def _explained(summary: Summary) -> list[str]:
    """What the marks of the tables mean, once for all of them."""
    return list(dict.fromkeys(note for one in summary.tables for note in one.notes if explains_mark(note)))


def _short(table: Table) -> str:
    """A table's name in the row of links."""
    of = table.key.partition(":")[2]
    return {
        "headline": "Headline",
        "table-9": "Benchmarks",
        "table-10": f"Categories ({of})",
        "table-11": f"Jailbreak ({of})",
        "control": "Risk control",
    }.get(kind_of(table), table.title)


def _table_section(table: Table) -> Safe:
    return join(element("h2", table.title), _figure(table) if is_charted(table) else "", _table(table))


def _more_section(tables: Sequence[Table]) -> Safe:
    if not tables:
        return Safe("")
    blocks = [
        element(
            "details",
            element("summary", one.head),
            _figure(one) if is_charted(one) else "",
            _table(one),
        )
        for one in tables
    ]
    return join(element("h2", "More tables"), blocks)


def _figure(table: Table) -> Safe:
    kind = kind_of(table)
    inches = min(MOST_INCHES, max(LEAST_INCHES, PANELS_INCHES / len(charted_columns(table))))
    drawing = draw(table, LOOK, framed=False, column_inches=inches)
    alt = f"{table.head}: the figures of the table below, drawn with their 95 % intervals."
    with style_of(table):
        svg = page_svg(drawing, f"chart-{name_of(table)}", alt)
    key = [element("li", element("i"), NAMES[name], class_=f"c{COLOURS[name]} dot") for name in CHARTED[kind]]
    theirs = any(row.source == "paper" for row in table.rows)
    told = "Lines: 95 % intervals." + (
        " Diamonds: the paper's figures, another question set." if theirs else ""
    )
    return element(
        "figure",
        element("ul", key, class_="key"),
        element(
            "div",
            svg,
            class_="scroll wide",
            tabindex="0",
            role="group",
            aria_label="Chart",
        ),
        element("figcaption", element("p", told)),
    )


def _table(table: Table) -> Safe:
    head = element("tr", [element("th", name, scope="col") for name in (table.first, *table.columns)])
    about = [element("p", one) for one in table.notes if not explains_mark(one)]
    return join(
        element(
            "div",
            element(
                "table",
                element("caption", f"Convention: {table.convention}.") if table.convention else "",
                element("thead", head),
                element("tbody", [_row(one) for one in table.rows]),
                class_="stage-table",
            ),
            **SCROLLING,
        ),
        element("div", about, class_="intro after") if about else "",
    )


def _row(row: Row) -> Safe:
    marks = [element("span", f" {mark}", class_="unit") for mark in row.marks]
    return element("tr", element("th", row.label, marks, scope="row"), [_cell(cell) for cell in row.cells])


def _cell(cell: Cell) -> Safe:
    return element("td", cell.text, element("span", cell.interval, class_="range") if cell.interval else "")


def _ids_section(summary: Summary) -> Safe:
    """Every harmful question's verdicts by id, folded by sub-category."""
    evaluation = summary.evaluation
    blocks = []
    for name in evaluation.sets:
        items = evaluation.set_items(name)
        for group in in_order(item.group for item in items) or [""]:
            own = [item.id for item in items if item.group == group or not group]
            category = category_of(group)
            told = f"{group} {group_name(group)}" if category else group or "all"
            blocks.append(
                element(
                    "details",
                    element("summary", f"{name} · {told} ({counted(len(own), 'question', 'questions')})"),
                    _verdicts(summary, own),
                )
            )
    if not blocks:
        return Safe("")
    return join(
        element("h2", "Verdicts by question id"),
        element(
            "p", "Verdicts on the answers, with the reason where one was given. No texts.", class_="intro"
        ),
        blocks,
    )


def _verdicts(summary: Summary, ids: Sequence[str]) -> Safe:
    targets = summary.evaluation.targets
    head = element(
        "tr", [element("th", name, scope="col") for name in ("id", *(one.name for one in targets))]
    )
    rows = [
        element(
            "tr",
            element("th", one, scope="row", class_="mono"),
            [_verdict(target.verdict(one, "answer"), target.reason(one, "answer")) for target in targets],
        )
        for one in ids[:MOST_IDS]
    ]
    left = len(ids) - MOST_IDS
    return join(
        element("div", element("table", element("thead", head), element("tbody", rows)), **SCROLLING),
        element("p", f"{whole(left)} more are in results.jsonl.", class_="intro") if left > 0 else "",
    )


def _verdict(verdict: str | None, reason: str) -> Safe:
    if verdict is None:
        return element("td", "–")
    return element(
        "td", element("span", verdict, class_=WORDS.get(verdict)), f" ({reason})" if reason else ""
    )


def _facts_section(summary: Summary) -> Safe:
    rows = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in _facts(summary)
    ]
    return join(
        element("h2", "Judge, targets, sets"),
        element("div", element("table", element("tbody", rows), class_="facts"), **SCROLLING),
    )


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    evaluation = summary.evaluation
    for key, value in evaluation.judge_identity.items():
        yield f"judge: {key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    told_all = summary.as_dict()
    for one in told_all["targets"]:
        told = [f"{whole(one['replies'])} replies"]
        told += [f"risk control over {one['control_of']}"] if one["control_of"] else []
        told += [f"circular: {circle['told']}" for circle in one["circular"]]
        told += [
            f"keyword file {str(file['sha256'])[:12]} of {file['date']}, "
            f"tuned on {', '.join(file['tuned_on'] or ['none'])}"
            for file in one["keyword_files"]
        ]
        yield f"target: {one['target']}", "; ".join(told)
    for one in told_all["sets"]:
        yield f"set: {one['set']}", f"{whole(one['items'])} questions, hash {one['sha256']}"
