"""From the rows of somebody's file or Hub data set to the records that supervised stages learn from.

Recognised by column: question/prompt/instruction with answer/response/completion, `messages` of a chat, and
hh-rlhf's pairs of whole dialogues. Whatever is recognised can be said instead, by `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, joined, text
from ahalab.prompts.dialogue import messages, split_reply, transcript
from ahalab.prompts.source import detect_language
from ahalab.records import Messages
from ahalab.stages.safety_label import EXPECTED, read_label
from ahalab.text.parse import parse_response
from ahalab.text.template import THINK_CLOSE
from ahalab.validation import suggestion

Kind = Literal["rows", "pairs", "labelled"]

ALIASES: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "instruction", "problem", "query"),
    "thinking": ("thinking", "reasoning", "reasoning_content"),
    "answer": ("answer", "response", "completion", "output", "solution"),
    "messages": ("messages", "conversations", "conversation"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "label": ("safe", "is_safe", "label"),
    "domain": ("domain",),
}
"""Our name of a column -> the names it is recognised by, first come first taken; upper and lower case alike."""

USED: dict[Kind, tuple[str, ...]] = {
    "rows": ("question", "thinking", "answer", "messages", "domain"),
    "pairs": ("question", "chosen", "rejected", "domain"),
    "labelled": ("question", "thinking", "answer", "messages", "label", "domain"),
}
NEEDED: dict[Kind, str] = {
    "rows": "a question and an answer (`question`, `answer`), or `messages`",
    "pairs": "a preferred and a refused answer (`chosen`, `rejected`)",
    "labelled": "a question, an answer and a label (`question`, `answer`, `label`)",
}

UNUSABLE = frozenset({"no reply", "equal answers", "different questions", "empty turn", "assistant first"})
"""Reasons that lie in the nature of a data set and not in a mistake: such rows are always left out, and counted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A question and what was said to it."""

    question: str
    thinking: str
    answer: str
    rounds: int = 1
    messages: Messages = ()


class RowReader:
    """Reads the rows of one table as one kind of record.

    `columns` names columns by our names (see `ALIASES`), for the question also several; `answer_after` splits an
    answer at its last such marker into thinking and answer (GSM8K: "####"); `safe_when` is the value of the label
    that means safe.
    Raises UserError for an unknown name or column, and for a table of which the columns cannot be told.
    """

    def __init__(
        self,
        kind: Kind,
        columns: Mapping[str, str | list[str]],
        there: Sequence[str],
        *,
        label: str,
        where: str,
        answer_after: str | None = None,
        safe_when: str | None = None,
    ) -> None:
        self._kind, self._answer_after, self._safe_when = kind, answer_after, safe_when
        for name, column in columns.items():
            if name not in USED[kind]:
                raise UserError(f"{where}.columns: unknown name {name!r}; {suggestion(name, USED[kind])}")
            several = [column] if isinstance(column, str) else column
            if name != "question" and len(several) != 1:
                raise UserError(f"{where}.columns.{name}: one column; only a question is made of several")
            for one in several:
                if one not in there:
                    raise UserError(
                        f"{where}.columns.{name}: {label} has no column {one!r}; {suggestion(one, there)}"
                    )
        spelled = {column.lower(): column for column in reversed(there)}
        given = {name: [column] if isinstance(column, str) else column for name, column in columns.items()}
        self._column = {name: several[0] for name, several in given.items()}
        self._question = given.get("question", [])
        for name in USED[kind]:
            found = next((spelled[alias] for alias in ALIASES[name] if alias in spelled), None)
            if found is not None:
                self._column.setdefault(name, found)
        has = self._column.keys()
        if "messages" in has and {"question", "answer"} & set(columns):
            del self._column["messages"]
        by_kind = {
            "rows": "messages" in has or {"question", "answer"} <= has,
            "pairs": {"chosen", "rejected"} <= has,
            "labelled": "label" in has and ("messages" in has or {"question", "answer"} <= has),
        }
        if not by_kind[kind]:
            raise UserError(
                f"{where}: cannot tell which columns of {label} hold {NEEDED[kind]}. "
                f"Columns there: {', '.join(there)}. Say so with `columns: {{question: …}}`"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that are read, each once."""
        return list(dict.fromkeys([*self._column.values(), *self._question]))

    def reply(self, row: Mapping[str, Any]) -> Reply:
        """Question, thinking and answer of a row of kind "rows" or "labelled". Raises BadRow."""
        if "messages" in self._column:
            column = self._column["messages"]
            asked, said = split_reply(messages(row.get(column), column), column)
            question, rounds, turns = asked.question, asked.rounds, asked.messages
        else:
            question, rounds, turns = self._asked(row), 1, ()
            said = self._text(row, "answer")
        thinking, answer = self._split(said)
        if "thinking" in self._column and row.get(self._column["thinking"]) is not None:
            thinking = self._text(row, "thinking", blank=True)
        return Reply(question, thinking, answer, rounds, turns)

    def pair(self, row: Mapping[str, Any]) -> tuple[str, str, str]:
        """(question, chosen, rejected) of a row of kind "pairs", answers without thinking. Raises BadRow."""
        sides: list[tuple[str | None, str]] = []
        for name in ("chosen", "rejected"):
            column = self._column[name]
            value = row.get(column)
            turns = (
                messages(value, column)
                if isinstance(value, list | tuple)
                else transcript(self._text(row, name))
            )
            if turns is None:
                sides.append((None, self._text(row, name)))
            else:
                dialogue, said = split_reply(turns, column)
                sides.append((dialogue.question, said))
        asked = self._asked(row) if "question" in self._column else sides[0][0]
        if asked is None:
            raise BadRow(
                "no question",
                self._column["chosen"],
                "it holds no dialogue",
                "a question column or a dialogue",
            )
        if "question" not in self._column and sides[0][0] != sides[1][0]:
            raise BadRow(
                "different questions",
                self._column["rejected"],
                "its dialogue differs",
                "two answers to one question",
            )
        chosen, rejected = (self._split(said)[1] for _, said in sides)
        if chosen == rejected:
            raise BadRow(
                "equal answers", self._column["rejected"], "it equals the chosen one", "two different answers"
            )
        return asked, chosen, rejected

    def safe(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of kind "labelled" is labelled safe. Raises BadRow for a label that does not say so."""
        column = self._column["label"]
        value = row.get(column)
        safe = read_label(value, self._safe_when)
        if safe is None:
            raise BadRow("unclear label", column, f"it is {repr(value)[:40]}", EXPECTED)
        return safe

    def domain(self, row: Mapping[str, Any], default: str) -> str:
        """The row's domain, or `default` where it names none. Raises BadRow."""
        if row.get(self._column.get("domain", "")) is None:
            return default
        return self._text(row, "domain")

    def _text(self, row: Mapping[str, Any], name: str, *, blank: bool = False) -> str:
        column, value = self._column[name], row.get(self._column[name])
        if value is None:
            raise BadRow(f"no {name}", column, "it is null or not there", f"the {name}")
        return text(value, column, name, blank=blank)

    def _asked(self, row: Mapping[str, Any]) -> str:
        return joined(row, self._question or self._column["question"], "question")

    def _split(self, said: str) -> tuple[str, str]:
        """(thinking, answer) of a reply as one text."""
        if self._answer_after is not None:
            thinking, marker, answer = said.rpartition(self._answer_after)
            if not marker or not answer.strip():
                raise BadRow(
                    "marker missing",
                    self._column.get("answer"),
                    "it has none",
                    f"an answer after {self._answer_after!r}",
                )
            return thinking.strip(), answer.strip()
        if THINK_CLOSE not in said:
            return "", said
        response = parse_response(said, "stop")
        if response.answer is None:
            raise BadRow("no answer", self._column.get("answer"), "nothing follows its thinking", "an answer")
        return response.thinking or "", response.answer


def language_of(question: str, given: str | None) -> str:
    """`given`, or what the question's characters say: "zh" where any is Han, else "en"."""
    return given or detect_language(question)
