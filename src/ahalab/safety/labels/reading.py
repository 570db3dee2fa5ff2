"""Which label of a reply counts: the adjudicated one, or what the annotators agree on."""

from __future__ import annotations

from pathlib import Path

from ahalab.errors import UserError
from ahalab.safety.folder import ADJUDICATED, annotators, read_labels
from ahalab.safety.labels.plan import Key
from ahalab.safety.records import VERDICTS, Label


def key_of(label: Label) -> Key:
    """What tells a labelled reply apart."""
    return label.item, label.target, label.part


def labels_of(folder: Path, annotator: str) -> dict[Key, Label]:
    """One annotator's labels, or the adjudicated ones; of a reply labelled twice, the later label.

    Raises:
        UserError: a row whose verdict is none, which only a hand can have written.
    """
    found = {}
    for number, label in enumerate(read_labels(folder, annotator), 1):
        if label.verdict not in VERDICTS:
            raise UserError(
                f"{folder / 'labels' / annotator}.jsonl, row {number}, key 'verdict': expected one of "
                f"{', '.join(VERDICTS)}, got {str(label.verdict)[:40]!r}"
            )
        found[key_of(label)] = label
    return found


def labels_by_annotator(folder: Path) -> dict[str, dict[Key, Label]]:
    """Each annotator's labels; errors as `labels_of`."""
    return {name: labels_of(folder, name) for name in annotators(folder)}


def settled_labels(folder: Path) -> list[Label]:
    """One label a reply: adjudicated, or unanimous; replies whose annotators differ and that nobody settled are out."""
    settled = labels_of(folder, ADJUDICATED)
    given: dict[Key, list[Label]] = {}
    for labels in labels_by_annotator(folder).values():
        for key, label in labels.items():
            given.setdefault(key, []).append(label)
    for key, all_of_it in given.items():
        if len({label.verdict for label in all_of_it}) == 1:
            settled.setdefault(key, all_of_it[0])
    return list(settled.values())
