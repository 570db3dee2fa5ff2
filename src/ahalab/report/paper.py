"""Where this run shows what a figure of the paper shows, what is seen there, and why a figure is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ahalab.report.markup import SCROLLING, Safe, element, join
from ahalab.report.panel import Panel


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """A figure of the paper."""

    number: str
    shows: str
    """What is seen in it, of DeepSeek-R1."""
    missing: str
    """What a run without it would need."""
    latest: bool = False
    """Whether the last stage that has it is the one to tell of; else the first, which is R1-Zero's."""


FIGURES = (
    PaperFigure(
        "1a",
        "R1-Zero on AIME 2024 over its steps: pass@1 from 15.6 % to 77.9 %, and the vote of 16 samples above it",
        "no reinforcement learning stage has written a step yet",
    ),
    PaperFigure(
        "1b",
        "Length of R1-Zero's answers: it grows all along",
        "no reinforcement learning stage has written a step yet",
    ),
    PaperFigure(
        "6",
        "Reward hacking: the helpful reward rises while performance on Codeforces falls",
        "no stage watched a preference reward on held-out prompts (“hacking” of an rl stage; recipe ablation-hacking)",
        latest=True,
    ),
    PaperFigure(
        "7",
        "Language consistency decays in training without the reward for it, and is stable with it",
        "no stage measured language consistency (reward “language”, weight 0 to measure it only; recipe "
        "ablation-language trains both)",
        latest=True,
    ),
    PaperFigure(
        "8",
        "R1-Zero on MATH by level: levels 1 to 3 soon at 0.90 to 0.95, level 4 from 0.78 to 0.95, level 5 from 0.55 "
        "to 0.90",
        "the samples have no levels of difficulty, or only one, or there are no sample files",
    ),
    PaperFigure(
        "9a",
        "Reflective words of R1-Zero: 5 to 7 times as many at the end as at the start",
        "the metrics do not count reflective words",
    ),
    PaperFigure(
        "9b",
        "“wait” of R1-Zero: nearly absent at first, now and then in steps 4,000 to 7,000, often after 8,000",
        "no reflective word was used, or the metrics do not count them",
    ),
    PaperFigure(
        "18",
        "Tokens that R1 needs for a right answer, against how hard the problem is: under 7,000 on easy ones, over "
        "18,000 on the hardest",
        "no evaluation has the samples of right answers to at least 5 easy and 5 hard prompts yet",
        latest=True,
    ),
)
"""Numbers: arXiv 2501.12948v2, §2.2 and appendices B.5, B.6, C.2, E.4."""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """One line of the overview."""

    figure: PaperFigure
    panels: Sequence[Panel]
    """All that correspond to it; empty where the run has none."""

    @property
    def seen(self) -> str | None:
        """What is seen in the panel to tell of, in numbers."""
        if not self.panels:
            return None
        panel = self.panels[-1 if self.figure.latest else 0]
        return panel.seen or next(iter(panel.caption), None)


def correspondences(panels: Iterable[Panel]) -> list[Correspondence]:
    """Every figure of the paper that the report knows, with the panels of this run that correspond to it."""
    found = list(panels)
    return [
        Correspondence(figure, [one for one in found if one.paper == figure.number]) for figure in FIGURES
    ]


def paper_section(lines: Sequence[Correspondence]) -> Safe:
    """The overview as a table with links into the page."""
    rows = [
        element(
            "tr",
            element("th", f"Figure {line.figure.number}", scope="row"),
            element("td", line.figure.shows),
            element("td", _here(line)),
        )
        for line in lines
    ]
    head = element("tr", [element("th", name, scope="col") for name in ("Paper", "DeepSeek-R1", "This run")])
    table = element("table", element("thead", head), element("tbody", rows), class_="paper-figures")
    there = sum(bool(line.panels) for line in lines)
    intro = (
        f"{there} of {len(lines)} figures of the paper (arXiv 2501.12948v2) have a counterpart in this run."
    )
    return join(
        element("h2", "The paper's figures"),
        element("p", intro, class_="intro"),
        element("div", table, **SCROLLING),
    )


def as_data(lines: Sequence[Correspondence]) -> list[dict[str, Any]]:
    """The overview for programs."""
    return [
        {
            **asdict(line.figure),
            "missing": None if line.panels else line.figure.missing,
            "panels": [{"stage": one.stage, "name": one.name, "anchor": one.anchor} for one in line.panels],
            "seen": line.seen,
        }
        for line in lines
    ]


def _here(line: Correspondence) -> Safe:
    if not line.panels:
        return element("span", f"Not here: {line.figure.missing}.", class_="unmeasured")
    links = [
        join(" · " if i else "", element("a", panel.stage or "whole run", href=f"#{panel.anchor}"))
        for i, panel in enumerate(line.panels)
    ]
    return join(line.seen or "", " ", element("span", "See: ", links, ".", class_="see"))
