"""Our Chinese replies, which ship with the program: written and labelled by a language model, as each row says."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ahalab.errors import UserError
from ahalab.records import Language
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.labels.gold import GoldReply, GoldSet
from ahalab.safety.labels.words import read_word
from ahalab.safety.questions import load_questions

CHINESE_REPLIES = Path(__file__).parents[1] / "offline" / "data" / "chinese_replies.jsonl"
_LANGUAGE: Language = "zh"


def chinese_replies(splits: Collection[str]) -> GoldSet:
    """The rows of some splits. A question's replies are all in one split.

    Raises:
        UserError: a row whose question or verdict is not known.
    """
    questions = {question.item(_LANGUAGE): question for question in load_questions()}
    found = []
    for number, row in enumerate(read_jsonl(CHINESE_REPLIES), 1):
        question = questions.get(row["item"])
        truth = read_word("verdict", row["verdict"])
        if question is None or truth is None:
            raise UserError(f"{CHINESE_REPLIES.name}, row {number}: unknown question or verdict")
        if row["split"] in splits:
            found.append(
                GoldReply(
                    id=row["id"],
                    prompt=question.zh,
                    reply=row["reply"],
                    truth=truth,
                    language=_LANGUAGE,
                    cluster=question.id,
                    rubric=question.subcategory,
                    harmful=not question.harmless,
                    note=question.note,
                )
            )
    return GoldSet(
        "chinese-replies" if set(splits) == {"test"} else "chinese-replies-all",
        "verdict",
        tuple(found),
        "bundled",
        note="Replies and labels by a language model; no person has read them.",
        labelled_by="a language model",
    )
