"""Lists of reflective words of several annotators merged into one, with how far they agree (paper, appendix C).

The paper's list was made this way: three experts each proposed words, and the lists were merged. The paper does not
say how, nor how far they agreed. Ours: a word is kept where at least `at_least` annotators proposed it, by default more
than half of them.

Agreement is over the union of the lists: the mean pairwise Jaccard index, and Fleiss' kappa (1971) with the two
categories "proposed" and "not proposed". Words that nobody proposed are in no list, so they cannot count as agreement:
kappa comes out lower than over a whole vocabulary, and 0 does not mean that the annotators guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from ahalab.errors import UserError
from ahalab.text.hostile import make_visible
from ahalab.text.reflection import load_reflective_words

LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the annotators agree on one language's words."""

    proposed: Mapping[str, tuple[str, ...]]
    """Word → who proposed it; most votes first, then in the order of the lists."""
    jaccard: float | None
    """Mean over pairs of annotators of shared words over all words of the two; None where nobody proposed any."""
    kappa: float | None
    """Fleiss' kappa over the union; None where it is not defined: no word, or all of them by everybody."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """The merged list."""

    annotators: tuple[str, ...]
    at_least: int
    languages: Mapping[str, Agreement]
    """"en" and "zh"."""

    def kept(self, language: str) -> list[str]:
        """The words of the merged list, most votes first."""
        return [word for word, who in self.languages[language].proposed.items() if len(who) >= self.at_least]

    def as_text(self) -> str:
        """The merged list as a file that `load_reflective_words` reads; behind each word, who proposed it."""
        count = len(self.annotators)
        lines = [
            f"# Merged by consensus from the lists of {', '.join(map(_name, self.annotators))}: words that at least "
            f"{self.at_least} of {count} proposed.",
        ]
        for language, agreement in self.languages.items():
            lines += ["", f"[{language}]"]
            for word in self.kept(language):
                who = agreement.proposed[word]
                lines.append(f"{word}  # {len(who)} of {count}: {', '.join(map(_name, who))}")
        return "\n".join(lines) + "\n"


def merge_lists(paths: Sequence[Path], at_least: int | None = None) -> Consensus:
    """Merge word lists, one file an annotator; `at_least` defaults to more than half of them.

    Raises:
        UserError: fewer than two lists, the same file twice, a list that cannot be read, or `at_least` out of range.
    """
    if len(paths) < 2:
        raise UserError(
            "aha words merge: a consensus needs the lists of at least two annotators, one file each."
        )
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("aha words merge: the same file is named twice; each annotator's list counts once.")
    least = len(paths) // 2 + 1 if at_least is None else at_least
    if not 1 <= least <= len(paths):
        raise UserError(f"--at-least {least}: with {len(paths)} lists it lies between 1 and {len(paths)}.")
    names = _names(paths)
    lists = [load_reflective_words(path) for path in paths]
    return Consensus(
        tuple(names),
        least,
        {
            "en": agreement(dict(zip(names, (one.english for one in lists), strict=True))),
            "zh": agreement(dict(zip(names, (one.chinese for one in lists), strict=True))),
        },
    )


def agreement(lists: Mapping[str, Sequence[str]]) -> Agreement:
    """Who proposed each word, and how far the annotators agree. Annotator → words."""
    proposed: dict[str, list[str]] = {}
    for annotator, words in lists.items():
        for word in dict.fromkeys(words):
            proposed.setdefault(word, []).append(annotator)
    order = {word: place for place, word in enumerate(proposed)}
    ranked = sorted(proposed, key=lambda word: (-len(proposed[word]), order[word]))
    return Agreement(
        {word: tuple(proposed[word]) for word in ranked},
        _jaccard([set(words) for words in lists.values()]),
        fleiss_kappa([len(who) for who in proposed.values()], len(lists)),
    )


def fleiss_kappa(votes: Sequence[int], raters: int) -> float | None:
    """Fleiss' kappa of yes/no ratings: `votes` of `raters` said yes to each item.

    None where it is not defined: no item, one rater, or everybody says the same of every item.
    """
    if not votes or raters < 2:
        return None
    pairs = raters * (raters - 1)
    observed = math.fsum((v * (v - 1) + (raters - v) * (raters - v - 1)) / pairs for v in votes) / len(votes)
    yes = sum(votes) / (raters * len(votes))
    expected = yes**2 + (1 - yes) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _jaccard(lists: Sequence[set[str]]) -> float | None:
    """Pairs of two empty lists have nothing to agree on and are left out."""
    found = [len(one & other) / len(one | other) for one, other in combinations(lists, 2) if one | other]
    return math.fsum(found) / len(found) if found else None


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names without their ends; whole paths where two are called the same."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _name(text: str) -> str:
    """A file's name inside a comment: no line break, nothing hidden."""
    return make_visible(text).replace("\n", " ").replace("\t", " ")
