"""One figure of the page: drawing, key, the sentences under it, and which figure of the paper it corresponds to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.analysis.curves import Curve, smoothing_width
from ahalab.report.figures import Line, Mark, draw_lines
from ahalab.report.markup import Safe
from ahalab.report.summary import Training
from ahalab.report.wording import course

Drawn = tuple[int, str, Curve | None, bool]
"""(colour, label, curve, dashed) of a line; None leaves it out."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of the page."""

    name: str
    heading: str
    svg: Safe
    key: Sequence[tuple[int, str, str]]
    """(colour, style class, label)."""
    caption: Sequence[str]
    curves: Sequence[Curve] = ()
    """What is drawn, for the table of numbers."""
    paper: str | None = None
    """The paper's figure that shows the same of DeepSeek-R1: "1a", "9b"."""
    stage: str | None = None
    """The training stage it is about; None for a figure of the whole run."""
    seen: str | None = None
    """What the overview of the paper's figures says of it, where its first sentence is not enough."""

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return f"figure-{identifier(self.stage)}-{self.name}" if self.stage else f"figure-{self.name}"


def large(
    training: Training,
    name: str,
    heading: str,
    y_label: str,
    lines: Sequence[Drawn],
    *,
    share: bool = False,
    marks: Sequence[Mark] = (),
    more: Sequence[str] = (),
    told: int | None = None,
    paper: str | None = None,
    seen: str | None = None,
) -> Panel | None:
    """A full figure of a training; `told` curves are put in words, all where None. None without a curve."""
    drawn = [Line(label, curve, colour, dashed) for colour, label, curve, dashed in lines if curve]
    if not drawn:
        return None
    caption = [*(course(sentence_case(line.label), line.curve) for line in drawn[:told]), *more]
    caption += smoothing_sentence(drawn)
    svg = draw_lines(
        f"{identifier(training.stage)}-{name}",
        f"{heading} over policy updates. {' '.join(caption)}",
        drawn,
        y_label=y_label,
        share=share,
        marks=marks,
    )
    key = line_key(drawn)
    if marks:
        key.append((1, "diamond", "held-out pass@1"))
    curves = [line.curve for line in drawn]
    return Panel(name, heading, svg, key, caption, curves, paper, training.stage, seen)


def line_key(lines: Sequence[Line]) -> list[tuple[int, str, str]]:
    """The key of drawn lines."""
    return [(line.colour, "dashed" if line.dashed else "", line.label) for line in lines]


def smoothing_sentence(lines: Sequence[Line]) -> list[str]:
    """What thick and thin lines are, where there are both."""
    width = smoothing_width(max(len(line.curve) for line in lines))
    return [f"Thick lines: mean of {width} neighbouring steps; thin: each step."] if width > 1 else []


def sentence_case(text: str) -> str:
    """The first letter a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


def identifier(stage: str) -> str:
    """A stage's name as the start of an SVG id: letters, digits and dashes; other characters as their code."""
    return "s-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in stage)
