"""Sentences of the analysis of samples: from when on a word is used more, and whether reflecting helps."""

from __future__ import annotations

from collections.abc import Mapping

from ahalab.analysis.evaluations import Figure
from ahalab.analysis.helpfulness import Help
from ahalab.analysis.onset import Onset
from ahalab.analysis.tally import ALL_WORDS
from ahalab.report.wording import counted, interval, listing, number, whole

SIMPSON = (
    "Only the comparison inside prompts is fair: a model reflects most where problems are hard, and hard problems are "
    "answered wrong more often with or without it (Simpson's paradox)."
)
NO_EXPERIMENT = "It is no experiment: an answer may reflect because it has gone wrong."


def onset_sentence(label: str, onset: Onset, unit: str = "per answer") -> str:
    """When a word's rate rose, by the test of `analysis.onset`; or that it did not, and why."""
    if onset.step is None or onset.early is None or onset.after is None or onset.p is None:
        return f"{label}: no onset; {onset.reason}."
    return (
        f"{label}: onset at step {whole(onset.step)}, {number(onset.early)} {unit} up to step "
        f"{whole(onset.early_until or 0)} and {number(onset.after)} from the onset on (p {_p(onset.p)})."
    )


def onset_cell(onset: Onset) -> str:
    """The same in a table."""
    if onset.step is not None:
        return whole(onset.step)
    return "not tested" if onset.p is None else "none"


def all_onsets_sentence(onsets: Mapping[str, Onset]) -> str | None:
    """The words with an onset, in the order of their steps; None where nothing was counted."""
    words = [(word, one) for word, one in onsets.items() if word != ALL_WORDS]
    if not words:
        return None
    risen = sorted((one.step, word) for word, one in words if one.step is not None)
    if not risen:
        return f"No onset in any of {counted(len(words), 'word', 'words')}."
    shown = listing([f"“{word}” at step {whole(step)}" for step, word in risen[:6]])
    more = f", and {len(risen) - 6} more" if len(risen) > 6 else ""
    return f"Words with an onset: {shown}{more}."


def help_sentences(found: Help) -> list[str]:
    """Accuracy with and without reflective words: as they come, by level, inside prompts."""
    raw = found.raw
    if raw.accuracy_without is None or raw.accuracy_reflecting is None or raw.difference is None:
        kind = "without" if raw.accuracy_without is None else "with"
        return [f"No graded answer {kind} a reflective word: nothing to compare."]
    said = [
        f"All graded answers: right are {number(raw.accuracy_reflecting)} of the {whole(raw.reflecting)} with a "
        f"reflective word and {number(raw.accuracy_without)} of the {whole(raw.without)} without "
        f"({_signed(raw.difference)}).",
    ]
    if found.by_level is not None:
        said.append(f"At equal level and step: {_signed(found.by_level)}.")
    within = found.within_prompts
    if within is None:
        said.append(
            "No prompt has graded answers of both kinds at one step, so prompts cannot be compared inside."
        )
    else:
        said.append(
            f"Inside the same prompt at the same step: {_difference(within)} "
            f"({counted(within.n or 0, 'prompt', 'prompts')} with both kinds). {_verdict(within)}"
        )
    if found.turned:
        said.append("Matching turns the sign.")
    return [*said, SIMPSON, NO_EXPERIMENT]


def help_difference(found: Help) -> str:
    """What there is to say in one place of a table."""
    return "–" if found.within_prompts is None else _difference(found.within_prompts)


def _verdict(within: Figure) -> str:
    if within.low is None or within.high is None:
        return "Too few prompts for an interval."
    if within.low > 0:
        return "Answers that reflect are right more often."
    if within.high < 0:
        return "Answers that reflect are right less often."
    return "No difference beyond its interval."


def _difference(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _signed(figure.value)
    return f"{_signed(figure.value)} [{_signed(figure.low)}, {_signed(figure.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "0"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-6 else "under 10⁻⁶"


def tokens_sentence(found: Help) -> str | None:
    """Thinking tokens of right answers on easy and on hard prompts."""
    if len(found.tokens) < 2:
        return None
    parts = [
        f"{interval(figure)} where {band} of the answers are right" for band, figure in found.tokens.items()
    ]
    return f"Tokens of a right answer at the end: {listing(parts)}."
