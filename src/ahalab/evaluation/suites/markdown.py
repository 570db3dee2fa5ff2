"""The table of an evaluation, for Markdown and for the terminal: points of 100 with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = ("suite", "n", "k", "pass@1", "pass@k", "cons@k", "cut off", "no answer", "errors")

Row = tuple[str, ...]


def table(evaluation: Mapping[str, Any]) -> list[Row]:
    """The rows below `HEAD`: one a suite, and below a suite with several domains one a domain."""
    rows: list[Row] = []
    for name, figures in evaluation["suites"].items():
        k = figures["k"]
        rows.append(
            (
                name,
                str(figures["n"]),
                str(k),
                points(figures.get("pass@1")),
                points(figures.get(f"pass@{k}")) if k > 1 else "",
                points(figures.get(f"cons@{k}")) if k > 1 else "",
                percent(figures.get("truncated")),
                share(figures["no_answer"], figures["samples"]),
                str(sum(figures["errors"].values())),
            )
        )
        domains = figures.get("by_domain", {})
        if len(domains) > 1:
            rows += [_domain(domain, found, k) for domain, found in domains.items()]
    return rows


def _domain(name: str, found: Mapping[str, Any], k: int) -> Row:
    passed = points(found.get(f"pass@{k}")) if k > 1 and found.get(f"pass@{k}") else ""
    return (f"· {name}", str(found["n"]), str(k), points(found.get("pass@1")), passed, "", "", "", "")


def notes(evaluation: Mapping[str, Any]) -> list[str]:
    """Sentences below the table: how it was sampled, further figures, and what could not be measured."""
    lines: list[str] = []
    for name, figures in evaluation["suites"].items():
        settings = ", ".join(f"{key} {value}" for key, value in figures["settings"].items())
        lines.append(f"{name}: {settings}.")
        if figures["n"] < figures["wanted"]:
            lines.append(f"{name}: only {figures['n']} of {figures['wanted']} items are answered so far.")
        k = figures["k"]
        between = [
            key
            for key, value in figures.items()
            if key.startswith("pass@") and key not in ("pass@1", f"pass@{k}") and isinstance(value, Mapping)
        ]
        if between:
            told = ", ".join(f"{key} {points(figures[key])}" for key in between)
            lines.append(f"{name}: {told}.")
        if "win_rate" in figures:
            lines.append(_comparison(name, figures))
        if figures["found"]:
            ways = ", ".join(f"{way} {count}" for way, count in figures["found"].items())
            lines.append(f"{name}: answers found by: {ways}.")
        if "verdicts" in figures:
            came = ", ".join(f"{kind} {count}" for kind, count in figures["verdicts"].items())
            lines.append(f"{name}: verdicts on programs: {came}.")
        if figures["errors"]:
            failed = ", ".join(f"{count} × {reason}" for reason, count in figures["errors"].items())
            lines.append(f"{name}: not graded, and in no figure: {failed}.")
    return lines


def _comparison(name: str, figures: Mapping[str, Any]) -> str:
    told = f"{name}: win rate {points(figures['win_rate'])}"
    told += f", at equal length {points(figures.get('win_rate_equal_length'))}"
    failed = figures.get("judge_errors", 0)
    return f"{told}, judge {figures['judge']}" + (f", {failed} verdicts failed." if failed else ".")


def markdown(evaluation: Mapping[str, Any]) -> str:
    """The whole table as Markdown."""
    lines = [
        f"# Evaluation of {_cell(str(evaluation['answerer']['model']))}",
        "",
        "Points of 100 with 95 % intervals; n items, k samples an item.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
        *(f"| {' | '.join(map(_cell, row))} |" for row in table(evaluation)),
        "",
        *(f"- {_cell(line)}" for line in notes(evaluation)),
    ]
    return "\n".join(lines) + "\n"


def points(figure: object) -> str:
    """ "12.5 [8.0, 17.4]" in points of 100, "–" where there is none."""
    if not isinstance(figure, Mapping):
        return "–"
    value, low, high = (100 * float(figure[key]) for key in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def percent(value: object) -> str:
    """ "3.0 %", "–" where it was not measured."""
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "–"


def share(part: int, whole: int) -> str:
    """`part` of `whole` in per cent."""
    return percent(part / whole) if whole else "–"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
