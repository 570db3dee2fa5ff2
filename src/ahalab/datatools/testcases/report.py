"""What a whole run kept and dropped: totals over its problems, JSON-able and without clock values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ahalab import __version__


def summarise(
    problems: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], skipped: Mapping[str, int]
) -> dict[str, Any]:
    """The report: settings, totals, and the part of every problem."""
    made = [one for one in problems if "left_out" not in one]
    dropped: dict[str, dict[str, int]] = {}
    for one in problems:
        for reason, told in one.get("dropped", {}).items():
            total = dropped.setdefault(reason, {"inputs": 0, "problems": 0})
            total["inputs"] += told["count"]
            total["problems"] += 1
    wrong, exposed = _sum(made, "wrong"), _sum(made, "exposed")
    return {
        "ahalab": __version__,
        "settings": dict(settings),
        "totals": {
            "problems": len(problems),
            "bad_rows": dict(skipped),
            "with_tests": len(made),
            "left_out": _counted(one["left_out"] for one in problems if "left_out" in one),
            "no_generators_written": _counted(
                one["no_generators_written"] for one in problems if "no_generators_written" in one
            ),
            "generators": _sum(problems, "generators"),
            "inputs": _sum(problems, "inputs"),
            "valid": _sum(problems, "valid"),
            "kept": sum(len(one["kept"]) for one in made),
            "dropped": dict(sorted(dropped.items())),
            "runs": _sum(problems, "runs"),
            "runs_not_made": _sum(problems, "runs_not_made"),
            "answers_not_checked": _sum(problems, "answers_not_checked"),
            "submissions_left_out": sum(len(one.get("submissions_left_out", ())) for one in problems),
            "wrong": wrong,
            "exposed": exposed,
            "not_exposed": wrong - exposed,
            "covers": _counted(one["cover"]["method"] for one in made),
        },
        "problems": [dict(one) for one in problems],
    }


def _sum(problems: Iterable[Mapping[str, Any]], key: str) -> int:
    return sum(one.get(key, 0) for one in problems)


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
