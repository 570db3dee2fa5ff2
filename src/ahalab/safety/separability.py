"""How well words alone tell the harmful questions from the harmless ones: the matched set is only good if they cannot.

Two judges that know no meaning, each by the area under the ROC curve (0.5: a coin): the number of trigger words in a
text, and a bag of words (multinomial naive Bayes, cross-validated over items, so that nothing is graded by itself).
Our choice of both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ahalab.counter import make_key
from ahalab.records import Language
from ahalab.safety.questions import Question

FOLDS = 10
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words_of(text: str, language: Language) -> list[str]:
    """The words of an English text; the pairs of neighbouring characters of a Chinese one."""
    if language == "en":
        return _WORD.findall(text.casefold())
    letters = [character for character in text if character.isalnum()]
    return [first + second for first, second in pairwise(letters)]


def area_under_curve(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """The chance that a positive item scores above a negative one; ties count half.

    Raises:
        ValueError: one of the two classes is empty.
    """
    values, truth = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    ours, others = values[truth], values[~truth]
    if not len(ours) or not len(others):
        raise ValueError("both classes need an item")
    above = (ours[:, None] > others[None, :]).sum() + 0.5 * (ours[:, None] == others[None, :]).sum()
    return float(above / (len(ours) * len(others)))


def bag_of_words_auc(questions: Sequence[Question], language: Language, folds: int = FOLDS) -> float:
    """AUC of "harmful" by naive Bayes over words, each item scored by what the other folds taught."""
    bags = [Counter(words_of(one.text(language), language)) for one in questions]
    harmful = [not one.harmless for one in questions]
    fold = [make_key("separability", one.id) % folds for one in questions]
    scores = np.zeros(len(questions))
    for held in range(folds):
        counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for bag, label, place in zip(bags, harmful, fold, strict=True):
            if place != held:
                counts[label].update(bag)
        known = len(set(counts[True]) | set(counts[False])) + 1
        sums = {label: sum(bag.values()) + known for label, bag in counts.items()}
        for index, (bag, place) in enumerate(zip(bags, fold, strict=True)):
            if place == held:
                scores[index] = sum(
                    times
                    * np.log(
                        (counts[True][word] + 1) / sums[True] / ((counts[False][word] + 1) / sums[False])
                    )
                    for word, times in bag.items()
                )
    return area_under_curve(list(scores), harmful)


def keyword_auc(questions: Sequence[Question], language: Language, triggers: Sequence[str]) -> float:
    """AUC of "harmful" by the number of different trigger words in a text."""
    found = []
    for one in questions:
        text = one.text(language).casefold()
        own = set(words_of(text, language))
        found.append(float(sum(word in own if language == "en" else word in text for word in triggers)))
    return area_under_curve(found, [not one.harmless for one in questions])
