"""What a sample must be to become training data. Each filter has a name in recipes, and a reason in `dropped.json`.

The paper names what it drops (B.3.2, B.3.3: wrong answers, unreadable formats, mixed languages, long paragraphs, code
blocks in the thinking) and prints no threshold: all of them are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ahalab.records import Prompt
from ahalab.text.language import language_share
from ahalab.text.quality import (
    LONG_PARAGRAPH,
    has_code_block,
    has_long_paragraph,
    repetition,
    why_unreadable,
)
from ahalab.text.template import TAGS
from ahalab.validation import StrictModel

FilterName = Literal[
    "well_formed",
    "not_truncated",
    "correct",
    "readable",
    "one_language",
    "no_long_paragraphs",
    "no_code_blocks",
    "unique",
]

REASONS: dict[FilterName, str] = {
    "well_formed": "not well formed",
    "not_truncated": "truncated",
    "correct": "not correct",
    "readable": "not readable",
    "one_language": "not one language",
    "no_long_paragraphs": "long paragraphs",
    "no_code_blocks": "code blocks",
    "unique": "not unique",
}
"""Filter → the reason under which its drops are counted."""

OF_TEXT: tuple[FilterName, ...] = (
    "correct",
    "readable",
    "one_language",
    "no_long_paragraphs",
    "no_code_blocks",
)
"""Filters that look at a text and its score alone, so that they can be asked of a rewritten one too."""

NO_ANSWER, TAGS_INSIDE = "no answer", "tags inside"
"""Reasons that need no filter: such a text cannot be put into the response format at all."""
GRADER_FAILED, JUDGE_FAILED, UNCHECKED = "grader failed", "judge failed", "no rule and no judge"
"""`correct` could not be decided: counted apart from wrong answers."""


class Thresholds(StrictModel):
    """Where the filters draw their lines. All are our choice: the paper does not say."""

    correct: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Lowest score of the prompt's rule that counts as correct."
    )
    own_language: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Smallest share of the words that must be in the question's language."
    )
    repetition: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Largest share of the text that may be copies in a loop."
    )
    paragraph_words: Annotated[int, Field(ge=1)] = Field(
        LONG_PARAGRAPH, description="Words of the longest paragraph of a thinking (a Han character is one)."
    )
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="Responses that share so much of their 10-grams (Jaccard) are duplicates."
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response to a prompt that may become a row of training data."""

    prompt: Prompt
    index: int
    """0 … per_prompt-1."""
    thinking: str
    answer: str
    finish: str = "stop"
    well_formed: bool = True
    score: float | None = None
    """By the prompt's rule, or by a judge (0 or 1); None where neither gave one."""
    unscored: str = UNCHECKED
    """Why there is no score: one of the reasons above."""
    detail: str = ""
    """Why there is no score, in more words."""

    @property
    def id(self) -> str:
        """Unique within the stage."""
        return candidate_id(self.prompt.id, self.index)


def candidate_id(prompt_id: str, index: int) -> str:
    """The id of a prompt's sample number `index`, and of the row it may become."""
    return f"{prompt_id}#{index}"


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a candidate is no training data: `reason` is counted, `detail` says what it was here."""

    reason: str
    detail: str = ""


def first_failing(
    candidate: Candidate, keep: Sequence[FilterName], thresholds: Thresholds, *, after: str = ""
) -> Drop | None:
    """The first filter of `keep`, in its order, that refuses the candidate; None when all let it pass.

    `unique` compares candidates and is no business of this function. `after` is put before the reason: "after
    refining: ".
    """
    drop = _unusable(candidate)
    for name in keep:
        if drop is None and name in _FILTERS:
            drop = _FILTERS[name](candidate, thresholds)
    return None if drop is None else Drop(f"{after}{drop.reason}", drop.detail)


def _unusable(candidate: Candidate) -> Drop | None:
    if not candidate.answer.strip():
        return Drop(NO_ANSWER)
    inside = [tag for tag in TAGS if tag in candidate.thinking or tag in candidate.answer]
    return Drop(TAGS_INSIDE, inside[0]) if inside else None


def _well_formed(candidate: Candidate, _: Thresholds) -> Drop | None:
    return None if candidate.well_formed else Drop(REASONS["well_formed"])


def _not_truncated(candidate: Candidate, _: Thresholds) -> Drop | None:
    return None if candidate.finish == "stop" else Drop(REASONS["not_truncated"])


def _correct(candidate: Candidate, thresholds: Thresholds) -> Drop | None:
    if candidate.score is None:
        return Drop(candidate.unscored, candidate.detail)
    # Scores are sums of tenths and the like.
    if candidate.score >= thresholds.correct - 1e-9:
        return None
    return Drop(REASONS["correct"], f"score {candidate.score:g}")


def _readable(candidate: Candidate, thresholds: Thresholds) -> Drop | None:
    for part in (candidate.thinking, candidate.answer):
        if not part.strip():
            continue
        loop = repetition(part)
        why = why_unreadable(part)
        if why is None and loop.score > thresholds.repetition:
            why = f"{loop.kind} loop"
        if why is not None:
            return Drop(REASONS["readable"], why)
    return None


def _one_language(candidate: Candidate, thresholds: Thresholds) -> Drop | None:
    for name, part in (("thinking", candidate.thinking), ("answer", candidate.answer)):
        share = language_share(part, candidate.prompt.language)
        if share is not None and share < thresholds.own_language - 1e-9:
            return Drop(REASONS["one_language"], f"{name}: {share:.2f} in {candidate.prompt.language}")
    return None


def _no_long_paragraphs(candidate: Candidate, thresholds: Thresholds) -> Drop | None:
    long = has_long_paragraph(candidate.thinking, thresholds.paragraph_words)
    return Drop(REASONS["no_long_paragraphs"]) if long else None


def _no_code_blocks(candidate: Candidate, _: Thresholds) -> Drop | None:
    return Drop(REASONS["no_code_blocks"]) if has_code_block(candidate.thinking) else None


_FILTERS: dict[Any, Callable[[Candidate, Thresholds], Drop | None]] = {
    "well_formed": _well_formed,
    "not_truncated": _not_truncated,
    "correct": _correct,
    "readable": _readable,
    "one_language": _one_language,
    "no_long_paragraphs": _no_long_paragraphs,
    "no_code_blocks": _no_code_blocks,
}
