"""Which part of a response is its answer: the paper's rules (its Tables 18 to 32), one by name for each kind of suite.

Nothing is graded here. Time is linear in the length of the text: model output is hostile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ahalab.grading.normal import final_answer
from ahalab.grading.numbers import WIDE
from ahalab.records import FinishReason
from ahalab.text.parse import parse_response
from ahalab.text.template import ANSWER_OPEN, TAGS

Rule = Literal["final", "boxed", "number", "letter", "whole"]
"""How a suite finds the answer:

- "final": the `<answer>` block or what follows `</think>`, as in training; of a reply without any tag its last box, or
  else the whole reply.
- "boxed": what the last `\\boxed{…}` of the summary holds, or else its `<answer>` block (MATH, AIME, CNMO).
- "number": as "boxed", or else the summary's last number (GSM8K, which the paper does not have).
- "letter": the last `Answer: X` of the summary; or else the last "the answer is X"; or else as "boxed"; or else a
  summary of one short line, as it stands (MMLU, MMLU-Pro, GPQA, C-Eval).
- "whole": the summary as it stands (IFEval; pairwise preference).
"""

SHORT_REPLY = 200
"""Longest summary, in characters, that is taken for a bare choice: "B", "(B) Paris". Our choice."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer as it stands in the response, and how it was found."""

    answer: str | None
    """None: the rule found no answer, which is graded as wrong."""
    how: str
    """One of `WAYS`: counted, so that a suite that finds nothing says so."""


WAYS = (
    "answer line",
    "answer is",
    "box",
    "answer block",
    "last number",
    "whole reply",
    "cut off",
    "no answer",
)
"""Stable words for `Extracted.how`; "cut off" is a response that ended before its summary began."""


def summary_of(text: str, finish: FinishReason) -> str | None:
    """What a response says after its thinking; the whole text where it has no tags. None: the thinking never ended,
    or nothing follows it."""
    if not any(tag in text for tag in TAGS):
        return text.strip() or None
    return parse_response(text, finish).answer


def extract(rule: Rule, text: str, finish: FinishReason) -> Extracted:
    """The answer of a whole response by `rule`. The same text gives the same answer, whoever wrote it."""
    summary = summary_of(text, finish)
    if summary is None:
        return Extracted(None, "cut off" if finish == "length" else "no answer")
    if rule == "whole":
        return Extracted(summary, "whole reply")
    if rule == "final":
        return _final(text, summary, finish)
    if rule == "letter" and (found := _letter(summary)):
        return found
    if (inside := final_answer(summary)) != summary:
        return Extracted(inside.strip() or None, "box" if inside.strip() else "no answer")
    if ANSWER_OPEN in text:
        return Extracted(summary, "answer block")
    if rule == "letter" and len(summary) <= SHORT_REPLY and "\n" not in summary:
        return Extracted(summary, "whole reply")
    # The last number of a text that was cut off is only where it was cut.
    if rule == "number" and finish == "stop" and (number := last_number(summary)):
        return Extracted(number, "last number")
    return Extracted(None, "cut off" if finish == "length" else "no answer")


def _final(text: str, summary: str, finish: FinishReason) -> Extracted:
    if any(tag in text for tag in TAGS):
        return Extracted(summary, "answer block")
    if (inside := final_answer(summary)) != summary:
        return Extracted(inside, "box")
    return Extracted(None, "cut off") if finish == "length" else Extracted(summary, "whole reply")


_NUMBER = re.compile(r"(?<![A-Za-z0-9_.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d)")


def last_number(text: str) -> str | None:
    """The last number of a text, thousands separators left out: "…= $1,450." gives "1450"."""
    found = _NUMBER.findall(text.translate(WIDE))
    return str(found[-1]).replace(",", "") if found else None


# What may stand between "Answer" and its letter: spaces, quotation marks, brackets, Markdown and LaTeX. Bounded, and
# no two branches begin with the same character: there is nothing to backtrack into.
_MARKS = r"(?:[\s*_$(\[{<`\"'“”‘’（【]|\\[(\[]|\\(?:boxed|text|mathrm|textbf|mathbf)\s{0,3}\{){0,24}"
_CAPITAL = r"([A-Z])(?![A-Za-z0-9'’])"
# A small letter counts only where nothing but punctuation follows on its line: "answer: a dog" names no option.
_SMALL = r"([a-z])(?=[)\]}.。:*$\s`\"'”’）】]{0,8}(?:\n|\Z))"
_LINE = re.compile(
    rf"(?:(?:[Aa]nswer|ANSWER){_MARKS}[:：]|答案?{_MARKS}(?:[:：]|[是为選选]))[:：]?{_MARKS}(?:{_CAPITAL}|{_SMALL})"
)
_PHRASE = re.compile(
    rf"(?:[Aa]nswer\s{{1,3}}is|(?<![不可])[故应]选|(?<![不可故应])选择?){_MARKS}[:：]?{_MARKS}(?:(?:option|choice)\s{{1,3}})?{_MARKS}{_CAPITAL}"
)


def _letter(summary: str) -> Extracted | None:
    text = summary.translate(WIDE)
    if lines := _LINE.findall(text):
        capital, small = lines[-1]
        return Extracted((capital or small).upper(), "answer line")
    if phrases := _PHRASE.findall(text):
        return Extracted(phrases[-1], "answer is")
    return None
