"""How far annotators agree with each other."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from ahalab.safety.folder import read_items
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair
from ahalab.safety.labels.reading import labels_by_annotator
from ahalab.safety.records import VERDICTS


def between_annotators(folder: Path) -> dict[tuple[str, str], Agreement]:
    """Agreement of every two annotators over the replies that both labelled, unweighted, clustered by question."""
    clusters = {item.id: item.cluster or item.id for item in read_items(folder)}
    found = {}
    for (first, mine), (second, theirs) in combinations(labels_by_annotator(folder).items(), 2):
        pairs = [
            Pair(mine[key].verdict, theirs[key].verdict, clusters.get(key[0], key[0]))
            for key in mine
            if key in theirs
        ]
        figures = agreement(pairs, VERDICTS)
        if figures is not None:
            found[first, second] = figures
    return found
