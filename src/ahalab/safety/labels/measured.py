"""What was measured of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ahalab.safety.labels.kappa import Agreement, Recall
from ahalab.safety.labels.words import Head


@dataclass(frozen=True, slots=True)
class Measured:
    """One head of a judge on one set (or on pooled sets) in one language."""

    name: str
    head: Head
    language: str
    replies: int
    agreement: Agreement | None
    """None where the judge gave no verdict of this head."""
    complied: Agreement | None = None
    """Of XSTest's classes: complied or not."""
    auc: float | None = None
    """Of a harm head whose judge gives scores."""
    no_head: int = 0
    """Replies whose judgement lacks this head: in no figure."""
    judge_errors: Mapping[str, int] = field(default_factory=dict)
    """By reason: in no figure, and never a verdict."""
    source: str = ""
    note: str = ""
    labelled_by: str = ""
    unlabelled: int = 0
    learned: bool = False
    """Whether the judge learned from this set: its figures then show memory."""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything that was measured of one judge."""

    judge: str
    identity: Mapping[str, Any]
    sets: tuple[Measured, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "judge": self.judge,
            "identity": dict(self.identity),
            "sets": [asdict(one) for one in self.sets],
        }


def measured_from(row: Mapping[str, Any]) -> Measured:
    """What `Validation.as_dict` wrote of a set. KeyError or TypeError where it did not."""
    return Measured(**{**row, **{key: _agreement(row[key]) for key in ("agreement", "complied")}})


def _agreement(row: Mapping[str, Any] | None) -> Agreement | None:
    if row is None:
        return None
    recall = {name: None if one is None else Recall(**one) for name, one in row["recall"].items()}
    tuples = {"classes": tuple(row["classes"]), "confusion": tuple(tuple(one) for one in row["confusion"])}
    return Agreement(**{**row, **tuples, "recall": recall})
