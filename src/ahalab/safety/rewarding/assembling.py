"""Last step: the rows of all shards and the given ones as one file, and what became of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import TEMPORARY_PREFIX, read_json, write_json
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import JsonlWriter, read_jsonl

DATA_FOLDER, LABELLED_NAME, SUMMARY_NAME = "data", "labelled.jsonl", "summary.json"
APPLIED_NAME = "applied.json"
"""Of the human check: id → label by agreement of both annotators, where the user wanted it applied."""
RARE = 0.1
"""A class with a smaller share is warned of, as in the `labels` stage."""


def shard_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of every finished shard, in order."""
    for path in sorted(folder.glob("shards/*/rows.jsonl")):
        yield from read_jsonl(path)


def labelled_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every labelled row, by the judge's label: made ones, then given ones without those whose labels contradict."""
    for line in shard_lines(folder):
        if line["row"] is not None:
            yield line["row"]
    contradictory = set(read_json(folder / "gathered.json")["contradictory"])
    for row in read_jsonl(folder / "given.jsonl"):
        if row["id"] not in contradictory:
            yield row


def assemble(folder: Path) -> dict[str, Any]:
    """Write `data/labelled.jsonl` and `summary.json`; the summary."""
    gathered = read_json(folder / "gathered.json")
    applied = _applied(folder)
    dropped = Counter(gathered["dropped"])
    responses = 0
    for line in shard_lines(folder):
        responses += 1
        if line["drop"]:
            dropped[line["drop"]] += 1
    # The first of two responses with contradictory labels was taken before the second was seen.
    dropped["contradictory labels"] += len(set(gathered["contradictory"]))
    balance: Counter[tuple[str, str, bool]] = Counter()
    thinking = corrected = 0
    data = folder / DATA_FOLDER
    data.mkdir(exist_ok=True)
    aside = data / f"{TEMPORARY_PREFIX}{LABELLED_NAME}"
    aside.unlink(missing_ok=True)
    with JsonlWriter(aside) as writer:
        for row in labelled_rows(folder):
            label = applied.get(row["id"])
            if label is not None and label != row["safe"]:
                row = {**row, "safe": label}
                corrected += 1
            balance[row["source"], row["language"], row["safe"]] += 1
            thinking += bool(row["thinking"])
            writer.append(row)
    aside.replace(data / LABELLED_NAME)
    settings = read_json(folder / "rewards.json")
    safe = sum(count for (_, _, one), count in balance.items() if one)
    total = balance.total()
    summary = {
        "guideline": settings["guideline"],
        "judge": settings["judge"],
        "excluded": settings["excluded"],
        "rows_read": gathered["rows"],
        "prompts": gathered["prompts"],
        "given": gathered["given"],
        "responses": responses,
        "rows": total,
        "safe": safe,
        "unsafe": total - safe,
        "with_thinking": thinking,
        "corrected_by_humans": corrected,
        "by_source": _table(balance, 0),
        "by_language": _table(balance, 1),
        "dropped": {reason: count for reason, count in sorted(dropped.items(), key=_most_first) if count},
        "unused_recorded": {
            path.parent.name: read_json(path) for path in sorted(folder.glob("recorded/*/sorted.json"))
        },
        "tokens": _tokens(folder),
        "warnings": _warnings(safe, total),
        "sha256": file_hash(data / LABELLED_NAME),
    }
    write_json(folder / SUMMARY_NAME, summary)
    return summary


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _table(balance: Mapping[tuple[str, str, bool], int], part: int) -> dict[str, dict[str, int]]:
    names = sorted({key[part] for key in balance if isinstance(key[part], str)}, key=str)
    return {
        str(name): {
            word: sum(count for key, count in balance.items() if key[part] == name and key[2] is label)
            for word, label in (("safe", True), ("unsafe", False))
        }
        for name in names
    }


def _tokens(folder: Path) -> dict[str, int]:
    spent: Counter[str] = Counter()
    for path in folder.glob("shards/*/spent.json"):
        spent.update(read_json(path)["tokens"])
    return dict(sorted(spent.items()))


def _applied(folder: Path) -> dict[str, bool]:
    path = folder / "check" / APPLIED_NAME
    return read_json(path) if path.is_file() else {}


def _warnings(safe: int, total: int) -> list[str]:
    found = []
    for name, count in (("safe", safe), ("unsafe", total - safe)):
        if total == 0 or count == 0:
            found.append(f"no response is {name}: nothing can be learned from labels of one class")
        elif count / total < RARE:
            found.append(
                f"only {count:,} of {total:,} responses are {name}: a reward model can be right nearly always without "
                "knowing them. More sources whose replies differ would help"
            )
    return found
