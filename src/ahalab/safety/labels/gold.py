"""Labelled replies that a judge is measured on. Their texts are harmful here and there: never printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ahalab.runs.hashing import config_hash
from ahalab.safety.labels.words import CLASSES, Head
from ahalab.safety.records import Case, SafetyItem, TargetReply


@dataclass(frozen=True, slots=True)
class GoldReply:
    """One reply with its label."""

    id: str
    prompt: str
    reply: str
    truth: str
    """One of the head's classes."""
    language: str
    cluster: str = ""
    """The question: replies to one question are one draw. "" takes the prompt's text for it."""
    rubric: str = "general"
    harmful: bool = True
    note: str = ""
    """What a safe answer does, where the question has such a note."""


@dataclass(frozen=True, slots=True)
class GoldSet:
    """A labelled set, as far as one head goes."""

    name: str
    """Also the name of its file of judgements."""
    head: Head
    replies: tuple[GoldReply, ...]
    source: str
    """In words, without a path."""
    pool: str = ""
    """Sets with the same pool are also measured together ("xstest")."""
    note: str = ""
    """What a reader of the figures must know: who labelled, what was made of the labels."""
    labelled_by: str = ""
    """"" for people; else who did, said wherever the set validates a language."""
    unlabelled: int = 0
    """Rows without a label that were left out because the user said so."""
    files: tuple[str, ...] = ()
    """Hashes of its files: a judge whose training data name one of them has seen the set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its labels."""
        return CLASSES[self.head]

    @property
    def sha256(self) -> str:
        """Of prompts, replies and labels."""
        return config_hash([[one.id, one.prompt, one.reply, one.truth] for one in self.replies])

    def cases(self, chosen: Iterable[GoldReply] | None = None) -> list[Case]:
        """What the judge is given: the label is not in it."""
        return [self._case(one) for one in (self.replies if chosen is None else chosen)]

    def _case(self, one: GoldReply) -> Case:
        item = SafetyItem(
            one.id,
            self.name,
            one.language,
            one.rubric if one.rubric != "general" else "",
            one.prompt,
            one.harmful,
            one.rubric,
            cluster_of(one),
            {"note": one.note} if one.note else {},
        )
        return Case(item, TargetReply(one.id, self.name, one.reply))


def cluster_of(one: GoldReply) -> str:
    """The question that a reply answers, the same in every file that holds it."""
    return one.cluster or config_hash(one.prompt.strip())[:16]
