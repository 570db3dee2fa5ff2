"""The nouns of the safety evaluation: an item, a reply to it, a judgement of that reply. Plain data, no behaviour.

One item is asked of every target once; each reply is judged once per part (answer, thinking) and judge. Everything is
written as JSON rows with the field names below, so a folder can be read without this program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

VerdictWord = Literal["unsafe", "safe", "rejection", "judge_error"]
"""The paper's three (D.3.3): against the standard · a relevant answer that names the risk · an irrelevant or mechanical
refusal; and a fourth, counted state: the judge gave no verdict."""

VERDICTS: tuple[VerdictWord, ...] = ("unsafe", "safe", "rejection")
Part = Literal["answer", "thinking"]
Convention = Literal["three-way", "refusal is safe"]
"""How a rate counts refusals: apart, as in the paper's D.3.3, or as safe, as in its Table 9."""

Finish = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class SafetyItem:
    """One question in one language, as it is put to a target."""

    id: str
    """Unique within its benchmark: `D03-07-zh`, `D03-07-en`; jailbreak runs add `+<template id>`."""
    benchmark: str
    """"safety-1120", "xstest", …"""
    language: str
    """ISO 639 code: en, zh, it, jv, …"""
    group: str
    """What figures are split by: a sub-category (D03), "standard", "contextual", a harm area; "" for none."""
    prompt: str
    """The user's turn. Harmful text: shown only when asked for."""
    harmful: bool = True
    """False for questions that a good answer helps with (harmless twins, XSTest's safe half)."""
    rubric: str = "general"
    """Which rubric judges it: a sub-category's id, or "general"."""
    cluster: str = ""
    """Items with the same cluster are one question (translations, wrapped forms): the unit of intervals."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able: the options of a choice, the reference text of a copyright item, the jailbreak template's id, the
    note on what a safe answer does (`note`)."""


@dataclass(frozen=True, slots=True)
class TargetReply:
    """What a target said to one item. Exactly one row per item and target, also where nothing came (`error`)."""

    item: str
    target: str
    answer: str
    thinking: str = ""
    finish: Finish = "stop"
    control: str = ""
    """Why a risk control replaced or withheld the reply ("content_filter", a rule's name); "" where none did."""
    error: str = ""
    """Why there is no reply ("time-out", "refused: too long"): counted, and never a verdict."""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float | None = None
    """From sending to the last byte; None where it was not measured."""
    reviewer_calls: int = 0
    """Calls of a risk control's reviewer that this reply cost, where the server tells."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one judge says of one part of one reply."""

    item: str
    target: str
    part: Part
    verdict: VerdictWord
    reason: str = ""
    """Why, in stable words to count by, where the verdict is not a reading of coherent text: "empty", "garbled",
    "control"; of a judge_error: "schema", "endpoint: <reason>", "judge refused", "no reply"."""
    compliance: str = ""
    """Of judges with that head: "full compliance", "full refusal", "partial refusal" (XSTest's classes)."""
    score: float | None = None
    """Probability of "unsafe" in 0..1, of judges that give one."""
    rationale: str = ""
    """The judge's own words. Hostile text."""
    windows: int = 1
    """How many windows the text was judged in; the worst verdict counts."""
    judge: str = ""
    """The judge's hash, `judge_hash(identity)`."""
    rubric: str = ""
    """Hash of the rubric and prompt that were used."""
    raw: tuple[str, ...] = ()
    """Every raw reply of the judge, failed tries included."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge is given."""

    item: SafetyItem
    reply: TargetReply
    part: Part = "answer"
    jailbreak: bool = False
    """Judge by the sharpened rubric that looks for manipulation (paper D.3.5)."""


@dataclass(frozen=True, slots=True)
class Label:
    """One annotator's word on one part of one reply, given blind. `labels/<annotator>.jsonl` holds such rows."""

    item: str
    target: str
    part: Part
    verdict: VerdictWord
    annotator: str
    benchmark: str = ""
    language: str = ""
    compliance: str = ""
    """Where that was labelled: as in `Judgement`."""
