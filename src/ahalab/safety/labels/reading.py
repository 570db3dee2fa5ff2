"""Which label of a reply counts: the adjudicated one, or what the annotators agree on."""

from __future__ import annotations

from pathlib import Path

from ahalab.safety.folder import ADJUDICATED, annotators, read_labels
from ahalab.safety.labels.plan import Key
from ahalab.safety.records import Label


def key_of(label: Label) -> Key:
    """What tells a labelled reply apart."""
    return label.item, label.target, label.part


def labels_by_annotator(folder: Path) -> dict[str, dict[Key, Label]]:
    """Each annotator's labels; of a reply labelled twice by the same one, the later label."""
    return {
        name: {key_of(label): label for label in read_labels(folder, name)} for name in annotators(folder)
    }


def settled_labels(folder: Path) -> list[Label]:
    """One label a reply: adjudicated, or unanimous; replies whose annotators differ and that nobody settled are out."""
    settled = {key_of(label): label for label in read_labels(folder, ADJUDICATED)}
    given: dict[Key, list[Label]] = {}
    for labels in labels_by_annotator(folder).values():
        for key, label in labels.items():
            given.setdefault(key, []).append(label)
    for key, labels_of_it in given.items():
        if len({label.verdict for label in labels_of_it}) == 1:
            settled.setdefault(key, labels_of_it[0])
    return list(settled.values())
