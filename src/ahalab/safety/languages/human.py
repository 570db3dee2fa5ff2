"""The human check: a sample of translations as a CSV file, read back with verdicts and corrections."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.evaluation.intervals import wilson
from ahalab.runs.atomic import write_bytes
from ahalab.safety.languages.items import KEY, text_hash
from ahalab.safety.records import SafetyItem
from ahalab.validation import nearest

COLUMNS = ("id", "language", "hash", "source", "translation", "verdict", "fixed", "checker")
VERDICTS = ("ok", "fix", "drop")
PER_LANGUAGE = 20
"""Translations of a language that a person is asked to check; our choice, the paper says "human calibration" only."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Check:
    """One person's word on one translation."""

    id: str
    verdict: str
    fixed: str
    checker: str
    hash: str


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """What the checks say of one language."""

    translations: int
    """That passed the automatic checks."""
    checked: int
    ok: int
    fixed: int
    dropped: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with the share checked, and the share of wrong ones with Wilson's 95 % interval."""
        wrong = self.fixed + self.dropped
        rate = wrong / self.checked if self.checked else None
        low, high = wilson(rate, self.checked) if rate is not None else (None, None)
        return {
            "translations": self.translations,
            "checked": self.checked,
            "share_checked": self.checked / self.translations if self.translations else None,
            "ok": self.ok,
            "fixed": self.fixed,
            "dropped": self.dropped,
            "error_rate": {"value": rate, "low": low, "high": high, "n": self.checked},
        }


def draw(items: Sequence[SafetyItem], per_language: int, seed: int) -> list[SafetyItem]:
    """The translations to check: so many of each language, by the seed."""
    ranked: dict[str, list[SafetyItem]] = {}
    for item in items:
        ranked.setdefault(item.language, []).append(item)
    drawn = []
    for of_language in ranked.values():
        of_language.sort(key=lambda item: (make_key(seed, "check", item.id), item.id))
        drawn += of_language[:per_language]
    return drawn


def write_check_file(path: Path, drawn: Sequence[SafetyItem], sources: Mapping[str, str]) -> bool:
    """Write the sample with empty verdicts; False where a file is there that somebody has begun to fill.

    A text that a spreadsheet would take for a formula gets an apostrophe before it: only `fixed` is read back.
    """
    if path.is_file() and any(row.get("verdict", "").strip() for _, row in _rows(path)):
        return False
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in drawn:
        source = sources.get(item.extra[KEY]["of"], "")
        writer.writerow(
            [item.id, item.language, text_hash(item.prompt), _cell(source), _cell(item.prompt), "", "", ""]
        )
    # With a byte order mark: without it a spreadsheet takes the file for another encoding.
    write_bytes(path, made.getvalue().encode("utf-8-sig", "backslashreplace"))
    return True


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_checks(path: Path) -> list[Check]:
    """The rows with a verdict; those without one are not checked yet.

    Raises:
        UserError: not there, not UTF-8, a column missing, an unknown verdict, a `fix` without text, no checker, an id
            twice; names file and row.
    """
    found: dict[str, Check] = {}
    for number, row in _rows(path):
        where = f"{path}, row {number}"
        verdict = row["verdict"].strip().lower()
        if not verdict:
            continue
        if verdict not in VERDICTS:
            raise UserError(
                f"{where}, `verdict`: {verdict[:40]!r} is none of ok, fix, drop; "
                f"did you mean {nearest(verdict, VERDICTS)!r}?"
            )
        fixed = row["fixed"].strip()
        if (verdict == "fix") is not bool(fixed):
            there = f"there is a text, but the verdict is {verdict}"
            wanted = "the corrected text is missing" if verdict == "fix" else there
            raise UserError(f"{where}, `fixed`: {wanted}")
        if not row["checker"].strip():
            raise UserError(f"{where}, `checker`: who checked is missing; any name or number will do")
        if row["id"] in found:
            raise UserError(f"{where}: the id {row['id']!r} is there twice")
        found[row["id"]] = Check(row["id"], verdict, fixed, row["checker"].strip(), row["hash"].strip())
    return list(found.values())


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error}); save it as CSV in UTF-8") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    missing = [
        name
        for name in COLUMNS
        if name not in (reader.fieldnames or ()) and name not in ("source", "translation")
    ]
    if missing:
        raise UserError(f"{path}: the column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
    rows = []
    try:
        for row in reader:
            rows.append(
                (reader.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)})
            )
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: is no CSV ({error})") from error
    return rows


def apply_checks(
    machine: Sequence[SafetyItem], checks: Sequence[Check], where: str
) -> tuple[list[SafetyItem], dict[str, ErrorRate]]:
    """The items with the checks' words done, and each language's error rate.

    Raises:
        UserError: a check of a translation that is not there, or that has another text now.
    """
    by_id = {check.id: check for check in checks}
    texts = {item.id: text_hash(item.prompt) for item in machine}
    for check in checks:
        if texts.get(check.id) != check.hash:
            told = "has another text now" if check.id in texts else "is not among the translations"
            raise UserError(
                f"{where}: {check.id!r} {told}; checks hold for the translations that they were drawn from"
            )
    items: list[SafetyItem] = []
    tally: dict[str, list[str]] = {}
    for item in machine:
        found = by_id.get(item.id)
        tally.setdefault(item.language, []).append(found.verdict if found else "")
        if found is None:
            items.append(item)
        elif found.verdict != "drop":
            text = found.fixed if found.verdict == "fix" else item.prompt
            marks = {**item.extra[KEY], "checked": found.verdict, "checker": found.checker}
            items.append(replace(item, prompt=text, extra={**item.extra, KEY: marks}))
    return items, {
        language: ErrorRate(
            len(verdicts),
            sum(map(bool, verdicts)),
            *(verdicts.count(verdict) for verdict in VERDICTS),
        )
        for language, verdicts in tally.items()
    }
