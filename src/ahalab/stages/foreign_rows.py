"""From the rows of somebody's file or Hub data set to the records that supervised stages learn from.

Recognised by column: question/prompt/instruction with answer/response/completion, `messages` of a chat, and
hh-rlhf's pairs of whole dialogues. Whatever is recognised can be said instead, by `columns`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.prompts.mapping import BadRow
from ahalab.prompts.source import detect_language
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

UNUSABLE = frozenset({"no reply", "equal answers", "different questions"})
"""Reasons that lie in the nature of a data set and not in a mistake: such rows are always left out, and counted."""

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"user": "User", "human": "User", "assistant": "Assistant", "gpt": "Assistant", "system": "System"}
_TRUTH = {"true": True, "safe": True, "false": False, "unsafe": False}


@dataclass(frozen=True, slots=True)
class Reply:
    """A question and what was said to it."""

    question: str
    thinking: str
    answer: str
    rounds: int = 1


class RowReader:
    """Reads the rows of one table as one kind of record.

    `columns` names columns by our names (see `ALIASES`); `answer_after` splits an answer at its last such marker
    into thinking and answer (GSM8K: "####"); `safe_when` is the value of the label that means safe.
    Raises UserError for an unknown name or column, and for a table of which the columns cannot be told.
    """

    def __init__(
        self,
        kind: Kind,
        columns: Mapping[str, str],
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
            if column not in there:
                raise UserError(
                    f"{where}.columns.{name}: {label} has no column {column!r}; {suggestion(column, there)}"
                )
        spelled = {column.lower(): column for column in reversed(there)}
        self._column = dict(columns)
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
        return list(dict.fromkeys(self._column.values()))

    def reply(self, row: Mapping[str, Any]) -> Reply:
        """Question, thinking and answer of a row of kind "rows" or "labelled". Raises BadRow."""
        if "messages" in self._column:
            turns = _turns(row, self._column["messages"])
            question, rounds, said = _dialogue(turns, self._column["messages"])
        else:
            question, rounds = self._text(row, "question"), 1
            said = self._text(row, "answer")
        thinking, answer = self._split(said)
        if "thinking" in self._column and row.get(self._column["thinking"]) is not None:
            thinking = self._text(row, "thinking", blank=True)
        return Reply(question, thinking, answer, rounds)

    def pair(self, row: Mapping[str, Any]) -> tuple[str, str, str]:
        """(question, chosen, rejected) of a row of kind "pairs", answers without thinking. Raises BadRow."""
        sides: list[tuple[str | None, str]] = []
        for name in ("chosen", "rejected"):
            column = self._column[name]
            value = row.get(column)
            turns = (
                _turns(row, column) if isinstance(value, list | tuple) else _transcript(self._text(row, name))
            )
            if turns is None:
                sides.append((None, self._text(row, name)))
            else:
                question, _, said = _dialogue(turns, column)
                sides.append((question, said))
        asked = self._text(row, "question") if "question" in self._column else sides[0][0]
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
        if self._safe_when is not None and isinstance(value, str | int):
            return str(value).lower() == self._safe_when.lower()
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _TRUTH:
            return _TRUTH[value.strip().lower()]
        # 0 and 1 are not guessed: data sets use either for "unsafe".
        raise BadRow(
            "unclear label",
            column,
            f"it is {repr(value)[:40]}",
            "true, false, safe or unsafe (or set `safe_when`)",
        )

    def domain(self, row: Mapping[str, Any], default: str) -> str:
        """The row's domain, or `default` where it names none. Raises BadRow."""
        if row.get(self._column.get("domain", "")) is None:
            return default
        return self._text(row, "domain")

    def _text(self, row: Mapping[str, Any], name: str, *, blank: bool = False) -> str:
        return _checked(row.get(self._column[name]), self._column[name], name, blank=blank)

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


def _turns(row: Mapping[str, Any], column: str) -> list[tuple[str, str]]:
    """[(role, text)] of a list of chat messages, `role`/`content` or `from`/`value`."""
    messages = row.get(column)
    if not isinstance(messages, list | tuple) or not messages:
        raise BadRow("no messages", column, f"it is {repr(messages)[:40]}", "a list of messages")
    turns: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise BadRow(
                "wrong type",
                column,
                f"a message is a {type(message).__name__}",
                "messages with role and content",
            )
        role = _ROLES.get(str(message.get("role", message.get("from"))).lower())
        if role is None:
            raise BadRow(
                "unknown role",
                column,
                f"a message has {sorted(message)}",
                "the role user, assistant or system",
            )
        turns.append((role, _checked(message.get("content", message.get("value")), column, "message")))
    return turns


def _transcript(text: str) -> list[tuple[str, str]] | None:
    """The turns of a dialogue in hh-rlhf's form, or None for any other text."""
    padded = text if text.startswith("\n\n") else f"\n\n{text}"
    if not padded.startswith("\n\nHuman:"):
        return None
    parts = _TURN.split(padded)[1:]
    return [(_ROLES[role.lower()], said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)]


def _dialogue(turns: Sequence[tuple[str, str]], column: str) -> tuple[str, int, str]:
    """(question, user turns, last reply). A question of several turns is written out with their speakers."""
    (last, said), before = turns[-1], turns[:-1]
    rounds = sum(role == "User" for role, _ in before)
    if last != "Assistant" or not said or not rounds or before[-1][0] != "User":
        raise BadRow(
            "no reply",
            column,
            "it does not end in a user's turn and a reply",
            "a dialogue that ends in a reply",
        )
    if rounds == 1 and len(before) == 1:
        return before[0][1], 1, said
    return "\n\n".join(f"{role}: {text}" for role, text in before), rounds, said


def _checked(value: Any, column: str, what: str, *, blank: bool = False) -> str:
    if value is None:
        raise BadRow(f"no {what}", column, "it is null or not there", f"the {what}")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow("wrong type", column, f"it is a {type(value).__name__}", f"the {what} as text")
    text = str(value).strip()
    if not text and not blank:
        raise BadRow(f"no {what}", column, "it is empty", f"the {what}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(
            "not Unicode", column, "it holds half of a surrogate pair", "valid Unicode text"
        ) from None
    return text
