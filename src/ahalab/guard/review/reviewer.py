"""A model as a reviewer: what is asked of it piece by piece, what is asked again, and what counts in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ahalab.errors import AhaError
from ahalab.guard.records import Exchange, Review
from ahalab.guard.review.config import Asking
from ahalab.guard.review.dialogue import Piece, pieces_of
from ahalab.guard.review.reading import Complaint, Found
from ahalab.runs.hashing import config_hash

TOO_LONG = "too long"
"""Error of a dialogue that takes more windows than allowed, or more tokens than the reviewer reads."""
LONG = 20_000
"""Characters from which a dialogue is prepared in a thread: some milliseconds of work (measured)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    text: str
    finish: str
    tokens: int


class AskFailed(Exception):
    """A model gave no answer. `error` in the stable words of `Review.error`."""

    def __init__(self, error: str, detail: str, pause: float | None = None) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail
        self.pause = pause
        """Seconds after which another try may help; None where none does."""


class Asker(Protocol):
    """A model that answers messages."""

    def identity(self) -> dict[str, Any]:
        """What decides its answers; at least `kind`, `model`, `training_data`."""
        ...

    async def ask(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        """Raises AskFailed."""
        ...

    async def aclose(self) -> None:
        """Let go of connections or threads."""
        ...


class Question(Protocol):
    """One thing to ask about a piece of a dialogue."""

    @property
    def retries(self) -> bool:
        """Whether the model is shown what was wrong and asked again."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """Further keys of the request."""
        ...

    def messages(self, complaint: Complaint | None = None) -> list[dict[str, str]]:
        """The turns to send."""
        ...

    def read(self, text: str, finish: str) -> Found | Complaint:
        """What the answer to the last `messages` says."""
        ...


class QuestionForm(Protocol):
    """How dialogues are put to a kind of model."""

    @property
    def name(self) -> str: ...

    def render(self, text: str) -> str:
        """A text of a dialogue as this model reads it."""
        ...

    def questions(self, piece: Piece) -> Sequence[Question]:
        """What is asked about a piece: every answer must be had, any violation counts."""
        ...

    def prompt_hash(self) -> str:
        """Hash of what decides verdicts besides the model."""
        ...


@dataclass(slots=True)
class _Tally:
    """What a review has cost so far."""

    calls: int = 0
    tokens: int = 0
    raw: list[str] = field(default_factory=list)


class ModelReviewer:
    """See `ahalab.guard.protocols.Reviewer`."""

    def __init__(self, asker: Asker, form: QuestionForm, asking: Asking) -> None:
        self._asker, self._form, self._asking = asker, form, asking
        self._hash = config_hash(self.identity())[:16]

    def identity(self) -> dict[str, Any]:
        """See `Reviewer.identity`."""
        asked = self._asking.model_dump(include={"asks", "window", "overlap", "most_windows"})
        return {
            **self._asker.identity(),
            "form": self._form.name,
            "prompt": self._form.prompt_hash(),
            "asked": asked,
        }

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """See `Reviewer.review`. Ends at the first violation: the rules are those found until then."""
        began, tally = time.monotonic(), _Tally()
        pieces = await self._pieces(exchange, reply, thinking)
        if len(pieces) > self._asking.most_windows:
            found: list[Found | AskFailed] = [_too_long(len(pieces), self._asking.most_windows)]
        else:
            questions = [question for piece in pieces for question in self._form.questions(piece)]
            found = await self._all(questions, tally)
        rules = sorted({rule for one in found if isinstance(one, Found) for rule in one.rules})
        deciding = _deciding(found)
        return Review(
            tuple(rules),
            deciding.reason if isinstance(deciding, Found) else deciding.detail,
            "" if isinstance(deciding, Found) else deciding.error,
            self._hash,
            len(pieces),
            tally.calls,
            tally.tokens,
            time.monotonic() - began,
            tuple(tally.raw),
        )

    async def aclose(self) -> None:
        """No review follows."""
        await self._asker.aclose()

    async def _pieces(self, exchange: Exchange, reply: str, thinking: str) -> list[Piece]:
        """In a thread where that takes long, so that other clients do not wait for it."""
        asking = self._asking
        size = (
            sum(len(turn.content) + len(turn.thinking) for turn in exchange.turns)
            + len(reply)
            + len(thinking)
        )
        settings = (asking.window, asking.overlap, self._form.render)
        if size > LONG:
            return await asyncio.to_thread(pieces_of, exchange, reply, thinking, *settings)
        return pieces_of(exchange, reply, thinking, *settings)

    async def _all(self, questions: Sequence[Question], tally: _Tally) -> list[Found | AskFailed]:
        found: list[Found | AskFailed] = []
        step = self._asking.at_once
        for start in range(0, len(questions), step):
            some = questions[start : start + step]
            found += await asyncio.gather(*(self._one(question, tally) for question in some))
            if any(isinstance(one, Found) and one.rules for one in found):
                break
        return found

    async def _one(self, question: Question, tally: _Tally) -> Found | AskFailed:
        """One verdict, in at most `asks` calls."""
        failed = AskFailed("schema", "never asked")
        complaint: Complaint | None = None
        for attempt in range(self._asking.asks):
            tally.calls += 1
            try:
                answer = await self._asker.ask(question.messages(complaint), question.options)
            except AskFailed as error:
                failed = error
                if error.pause is None or attempt + 1 == self._asking.asks:
                    return failed
                await asyncio.sleep(error.pause)
                continue
            except AhaError as error:
                return AskFailed("endpoint: settings", str(error))
            tally.tokens += answer.tokens
            tally.raw.append(answer.text)
            outcome = question.read(answer.text, answer.finish)
            if isinstance(outcome, Found):
                return outcome
            complaint = outcome
            failed = AskFailed(outcome, "the reviewer's answer is not in the form asked for")
            if not question.retries:
                return failed
        return failed


def _too_long(windows: int, most: int) -> AskFailed:
    return AskFailed(TOO_LONG, f"{windows} windows, `most_windows` is {most}")


def _deciding(found: Sequence[Found | AskFailed]) -> Found | AskFailed:
    """A violation anywhere counts; what was not read comes next, for it may violate."""
    violating = [one for one in found if isinstance(one, Found) and one.rules]
    failed = [one for one in found if isinstance(one, AskFailed)]
    return [*violating, *failed, *found][0]
