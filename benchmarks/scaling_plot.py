"""The picture of `scaling`: one column a sweep, time above, memory below, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.harness import hardware

if TYPE_CHECKING:
    from benchmarks.scaling import Measured

INK, MUTED, GRID = "#1c1d21", "#5b606b", "#d9dbe0"
LINES = (
    ("seconds", "step", "#000000", "o", 2.0),
    ("seconds_sample", "sampling", "#0072B2", "s", 1.4),
    ("seconds_learn", "learning", "#D55E00", "^", 1.4),
)
"""Okabe and Ito's colours, which colour-blind readers tell apart; the markers differ too."""
MEMORY = "#009E73"


def growth(measured: Measured, quantity: str) -> str:
    """What a panel shows, in words: "16 × the samples per prompt: 12 × the time"."""
    x, y = measured.x, measured.medians(quantity)
    what = "memory" if quantity == "memory_mb" else "time"
    return f"{x[-1] / x[0]:,.0f} × the {measured.sweep.axis}:\n{y[-1] / y[0]:.3g} × the {what}"


def draw(found: Sequence[Measured], path: Path, threads: int) -> None:
    """Write the PNG."""
    figure = Figure(figsize=(4.0 * len(found), 7.6), dpi=150, facecolor="white")
    grid: Any = figure.subplots(2, len(found), squeeze=False)
    for column, measured in enumerate(found):
        above, below = grid[0][column], grid[1][column]
        for quantity, label, colour, marker, width in LINES:
            _curve(above, measured, quantity, label, colour, marker, width)
        _curve(below, measured, "memory_mb", "memory", MEMORY, "D", 2.0)
        for axes, quantity in ((above, "seconds"), (below, "memory_mb")):
            _dress(axes, measured)
            axes.set_title(growth(measured, quantity), loc="left", fontsize=11, color=INK)
        below.set_xlabel(measured.sweep.axis, color=MUTED)
    grid[0][0].set_ylabel("seconds a step", color=MUTED)
    grid[1][0].set_ylabel("peak memory without libraries, MiB", color=MUTED)
    machine = hardware(threads)
    figure.suptitle(
        f"One GRPO step, fp32, {machine['processor']}, {threads} threads, torch {machine.get('torch')}.   "
        "Dashed: fitted power; its exponent in the key.",
        x=0.012,
        ha="left",
        fontsize=10,
        color=MUTED,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(path)


def _curve(
    axes: Any, measured: Measured, quantity: str, label: str, colour: str, marker: str, width: float
) -> None:
    x, y, fit = measured.x, measured.medians(quantity), measured.fits[quantity]
    lows = [min(figures[quantity] for figures in rounds) for rounds in measured.rounds]
    highs = [max(figures[quantity] for figures in rounds) for rounds in measured.rounds]
    axes.vlines(x, lows, highs, color=colour, linewidth=width, alpha=0.5)
    axes.plot(x, [fit.factor * value**fit.exponent for value in x], "--", color=colour, linewidth=0.9)
    error = "" if fit.error is None else f" ± {fit.error:.2f}"
    axes.plot(
        x,
        y,
        marker,
        color=colour,
        markersize=5,
        linestyle="-",
        linewidth=width,
        label=f"{label} {fit.exponent:.2f}{error}",
    )


def _dress(axes: Any, measured: Measured) -> None:
    axes.set_xscale("log", base=2 if measured.sweep.key != "parameters" else 10)
    axes.set_yscale("log")
    if measured.sweep.key != "parameters":
        axes.set_xticks(measured.x)
    low, high = axes.get_ylim()
    if high < 10 * low:  # what hardly grows is to look like it
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.5, middle * 10**0.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_short))
        axis.set_minor_formatter(NullFormatter())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(which="both", colors=MUTED, labelsize=8)
    axes.grid(which="major", color=GRID, linewidth=0.7)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _short(value: float, _: object = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size and not (letter == "k" and value < 10_000):
            return f"{value / size:g}{letter}"
    return f"{value:g}"
