"""The verifiers by name: (answer, gold, extra) to a score from 0 to 1. No answer becomes code but in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ahalab.grading.choice import choice_verifier
from ahalab.grading.code.executor import prepare_code
from ahalab.grading.code.patch import patch_verifier
from ahalab.grading.code.verifier import code_verifier
from ahalab.grading.code_io import code_io_verifier
from ahalab.grading.countdown import countdown_verifier
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


VERIFIERS: dict[str, Verifier] = {
    "exact": exact_verifier,
    "math": math_verifier,
    "choice": choice_verifier,
    "code": code_verifier,
    "patch": patch_verifier,
    "code_io": code_io_verifier,
    "countdown": countdown_verifier,
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
