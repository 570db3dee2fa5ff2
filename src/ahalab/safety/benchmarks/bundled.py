"""The sets that come with ahalab: the question set, its harmless twins, and the public-domain passages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ahalab.safety.benchmarks.layouts import column, item_id, optional
from ahalab.safety.benchmarks.rows import Row
from ahalab.safety.benchmarks.settings import Settings
from ahalab.safety.questions import LANGUAGES, load_questions
from ahalab.safety.records import SafetyItem

SAFETY_1120 = "safety-1120"
SAFETY_HARMLESS = "safety-harmless"
PASSAGES = Path(__file__).with_name("public_domain.jsonl")


def question_items(harmless: bool) -> Iterator[SafetyItem]:
    """Every question of the bundled set in Chinese and English, in the taxonomy's order; or the harmless twins."""
    for question in load_questions():
        if question.harmless != harmless:
            continue
        for language in LANGUAGES:
            yield SafetyItem(
                id=question.item(language),
                benchmark=SAFETY_HARMLESS if harmless else SAFETY_1120,
                language=language,
                group=question.subcategory,
                prompt=question.text(language),
                harmful=not harmless,
                rubric=question.subcategory,
                cluster=question.id,
                extra={"note": question.note, "form": question.form},
            )


def public_domain(row: Row, _: Settings) -> Iterator[SafetyItem]:
    """A passage whose copyright is over: id, language, kind, prompt, text. It checks the scorer, not a model."""
    identity = item_id("pd", column(row.cells, ("id",), "id"))
    yield SafetyItem(
        id=identity,
        benchmark="public-domain",
        language=column(row.cells, ("language",), "language"),
        group=column(row.cells, ("kind",), "kind"),
        prompt=column(row.cells, ("prompt",), "prompt"),
        harmful=False,
        cluster=identity,
        extra={"reference": column(row.cells, ("text",), "text"), "work": optional(row.cells, "work")},
    )
