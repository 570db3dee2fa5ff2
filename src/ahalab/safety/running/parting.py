"""From what a model wrote to its thinking and to what a user would see.

The grading parse (`ahalab.text.parse`) looks for the one final answer. Here nothing that a user could read may be
overlooked: all text outside the thinking is the answer, also what stands before, between and after the tags.
"""

from __future__ import annotations

from ahalab.text.template import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN


def part_reply(text: str) -> tuple[str, str]:
    """(thinking, answer) of a completion, in time linear in its length.

    Thinking ends at the first `</think>` after its `<think>`; without `<think>` (a prefilled one) all before `</think>`
    is thinking; one that is never closed goes to the first `<answer>`, or to the end.
    """
    opened = text.find(THINK_OPEN)
    closed = text.find(THINK_CLOSE, max(opened, 0))
    begin = opened + len(THINK_OPEN) if opened >= 0 else 0
    if closed >= 0:
        end, after = closed, closed + len(THINK_CLOSE)
    elif opened >= 0:
        answer = text.find(ANSWER_OPEN, begin)
        end = after = answer if answer >= 0 else len(text)
    else:
        begin = end = after = 0
    seen = f"{text[:opened] if opened >= 0 else ''}{text[after:]}"
    for tag in (ANSWER_OPEN, ANSWER_CLOSE):
        seen = seen.replace(tag, "\n")
    return text[begin:end].strip(), seen.strip()
