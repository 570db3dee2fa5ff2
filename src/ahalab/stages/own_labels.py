"""A person's own safety labels: JSONL rows (prompt, response, label), or rows as a `labels` stage leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.source import content_hash, detect_language
from ahalab.records import LabelledResponse
from ahalab.runs.jsonl import read_jsonl
from ahalab.stages.safety_label import EXPECTED, read_label
from ahalab.text.parse import parse_response

QUESTION = ("question", "prompt")
_KNOWN = {field.name for field in fields(LabelledResponse)} | {"prompt", "response", "label"}


def read_own_labels(path: Path, safe_when: str | None = None) -> list[LabelledResponse]:
    """The rows of `path`. A `response` is parsed: what stands in `<think>` is the thinking, and text without tags is
    all answer. `label` (or `safe`) is safe or unsafe, true or false, or, with `safe_when`, another word or number.

    Raises:
        UserError: naming file and row: a missing or unknown key, an unknown label, a blank text.
    """
    reader = read_jsonl(path)
    found = [_row(values, f"{path}, row {reader.row}", path.stem, reader.row, safe_when) for values in reader]
    if reader.truncated:
        raise UserError(f"{path}: its last row is cut off. Mend or remove it.")
    if not found:
        raise UserError(f"{path} has no rows; expected at least one labelled response.")
    return found


def _row(
    values: Mapping[str, Any], where: str, name: str, number: int, safe_when: str | None
) -> LabelledResponse:
    unknown = [key for key in values if key not in _KNOWN]
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}. Known here: {', '.join(sorted(_KNOWN))}.")
    question = _text(values, where, *QUESTION)
    if "response" in values:
        text = _text(values, where, "response")
        response = parse_response(text, "stop")
        thinking = response.thinking or "" if response.answer else ""
        answer = response.answer or text.strip()
    else:
        thinking = str(values.get("thinking") or "").strip()
        answer = _text(values, where, "answer", "response")
    language = values.get("language") or detect_language(question)
    # The row's number keeps the ids apart where the same response was labelled twice.
    return LabelledResponse(
        id=str(values.get("id") or f"{name}/{content_hash(question, answer, 'safety')}-{number}"),
        question=question,
        thinking=thinking,
        answer=answer,
        safe=_label(values, where, safe_when),
        domain=str(values.get("domain") or "safety"),
        language=str(language),
        source=str(values.get("source") or name),
    )


def _text(values: Mapping[str, Any], where: str, *keys: str) -> str:
    key = next((one for one in keys if one in values), None)
    if key is None:
        raise UserError(f"{where}: the key {keys[0]!r} is missing. Expected prompt, response and label.")
    if not isinstance(values[key], str) or not values[key].strip():
        raise UserError(f"{where}, key {key!r}: expected text, got {repr(values[key])[:60]}.")
    return str(values[key]).strip()


def _label(values: Mapping[str, Any], where: str, safe_when: str | None) -> bool:
    key = "label" if "label" in values else "safe"
    if key not in values:
        raise UserError(f"{where}: the key 'label' is missing. Expected prompt, response and label.")
    label = read_label(values[key], safe_when)
    if label is None:
        raise UserError(f"{where}, key {key!r}: expected {EXPECTED}, got {repr(values[key])[:60]}.")
    return label
