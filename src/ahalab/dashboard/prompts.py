"""One prompt over several stages, and which prompts can be compared so."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ahalab.dashboard.files import prompt_of
from ahalab.dashboard.filters import VERDICTS
from ahalab.dashboard.index import FILE_BITS, ROW_BITS, first_key, prompt_hash
from ahalab.dashboard.query import read_row
from ahalab.dashboard.samples import full

SUGGESTED = 12
"""Prompts offered for comparison (our choice)."""
LISTED = 48
"""Samples listed of one stage at most, the first and the last halves of more (our choice)."""
LOOKED_AT = 4_000
"""Rows of a stage in which prompts for comparison are looked for."""
_WORDS = {number: name for name, number in VERDICTS.items()}


def compare_prompt(
    connection: sqlite3.Connection,
    folders: Mapping[str, Path],
    stages: Sequence[str],
    prompt: str,
    sample: int,
) -> list[dict[str, Any]]:
    """Per stage that has the prompt: how many samples, how many right, the `sample`-th of the first and last time."""
    numbers = {
        str(name): int(number) for number, name in connection.execute("SELECT number, name FROM stages")
    }
    hashed = prompt_hash(prompt)
    compared = []
    for stage in stages:
        if stage not in numbers:
            continue
        low = numbers[stage] << FILE_BITS
        files = connection.execute(
            "SELECT file FROM prompts WHERE prompt = ? AND file BETWEEN ? AND ? ORDER BY file",
            (hashed, low, low + (1 << FILE_BITS) - 1),
        ).fetchall()
        rows = [row for (file,) in files for row in _rows(connection, file, hashed)]
        if not rows:
            continue
        groups: dict[int, list[tuple[int, int, int]]] = {}
        for row in rows:
            groups.setdefault(row[1], []).append(row)
        steps = list(groups)
        shown = []
        for step in dict.fromkeys((steps[0], steps[-1])):
            key = groups[step][min(sample, len(groups[step]) - 1)][0]
            found = read_row(connection, folders, key)
            if found is not None and prompt_of(found.row) == prompt:
                shown.append(full(found))
        listed = rows if len(rows) <= LISTED else [*rows[: LISTED // 2], *rows[-LISTED // 2 :]]
        compared.append(
            {
                "stage": stage,
                "samples": len(rows),
                "right": sum(one[2] == VERDICTS["right"] for one in rows),
                "graded": sum(one[2] != VERDICTS["ungraded"] for one in rows),
                "most": max(len(group) for group in groups.values()),
                "shown": shown,
                "listed": [
                    {"key": str(key), "step": step, "verdict": _WORDS.get(mark, "ungraded")}
                    for key, step, mark in listed
                ],
            }
        )
    return compared


def suggest_prompts(
    connection: sqlite3.Connection, folders: Mapping[str, Path], stages: Sequence[str]
) -> list[dict[str, Any]]:
    """Prompts that most stages have: looked for in the first samples of each stage, the last stage first."""
    numbers = {
        int(number): str(name) for number, name in connection.execute("SELECT number, name FROM stages")
    }
    best: dict[int, tuple[int, int]] = {}
    for number in (number for stage in reversed(stages) for number, name in numbers.items() if name == stage):
        low = first_key(number << FILE_BITS)
        rows = connection.execute(
            "SELECT prompt, MIN(key) FROM (SELECT prompt, key FROM samples WHERE key >= ? AND key < ? ORDER BY key "
            "LIMIT ?) GROUP BY prompt ORDER BY MIN(key) LIMIT 200",
            (low, low + (1 << (FILE_BITS + ROW_BITS)), LOOKED_AT),
        ).fetchall()
        for prompt, key in rows:
            if prompt not in best:
                files = connection.execute(
                    "SELECT DISTINCT file >> ? FROM prompts WHERE prompt = ?", (FILE_BITS, prompt)
                )
                best[prompt] = (sum(numbers.get(stage) in folders for (stage,) in files.fetchall()), key)
        if sum(count > 1 for count, _ in best.values()) >= SUGGESTED * 4:
            break
    chosen = sorted((item for item in best.values() if item[0] > 1), key=lambda item: (-item[0], item[1]))
    suggested = []
    for count, key in chosen[:SUGGESTED]:
        found = read_row(connection, folders, key)
        if found is not None:
            line = full(found)
            suggested.append(
                {"prompt_id": line["prompt_id"], "stages": count, "question": line["question"][:3]}
            )
    return suggested


def _rows(connection: sqlite3.Connection, file: int, prompt: int) -> list[tuple[int, int, int]]:
    """(key, step, verdict) of the prompt's samples in one file."""
    start = first_key(file)
    return connection.execute(
        "SELECT key, step, verdict FROM samples WHERE key BETWEEN ? AND ? AND prompt = ? ORDER BY key",
        (start, start + (1 << ROW_BITS) - 1, prompt),
    ).fetchall()
