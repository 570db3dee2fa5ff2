"""Reflective words and languages on hand-counted texts, in linear time."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.text import (
    DEFAULT_REFLECTIVE,
    REFLECTIVE_EN,
    REFLECTIVE_ZH,
    LanguageCounts,
    ReflectiveWords,
    count_reflective,
    is_mixed,
    language_counts,
    language_share,
    load_reflective_words,
)
from ahalab.text.prose import HAN_PER_WORD
from ahalab.text.reflection import first_reflective

PAPER = {"wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check"}


def test_the_english_list_is_the_papers() -> None:
    assert set(REFLECTIVE_EN) == PAPER
    assert len(REFLECTIVE_EN) == 10
    assert {"等等", "检查", "验证", "错误", "不对", "但是", "然而", "再试", "重新", "核对", "评估"} <= set(
        REFLECTIVE_ZH
    )


def test_whole_english_words_count_in_any_case() -> None:
    text = "Wait, wait! WAIT. waiting await checks check-in but. Butter wait_for wait2 (but) wait's"
    assert count_reflective(text) == {"wait": 4, "but": 2, "check": 1}


def test_chinese_words_count_anywhere_longest_first_without_overlap() -> None:
    assert count_reflective("等等，我检查一下。等一下！等等等等") == {"等等": 3, "等一下": 1, "检查": 1}
    assert count_reflective("等wait等，但是but") == {"wait": 1, "but": 1, "但是": 1}
    words = ReflectiveWords(english=(), chinese=("检查", "检查一下"))
    assert count_reflective("检查一下检查", words) == {"检查": 1, "检查一下": 1}
    assert count_reflective("anything", ReflectiveWords((), ())) == {}


def test_words_without_a_hit_are_left_out_and_the_order_is_the_lists() -> None:
    assert list(count_reflective("check, but wait 然而 等等")) == ["wait", "but", "check", "等等", "然而"]
    assert count_reflective("nothing here") == {}


def test_a_word_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# mine\n[en]\nHmm  # thinking\nhmm\nlet me see\n[zh]\n嗯\n", encoding="utf-8")
    words = load_reflective_words(path)
    assert words == ReflectiveWords(("hmm", "let me see"), ("嗯",))
    assert count_reflective("hmm, let me see 嗯嗯", words) == {"hmm": 1, "let me see": 1, "嗯": 2}


@pytest.mark.parametrize(
    ("text", "why"), [("wait\n", "line 1: 'wait' stands before a heading"), ("[en]\na\n[fr]\n", "line 3.*fr")]
)
def test_a_bad_word_list_names_the_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=why):
        load_reflective_words(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_reflective_words(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("wait, let me check: 89+42 = 131", 4, 0),
        ("等等，我检查一下：89+42=131。", 0, 7),
        ("等等，let me check：89+42", 2 + 1, 2),
        ("I have a cat; x and y are b", 3 + 1 + 2, 0),
        ("89 + 42 = 131 (x > y)", 0, 0),
        ("所以 sin(x) = 5km，x_max = \\frac{ab}{cd}", 0, 2),
        ("the $x + some thing$ is \\(foo bar\\) and \\[baz\\] or $$long one$$ `code here`", 4, 0),
        ("```python\nprint hello\n``` done", 1, 0),
        ("it costs $5 and then $6 more", 5, 0),
        ("don't stop", 2, 0),
        ("<think> 好 </think>", 0, 1),
        ("naïve café", 2, 0),
        ("", 0, 0),
        ("令a=3，b=4；选A", 0, 2),
        ("a cat is a cat, but a + b is a", 5 + 1 + 1, 0),
        ("CPU很热，Alice和New York的DNA，Python里用len(s)", 0, 2 + 1 + 1 + 2),
        ("Wait，我算。So 是7", 2, 3),
        ("小明 and 王伟 are here", 3, 0),
        ("the 余数 is 3", 2, 2),
        ("小明有5个苹果, he says", 2, 6),
        ('the word "苹果" means “apple”', 3, 0),
        ("爱因斯坦（Albert Einstein）说", 0, 5),
        ("so def f(x): return (x+3)*2. done", 2, 0),
        ("import math\nprint(math.pi)\n好", 0, 1),
        ("left=0，所以left和right=n-1", 0, 3),
        ("see https://example.org/a?b=c 或 me@example.org", 1, 1),
        ("so <b>it</b> is<br/>", 3, 0),
        ("电脑的ＣＰＵ：Ｌｅｔ ｍｅ", 2, 3),
        ("WAIT，LET ME，WHO说", 3, 1),
        ("Fe, Cu and AB", 1, 0),
    ],
)
def test_words_are_counted_by_hand(text: str, en: int, zh: int) -> None:
    assert language_counts(text) == LanguageCounts(en=en, zh=zh)


def test_a_text_is_mixed_when_too_few_words_are_of_the_target() -> None:
    mixed = "等等 let me check"
    chinese = 2 / HAN_PER_WORD
    assert language_share(mixed, "en") == pytest.approx(3 / (3 + chinese))
    assert language_share(mixed, "zh") == pytest.approx(chinese / (3 + chinese))
    assert is_mixed(mixed, "en") is True
    assert is_mixed(mixed, "en", threshold=0.6) is False
    assert is_mixed(mixed, "en", threshold=0.8) is True
    assert is_mixed("let me check 1+1", "en") is False
    assert is_mixed("let me check", "zh") is True
    assert is_mixed("1 + 1 = 2", "en") is None
    assert language_share("", "zh") is None
    with pytest.raises(UserError, match=r"'frr' cannot be counted.*`fr`"):
        language_share("bonjour", "frr")


def test_half_of_each_is_a_half_whichever_the_target() -> None:
    """Chinese words are longer than a character: five of eight characters stand against five English words."""
    text = "so we add them up. 我们把它们加起来"
    assert language_share(text, "en") == pytest.approx(0.5)
    assert language_share(text, "zh") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "en", "zh", "other"),
    [
        ("Сначала we add, потом", 2, 0, 2),
        ("먼저 두 수를 add", 1, 0, 2),
        ("まず、我们相加", 0, 4, 2 / HAN_PER_WORD),
        ("二つの数を足す", 0, 0, 7 / HAN_PER_WORD),
        ("我の朋友在家里", 0, 6, 1 / HAN_PER_WORD),
        ("α + β = γ, ΔABC", 0, 0, 0),
        ("Zuerst addiere ich die beiden Zahlen und teile dann", 0, 0, 9),
    ],
)
def test_words_of_other_scripts_count_as_words_of_no_target(
    text: str, en: int, zh: int, other: float
) -> None:
    counts = language_counts(text)
    assert (counts.en, counts.zh, counts.other) == (en, zh, pytest.approx(other))
    assert counts.words == pytest.approx(en + zh / HAN_PER_WORD + other)


BOMBS = [
    "\\(",
    "\\[",
    "$",
    "$$ ",
    "`",
    "``` ",
    " $5",
    "$`",
    "a",
    "a'",
    "a1",
    "等",
    "<",
    "</",
    "\\frac{",
    "wait",
    "等等",
]


MORE_BOMBS = [
    "\n$ ",
    "`\n",
    "检查一",
    '"',
    "“",
    "def f(",
    "\\a{",
    "a@",
    "a.",
    "http",
    "<a",
    "a-",
    "A ",
    "小",
    "(好",
    "の",
    "я ",
]


@pytest.mark.parametrize("unit", [*BOMBS, *MORE_BOMBS])
def test_a_long_text_of_anything_is_counted_in_linear_time(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    started = time.process_time()
    language_counts(text)
    count_reflective(text)
    assert time.process_time() - started < 3.0


def test_text_rewards_and_grading_never_import_torch() -> None:
    code = "import sys, ahalab.text, ahalab.rewards, ahalab.grading; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ0-9_]")


def naive_count(text: str, words: ReflectiveWords) -> dict[str, int]:
    """Every position from the left, the longest word first; a found word is skipped as a whole."""
    counts: dict[str, int] = {}
    ordered = sorted([(word, False) for word in words.chinese] + [(word, True) for word in words.english],
                     key=lambda item: -len(item[0]))  # fmt: skip
    at = 0
    while at < len(text):
        for word, whole in ordered:
            end = at + len(word)
            if text[at:end].lower() != word:
                continue
            before, after = text[at - 1 : at], text[end : end + 1]
            if whole and (LATIN.match(before) or LATIN.match(after)):
                continue
            counts[word] = counts.get(word, 0) + 1
            at = end
            break
        else:
            at += 1
    return counts


OWN_WORDS = ReflectiveWords(
    ("let me see", "let me", "check", "re-check", "hmm"), ("检查", "检查一下", "查一", "ok吗")
)
PIECES = [
    *REFLECTIVE_EN, *REFLECTIVE_ZH, *OWN_WORDS.english, *OWN_WORDS.chinese, "等", "查", "一下", "错", "的", "我们",
    "Wait", "BUT", "Checked", "waiting", "butter", "x", "é", "ø", "3", "_", "-", "'", " ", " ", ", ", ". ", "，", "。",
    "\n", "\t", "\u202e", "\u0000", "😀", "\ud83d", "Ж", "wait3", "let", "me", "see",
]  # fmt: skip


@pytest.mark.parametrize("words", [DEFAULT_REFLECTIVE, OWN_WORDS], ids=["ours", "own"])
def test_counting_equals_a_naive_counter_on_ten_thousand_random_texts(words: ReflectiveWords) -> None:
    draw = random.Random(20260105)
    hits = 0
    for _ in range(10_000):
        text = "".join(draw.choices(PIECES, k=draw.randint(0, 25)))
        counted = count_reflective(text, words)
        assert counted == naive_count(text, words), repr(text)
        hits += sum(counted.values())
        first = first_reflective(text, words)
        assert (first is None) == (not counted)
    assert hits > 10_000, "the texts hold words"


def test_chinese_without_spaces_equals_a_naive_counter() -> None:
    draw = random.Random(8)
    pieces = [
        *REFLECTIVE_ZH,
        "等",
        "一",
        "下",
        "检",
        "查",
        "错",
        "误",
        "了",
        "不",
        "对",
        "但",
        "是",
        "再",
        "我",
        "算",
    ]
    for _ in range(3_000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 60)))
        assert count_reflective(text) == naive_count(text, DEFAULT_REFLECTIVE), text
