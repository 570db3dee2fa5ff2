"""Figures as inline SVG whose colours are the page's own CSS variables, and one PNG for a README."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.analysis.curves import Curve
from ahalab.analysis.evaluations import Figure
from ahalab.report.markup import Safe, attribute
from ahalab.report.wording import number
from ahalab.text.hostile import make_visible

STEPS_LABEL = "policy updates made (0 = the weights at the start)"
DRAWN_POINTS = 400
"""Points of a line at most: a run of 10,000 steps must not make a page of 10 MB (our choice)."""
INK, MUTED, GRID = "#000001", "#000002", "#000003"
"""Stand-in colours: matplotlib writes them, `_follow_page` replaces them by CSS variables."""
SERIES = tuple(f"#00001{i}" for i in range(1, 7))
PICTURE_COLOURS = ("#2456b8", "#c2410c", "#0f7b53")


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a figure. `colour` 1 … 6 is also its swatch in the page's key."""

    label: str
    curve: Curve
    colour: int
    dashed: bool = False
    smooth: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A held-out figure drawn over the curves at a step, with its interval."""

    step: int
    figure: Figure
    colour: int


def draw_lines(
    name: str,
    alt: str,
    lines: Sequence[Line],
    *,
    y_label: str,
    share: bool = False,
    logarithmic: bool = False,
    small: bool = False,
    marks: Sequence[Mark] = (),
) -> Safe:
    """Curves over steps as an `<svg>`: thin as recorded, thick smoothed, a ring at step 0 and its level dotted.

    `name` must be unique in the page and start with a letter: all ids inside the drawing start with it.
    """
    size = (3.5, 1.95) if small else (5.2, 3.0)
    with _style(name):
        figure, axes = _canvas(size, below=18 if small else 34)
        for i, line in enumerate(lines):
            _draw_line(axes, line, SERIES[line.colour - 1], level=i == 0 or len(lines) == 2)
        for mark in marks:
            _draw_mark(axes, mark, SERIES[mark.colour - 1])
        _finish(axes, lines, y_label, share, logarithmic, small)
        return page_svg(figure, name, alt)


def draw_levels(
    name: str,
    alt: str,
    columns: Sequence[tuple[str, Mapping[str, Figure]]],
    *,
    levels: Sequence[str],
    x_label: str,
    y_label: str,
    share: bool = False,
) -> Safe:
    """A figure by level of difficulty: a dot with its interval per evaluation, side by side at each level."""
    with _style(name):
        figure, axes = _canvas((5.2, 3.0))
        for i, (_, figures) in enumerate(columns):
            shift = (i - (len(columns) - 1) / 2) * 0.22
            for x, level in enumerate(levels):
                if level in figures:
                    found = figures[level]
                    colour = SERIES[level_colour(i, len(columns)) - 1]
                    if found.low is not None and found.high is not None:
                        axes.plot([x + shift] * 2, [found.low, found.high], color=colour, linewidth=1.6)
                    axes.plot([x + shift], [found.value], marker="o", markersize=5, color=colour)
        axes.set_xticks(range(len(levels)), [make_visible(level)[:12] for level in levels], parse_math=False)
        axes.set_xlim(-0.5, len(levels) - 0.5)
        _dress(axes, x_label, y_label, share=share, steps=False)
        return page_svg(figure, name, alt)


def level_colour(index: int, count: int) -> int:
    """The last evaluation has the first colour, the base the grey one, what lies between the others."""
    return 1 if index == count - 1 else 6 if index == 0 else 1 + index


@dataclass(frozen=True, slots=True)
class PicturePanel:
    """One panel of the PNG."""

    heading: str
    y_label: str
    curve: Curve
    share: bool = False
    marks: Sequence[Mark] = ()


def draw_picture(panels: Sequence[PicturePanel], title: str) -> bytes:
    """A PNG of panels side by side on white."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    look = {"font.size": 10.5, "axes.unicode_minus": True, "path.simplify": False}
    with matplotlib.style.context(["default", look]):
        drawing = Drawing(figsize=(4.3 * len(panels), 4.1), dpi=160, facecolor="white")
        FigureCanvasAgg(drawing)
        for i, panel in enumerate(panels):
            axes = drawing.add_subplot(1, len(panels), i + 1)
            colour = PICTURE_COLOURS[i % len(PICTURE_COLOURS)]
            _draw_line(axes, Line(panel.heading, panel.curve, 1), colour)
            for mark in panel.marks:
                _draw_mark(axes, mark, colour)
            _dress(
                axes,
                "policy updates (0 = the base itself)",
                panel.y_label,
                share=panel.share,
                muted="#5b606b",
                grid="#d9dbe0",
            )
            axes.text(
                0,
                1.12,
                panel.heading,
                transform=axes.transAxes,
                fontsize=12.5,
                fontweight="bold",
                color="#1c1d21",
                va="bottom",
                parse_math=False,
            )
        drawing.suptitle(
            make_visible(title), x=0.012, ha="left", fontsize=11, color="#5b606b", parse_math=False
        )
        drawing.subplots_adjust(left=0.04, right=0.99, top=0.76, bottom=0.14, wspace=0.24)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A base named in Chinese is drawn as boxes where matplotlib's font lacks it; no cause for alarm.
            warnings.filterwarnings("ignore", message="Glyph")
            drawing.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _style(name: str) -> Any:
    import matplotlib.style

    return matplotlib.style.context(
        ["default", {"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": False, "font.size": 9}]
    )


def _canvas(size: tuple[float, float], below: int = 34) -> tuple[Any, Any]:
    """A drawing of `size` inches with one axes; `below` is the room under it, in points."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=size)
    FigureCanvasSVG(drawing)
    width, height = size[0] * 72, size[1] * 72
    axes = drawing.add_axes(
        (44 / width, below / height, (width - 54) / width, (height - below - 20) / height)
    )
    return drawing, axes


def _draw_line(axes: Any, line: Line, colour: str, *, level: bool = True) -> None:
    raw = line.curve.thinned(DRAWN_POINTS)
    smooth = line.curve.smoothed().thinned(DRAWN_POINTS) if line.smooth else raw
    style = (0, (4, 2)) if line.dashed else "solid"
    if raw.values != smooth.values:
        axes.plot(raw.steps, raw.values, color=colour, linewidth=0.8, alpha=0.3)
    axes.plot(
        smooth.steps, smooth.values, color=colour, linewidth=1.9, linestyle=style, solid_capstyle="round"
    )
    if line.curve.starts_at_step_0:
        if level:
            axes.axhline(line.curve.first, color=colour, linewidth=0.8, linestyle=(0, (1, 2.5)), alpha=0.7)
        axes.plot([0], [line.curve.first], marker="o", markersize=5, color=colour, clip_on=False)


def _draw_mark(axes: Any, mark: Mark, colour: str) -> None:
    found = mark.figure
    if found.low is not None and found.high is not None:
        axes.plot([mark.step] * 2, [found.low, found.high], color=colour, linewidth=1.2, clip_on=False)
    axes.plot(
        [mark.step], [found.value], marker="D", markersize=6, color=colour, fillstyle="none", clip_on=False
    )


def _finish(
    axes: Any, lines: Sequence[Line], y_label: str, share: bool, logarithmic: bool, small: bool
) -> None:
    from matplotlib.ticker import FuncFormatter

    positive = all(value > 0 for line in lines for value in line.curve.values)
    if logarithmic and positive:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    x_label = "" if small else STEPS_LABEL
    _dress(axes, x_label, y_label, share=share, logarithmic=logarithmic and positive)
    if not share and max(abs(value) for line in lines for value in line.curve.values) < 0.01:
        axes.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _: object) -> str:
    """A small number as a tick: 10⁻⁶, 5×10⁻⁴, 0.002."""
    text = number(value)
    return text.removeprefix("1.0×").replace(".0×", "×")


def _dress(
    axes: Any,
    x_label: str,
    y_label: str,
    *,
    share: bool,
    logarithmic: bool = False,
    steps: bool = True,
    muted: str = MUTED,
    grid: str = GRID,
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(muted)
    axes.grid(axis="y", color=grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", which="both", length=0, labelcolor=muted, color=muted)
    axes.tick_params(axis="x", length=3, which="major")
    if steps:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0), max(high, 1))
    if share:
        axes.set_ylim(0, 1.03)
    elif not logarithmic:
        values = [float(value) for drawn in axes.lines for value in drawn.get_ydata()]
        whole = all(value.is_integer() for value in values)
        low, high = min(0.0, *values), max(0.0, *values)
        room = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - room if low < 0 else 0.0, high + room if high > 0 or low == 0 else 0.0)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole))
    if x_label:
        axes.set_xlabel(x_label, color=muted, fontsize=9)
    axes.text(0, 1.04, y_label, transform=axes.transAxes, color=muted, fontsize=9, ha="left", va="bottom")


def page_svg(figure: Any, name: str, alt: str) -> Safe:
    """A matplotlib drawing in the stand-in colours as an element of the page; `name` as in `draw_lines`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Safe(_follow_page(buffer.getvalue(), name, alt))


def _follow_page(svg: str, name: str, alt: str) -> str:
    """matplotlib's file as an inline element: page colours and font, ids under `name`, no namespaces or links out."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.S)
    box = re.search(r'viewBox="([^"]*)"', body)
    assert box is not None, "matplotlib writes a viewBox"
    opening = f'<svg viewBox="{box.group(1)}" role="img" aria-label="{attribute(alt)}">'
    body = opening + body[body.index(">") + 1 :]
    body = body.replace("xlink:href=", "href=")
    used = set(re.findall(r'href="#([^"]+)"', body)) | set(re.findall(r"url\(#([^)]+)\)", body))
    body = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{name}-{m.group(1)}"' if m.group(1) in used else "", body
    )
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", body)
    variables = {INK: "--ink", MUTED: "--muted", GRID: "--grid"}
    variables |= {colour: f"--series-{i}" for i, colour in enumerate(SERIES, start=1)}
    for colour, variable in variables.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r"\n\s*", "\n", body)
    return re.sub(r"<g>\s*</g>", "", body).strip()
