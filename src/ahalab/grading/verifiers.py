"""The verifiers by name: (answer, gold, extra) to a score from 0 to 1. No answer becomes code but in the sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ahalab.grading.code.executor import prepare_code
from ahalab.grading.code.patch import patch_verifier
from ahalab.grading.code.verifier import code_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.grading.functions import function_verifier
from ahalab.grading.gym import prepare_reasoning_gym, reasoning_gym_verifier
from ahalab.grading.ifeval import ifeval_verifier, prepare_ifeval
from ahalab.grading.mathematics import math_verifier, prepare_math
from ahalab.grading.normal import final_answer, plain_number, plain_text
from ahalab.grading.noted import Noted
from ahalab.grading.world import helpful_verifier, safe_verifier

Verifier = Callable[[str, str, Mapping[str, Any]], float | Noted]

ANSWER_LIMIT = 10_000
"""Longest answer that is read, in characters, or twice the gold answer if that is longer; a longer one is no
final answer and scores 0 unread. Our choice: graded by its first part, junk after a right answer passes."""


def is_overlong(answer: str, gold: str | None) -> bool:
    """Whether the answer is beyond `ANSWER_LIMIT` (see there)."""
    return len(answer) > max(ANSWER_LIMIT, 2 * len(gold or ""))


def exact_verifier(answer: str, gold: str, extra: Mapping[str, Any]) -> float:  # noqa: ARG001
    """1.0 when both are the same number ("284." = "284" = "＋284" = "284.0") or the same text, else 0.0.

    Text is compared without regard to case, white space, full width and a full stop at the end. Of a summary the
    last `\\boxed{…}` counts.

    Raises:
        GraderFailure: the gold answer is blank.
    """
    if not plain_text(gold):
        raise GraderFailure("gold unreadable: the gold answer is blank")
    answer = final_answer(answer)
    ours, theirs = plain_number(answer), plain_number(gold)
    if ours is not None and theirs is not None:
        return float(ours == theirs)
    return float(plain_text(answer) == plain_text(gold))


_LETTER = re.compile(r"[(\[]?([a-z])[)\].:、]?")
_LETTER_AND_TEXT = re.compile(r"[(\[]?([a-z])(?:[)\].:、]+|\s[-—:]\s)\s*(.+)", re.DOTALL)
_PHRASE = re.compile(
    r"(?:(?:the )?(?:final |correct |right )?(?:answer|option|choice)(?: is)?|答案(?:是|为)?|选项?|选择)"
    r"\s*:?\s*[(\[]?([a-z])[)\]]?"
)
_WRAP = re.compile(r"\\(?:boxed|text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")


def choice_verifier(answer: str, gold: str, extra: Mapping[str, Any]) -> float:
    """1.0 when answer and gold name the same option, else 0.0.

    An option is named by its letter ("B", "(b)", "B.", "\\boxed{B}", "the answer is B", 答案是B), by its
    text, or by both where they agree ("B. Paris"). `extra["options"]` lists the texts; without it only
    letters count. Of a summary the last `\\boxed{…}` counts.

    Raises:
        GraderFailure: the gold names no option, or two different ones by letter and by text.
    """
    options = extra.get("options") or []
    if not isinstance(options, list | tuple) or not all(isinstance(option, str) for option in options):
        raise GraderFailure("verifier error: choice needs extra = {'options': [text, …]}")
    by_letter, by_text = _by_letter(gold, len(options)), _by_text(gold, options)
    if by_letter is not None and by_text is not None and by_letter != by_text:
        raise GraderFailure(
            f"gold unreadable: {gold[:100]!r} is the letter of one option and the text of another"
        )
    right = by_letter if by_letter is not None else by_text
    if right is None:
        right = _by_letter_and_text(gold, options)
    if right is None:
        raise GraderFailure(f"gold unreadable: {gold[:100]!r} names none of the {len(options)} options")
    answer = final_answer(answer)
    for given in (_by_letter(answer, len(options)), _by_text(answer, options)):
        if given is not None:
            return float(given == right)
    return float(_by_letter_and_text(answer, options) == right)


@lru_cache(maxsize=256)  # a group's answers share their options
def _unwrapped(text: str) -> str:
    plain = plain_text(text.replace("$", " ").replace("*", " "))
    for _ in range(3):
        peeled = plain_text(_WRAP.sub(r" \1 ", plain))
        if peeled == plain:
            break
        plain = peeled
    return plain


def _by_letter(text: str, options: int) -> int | None:
    plain = _unwrapped(text)
    match = _LETTER.fullmatch(plain) or _PHRASE.fullmatch(plain)
    if match is None:
        return None
    index = ord(match.group(1)) - ord("a")
    return index if index < (options or 26) else None


def _by_text(text: str, options: list[str] | tuple[str, ...]) -> int | None:
    plain, number = _unwrapped(text), plain_number(text)
    for index, option in enumerate(options):
        if plain == _unwrapped(option) or (number is not None and number == plain_number(option)):
            return index
    return None


def _by_letter_and_text(text: str, options: list[str] | tuple[str, ...]) -> int | None:
    match = _LETTER_AND_TEXT.fullmatch(_unwrapped(text))
    if match is None:
        return None
    index = ord(match.group(1)) - ord("a")
    if not options:
        return index
    return index if index < len(options) and _by_text(match.group(2), options) == index else None


VERIFIERS: dict[str, Verifier] = {
    "exact": exact_verifier,
    "math": math_verifier,
    "choice": choice_verifier,
    "code": code_verifier,
    "patch": patch_verifier,
    "reasoning_gym": reasoning_gym_verifier,
    "function": function_verifier,
    "helpful": helpful_verifier,
    "safe": safe_verifier,
    "ifeval": ifeval_verifier,
}
"""Every verifier by the name a prompt carries. "none" is not among them: nothing is graded then."""

PREPARATIONS: dict[str, Callable[[], None]] = {
    "math": prepare_math,
    "reasoning_gym": prepare_reasoning_gym,
    "ifeval": prepare_ifeval,
    "code": prepare_code,
    "patch": prepare_code,
}
"""What a worker imports before the first task of a verifier, outside that task's CPU limit."""

NEEDS_GOLD = frozenset({"exact", "math", "choice"})
"""Verifiers that compare with `Prompt.answer`."""

READS_ALL = frozenset({"ifeval", "code", "patch"})
"""Verifiers of whole responses: no length is too long for a final answer, and a blank one is theirs to judge."""
