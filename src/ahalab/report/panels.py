"""The report's figures, one function a subject: which curves, which words under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.analysis.curves import Curve, ratio, smoothing_width
from ahalab.analysis.evaluations import Evaluation
from ahalab.report.comparison import column_title
from ahalab.report.figures import Line, Mark, draw_levels, draw_lines, level_colour
from ahalab.report.markup import Safe
from ahalab.report.summary import Summary, Training
from ahalab.report.wording import change, counted, course, interval, listing, number, times

TOP_WORDS = 4
"""Words drawn apart, above the total: more lines than five cannot be told apart (our choice)."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of the page: drawing, key and the sentences under it."""

    name: str
    heading: str
    svg: Safe
    key: Sequence[tuple[int, str, str]]
    """(colour, style class, label)."""
    caption: Sequence[str]
    curves: Sequence[Curve] = ()
    """What is drawn, for the table of numbers."""


def learning_panels(training: Training, summary: Summary) -> list[Panel]:
    """What changed over the steps: accuracy, length, reflection, rewards. Curves that are absent leave no panel."""
    made = [
        _accuracy(training, summary),
        _by_domain(training),
        _hacking(training),
        _language(training),
        _length(training),
        _reflection(training),
        _per_thousand(training),
        _right_and_wrong(training),
        _rewards(training),
        _loss(training),
    ]
    return [panel for panel in made if panel]


def level_panel(evaluations: Sequence[Evaluation]) -> Panel | None:
    """pass@1 by level of difficulty, before and after."""
    shown = [evaluation for evaluation in evaluations if evaluation.levels]
    if not shown:
        return None
    columns = [(column_title(i, shown), evaluation.levels) for i, evaluation in enumerate(shown)]
    caption = [
        f"{title}: pass@1 {_extent([figure.value for figure in levels.values()])} over "
        f"{counted(len(levels), 'level', 'levels')}."
        for title, levels in columns
    ]
    first, last = shown[0].levels, shown[-1].levels
    gains = {name: last[name].value - first[name].value for name in first if name in last}
    if len(shown) > 1 and gains:
        best = max(gains, key=lambda name: gains[name])
        grown = times(ratio(first[best].value, last[best].value))
        what = (
            f"Largest gain at level {best}"
            if gains[best] > 0
            else f"No level gained; nearest to it is level {best}"
        )
        caption.append(
            f"{what}: {interval(first[best])} → {interval(last[best])}{f' ({grown})' if grown else ''}."
        )
    svg = draw_levels("levels", f"Held-out pass@1 by level. {' '.join(caption)}", columns)
    key = [(level_colour(i, len(shown)), "dot", title) for i, (title, _) in enumerate(columns)]
    return Panel("levels", "Accuracy by level of difficulty", svg, key, caption)


def _extent(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _accuracy(training: Training, summary: Summary) -> Panel | None:
    curves = training.curves
    marks, held_out = _held_out(training, summary)
    drawn = [(1, "accuracy", curves.get("accuracy")), (2, "format followed", curves.get("format"))]
    return _large(
        training,
        "accuracy",
        "Accuracy and format",
        "share of the samples of a step",
        [(colour, label, curve, False) for colour, label, curve in drawn],
        share=True,
        marks=marks,
        more=held_out,
    )


def _held_out(training: Training, summary: Summary) -> tuple[list[Mark], list[str]]:
    """Held-out pass@1 of the weights this stage began with and of those it ended with."""
    marks, words = [], []
    steps = max((curve.steps[-1] for curve in training.curves.by_name.values()), default=0) + 1
    for evaluation in next(iter(summary.comparisons), []):
        figure = evaluation.figures.get("pass@1")
        if figure and evaluation.of in (training.source, training.stage):
            ended = evaluation.of == training.stage
            marks.append(Mark(steps if ended else 0, figure, 1))
            words.append(f"{interval(figure)} {'after the last update' if ended else 'before the first'}")
    return marks, [f"Diamonds: held-out pass@1, {listing(words)}."] if words else []


def _by_domain(training: Training) -> Panel | None:
    """The rules' score of each domain; of general domains it is measured, never rewarded."""
    found = sorted(training.curves.starting_with("accuracy/").items())[:6]
    lines = [(1 + i, name.removeprefix("accuracy/"), curve, False) for i, (name, curve) in enumerate(found)]
    return _large(
        training, "domains", "Rule score by domain", "mean score of the samples of a step", lines, share=True
    )


def _hacking(training: Training) -> Panel | None:
    """The reward models' opinion of held-out prompts beside the rules': apart, they tell of reward hacking."""
    curves = training.curves
    return _large(
        training,
        "hacking",
        "Preference reward and the rules, held out",
        "mean over held-out prompts",
        [
            (2, "preference reward", curves.get("hacking/preference"), False),
            (1, "rules, general prompts", curves.get("hacking/rule_general"), False),
            (3, "rules, reasoning prompts", curves.get("hacking/rule_reasoning"), True),
        ],
        share=True,
        more=["A preference reward that rises while a rule's score falls is reward hacking."],
    )


def _language(training: Training) -> Panel | None:
    curves = training.curves
    return _large(
        training,
        "language",
        "Language consistency",
        "share of the thinking's words in the prompt's language",
        [(1, "language consistency", curves.get("language"), False)],
        share=True,
    )


def _length(training: Training) -> Panel | None:
    curves = training.curves
    return _large(
        training,
        "length",
        "Length of thinking",
        "tokens",
        [
            (1, "thinking tokens", curves.get("thinking_tokens"), False),
            (6, "tokens per answer, all parts", curves.get("tokens_per_answer"), True),
        ],
    )


def _reflection(training: Training) -> Panel | None:
    total, words = training.curves.get("reflective_per_answer"), training.curves.top_words(TOP_WORDS)
    lines = [(1, "all reflective words", total, False)]
    lines += [(2 + i, f"“{word.name}”", word, True) for i, word in enumerate(words)]
    more = []
    if total and total.starts_at_step_0 and len(total) > 1:
        grown = "; training amplified what was there" if total.first > 0 and total.end > total.first else ""
        more.append(f"The dotted line is the rate before any update, {number(total.first)}{grown}.")
    if words:
        counted_words = listing([f"“{word.name}” {change(word)}" for word in words])
        more.insert(0, f"Most used: {counted_words}.")
    return _large(
        training,
        "reflection",
        "Reflective words per answer",
        "words per answer",
        lines,
        more=more,
        told=1,
    )


def _per_thousand(training: Training) -> Panel | None:
    curve = training.curves.get("reflective_per_1k")
    return _large(
        training,
        "per-thousand",
        "Reflective words per 1,000 tokens",
        "words per 1,000 tokens",
        [(1, "reflective words per 1,000 tokens", curve, False)],
        more=["Free of length: longer answers alone do not raise it."],
    )


def _right_and_wrong(training: Training) -> Panel | None:
    scan = training.samples
    return _large(
        training,
        "outcome",
        "Reflection in right and in wrong answers",
        "reflective words per answer",
        [
            (3, "right answers", scan.rate("right answers", scan.right, "reflective"), False),
            (2, "wrong answers", scan.rate("wrong answers", scan.wrong, "reflective"), True),
        ],
    )


def _rewards(training: Training) -> Panel | None:
    curves = training.curves
    lines: list[tuple[int, str, Curve | None, bool]] = [(1, "total", curves.get("reward"), False)]
    for i, (name, curve) in enumerate(sorted(curves.starting_with("reward/").items())[:5]):
        lines.append((2 + i, name.removeprefix("reward/"), curve, True))
    return _large(training, "reward", "Reward and its parts", "mean reward of the samples of a step", lines)


def _loss(training: Training) -> Panel | None:
    """The loss of stages that imitate; an RL loss says nothing to a reader (its mean is zero by design)."""
    if training.curves.get("reward") is not None:
        return None
    lines = [(1, "loss", training.curves.get("loss"), False)]
    return _large(training, "loss", "Loss", "nats per token", lines)


def _large(
    training: Training,
    name: str,
    heading: str,
    y_label: str,
    lines: Sequence[tuple[int, str, Curve | None, bool]],
    *,
    share: bool = False,
    marks: Sequence[Mark] = (),
    more: Sequence[str] = (),
    told: int | None = None,
) -> Panel | None:
    """A full figure; `told` curves are put in words, all where None."""
    drawn = [Line(label, curve, colour, dashed) for colour, label, curve, dashed in lines if curve]
    if not drawn:
        return None
    caption = [course(sentence_case(line.label), line.curve) for line in drawn[:told]] + list(more)
    width = smoothing_width(max(len(line.curve) for line in drawn))
    if width > 1:
        caption.append(f"Thick lines: mean of {width} neighbouring steps; thin: each step.")
    svg = draw_lines(
        f"{identifier(training.stage)}-{name}",
        f"{heading} over policy updates. {' '.join(caption)}",
        drawn,
        y_label=y_label,
        share=share,
        marks=marks,
    )
    key = [(line.colour, "dashed" if line.dashed else "", line.label) for line in drawn]
    if marks:
        key.append((1, "diamond", "held-out pass@1"))
    return Panel(name, heading, svg, key, caption, [line.curve for line in drawn])


def sentence_case(text: str) -> str:
    """The first letter a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


def identifier(stage: str) -> str:
    """A stage's name as the start of an SVG id: letters, digits and dashes; other characters as their code."""
    return "s-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in stage)
