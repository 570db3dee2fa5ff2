"""Templates that say the same again: exact copies after normalisation, and near copies by shared runs of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ahalab.safety.jailbreak.template import SLOT, Template, plain
from ahalab.text.grams import gram_hashes

NEAR = 0.8
"""Share of common 5-word runs (Jaccard index) from which two templates are near copies: as in the data tools."""
RUN = 5


@dataclass(frozen=True, slots=True)
class Distinct:
    """What stays, and how many copies went, by source."""

    templates: tuple[Template, ...]
    exact: Counter[str]
    near: Counter[str]


def distinct_templates(found: Iterable[Template], near: float = NEAR) -> Distinct:
    """The templates without copies. Of copies one that marks the question's place stays, else the first.

    Near copies are found exactly, not by sampling: two texts with a Jaccard index of at least `near` share one of their
    rarest runs (prefix filter, Chaudhuri et al. 2006). Texts shorter than a run are compared as a whole only.
    """
    exact: Counter[str] = Counter()
    once: dict[str, Template] = {}
    for template in found:
        key = plain(template.text)
        kept = once.setdefault(key, template)
        if kept is template:
            continue
        if template.has_slot and not kept.has_slot:
            once[key], template = template, kept
        exact[template.source] += 1
    return _without_near(list(once.values()), exact, near)


def _without_near(templates: list[Template], exact: Counter[str], near: float) -> Distinct:
    grams = [frozenset(gram_hashes(template.text.replace(SLOT, " "), RUN).tolist()) for template in templates]
    often = Counter(gram for found in grams for gram in found)
    by_gram: dict[int, list[int]] = {}
    gone: Counter[str] = Counter()
    stays: list[int] = []
    # Those with a place for the question first, so that they are what later ones are copies of.
    for place in sorted(range(len(templates)), key=lambda place: not templates[place].has_slot):
        mine = grams[place]
        rare = sorted(mine, key=lambda gram: (often[gram], gram))[: len(mine) - int(near * len(mine)) + 1]
        likely = {other for gram in rare for other in by_gram.get(gram, ())}
        if any(_likeness(mine, grams[other]) >= near for other in likely):
            gone[templates[place].source] += 1
            continue
        stays.append(place)
        for gram in rare:
            by_gram.setdefault(gram, []).append(place)
    return Distinct(tuple(templates[place] for place in sorted(stays)), exact, gone)


def _likeness(first: frozenset[int], second: frozenset[int]) -> float:
    common = len(first & second)
    return common / (len(first) + len(second) - common) if common else 0.0
