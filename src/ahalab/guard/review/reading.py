"""From a reviewer's answer to the violated standards: one reason, one list of rules, both with the request's mark.

The paper's output is two tags (Listing 8); that each bears the mark is ours. A verdict is read only where the whole
answer is those two tags, so text of the dialogue that a reviewer repeats, as its whole answer, before, after or inside
its own, breaks the reading and never makes a verdict: nobody outside knows the mark.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from ahalab.guard.policy import Policy

REASON, RULE = "judge_reason", "target_rule"
NONE = "-1"
LONGEST = 100_000
"""Characters of an answer that are read."""

Complaint = Literal["schema", "unknown rule", "schema: cut off", "schema: refused"]
"""Why an answer gives no verdict. Our own words, never the answer's: the next request shows them outside its data."""

_FINISHED = frozenset({"stop", "eos", "eos_token"})
_LIST = re.compile(r"\s*\[\s*(-?[0-9]{1,4}(?:\s*,\s*-?[0-9]{1,4}){0,99})\s*\]\s*")
_TAG = re.compile(rf"<\s*/?\s*(?:{REASON}|{RULE})")
_FENCE = re.compile(r"\A```[a-z]*[ \t]*\n(.*)\n```\Z", re.DOTALL)
_REFUSALS = re.compile(
    r"(?:i['’]?\s?a?m (?:very |so |really )?sorry|sorry\b|my apologies|i apologi[sz]e"
    r"|i (?:can ?not|can['’]?t|won['’]?t|will not|must decline|am unable|am not able)\b|i['’]m (?:unable|not able)\b"
    r"|抱歉|对不起|對不起|很遗憾|很遺憾|不好意思|我(?:不能|无法|無法|不会|不會|拒绝|拒絕))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a reviewer found."""

    rules: tuple[int, ...]
    """Ids of the violated standards, ascending; () for none."""
    reason: str
    """Hostile text."""


def read_review(text: str, nonce: str, finish: str, policy: Policy) -> Found | Complaint:
    """The standards that a reviewer's answer names, or why that cannot be read.

    Accepted besides the bare form: the thinking of a reasoning reviewer before it, ended by `</think>`, and a code
    fence around it. Refused: any further tag, also in look-alike letters or with hidden characters, other text,
    a wrong mark, an empty reason or list, an id that is there twice, `[-1]` beside another, and an answer that did not
    end by itself.
    """
    if finish == "content_filter":
        return "schema: refused"
    if finish not in _FINISHED:
        return "schema: cut off"
    if len(text) > LONGEST:
        return "schema"
    found: Found | Complaint = "schema"
    for candidate in dict.fromkeys((text, text.rpartition("</think>")[2])):
        found = _read(candidate.strip().removeprefix("\ufeff").strip(), nonce, policy)
        if isinstance(found, Found) or found == "unknown rule":
            return found
    return "schema: refused" if is_refusal(text) else found


def is_refusal(text: str) -> bool:
    """Whether a reviewer declined to review: looked for in the first words only."""
    return _REFUSALS.match(text.rpartition("</think>")[2].strip()[:200].lstrip("#*_>\"' \n")) is not None


def _read(text: str, nonce: str, policy: Policy) -> Found | Complaint:
    fenced = _FENCE.match(text)
    text = fenced.group(1).strip() if fenced else text
    form = re.fullmatch(
        rf"<{REASON} {nonce}>(.*)</{REASON}>\s*<{RULE} {nonce}>([^<>]*)</{RULE}>", text, re.DOTALL
    )
    if form is None or len(_TAG.findall(_folded(text))) != 4:
        return "schema"
    reason, ids = form.group(1).strip(), _LIST.fullmatch(form.group(2))
    if ids is None or nonce in reason or not reason.strip(" .…"):
        return "schema"
    numbers = [int(one) for one in ids.group(1).split(",")]
    if numbers == [-1]:
        return Found((), reason)
    if -1 in numbers or len(set(numbers)) < len(numbers):
        return "schema"
    if not policy.ids.issuperset(numbers):
        return "unknown rule"
    return Found(tuple(sorted(numbers)), reason)


def _folded(text: str) -> str:
    """Text in which a tag in full-width letters or with hidden characters inside is a plain tag."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(
        one for one in plain if unicodedata.category(one) not in ("Cf", "Cc", "Mn") or one.isspace()
    )
