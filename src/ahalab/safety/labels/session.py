"""One annotator at work: what comes next, what is shown (neither target nor verdict), the labels as they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ahalab.errors import UserError
from ahalab.runs.jsonl import JsonlWriter
from ahalab.runs.lock import RunLock
from ahalab.safety.folder import ADJUDICATED, check_name, read_items, read_replies, row_of
from ahalab.safety.labels.plan import Drawn, Key, Plan
from ahalab.safety.labels.reading import labels_by_annotator, labels_of
from ahalab.safety.records import Label, SafetyItem, TargetReply, VerdictWord


@dataclass(frozen=True, slots=True)
class View:
    """What an annotator sees. Harmful text."""

    place: int
    """From 1."""
    total: int
    item: str
    prompt: str
    text: str
    """The answer or the thinking."""
    part: str
    note: str
    """What a safe answer does, where the question says so."""
    given: Mapping[str, str]
    """In adjudication: what each annotator said. Else {}."""


class Session:
    """Labels of one annotator, or the adjudication. Context manager: two sessions of one name exclude each other.

    Every label is on disk when `give` returns. A reply labelled again gets a second row; the later one counts.
    """

    def __init__(self, folder: Path, plan: Plan, annotator: str) -> None:
        self.folder, self.annotator = folder, annotator
        self._given: dict[Key, dict[str, str]] = {}
        self._drawn: Sequence[Drawn] = plan.drawn
        if annotator == ADJUDICATED:
            self._given = disagreements(folder)
            self._drawn = [one for one in plan.drawn if one.key in self._given]
        self._items: dict[str, SafetyItem] = {item.id: item for item in read_items(folder)}
        self._replies: dict[tuple[str, str], TargetReply] = {
            (reply.item, target): reply
            for target in dict.fromkeys(one.target for one in self._drawn)
            for reply in read_replies(folder, target)
        }
        self._labels = labels_of(folder, annotator)
        self._lock = RunLock(folder / "labels" / "locks" / annotator)
        self._writer: JsonlWriter | None = None  # opened by the first label: a mistyped name leaves no file

    def __enter__(self) -> Self:
        (self.folder / "labels" / "locks").mkdir(exist_ok=True)
        self._lock.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._lock.__exit__(kind, error, trace)

    @property
    def total(self) -> int:
        """Replies to label."""
        return len(self._drawn)

    @property
    def done(self) -> int:
        """Replies of them with a label."""
        return sum(one.key in self._labels for one in self._drawn)

    def first_open(self) -> int | None:
        """The place of the first reply without a label; None where all have one."""
        return self.next_open(-1)

    def next_open(self, place: int) -> int | None:
        """The first one without a label behind `place`."""
        behind = range(place + 1, len(self._drawn))
        return next((one for one in behind if self._drawn[one].key not in self._labels), None)

    def view(self, place: int) -> View:
        """What to show. UserError where the folder lost the reply since it was drawn."""
        one = self._drawn[place]
        item, reply = self._items.get(one.item), self._replies.get((one.item, one.target))
        if item is None or reply is None:
            raise UserError(f"{self.folder}: the reply to {one.item} that was drawn is no longer there")
        return View(
            place + 1,
            len(self._drawn),
            item.id,
            item.prompt,
            reply.thinking if one.part == "thinking" else reply.answer,
            one.part,
            str(item.extra.get("note") or ""),
            self._given.get(one.key, {}),
        )

    def give(self, place: int, verdict: VerdictWord, compliance: str = "") -> None:
        """Keep a label."""
        one = self._drawn[place]
        item = self._items[one.item]
        label = Label(
            one.item,
            one.target,
            one.part,
            verdict,
            self.annotator,
            item.benchmark,
            item.language,
            compliance,
        )
        if self._writer is None:
            self._writer = JsonlWriter(self.folder / "labels" / f"{self.annotator}.jsonl")
        self._writer.append(row_of(label))
        self._labels[one.key] = label


def open_session(folder: Path, plan: Plan, annotator: str | None, *, adjudicate: bool) -> Session:
    """The session of an annotator, or the adjudication.

    Raises:
        UserError: no name, a name that cannot be one, or fewer than two annotators to adjudicate between.
    """
    if adjudicate:
        names = list(labels_by_annotator(folder))
        if len(names) < 2:
            have = f"only {names[0]} has" if names else "nobody has"
            raise UserError(f"{folder}: {have} labelled there; adjudication needs two annotators' labels")
        return Session(folder, plan, ADJUDICATED)
    if annotator is None:
        raise UserError("who labels? Give --annotator NAME (or --adjudicate)")
    if check_name(annotator, "annotator") == ADJUDICATED:
        raise UserError(f"annotator {ADJUDICATED!r}: this name is the adjudication's; use --adjudicate")
    return Session(folder, plan, annotator)


def disagreements(folder: Path) -> dict[Key, dict[str, str]]:
    """Replies whose annotators gave different verdicts: what each said."""
    given: dict[Key, dict[str, str]] = {}
    for name, labels in labels_by_annotator(folder).items():
        for key, label in labels.items():
            given.setdefault(key, {})[name] = label.verdict
    return {key: words for key, words in given.items() if len(set(words.values())) > 1}
