"""Reflective words on the page: how many, which, and in which answers."""

from __future__ import annotations

from ahalab.analysis.curves import Curve
from ahalab.analysis.evaluations import Figure
from ahalab.analysis.helpfulness import Compared
from ahalab.analysis.tally import ALL_WORDS
from ahalab.report.figures import draw_levels, level_colour
from ahalab.report.findings import all_onsets_sentence, help_sentences, onset_sentence
from ahalab.report.panel import Drawn, Panel, identifier, large
from ahalab.report.summary import Training
from ahalab.report.wording import change, listing, number

TOP_WORDS = 4
"""Words drawn apart, above the total: more lines than five cannot be told apart (our choice)."""
SHOWN_WORD = "wait"
"""The word whose course the paper draws; where a run does not use it, its most used one is drawn."""


def reflection(training: Training) -> Panel | None:
    """All reflective words together, and the most used ones apart."""
    total, words = training.curves.get("reflective_per_answer"), training.curves.top_words(TOP_WORDS)
    lines: list[Drawn] = [(1, "all reflective words", total, False)]
    lines += [(2 + i, f"“{word.name}”", word, True) for i, word in enumerate(words)]
    more = []
    if total and total.starts_at_step_0 and len(total) > 1:
        grown = "; training amplified what was there" if total.first > 0 and total.end > total.first else ""
        more.append(f"The dotted line is the rate before any update, {number(total.first)}{grown}.")
    more += [onset_sentence("All together", training.onsets[ALL_WORDS])] if training.onsets else []
    onsets = all_onsets_sentence(training.onsets)
    more += [onsets] if onsets else []
    if words:
        counted_words = listing([f"“{word.name}” {change(word)}" for word in words])
        more.insert(0, f"Most used: {counted_words}.")
    return large(
        training,
        "reflection",
        "Reflective words per answer",
        "words per answer",
        lines,
        more=more,
        told=1,
        paper="9a",
    )


def word_over_steps(training: Training) -> Panel | None:
    """One word over the steps, as the paper draws "wait"."""
    word = _shown_word(training)
    if word is None:
        return None
    return large(
        training,
        "word",
        f"“{word.name}” over the steps",
        f"“{word.name}” per answer",
        [(2, f"“{word.name}”", word, False)],
        more=[onset_sentence(f"“{word.name}”", training.onsets[word.name])]
        if word.name in training.onsets
        else [],
        paper="9b",
    )


def _shown_word(training: Training) -> Curve | None:
    wait = training.curves.words.get(SHOWN_WORD)
    if wait is not None and wait.mean > 0:
        return wait
    return next(iter(training.curves.top_words(1)), None)


def per_thousand(training: Training) -> Panel | None:
    """The same per token written, which longer answers alone do not raise."""
    curve = training.curves.get("reflective_per_1k")
    return large(
        training,
        "per-thousand",
        "Reflective words per 1,000 tokens",
        "words per 1,000 tokens",
        [(1, "reflective words per 1,000 tokens", curve, False)],
        more=["Free of length: longer answers alone do not raise it."],
    )


def right_and_wrong(training: Training) -> Panel | None:
    """Whether the answers that reflect are the right ones."""
    scan = training.samples
    return large(
        training,
        "outcome",
        "Reflection in right and in wrong answers",
        "reflective words per answer",
        [
            (3, "right answers", scan.rate("right answers", scan.right, "reflective"), False),
            (2, "wrong answers", scan.rate("wrong answers", scan.wrong, "reflective"), True),
        ],
    )


LEVELS_SHOWN = 7
"""Levels drawn beside all answers; of more the hardest are left to the twin (our choice)."""
KINDS = ("without reflective words", "with reflective words")


def helps(training: Training) -> Panel | None:
    """Accuracy with and without reflective words, all together and by level; nothing where one kind is missing."""
    found = training.helps
    if found is None or found.raw.difference is None:
        return None
    shown = {"all": found.raw, **dict(list(found.levels.items())[:LEVELS_SHOWN])}
    columns = [(kind, _shares(shown, bool(i))) for i, kind in enumerate(KINDS)]
    caption = help_sentences(found)
    svg = draw_levels(
        f"{identifier(training.stage)}-helps",
        f"Accuracy with and without reflective words. {' '.join(caption)}",
        columns,
        levels=list(shown),
        x_label="level of difficulty",
        y_label="share of right answers",
        share=True,
    )
    key = [(level_colour(i, len(columns)), "dot", kind) for i, kind in enumerate(KINDS)]
    return Panel("helps", "Do reflections help", svg, key, caption, stage=training.stage)


def _shares(shown: dict[str, Compared], reflecting: bool) -> dict[str, Figure]:
    shares = {
        name: one.accuracy_reflecting if reflecting else one.accuracy_without for name, one in shown.items()
    }
    return {name: Figure(share) for name, share in shares.items() if share is not None}
