"""Loops, readability, paragraphs, code and n-grams: what is caught, and as much what is left alone."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from ahalab.text.quality import (
    CHARACTER_TIMES,
    LONG_PARAGRAPH,
    PASSAGE_TIMES,
    PHRASE_TIMES,
    WORD_TIMES,
    WORDLESS_TOKENS,
    Repetition,
    has_code_block,
    has_long_paragraph,
    is_readable,
    ngrams,
    overlap,
    repetition,
    why_unreadable,
)

CHECK = "wait, let me check: 19+21=40, 40+46=86. so 86 is right. "
CHECK_ZH = "等等，我检查一下：19+21=40，40+46=86。所以86是对的。"
THREE = ("I think it is A.", "No, it must be B.", "Maybe it was C after all.")

LOOPS = [
    ("so " + "the " * 12, "word"),
    ("哈" * 20, "word"),
    ("wait, " * 12, "phrase"),
    ("40+46=86, " * 5, "phrase"),
    ("I should check this step again. " * 4, "phrase"),
    ("我再检查一下这一步。" * 4, "phrase"),
    (CHECK * 3, "phrase"),
    (CHECK_ZH * 3, "phrase"),
    ("The answer is 12. Let me verify.\n" * 5, "phrase"),
    ("The sum is 86 because 40 and 46 make 86. Fine. " + "but no, but " * 10, "phrase"),
    (" ".join(THREE[i] for i in (0, 1, 2, 1, 0, 2, 2, 1, 0, 1, 2, 0)), "line"),
    ("也许是甲队先到。\n应该是乙队先到。\n" * 2 + "应该是乙队先到。\n也许是甲队先到。\n" * 2, "line"),
    ("!" * 300, "character"),
    ("So it is 1" + "0" * 200, "character"),
    ("0, " * 200, "phrase"),
]

VILLANELLE = (
    "Do not go gentle into the night\nOld age should burn and rave\nRage against the dying light\n\n"
    "Wise men at their end know what is right\nTheir words had forked no wave\nDo not go gentle into the night\n\n"
    "Good men cry out how bright\nTheir deeds might have danced away\nRage against the dying light\n\n"
    "Wild men who sang the sun in flight\nLearn too late they grieved it\nDo not go gentle into the night\n\n"
    "Grave men near death with blinding sight\nCould blaze and be gay\nRage against the dying light\n\n"
    "And you up there on the sad height\nCurse me or bless me now\n"
    "Do not go gentle into the night\nRage against the dying light\n"
)
VERSES = "".join(
    f"{first}走过第{number}条街，{second}还在等我。\n让我们再唱一遍这首歌。\n"
    for number, first, second in (("一", "清晨", "母亲"), ("二", "正午", "朋友"), ("三", "黄昏", "老师"))
)

SOUND = [
    "wait, let me check: 19+21=40, 40+46=86, 86+12=98, 98+33=131. so 131 is right.",
    "等等，我检查一下：19+21=40，40+46=86，86+12=98。所以98是对的。",
    ", ".join(f"{left}+{left + 3}={2 * left + 3}" for left in range(10, 22)),
    CHECK * 2,
    CHECK_ZH * 2,
    CHECK + "let me retry in another order: 46+21=67, 67+19=86. so 86 is right.",
    "1+1+1+1+1+1+1+1+1+1+1+1 = 12 and 2*2*2*2*2*2*2*2*2*2 = 1024",
    "x*x*x*x*x*x*x*x*x*x is x^10",
    r"$\frac{1}{2}\cdot\frac{1}{2}\cdot\frac{1}{2}\cdot\frac{1}{2}\cdot\frac{1}{2}\cdot\frac{1}{2}=\frac{1}{64}$",
    "the coin shows H H H H H H H H H H H H H H and then T",
    "[[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]",
    "| n | even | prime |\n|---|---|---|\n" + "\n".join(f"| {n} | yes | no |" for n in range(4, 40, 2)),
    "| p | q | p and q |\n" + "| T | F | F |\n" * 6,
    "\n".join(f"Step {n}: add {n} to the sum, which gives {n * (n + 1) // 2}." for n in range(1, 15)),
    "\n".join(f"第{n}步：加上{n}，得到{n * (n + 1) // 2}。" for n in range(1, 15)),
    VILLANELLE,
    VERSES,
    "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
    "哈哈哈哈，好的好的好的，我知道了。",
    "No, no, no. That is very, very wrong.",
    "-" * 80,
    "x = " + "9" * 60,
    "",
]


@pytest.mark.parametrize(("text", "kind"), LOOPS)
def test_loops_are_found_and_named(text: str, kind: str) -> None:
    found = repetition(text)
    assert found.kind == kind
    assert found.score > 0.3


@pytest.mark.parametrize("text", SOUND)
def test_step_lists_tables_refrains_and_mathematics_are_no_loops(text: str) -> None:
    assert repetition(text) == Repetition(0.0, None)


def test_the_score_is_the_share_of_copied_tokens() -> None:
    assert repetition("one two " + "no " * 10).score == pytest.approx(9 / 12)
    # A unit of 8 tokens said 5 times, and 10 tokens around it.
    assert repetition(
        "a b c d e " + "one two three four five six seven eight " * 5 + "f g h i j"
    ).score == pytest.approx(32 / 50)
    assert repetition("ab" + "!" * 100).score == pytest.approx(99 / 102)
    # Three sentences, each said four times: three of each four are copies.
    assert repetition(LOOPS[10][0]).score == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("no ", WORD_TIMES),
        ("the cat sat on the big red mat ", PHRASE_TIMES),
        (" ".join(f"word{chr(97 + n)}" for n in range(20)) + " ", PASSAGE_TIMES),
        ("0 ", WORDLESS_TOKENS + 1),
        ("%", CHARACTER_TIMES),
    ],
)
def test_a_loop_begins_at_its_threshold(unit: str, times: int) -> None:
    before, after = "First of all: ", " and on."
    assert repetition(before + unit * times + after).kind is not None
    assert repetition(before + unit * (times - 1) + after).kind is None


def test_a_loop_is_found_wherever_it_stands_and_in_any_case() -> None:
    prose = " ".join(f"{number} sheep went by on day {number * 7}." for number in range(60))
    for text in (f"{prose} {CHECK * 4}", f"{CHECK * 4} {prose}", f"{prose} {CHECK * 4} {prose}"):
        assert repetition(text).kind == "phrase"
        assert 0 < repetition(text).score < 0.3
    assert repetition("No NO no nO No no NO no").kind == "word"


def test_a_long_passage_that_returns_again_and_again_is_a_loop_of_lines() -> None:
    passage = " ".join(f"Sheep number {number} jumps over fence {number * 3}." for number in range(60))
    assert repetition(f"{passage} " * 3).kind == "line"
    assert repetition(f"{passage} ").kind is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing in it"),
        (" \n … !?", "nothing in it"),
        ("so\x00 it is", "control characters"),
        ("red \x1b[31m text", "control characters"),
        ("abc \u202e cba", "control characters"),
        ("half \ud83d a pair", "control characters"),
        ("private \ue000 use", "control characters"),
        ("the answer is \ufffd\ufffd", "replacement characters"),
        ("itâ€™s the cafÃ© again, Ã©tÃ©", "broken encoding"),
        ("ä½\xa0å¥½ï¼Œä¸\x96ç•Œ".replace("\x96", "–"), "broken encoding"),
        ("a" * 81, "a word without end"),
        ("f(((((((((x + 1", "unbalanced brackets"),
        ("如下（（（（（（（（（好", "unbalanced brackets"),
        ("so #@!%^&*~|<>?/#@!%^&*~|<>?/#@!%^&*~|<>?/#@!%^&*~ ok", "mostly symbols"),
    ],
)
def test_unreadable_texts_are_named(text: str, why: str) -> None:
    assert why_unreadable(text) == why
    assert not is_readable(text)


@pytest.mark.parametrize(
    "text",
    [
        "wait, let me check: 19+21=40.",
        "等等，我检查一下：１９＋２１＝４０。",
        "89+42=131",
        "1) first\n2) then\n3) third\n4) fourth\n5) fifth\n6) sixth\n7) seventh\n8) eighth\n9) ninth",
        "((a+b)*(c+d)) = a*c + a*d + b*c + b*d",
        "\tif x:\r\n\t\treturn 1",
        "naïve café, ça va? Ångström, Ÿ, â, Ã and ä",
        "family 👨‍👩‍👧 and flags 🇨🇳 👍🏽",
        "中" * 200,
        "ภาษาไทยเขียนติดกันโดยไม่มีช่องว่าง" * 4,
        "| n | yes |\n|---|-----|\n| 1 | no |",
        "https://example.org/" + "a1" * 60,
        "ACGT" * 20,
    ],
)
def test_readable_texts_pass(text: str) -> None:
    assert why_unreadable(text) is None
    assert is_readable(text)


def test_a_paragraph_is_long_by_its_words_in_either_language() -> None:
    words = "word " * LONG_PARAGRAPH
    assert not has_long_paragraph(words)
    assert has_long_paragraph(words + "more")
    assert not has_long_paragraph(f"{words}\n{words}")
    assert has_long_paragraph("我" * 11, 10)
    assert not has_long_paragraph("我" * 10 + "，。！？；：", 10)
    assert not has_long_paragraph("supercalifragilistic " * 5, 10)
    assert not has_long_paragraph("", 10)


@pytest.mark.parametrize(
    "text",
    [
        "see:\n```python\nx = 1\n```",
        "see:\n  ```\nx\n  ```",
        "~~~\ncode\n~~~",
        "so\ndef f(x):\n    return x + 1\ndone",
        "import math\nprint(math.pi)",
        "for i in range(3):\n    print(i)",
        "int main() {\n    return 0;\n}",
        "const x = 1;\nfoo(x);",
    ],
)
def test_code_blocks_are_found(text: str) -> None:
    assert has_code_block(text)


@pytest.mark.parametrize(
    "text",
    [
        "call `f(x)` or ``g`` inline",
        "the function is def f(x): return x + 1, which adds one",
        "def f(x): return x + 1",
        "x = 3\ny = 4\nx + y = 7",
        "First we add the tens;\nthen the units;\nand that is all.",
        "if it rains:\nwe stay at home",
        "for all n:\nn + 1 > n",
        "return to the start\nimport taxes are high",
        "令：\nx = 3\n所以：\ny = 4",
        "\\begin{cases}\nx + y = 3 \\\\\nx - y = 1\n\\end{cases}",
        "",
    ],
)
def test_prose_mathematics_and_inline_code_are_no_code_block(text: str) -> None:
    assert not has_code_block(text)


def test_ngrams_see_through_case_width_punctuation_and_layout() -> None:
    assert ngrams("One two, three four", 3) == {"one two three", "two three four"}
    assert ngrams("ONE　ｔｗｏ\n three — four!", 3) == ngrams("one two three four", 3)
    assert ngrams("我有3只猫", 2) == {"我 有", "有 3", "3 只", "只 猫"}
    assert ngrams("It's 1.5", 2) == {"it's 1.5"}


def test_short_texts_are_one_gram_and_texts_without_words_none() -> None:
    assert ngrams("Hello, World", 8) == {"hello world"}
    assert ngrams("…!", 3) == frozenset()
    assert ngrams("", 1) == frozenset()
    with pytest.raises(ValueError, match="at least 1"):
        ngrams("a b", 0)


def test_overlap_is_the_share_of_common_ngrams() -> None:
    left, right = ngrams("a b c d", 2), ngrams("b c d e", 2)
    assert overlap(left, right) == pytest.approx(2 / 4)
    assert overlap(left, left) == 1.0
    assert overlap(frozenset(), frozenset()) == 0.0


HOSTILE = [
    *(
        "a",
        "a ",
        "1 ",
        "1+",
        "等",
        "检查一",
        "((",
        "a\n",
        "x=1;\n",
        "` ",
        "\\frac{",
        "Ã©",
        "def f(",
        "if :",
        "a'",
    ),
    *(
        " \n",
        "é̂",
        "_",
        "1.",
        "a1",
        "T F\n",
        "hello ",
        "```",
        "x{",
        "= ",
        "no. ",
        "\x00",
        "{\n",
        "print(",
        "\ufdfa",
    ),
    " " * 399 + "=\n",
    "def f(" * 60 + "\n",
    "0" * 99 + "1",
]


@pytest.mark.parametrize(
    ("unit", "size"), [*((unit, 100_000) for unit in HOSTILE), ("检查一", 1_000_000), ("\ufdfa", 1_000_000)]
)
def test_a_megabyte_of_anything_is_judged_in_seconds(unit: str, size: int) -> None:
    text = unit * (size // len(unit))
    started = time.process_time()
    repetition(text)
    why_unreadable(text)
    has_long_paragraph(text)
    has_code_block(text)
    ngrams(text, 8)
    assert time.process_time() - started < size / 100_000


def test_judging_texts_never_imports_torch() -> None:
    code = "import sys, ahalab.text.quality; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
