"""Reward functions: `(prompts, responses, **context) -> list[float | None]`, None where the reward does not apply."""

from __future__ import annotations

from collections.abc import Sequence

from ahalab.records import Prompt, Response, Verdict


def accuracy_reward(
    prompts: Sequence[Prompt], responses: Sequence[Response], *, verdicts: Sequence[Verdict]
) -> list[float | None]:
    """The verifier's score, 0 to 1; None where nothing is graded or the grader failed.

    Paper §2.2: 1 for a right final answer, else 0. A failed grader gives None, never 0.
    """
    _check_lengths(prompts, responses, verdicts)
    return [
        None if prompt.verifier == "none" or verdict.error is not None else verdict.score
        for prompt, verdict in zip(prompts, verdicts, strict=True)
    ]


def format_reward(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float | None]:
    """1.0 for a well-formed response, else 0.0, by the renderer's own parse (paper §2.2; its size is our choice)."""
    _check_lengths(prompts, responses)
    return [float(response.well_formed) for response in responses]


def _check_lengths(*columns: Sequence[object]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"a reward needs columns of one length, not {[len(column) for column in columns]}")
