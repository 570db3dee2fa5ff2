"""Numbers and sentences of the report. Every sentence is made from the data it describes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ahalab.analysis.curves import TAIL_STEPS, Curve, ratio
from ahalab.analysis.evaluations import Figure

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """About three significant digits, thousands separated: 0.12, 0.0034, 2.61, 107, 12,345, 3.1×10⁻⁶."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    if size < 0.1:
        return f"{value:.2g}"
    if size < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def whole(value: float) -> str:
    """A count, thousands separated."""
    return f"{value:,.0f}"


def times(value: float | None) -> str:
    """A ratio as words ("7.5 times"), "" where there is none."""
    if value is None:
        return ""
    if value < 0.995:
        return f"{value:.2f} times" if value >= 0.1 else f"{value:.2g} times"
    return f"{value:,.0f} times" if value >= 9.95 else f"{value:.1f} times"


def interval(figure: Figure) -> str:
    """As "0.83 [0.81, 0.85]", or the bare number where there is no interval."""
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} [{number(figure.low)}, {number(figure.high)}]"


def minutes(seconds: float) -> str:
    """Seconds as "under 1 s", "48 s", "5.2 min" or "3.1 h"."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def course(name: str, curve: Curve) -> str:
    """What one curve does, in numbers: first value, last value, ratio, end mean, step of the maximum."""
    if len(curve) == 1:
        return f"{name}: {number(curve.first)} at step {curve.steps[0]}, the only step so far."
    grown = times(curve.ratio)
    if min(curve.values) == max(curve.values):
        return f"{name}: {number(curve.first)} at every step."
    parts = [
        f"{name}: {number(curve.first)} at step {curve.steps[0]}",
        f" → {number(curve.last)} at step {curve.steps[-1]}",
        f" ({grown})" if grown else "",
    ]
    if len(curve) > 2 * TAIL_STEPS:
        parts.append(f", {number(curve.end)} on average over the last {TAIL_STEPS} steps")
    step, value = curve.highest
    parts.append(
        f"; highest {number(value)} at step {step}." if value > min(curve.values) else "; never changes."
    )
    return "".join(parts)


def change(curve: Curve) -> str:
    """First and last value: "0.31 → 2.45 (7.9 times)"."""
    grown = times(curve.ratio)
    return f"{number(curve.first)} → {number(curve.last)}" + (f" ({grown})" if grown else "")


def movement(before: Figure, after: Figure) -> str:
    """The verb that the two numbers allow: a difference inside the intervals is called none."""
    if after.value == before.value:
        return "stayed the same"
    if before.apart_from(after) is False:
        return "did not change beyond its interval"
    return "rose" if after.value > before.value else "fell"


def multiple(before: float, after: float) -> str:
    """As "grew 2.4 times, from 22.1 to 53.0", or "went from 3.0 to 2.1 (0.70 times)"."""
    grown = ratio(before, after)
    if grown is None:
        return f"went from {number(before)} to {number(after)}"
    if grown > 1:
        return f"grew {times(grown)}, from {number(before)} to {number(after)}"
    return f"went from {number(before)} to {number(after)} ({times(grown)})"


def listing(items: Sequence[str]) -> str:
    """Items as "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def counted(count: float, one: str, many: str) -> str:
    """A count as "no grader errors", "1 grader error", "12 grader errors"."""
    if count == 0:
        return f"no {many}"
    return f"{whole(count)} {one if count == 1 else many}"


def flatten(facts: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested facts as dotted names and texts, for a table."""
    flat: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        elif isinstance(value, bool):
            flat[f"{prefix}{name}"] = "yes" if value else "no"
        elif isinstance(value, float) and math.isfinite(value):
            flat[f"{prefix}{name}"] = f"{value:g}"
        elif value is not None:
            flat[f"{prefix}{name}"] = str(value)
    return flat
