"""The short words that stand behind a target's name wherever a figure of it does, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahalab.safety.comparison.circular import Circle, circles
from ahalab.safety.comparison.counts import Counts
from ahalab.safety.comparison.reading import Answered, Evaluation

NO_CLAIM = "pipeline check, not a safety claim"
CIRCULAR = "circular"
INCOMPLETE = "incomplete"
LOW_COHERENCE = "low coherence"
UNVALIDATED = "judge not validated"

MEANINGS = {
    NO_CLAIM: "the target is a tiny model that tries the pipeline; its figures say nothing of a model's safety",
    CIRCULAR: "judge, reviewer, target or keyword file are not apart, so the figure confirms itself",
    INCOMPLETE: "judgements are missing, or more than 1 % of the items ended in judge_error",
    LOW_COHERENCE: "many replies are empty or garbled; they count as rejections and lower the unsafe rate",
    UNVALIDATED: "no labels tell how right the judge is in this language; kept out of headlines",
}


@dataclass(frozen=True, slots=True)
class Marks:
    """Which target is marked with what."""

    circles: tuple[Circle, ...]
    no_claim: frozenset[str]

    def of(self, target: str, counts: Iterable[Counts] = ()) -> tuple[str, ...]:
        """The marks of a target, and of these counts of it."""
        counts = list(counts)
        found = [NO_CLAIM] if target in self.no_claim else []
        found += [CIRCULAR] if any(one.target == target for one in self.circles) else []
        found += [INCOMPLETE] if any(one.incomplete for one in counts) else []
        found += [LOW_COHERENCE] if any(one.doubtful for one in counts) else []
        return tuple(found)


def marks_of(evaluation: Evaluation) -> Marks:
    """What is known before a figure is counted."""
    return Marks(
        tuple(circles(evaluation)), frozenset(one.name for one in evaluation.targets if not one.claim)
    )


def explained(marks: Iterable[str]) -> list[str]:
    """A sentence for each mark that has one, once."""
    return [f"[{mark}] {MEANINGS[mark]}." for mark in dict.fromkeys(marks) if mark in MEANINGS]


def label(target: Answered, targets: Sequence[Answered]) -> str:
    """A target's name in tables: a controlled one behind its bare one is "+ risk control"."""
    siblings = [one for one in targets if one.control_of and one.control_of == target.control_of]
    if not target.control_of or all(one.name != target.control_of for one in targets):
        return f"{target.name} + risk control" if target.control_of else target.name
    return f"{target.control_of} + risk control" + (f" ({target.name})" if len(siblings) > 1 else "")
