"""One figure of the whole run: language consistency with and without the reward for it."""

from __future__ import annotations

from ahalab.report.figures import Line, draw_lines
from ahalab.report.panel import Panel, line_key, sentence_case, smoothing_sentence
from ahalab.report.summary import Summary, Training
from ahalab.report.wording import course, listing, number

MOST_LINES = 6
"""There are six colours."""


def language_panel(summary: Summary) -> Panel | None:
    """Language consistency of every stage that measured it; None where fewer than two did.

    Whether it is rewarded or only measured is the weight of `language` among the stage's rewards.
    """
    shown = [training for training in summary.training if training.curves.get("language")][:MOST_LINES]
    if len(shown) < 2:
        return None
    lines = []
    for i, training in enumerate(shown):
        curve = training.curves.by_name["language"]
        label = f"{training.stage}, {'with' if is_rewarded(training) else 'without'} the reward"
        lines.append(Line(label, curve, 1 + i, dashed=not is_rewarded(training)))
    caption = [course(sentence_case(line.label), line.curve) for line in lines]
    caption += [_comparison(shown), *smoothing_sentence(lines)]
    svg = draw_lines(
        "language-all",
        f"Language consistency over policy updates. {' '.join(caption)}",
        lines,
        y_label="share of the thinking's words in the prompt's language",
        share=True,
    )
    heading = "Language consistency with and without its reward"
    curves = [line.curve for line in lines]
    return Panel(
        "language-all", heading, svg, line_key(lines), caption, curves, paper="7", seen=_comparison(shown)
    )


def is_rewarded(training: Training) -> bool:
    """Whether the stage's own settings give language consistency a weight above 0."""
    weight = training.rewards.get("language", 1.0 if "reward/language" in training.curves.by_name else 0.0)
    return isinstance(weight, int | float) and weight > 0


def _comparison(shown: list[Training]) -> str:
    sides = {side: [one for one in shown if is_rewarded(one) is side] for side in (True, False)}
    if not sides[True] or not sides[False]:
        there, missing = ("with", "without") if sides[True] else ("without", "with")
        return f"All of these are {there} the reward; the recipe ablation-language trains the same stage {missing} it."
    ends = [
        f"{'with' if side else 'without'} it "
        + listing([f"{number(one.curves.by_name['language'].end)} ({one.stage})" for one in sides[side]])
        for side in (True, False)
    ]
    return f"Over the last steps: {ends[0]}, {ends[1]}."
