"""The printed report of `aha data tests`: what was kept and dropped, and why. Ids and errors are hostile text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ahalab.text.hostile import make_visible


def print_report(console: Console, report: Mapping[str, Any], show: int) -> None:
    """What was kept and dropped, and why."""
    totals = report["totals"]
    if show:
        console.print(_problem_table(report["problems"], show))
        if len(report["problems"]) > show:
            console.print(
                f"… and {len(report['problems']) - show:,} more problems in the report", highlight=False
            )
    if totals["dropped"]:
        console.print(_dropped_table(report))
    for line in summary_lines(totals):
        console.print(line, markup=False, highlight=False)


def summary_lines(totals: Mapping[str, Any]) -> list[str]:
    """The totals in words."""
    lines = [
        f"problems: {totals['problems']:,}, with tests {totals['with_tests']:,}"
        + _listed(", left out", totals["left_out"])
        + _listed(", bad rows", totals["bad_rows"]),
        f"inputs: {totals['inputs']:,} different ones from {totals['generators']:,} generators, {totals['valid']:,} "
        f"valid, {totals['kept']:,} kept",
        f"wrong submissions: {totals['wrong']:,}, exposed {totals['exposed']:,}"
        + (f", never exposed {totals['not_exposed']:,}" if totals["not_exposed"] else ""),
        f"smallest set: {_proven(totals['covers'])}",
        f"runs of submissions: {totals['runs']:,}"
        + (f", not made after time-outs {totals['runs_not_made']:,}" if totals["runs_not_made"] else ""),
    ]
    if totals["no_generators_written"]:
        lines.append("no generators written:" + _listed("", totals["no_generators_written"]))
    if totals["answers_not_checked"]:
        lines.append(f"answers on which a checker failed: {totals['answers_not_checked']:,}")
    if totals["submissions_left_out"]:
        lines.append(f"submissions left out (see the report): {totals['submissions_left_out']:,}")
    return lines


def _proven(covers: Mapping[str, int]) -> str:
    """ "proven for 48, nothing exposed in 2 of 50 problems"."""
    words = {"exact": "proven for", "greedy": "best found for", "none": "nothing exposed in"}
    told = [f"{words[method]} {count:,}" for method, count in covers.items()]
    return f"{', '.join(told)} of {sum(covers.values()):,} problems" if told else "–"


def _listed(what: str, counts: Mapping[str, int]) -> str:
    """ ", left out 3 (2 no generator, 1 no correct submission)"."""
    if not counts:
        return ""
    parts = ", ".join(f"{count:,} {_plain(reason)}" for reason, count in counts.items())
    return f"{what} {sum(counts.values()):,} ({parts})" if what else f" {parts}"


def _problem_table(problems: list[dict[str, Any]], show: int) -> Table:
    table = Table(title="test cases", title_justify="left", title_style="bold")
    table.add_column("problem", overflow="fold")
    for name in ("generators", "inputs", "valid", "kept", "smallest", "exposed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes", overflow="fold")
    for one in problems[:show]:
        cover = one.get("cover")
        table.add_row(
            escape(_plain(one["id"])),
            *(str(one.get(name, "–")) for name in ("generators", "inputs", "valid")),
            str(len(one["kept"])) if "kept" in one else "–",
            _cover(cover) if cover else "–",
            f"{one['exposed']}/{one['wrong']}" if "exposed" in one else "–",
            escape(_plain(_notes(one))),
        )
    return table


def _cover(cover: Mapping[str, Any]) -> str:
    """ "3", proven; "4 (≥ 3)", the best found and what is proven; "–" where nothing was to be exposed."""
    if cover["method"] == "none":
        return "–"
    return str(cover["cases"]) if cover["method"] == "exact" else f"{cover['cases']} (≥ {cover['at_least']})"


def _notes(one: Mapping[str, Any]) -> str:
    notes = []
    if "left_out" in one:
        notes.append(f"left out: {one['left_out']}")
    if one.get("not_exposed"):
        notes.append(f"never exposed: {', '.join(one['not_exposed'])}")
    if one.get("wrong") == 0:
        notes.append("no wrong submission: cases that differ most")
    if one.get("submissions_left_out"):
        notes.append("; ".join(one["submissions_left_out"]))
    if "no_generators_written" in one:
        notes.append(f"no generators written: {one['no_generators_written']}")
    return " · ".join(notes)


def _dropped_table(report: Mapping[str, Any]) -> Table:
    table = Table(title="dropped", title_justify="left", title_style="bold")
    table.add_column("reason", no_wrap=True)
    table.add_column("inputs", justify="right", no_wrap=True)
    table.add_column("problems", justify="right", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for reason, counts in report["totals"]["dropped"].items():
        example = next(
            (
                f"{one['id']}, {one['dropped'][reason]['first'][0]}"
                for one in report["problems"]
                if reason in one.get("dropped", {})
            ),
            "",
        )
        table.add_row(
            escape(reason), f"{counts['inputs']:,}", f"{counts['problems']:,}", escape(_plain(example)[:160])
        )
    return table


def _plain(text: str) -> str:
    return make_visible(text.replace("\n", " "))
