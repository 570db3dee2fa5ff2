"""cons@k: the answer that most of k samples give. Paper D.1 votes over 64 samples on AIME, training curves over 16."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from ahalab.grading.normal import final_answer, plain_text
from ahalab.grading.numbers import LENGTH_LIMIT, WIDE, exact_value

Normalise = Callable[[str], str]

_SPACING = re.compile(
    r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,;:!> ]|\^(?:\\circ|\{\\circ\})|°|\\(?=[$%])"
)
_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname)\s?\{([^{}]*)\}")
_ARGUMENT = r"\s?(?:(-?[0-9])|\{\s?(-?[0-9]{1,9})\s?\})"
_FRACTION = re.compile(rf"\\[dt]?frac{_ARGUMENT}{_ARGUMENT}(?![0-9])")
_ASSIGNED = re.compile(r"[A-Za-z]\s?=\s?([^=<>]+)")
_LETTER = re.compile(r"[(\[]?([a-z])[)\]]?[.:]?")
_AROUND_SIGNS = re.compile(r"\s?([^\w\s])\s?")
_FORMULAS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def normal_answer(text: str) -> str:
    """The form in which answers vote: equal forms are one candidate. Our choice; the paper names no rule.

    A plain number (integer, decimal, fraction, also in a formula or a box, or behind "x =") is its exact value: 0.5,
    1/2 and \\frac12 vote together, 1/3 and 0.33 do not. A letter of an option is itself: "(B)", "B." and "b". Any
    other text loses case, full width, layout, LaTeX spacing, `\\text{…}` and degree signs. Expressions are not
    solved: 2x and x+x are two candidates. Time is linear in the length.
    """
    answer = final_answer(text).translate(WIDE).strip()
    if len(answer) > LENGTH_LIMIT:
        return plain_text(answer)
    answer = " ".join(_SPACING.sub("", answer).split()).strip("*`\"' ")
    answer = _bare(_WRAPPED.sub(r"\1", answer))
    answer = _FRACTION.sub(
        lambda found: rf"\frac{{{found[1] or found[2]}}}{{{found[3] or found[4]}}}", answer
    )
    assigned = _ASSIGNED.fullmatch(answer)
    answer = assigned[1].strip() if assigned else answer
    value = exact_value(answer)
    if value is not None:
        return str(value)
    plain = plain_text(answer)
    letter = _LETTER.fullmatch(plain)
    return letter[1] if letter else _AROUND_SIGNS.sub(r"\1", plain)


def majority(answers: Sequence[str | None], normalise: Normalise = normal_answer) -> str | None:
    """The answer that most samples give, as its first sample wrote it; None where no sample gave one.

    None and blank answers do not vote. Of several with most votes the one that was given first wins.
    """
    winner = _winner(answers, normalise)
    return None if winner is None else answers[winner]


def cons_at_k(
    answers: Sequence[str | None],
    correct: Sequence[bool | float],
    k: int | None = None,
    normalise: Normalise = normal_answer,
) -> float:
    """Consensus accuracy of one item: 1 where the majority of k samples is right, else 0.

    `correct` grades each sample; the winner's grade is that of the first sample that gave it. Without `k` all samples
    vote at once. With more than k samples they vote in blocks of k, in order, and the share of right blocks is
    returned; what is left over does not vote. Blocks are disjoint and so need no randomness, and their mean is
    unbiased; the mean over all subsets would vary a little less and cost far more (our choice).

    Raises:
        ValueError: no samples, fewer than k, or another number of grades.
    """
    if len(answers) != len(correct):
        raise ValueError(f"{len(answers)} answers but {len(correct)} grades")
    size = len(answers) if k is None else k
    if not 1 <= size <= len(answers):
        raise ValueError(f"cons@{size} needs at least {max(size, 1)} samples per item, got {len(answers)}")
    starts = range(0, len(answers) - size + 1, size)
    right = 0.0
    for start in starts:
        winner = _winner(answers[start : start + size], normalise)
        right += winner is not None and float(correct[start + winner]) == 1.0
    return right / len(starts)


def _winner(answers: Sequence[str | None], normalise: Normalise) -> int | None:
    """Place of the first sample with the answer that won."""
    votes: Counter[str] = Counter()
    first: dict[str, int] = {}
    for place, answer in enumerate(answers):
        if answer is None or not answer.strip():
            continue
        candidate = normalise(answer)
        votes[candidate] += 1
        first.setdefault(candidate, place)
    # Candidates stand in the order of their first sample, and max keeps the first of equals.
    return first[max(votes, key=votes.__getitem__)] if votes else None


def _bare(text: str) -> str:
    """Without the dollars or brackets of one formula around all of it, and without a full stop behind."""
    inner = text.rstrip(".。") if not text.endswith("..") else text
    for left, right in _FORMULAS:
        if inner.startswith(left) and inner.endswith(right) and len(inner) > len(left) + len(right):
            inside = inner[len(left) : -len(right)].strip()
            return inside if left not in inside else text
    return text
