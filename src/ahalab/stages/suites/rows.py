"""The rows of an evaluation: one a sample, with everything that grading it again needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.evaluation.extraction import Rule, extract
from ahalab.grading.pool import GraderPool
from ahalab.records import FinishReason, GradeRequest, Prompt
from ahalab.rewards.functions import GENERAL_VERIFIERS, accept_empty_thinking
from ahalab.stages.suites.answerers import RawAnswer
from ahalab.text.language import is_mixed
from ahalab.text.parse import parse_response
from ahalab.text.reflection import count_reflective

REPEATED_CHARACTERS = 2_000
"""Data for the verifier beyond this (the tests of a program can be megabytes) stands in the row of a prompt's first
sample only. Our choice."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A completion that is to be read and graded: what a row keeps of it."""

    prompt: Prompt
    sample: int
    raw: RawAnswer


def unread_rows(rows: Sequence[Mapping[str, Any]]) -> list[Unread]:
    """The completions that the rows of a shard hold. Raises KeyError for rows of something else."""
    extras = {row["prompt_id"]: row["extra"] for row in rows if row["extra"] is not None}
    return [_unread(row, extras[row["prompt_id"]]) for row in rows]


def _unread(row: Mapping[str, Any], extra: Mapping[str, Any]) -> Unread:
    prompt = Prompt(
        id=row["prompt_id"],
        question=row["question"],
        answer=row["gold"],
        domain=row["domain"],
        source=row["source"],
        verifier=row["verifier"],
        language=row["language"],
        level=row["level"],
        extra=extra,
    )
    finish: FinishReason = "length" if row["finish"] == "length" else "stop"
    raw = RawAnswer(row["text"], finish, row["tokens"], row["thinking_tokens"], row["answerer_error"])
    return Unread(prompt, row["sample"], raw)


def graded_rows(rule: Rule, items: Sequence[Unread], pool: GraderPool) -> list[dict[str, Any]]:
    """Read and grade completions; a row each, in their order. The same completions give the same rows."""
    answers = [extract(rule, one.raw.text, one.raw.finish) for one in items]
    requests = [
        GradeRequest(
            "none" if one.raw.error is not None else one.prompt.verifier,
            found.answer,
            one.prompt.answer,
            dict(one.prompt.extra),
        )
        for one, found in zip(items, answers, strict=True)
    ]
    verdicts = pool.grade_all(requests)
    return [
        _row(one, found.answer, found.how, verdict.score, one.raw.error or verdict.error)
        | ({} if verdict.note is None else {"note": verdict.note})
        for one, found, verdict in zip(items, answers, verdicts, strict=True)
    ]


def _row(one: Unread, answer: str | None, how: str, score: float | None, error: str | None) -> dict[str, Any]:
    prompt, raw = one.prompt, one.raw
    response = parse_response(raw.text, raw.finish)
    if prompt.verifier in GENERAL_VERIFIERS:
        response = accept_empty_thinking(response)
    thinking = response.thinking or ""
    return {
        "prompt_id": prompt.id,
        "sample": one.sample,
        "domain": prompt.domain,
        "language": prompt.language,
        "level": prompt.level,
        "source": prompt.source,
        "question": prompt.question,
        "gold": prompt.answer,
        "verifier": prompt.verifier,
        "extra": dict(prompt.extra) if one.sample == 0 or _is_short(prompt.extra) else None,
        "text": raw.text,
        "thinking": response.thinking,
        "answer": answer,
        "found": how,
        "tokens": raw.tokens,
        "thinking_tokens": raw.thinking_tokens,
        "finish": raw.finish,
        "well_formed": response.well_formed,
        "fault": response.fault,
        "correct": score,
        "error": error,
        "answerer_error": raw.error,
        "reflective": dict(count_reflective(raw.text)),
        "mixed": is_mixed(thinking, prompt.language),
    }


def _is_short(extra: Mapping[str, Any]) -> bool:
    return len(json.dumps(extra)) <= REPEATED_CHARACTERS
