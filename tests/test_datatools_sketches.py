"""Sketches tell how alike two texts are: exactly for short ones, closely for long ones; twins share a bucket."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ahalab.datatools.sketches import (
    BANDS,
    RECALL,
    SKETCH,
    Shape,
    Sketcher,
    Sketches,
    exact_key,
    formula_key,
    jaccard,
)
from ahalab.text.grams import gram_hashes
from ahalab.text.quality import ngrams, overlap

LETTERS = str.maketrans("0123456789", "abcdefghij")


def sketch(text: str, shape: Shape) -> np.ndarray:
    made = Sketcher(shape).sketch([text])
    return made.numbers


def prose(words: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return ["".join(chosen.choices("abcdefghij", k=chosen.randint(2, 8))) for _ in range(words)]


def test_of_short_texts_the_likeness_is_exact() -> None:
    shape = Shape(n=3)
    words = prose(60, 1)
    for changed in (1, 5, 20, 60):
        left, right = " ".join(words), " ".join([*prose(changed, 2), *words[changed:]])
        exact = overlap(ngrams(left, 3), ngrams(right, 3))
        assert jaccard(sketch(left, shape), sketch(right, shape)) == pytest.approx(exact)
    assert jaccard(sketch("a b c d", shape), sketch("a b c d", shape)) == 1.0


def test_of_long_texts_it_is_close() -> None:
    shape = Shape()
    errors = []
    for seed in range(30):
        words = prose(3000, seed)
        kept = 2300
        left, right = " ".join(words), " ".join([*words[:kept], *prose(3000 - kept, 1000 + seed)])
        exact = overlap(ngrams(left, 5), ngrams(right, 5))
        assert len(sketch(left, shape)) == SKETCH
        errors.append(jaccard(sketch(left, shape), sketch(right, shape)) - exact)
    assert abs(float(np.mean(errors))) < 0.03
    assert float(np.std(errors)) < 0.07


def same(left: Sketches, right: Sketches, place: int, other: int) -> bool:
    cut = [np.split(one.numbers, np.cumsum(one.counts)[:-1]) for one in (left, right)]
    return bool(
        (left.bands[place] == right.bands[other]).all() and cut[0][place].tolist() == cut[1][other].tolist()
    )


def test_a_text_has_the_same_sketch_in_any_batch() -> None:
    texts = [" ".join(prose(count, count)) for count in (1, 4, 5, 6, 300, 0, 40)]
    texts += ["小明有三个苹果和五个梨子，一共多少？", "three four five six seven"]
    sketcher = Sketcher(Shape())
    together = sketcher.sketch(texts)
    # Too short for a gram, or empty.
    assert together.places.tolist() == [2, 3, 4, 6, 7, 8]
    for number, place in enumerate(together.places.tolist()):
        assert same(together, sketcher.sketch([texts[place]]), number, 0)
    assert len(sketcher.sketch(["", "two words"]).places) == 0


def test_the_sketch_holds_the_smallest_hashes_of_the_grams() -> None:
    text = " ".join(prose(400, 3))
    smallest = sorted({int(one) >> 32 for one in gram_hashes(text, 5).tolist()})[:SKETCH]
    assert sketch(text, Shape()).tolist() == smallest


@pytest.mark.parametrize("near", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_pairs_at_the_threshold_share_a_bucket(near: float) -> None:
    shape = Shape(near, n=1)
    assert 1 - (1 - near**shape.rows) ** BANDS >= RECALL
    if near == 1.0:
        return
    sketcher = Sketcher(shape)
    met = far = 0
    size = 200
    for seed in range(100):
        # Letters only: a word ends where digits begin.
        words = [f"{seed:04d}{number:04d}".translate(LETTERS) for number in range(2 * size)]
        # Sets of `size` words whose shared part makes the Jaccard index just `near`.
        shared = round(2 * size * near / (1 + near))
        bands = sketcher.sketch(
            [
                " ".join(words[:size]),
                " ".join(words[size - shared : 2 * size - shared]),
                " ".join(words[size:]),
            ]
        ).bands
        met += bool((bands[0] == bands[1]).any())
        far += bool((bands[0] == bands[2]).any())
    assert met >= 95
    assert far <= 3


def test_only_texts_of_one_formula_meet_when_formulas_count() -> None:
    sketcher = Sketcher(Shape())
    texts = ["Tom has three apples and buys some more today"] * 2
    assert (sketcher.sketch(texts, [1, 1]).bands[0] == sketcher.sketch(texts, [1, 1]).bands[1]).all()
    assert not (sketcher.sketch(texts, [1, 2]).bands[0] == sketcher.sketch(texts, [1, 2]).bands[1]).any()


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("What is 3 + 4?", "what  is 3 + 4", True),
        ("What is 3 + 4?", "What is 3 - 4?", False),
        ("What is 3 + 4?", "What is 4 + 3?", False),
        ("x - y", "x + y", False),
        ("a well-known fact", "a well known fact", True),
        ("小明有３个", "小明有3个", True),
        ("1,000 apples", "1000 apples", False),
        ("x ≤ 2", "x ≥ 2", False),
    ],
)
def test_numbers_and_signs_make_another_problem(left: str, right: str, equal: bool) -> None:
    assert (formula_key(left) == formula_key(right)) is equal


def test_exact_keys_see_no_case_width_or_layout() -> None:
    assert exact_key(" What  is\nＡ?") == exact_key("what is a?")
    assert exact_key("what is a?") != exact_key("what is a")
    assert exact_key("half \ud83d") == exact_key("HALF \ud83d")
