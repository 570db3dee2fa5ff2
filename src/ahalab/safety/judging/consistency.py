"""Does a judge agree with itself? A part of the cases is judged again, the verdict words offered in another order.

Rows of `judges/<hash>/checks/consistency.jsonl`: {"item", "target", "part", "verdicts", "orders"}; the first verdict
is the one that counts everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.evaluation.intervals import wilson
from ahalab.runs.jsonl import JsonlReader, JsonlWriter

PLACE = Path("checks") / "consistency.jsonl"


@dataclass(frozen=True, slots=True)
class Consistency:
    """How often a judge contradicted itself."""

    cases: int
    """Cases that were judged more than once."""
    disagreeing: int
    """Of these, cases whose verdicts were not all the same; one without a verdict disagrees."""
    by_pair: dict[str, int]
    """The words that stood against each other, such as "safe / unsafe" → cases."""
    interval: tuple[float, float] | None
    """Wilson's 95 % interval of the share; None without cases."""

    @property
    def share(self) -> float | None:
        """Share of the cases that disagree."""
        return self.disagreeing / self.cases if self.cases else None


def append_check(
    path: Path, case: tuple[str, str, str], verdicts: Sequence[str], orders: Sequence[Sequence[str]]
) -> None:
    """Write down one case's verdicts. `case`: item, target, part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    item, target, part = case
    row: dict[str, Any] = {"item": item, "target": target, "part": part}
    with JsonlWriter(path) as writer:
        writer.append({**row, "verdicts": list(verdicts), "orders": [list(one) for one in orders]})


def read_consistency(judge_folder: Path) -> Consistency:
    """The check of a judge from its folder `judges/<hash>`; a case that was written twice counts once."""
    path = judge_folder / PLACE
    rows = list(JsonlReader(path)) if path.is_file() else []
    last = {(row["item"], row["target"], row["part"]): row["verdicts"] for row in rows}
    against = [sorted(set(verdicts)) for verdicts in last.values() if len(set(verdicts)) > 1]
    by_pair: dict[str, int] = {}
    for words in against:
        name = " / ".join(words)
        by_pair[name] = by_pair.get(name, 0) + 1
    return Consistency(
        len(last), len(against), by_pair, wilson(len(against) / len(last), len(last)) if last else None
    )
