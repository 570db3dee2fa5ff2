"""The tables of `aha data stats` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(found: Mapping[str, Any]) -> str:
    """What `Figures.as_dict` holds, as Markdown tables."""
    lines = [f"`{found['file']}`: {found['rows']:,} rows" + _left_out(found["skipped"]), ""]
    lines += [f"Tokens are {found['tokens_are']}.", ""]
    if found["samples"]:
        rows = [
            [_cell(one["domain"]), f"{one['samples']:,}", f"{one['rounds']:.1f}", f"{one['tokens']:,.1f}"]
            for one in found["samples"]
        ]
        lines += _table(["domain", "samples", "avg rounds", "avg tokens"], rows, "lrrr")
        lines += _note("rows that are no worked answer", found["samples_left_out"])
    if found["prompts"]:
        rows = [
            [
                _cell(one["type"]),
                f"{one['prompts']:,}",
                one["question_type"],
                one["output_type"],
                f"{one['tokens']:,.1f}",
            ]
            for one in found["prompts"]
        ]
        lines += _table(["type", "prompts", "question type", "output type", "avg tokens"], rows, "lrllr")
        lines += _note("rows that make no prompt", found["prompts_left_out"])
    rows = [
        [_cell(one["domain"]), one["language"], f"{one['rows']:,}", f"{100 * one['share']:.1f} %"]
        for one in found["languages"]
    ]
    lines += _table(["domain", "language", "rows", "share"], rows, "llrr")
    lines += [
        "A language is what the mapping says; else zh where the question has any Han character, and en.",
        "",
    ]
    shown = ("mean", "smallest", "p5", "p25", "p50", "p75", "p95", "p99", "largest")
    rows = [[part, *(f"{one[name]:,.0f}" for name in shown)] for part, one in found["lengths"].items()]
    lines += _table(["tokens of", *shown], rows, "l" + "r" * len(shown))
    lines += [f"Percentiles are {found['percentiles']}."]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    rule = "|".join("---" if side == "l" else "---:" for side in sides)
    return [
        "| " + " | ".join(heads) + " |",
        f"|{rule}|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:60]


def _left_out(reasons: Mapping[str, int]) -> str:
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f" ({told} left out)" if told else ""


def _note(what: str, reasons: Mapping[str, int]) -> list[str]:
    return (
        [f"{what}: {', '.join(f'{count:,} {reason}' for reason, count in reasons.items())}", ""]
        if reasons
        else []
    )
