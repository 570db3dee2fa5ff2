"""Pieces of the report: escaping by construction, marks that equal the count, words that follow the numbers."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ahalab.analysis.curves import Curve
from ahalab.analysis.evaluations import Figure
from ahalab.errors import UserError
from ahalab.report import write_picture
from ahalab.report.markup import Safe, element, escape, highlight
from ahalab.report.samples import marking_pattern
from ahalab.report.wording import change, counted, course, minutes, movement, multiple, number, times
from ahalab.text.reflection import REFLECTIVE_EN, REFLECTIVE_ZH, count_reflective
from synthetic_run import make_run


def test_plain_strings_are_escaped_and_only_safe_ones_are_not() -> None:
    assert (
        element("p", "<b>", Safe("<i></i>"), title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;<i></i></p>'
    )
    assert escape("a\u202eb") == 'a<span class="hidden">\\u{202E}</span>b'
    assert element("p", class_="c", hidden=True, lang=None, draggable=False) == '<p class="c" hidden></p>'


def test_marks_equal_the_count_of_reflective_words() -> None:
    rng = random.Random(3)
    pieces = [
        *REFLECTIVE_EN,
        *REFLECTIVE_ZH,
        "Waiting",
        "CHECK",
        "mistaken",
        " ",
        ", ",
        "<",
        "&",
        "考",
        "a",
        "\n",
    ]
    for _ in range(300):
        text = "".join(rng.choice(pieces) for _ in range(40))
        counts = count_reflective(text)
        marked = [
            m.lower() for m in re.findall(r"<mark>(.*?)</mark>", highlight(text, marking_pattern(counts)))
        ]
        assert {word: marked.count(word) for word in set(marked)} == counts, text


def test_highlighting_loses_no_character() -> None:
    text = "<think> Wait & <b>check</b> wait</think>"
    marked = highlight(text, marking_pattern(["wait", "check"]))
    assert re.sub(r"</?(?:mark|span)[^>]*>", "", marked) == escape(text)
    assert marked.count("<mark>") == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.125, "0.12"),
        (0.00341, "0.0034"),
        (2.613, "2.61"),
        (42.04, "42.0"),
        (107.2, "107"),
        (12345, "12,345"),
        (3.14e-6, "3.1×10⁻⁶"),
        (-0.5, "-0.50"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_sentences_follow_the_numbers() -> None:
    assert course("Accuracy", Curve("a", (0, 1, 2), (0.2, 0.9, 0.8))) == (
        "Accuracy: 0.20 at step 0 → 0.80 at step 2 (4.0 times); highest 0.90 at step 1."
    )
    assert (
        course("KL", Curve("k", (0, 1), (0.0, 0.5)))
        == "KL: 0 at step 0 → 0.50 at step 1; highest 0.50 at step 1."
    )
    assert course("Rate", Curve("r", (0, 1), (0.1, 0.1))) == "Rate: 0.10 at every step."
    assert change(Curve("w", (0, 1), (0.5, 1.0))) == "0.50 → 1.00 (2.0 times)"
    assert movement(Figure(0.5, 0.4, 0.6), Figure(0.55, 0.5, 0.6)) == "did not change beyond its interval"
    assert movement(Figure(0.5, 0.4, 0.6), Figure(0.2, 0.1, 0.3)) == "fell"
    assert multiple(4.0, 2.0) == "went from 4.00 to 2.00 (0.50 times)"
    assert times(None) == ""
    assert counted(1, "grader error", "grader errors") == "1 grader error"
    assert counted(0, "grader error", "grader errors") == "no grader errors"
    assert (minutes(45), minutes(312), minutes(7200)) == ("45 s", "5.2 min", "2.0 h")


def test_the_picture_is_one_deterministic_png(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=30)
    first, second = write_picture(run, tmp_path / "a.png"), write_picture(run, tmp_path / "new" / "b.png")
    data = first.read_bytes()
    assert data == second.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > 2 * height > 800


def test_a_picture_of_nothing_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no metrics to draw"):
        write_picture(tmp_path, tmp_path / "a.png")


def test_reports_import_neither_torch_nor_the_plotting_library_before_they_draw() -> None:
    code = (
        "import sys, ahalab.report; print(sorted({'torch', 'matplotlib', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
