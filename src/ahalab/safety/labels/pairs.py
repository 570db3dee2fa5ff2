"""One reply seen by both: what the label says and what the judge said. The unit of every figure about a judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ahalab.safety.folder import read_items, read_judgements, target_names
from ahalab.safety.labels.plan import read_plan
from ahalab.safety.labels.reading import settled_labels

JUDGE_ERROR = "judge_error"


@dataclass(frozen=True, slots=True)
class Pair:
    """A label beside the judge's verdict on the same part of the same reply."""

    truth: str
    """The label: unsafe, safe, rejection; of a gold set with other classes: its words."""
    said: str
    """The judge's word, or "judge_error"."""
    cluster: str = ""
    """Pairs with the same cluster (question) are one draw of an interval; "" is a cluster of its own."""
    language: str = ""
    benchmark: str = ""
    weight: float = 1.0
    """How many replies of the run it stands for: one over its chance to be drawn into the sample."""
    item: str = ""
    target: str = ""


def labelled_pairs(folder: Path, judge: str, *, part: str = "answer") -> list[Pair]:
    """The adjudicated labels of a safety folder beside one judge's verdicts, with the weights of the sample.

    Where annotators differ and nobody has adjudicated, the reply is left out (the hard ones are then missing, and
    figures too good: `aha safety label --adjudicate` mends it); so are replies that the judge has not judged.
    [] without labels.
    """
    labels = [label for label in settled_labels(folder) if label.part == part]
    if not labels:
        return []
    clusters = {item.id: item.cluster or item.id for item in read_items(folder)}
    said = {
        (one.item, one.target): one.verdict
        for target in target_names(folder)
        for one in read_judgements(folder, judge, target)
        if one.part == part
    }
    plan = read_plan(folder)
    weights = plan.weights() if plan else {}
    return [
        Pair(
            label.verdict,
            said[label.item, label.target],
            clusters.get(label.item, label.item),
            label.language,
            label.benchmark,
            weights.get((label.item, label.target, label.part), 1.0),
            label.item,
            label.target,
        )
        for label in labels
        if (label.item, label.target) in said
    ]
