"""Reward functions: `(prompts, responses, **context) -> list[float | None]`, None where the reward does not apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ahalab.records import Prompt, Response, Verdict

GENERAL_VERIFIERS = ("helpful", "safe")
"""Rules that measure general answers without being a reward: preference is a reward model's to judge (paper §2.7)."""

EMPTY_THINKING = "empty thinking"
"""The parse's name for a response whose only fault may be that nothing was thought."""


def accuracy_reward(
    prompts: Sequence[Prompt], responses: Sequence[Response], *, verdicts: Sequence[Verdict]
) -> list[float | None]:
    """The verifier's score, 0 to 1; None where nothing is graded, the grader failed, or the rule is no reward.

    Paper §2.2: 1 for a right final answer, else 0. A failed grader gives None, never 0. What the rules of general
    answers say is measured and logged elsewhere, never rewarded.
    """
    _check_lengths(prompts, responses, verdicts)
    return [
        None
        if prompt.verifier in ("none", *GENERAL_VERIFIERS) or verdict.error is not None
        else verdict.score
        for prompt, verdict in zip(prompts, verdicts, strict=True)
    ]


def format_reward(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float | None]:
    """1.0 for a well-formed response, else 0.0, by the renderer's own parse (paper §2.2; its size is our choice)."""
    _check_lengths(prompts, responses)
    return [float(response.well_formed) for response in responses]


def accept_empty_thinking(response: Response) -> Response:
    """The response to a general prompt: empty thinking is no fault there, as trivial queries need none (paper §2.5).

    Any other fault stays, and so does an empty answer, which the parse names only after the thinking.
    """
    if response.fault != EMPTY_THINKING or response.answer is None:
        return response
    return replace(response, well_formed=True, fault=None)


def _check_lengths(*columns: Sequence[object]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"a reward needs columns of one length, not {[len(column) for column in columns]}")
