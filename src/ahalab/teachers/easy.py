"""Which questions are easy, so that they are answered briefly instead of rewritten (paper B.3.2, Listing 3)."""

from __future__ import annotations

import re

from ahalab.records import Prompt

SIMPLE_LENGTH, SIMPLE_NUMBERS = 60, 2
"""A mathematical question of at most so many characters and numbers is an easy one. The paper speaks of simple
mathematics such as "1+1=?"; which questions are easy is our choice."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def is_simple(prompt: Prompt) -> bool:
    """Whether a question is easy mathematics (see `SIMPLE_LENGTH`)."""
    question = prompt.question
    return (
        prompt.domain == "math"
        and len(question) <= SIMPLE_LENGTH
        and 0 < len(_NUMBER.findall(question)) <= SIMPLE_NUMBERS
    )
