"""From a completion's text to thinking and answer, in time linear in its length: model output is hostile."""

from __future__ import annotations

from ahalab.records import FinishReason, Response
from ahalab.text.template import ANSWER_CLOSE, ANSWER_OPEN, TAGS, THINK_CLOSE, THINK_OPEN

FAULTS = (
    "truncated",
    "no <think>",
    "no </think>",
    "no <answer>",
    "no </answer>",
    "repeated tag",
    "text before <think>",
    "text between",
    "text after </answer>",
    "empty thinking",
    "empty answer",
)
"""Every format rule, in the order they are checked. Stable identifiers: tables and logs use them."""


def parse_response(text: str, finish: FinishReason) -> Response:
    """Parse a whole completion, a prefilled `<think>` already put back.

    Well formed is, our reading of the paper's Table 1: `<think> … </think> <answer> … </answer>` and a stop
    token, each tag exactly once, nothing but white space outside and something inside. Tags are looked for
    from left to right, so "no <answer>" means none after `</think>`.

    `thinking` and `answer` are filled as well as can be done otherwise: the answer is the first `<answer>`
    block after the thinking (to the end of the text when it is not closed), or else what follows `</think>`;
    text without any of these has no answer. Blank counts as None.
    """
    fault = _first_fault(text, finish)
    thinking, answer = _extract(text)
    return Response(text=text, thinking=thinking, answer=answer, well_formed=fault is None, fault=fault)


def _first_fault(text: str, finish: FinishReason) -> str | None:
    if finish == "length":
        return "truncated"
    starts: list[int] = []
    position = 0
    for tag in TAGS:
        start = text.find(tag, position)
        if start < 0:
            return f"no {tag}"
        starts.append(start)
        position = start + len(tag)
    if any(text.count(tag) > 1 for tag in TAGS):
        return "repeated tag"
    think, think_end, answer, answer_end = starts
    parts = (
        (text[:think], "text before <think>", False),
        (text[think_end + len(THINK_CLOSE) : answer], "text between", False),
        (text[answer_end + len(ANSWER_CLOSE) :], "text after </answer>", False),
        (text[think + len(THINK_OPEN) : think_end], "empty thinking", True),
        (text[answer + len(ANSWER_OPEN) : answer_end], "empty answer", True),
    )
    for part, fault, wanted in parts:
        if bool(part.strip()) is not wanted:
            return fault
    return None


def _extract(text: str) -> tuple[str | None, str | None]:
    open_at = text.find(THINK_OPEN)
    thinking_from = open_at + len(THINK_OPEN) if open_at >= 0 else 0
    close_at = text.find(THINK_CLOSE, thinking_from)
    answer_at = text.find(ANSWER_OPEN, close_at if close_at >= 0 else thinking_from)

    thinking: str | None = None
    if close_at >= 0:
        thinking = text[thinking_from:close_at]
    elif open_at >= 0:
        thinking = text[thinking_from : answer_at if answer_at >= 0 else len(text)]

    answer: str | None = None
    if answer_at >= 0:
        answer_from = answer_at + len(ANSWER_OPEN)
        answer_end = text.find(ANSWER_CLOSE, answer_from)
        answer = text[answer_from : answer_end if answer_end >= 0 else len(text)]
    elif close_at >= 0:
        answer = text[close_at + len(THINK_CLOSE) :]
    return _filled(thinking), _filled(answer)


def _filled(part: str | None) -> str | None:
    return (part.strip() or None) if part is not None else None
