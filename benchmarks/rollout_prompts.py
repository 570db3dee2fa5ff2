"""Prompts of an exact number of tokens for `rollout_vs`, made of whole questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

ASKS = (
    "Give only the number.",
    "Answer in one sentence.",
    "Explain in two sentences.",
    "Solve it step by step.",
)
"""One for each prompt in turn, after its questions. Asked the bare question SmolLM2 runs into the token limit
more often than not; so asked, answers have from one token to the limit and most stop by themselves."""

_JOINT = "\n\n"
_SHORTEST = 40
"""Room left for the last question, in tokens: most of GSM8K's are longer than this, so one fits exactly."""


def make_prompts(
    questions: Sequence[str],
    encode: Callable[[str], Sequence[int]],
    render: Callable[[str], Sequence[int]],
    count: int,
    tokens: int,
) -> list[tuple[int, ...]]:
    """`count` prompts of exactly `tokens` tokens each, chat template included, none of whose questions is cut.

    Whole questions, in the data's order, joined by blank lines, then one of `ASKS`; the last question is the first
    unused one that fills the length to the token. No question occurs twice.

    Args:
        encode: the token ids of a text.
        render: the ids of the whole prompt for a user's turn, whose last tokens are the template's own.

    Raises:
        ValueError: the questions do not suffice, or the length leaves no room for one.
    """
    waiting = dict.fromkeys(questions)
    lengths = {question: len(encode(question)) for question in waiting}
    prompts = []
    for number in range(count):
        parts = [ASKS[number % len(ASKS)]]
        while len(ids := tuple(render(_JOINT.join(parts)))) != tokens:
            room = tokens - len(ids)
            # A joint is one or two tokens by what stands before it, so the exact length is only known once rendered.
            chosen = next(
                (q for q in waiting if abs(room - lengths[q]) < 4 and _length(render, parts, q) == tokens),
                None,
            ) or next((q for q in waiting if lengths[q] <= room - _SHORTEST), None)
            if chosen is None:
                raise ValueError(f"no questions make prompt {number} {tokens} tokens long")
            del waiting[chosen]
            parts.insert(-1, chosen)
        prompts.append(ids)
    return prompts


def _length(render: Callable[[str], Sequence[int]], parts: Sequence[str], question: str) -> int:
    return len(render(_JOINT.join([*parts[:-1], question, parts[-1]])))
