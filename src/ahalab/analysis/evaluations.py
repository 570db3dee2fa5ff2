"""Held-out evaluations: the figures an evaluate stage left in its manifest, in one typed shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ahalab.analysis.curves import is_number, ratio

INTERVAL_KEYS = ("value", "low", "high", "n", "k")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its interval, where it has one: `low` and `high` are 95 % bounds, `n` prompts, `k` samples each."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    k: int | None = None

    def apart_from(self, other: Figure) -> bool | None:
        """Whether the two intervals do not touch; None where one of the two has no interval."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        return self.low > other.high or other.low > self.high


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluate stage: whose weights, which figures."""

    stage: str
    of: str
    """"base" or the name of the stage whose checkpoint was evaluated."""
    figures: Mapping[str, Figure]
    levels: Mapping[str, Figure]
    """pass@1 by difficulty level, in the order of the levels."""
    settings: Mapping[str, Any]
    """How it was sampled: temperature, top_p, max_new_tokens …"""


def read_figures(figures: Mapping[str, Any]) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """(figures, pass@1 by level) from a manifest's `figures`; what is not a number is left out."""
    plain = {str(name): figure for name, value in figures.items() if (figure := as_figure(value))}
    by_level = figures.get("by_level")
    levels: dict[str, Figure] = {}
    if isinstance(by_level, Mapping):
        for level in sorted(by_level, key=_level_order):
            entry = by_level[level]
            nested = entry.get("pass@1") if isinstance(entry, Mapping) else None
            figure = as_figure(nested if nested is not None else entry)
            if figure:
                levels[str(level)] = figure
    return plain, levels


def as_figure(value: object) -> Figure | None:
    """A bare number or a {"value", "low", "high", "n", "k"} mapping; None for anything else."""
    if is_number(value):
        return Figure(float(value))
    if not isinstance(value, Mapping) or not is_number(value.get("value")):
        return None
    known = {key: value[key] for key in INTERVAL_KEYS if is_number(value.get(key))}
    return Figure(
        value=float(known["value"]),
        low=float(known["low"]) if "low" in known else None,
        high=float(known["high"]) if "high" in known else None,
        n=int(known["n"]) if "n" in known else None,
        k=int(known["k"]) if "k" in known else None,
    )


def figure_ratio(before: Figure | None, after: Figure | None) -> float | None:
    """After over before; None where one is missing or before is not above zero."""
    return ratio(before.value, after.value) if before and after else None


def _level_order(level: object) -> tuple[float, str]:
    text = str(level)
    return (float(text), text) if text.lstrip("-").replace(".", "", 1).isdigit() else (float("inf"), text)
