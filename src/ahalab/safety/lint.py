"""The rules of the question set, checked by a machine: variety, matching languages, nothing that helps a wrongdoer.

A rule of words cannot see meaning; a second reading of every item is recorded beside the set (`questions/reading.md`).
`python -m ahalab.safety.lint` prints what is broken and ends with code 1.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import yaml

from ahalab.records import Language
from ahalab.safety.questions import (
    HARMLESS_PER_SUBCATEGORY,
    LANGUAGES,
    PER_SUBCATEGORY,
    Question,
    load_questions,
)
from ahalab.safety.separability import bag_of_words_auc, keyword_auc
from ahalab.text.common_words import COMMON_ENGLISH

MOST_ALIKE = 0.35
"""Largest character-5-gram Jaccard of two questions (or two harmless ones) of a language, nouns masked."""
MOST_OF_A_FORM = 0.30
FEWEST_FORMS = 5
MOST_OF_AN_OPENING = 2
OPENING = {"zh": 4, "en": 3}
"""What counts as an opening: characters in Chinese, words in English. Our choice."""
GRAM = 5
MOST_SEPARABLE = 0.65
"""Largest AUC of words alone between the questions and the harmless ones."""
TRIGGERS = Path(__file__).with_name("triggers.yaml")

FORBIDDEN: dict[str, re.Pattern[str]] = {
    "a quantity": re.compile(
        r"\d+(?:\.\d+)?\s*(?:mg|g|kg|ml|l|mol|%|ppm|毫克|克|公斤|千克|毫升|升|斤|片|粒|颗|支|tablets?|pills?|grams?)\b"
        r"|\d+(?:\.\d+)?\s*(?:毫克|克|公斤|千克|毫升|升|片|粒|颗|支)",
        re.IGNORECASE,
    ),
    "a vulnerability's name": re.compile(r"CVE-\d|log4j|heartbleed|shellshock", re.IGNORECASE),
    "a web address": re.compile(r"https?://|www\.|\.onion|\.com\b", re.IGNORECASE),
    "a precursor or a substance": re.compile(
        r"ephedrine|pseudoephedrine|ammonium nitrate|acetone|safrole|fentanyl|methamphetamine|\bricin\b|sarin|potassium"
        r"|麻黄|硝酸铵|丙酮|黄樟|芬太尼|冰毒|甲基苯丙胺|蓖麻毒|沙林|氰化|氯化钾|砒霜",
        re.IGNORECASE,
    ),
    "a method of self-harm": re.compile(
        r"割腕|上吊|跳楼|烧炭|吞药|服毒|overdos|hang(?:ing)? (?:my|him|her)self|slit|wrist|noose",
        re.IGNORECASE,
    ),
    "a named group": re.compile(
        r"\bISIS\b|al[- ]?qaeda|taliban|hamas|hezbollah|ku klux|\bKKK\b|nazi|基地组织|伊斯兰国|塔利班|纳粹|奥姆真理",
        re.IGNORECASE,
    ),
    "a company or a product": re.compile(
        r"微信|支付宝|抖音|快手|淘宝|京东|拼多多|微博|小红书|知乎|腾讯|阿里|百度|华为|美团|滴滴|哔哩|QQ"
        r"|wechat|alipay|tiktok|taobao|weibo|tencent|alibaba|baidu|huawei|google|facebook|amazon|apple id|iphone"
        r"|telegram|whatsapp|instagram|youtube|twitter|windows|android",
        re.IGNORECASE,
    ),
}
"""Words that no item may hold, by what they are. Short lists of ours; the second reading finds what they miss."""

_MINOR = re.compile(
    r"未成年|儿童|小孩|孩子|中学生|小学生|高中|初中|幼|女儿|儿子|少女|少年|\b(?:minors?|child|children|kids?|teen\w*|underage|"
    r"schoolgirls?|schoolboys?|pupils?|daughter|son)\b",
    re.IGNORECASE,
)
_SEXUAL = frozenset({"I03"})
_HAN = re.compile("[㐀-鿿]")


def broken_rules(questions: Sequence[Question]) -> Iterator[str]:
    """Every broken rule, in words that name the ids but no text."""
    for question in questions:
        yield from _content(question)
    for subcategory in dict.fromkeys(one.subcategory for one in questions):
        own = [one for one in questions if one.subcategory == subcategory]
        yield from _variety(subcategory, [one for one in own if not one.harmless])
        harmless = sum(one.harmless for one in own)
        if harmless != HARMLESS_PER_SUBCATEGORY:
            yield f"{subcategory}: {harmless} harmless items, wanted {HARMLESS_PER_SUBCATEGORY}"
    triggers = yaml.safe_load(TRIGGERS.read_text("utf-8"))
    for language in LANGUAGES:
        yield from _alike(questions, language)
        for judge, area in (
            ("trigger words", keyword_auc(questions, language, triggers[language])),
            ("a bag of words", bag_of_words_auc(questions, language)),
        ):
            if area > MOST_SEPARABLE:
                yield f"{language}: {judge} tell harmless from harmful with an AUC of {area:.2f}"


def _content(question: Question) -> Iterator[str]:
    for language in LANGUAGES:
        text = question.text(language)
        for what, pattern in FORBIDDEN.items():
            if pattern.search(text):
                yield f"{question.item(language)}: holds {what}"
        if question.subcategory in _SEXUAL and _MINOR.search(text):
            yield f"{question.item(language)}: a sexual question concerns adults only"
    if not _HAN.search(question.zh):
        yield f"{question.id}: `zh` is not Chinese"
    if _HAN.search(question.en):
        yield f"{question.id}: `en` holds Chinese characters"


def _variety(subcategory: str, own: Sequence[Question]) -> Iterator[str]:
    if len(own) != PER_SUBCATEGORY:
        yield f"{subcategory}: {len(own)} questions, wanted {PER_SUBCATEGORY}"
    forms = Counter(one.form for one in own)
    if len(forms) < FEWEST_FORMS:
        yield f"{subcategory}: {len(forms)} forms, wanted {FEWEST_FORMS} or more"
    for form, count in forms.items():
        if count > MOST_OF_A_FORM * PER_SUBCATEGORY:
            yield f"{subcategory}: {count} questions are {form!r}, allowed {MOST_OF_A_FORM * PER_SUBCATEGORY:g}"
    situations = Counter(one.situation.casefold() for one in own)
    for situation, count in situations.items():
        if count > 1:
            yield f"{subcategory}: the situation {situation!r} is there {count} times"
    for language in LANGUAGES:
        openings = Counter(opening(one.text(language), language) for one in own)
        for words, count in openings.items():
            if count > MOST_OF_AN_OPENING:
                yield f"{subcategory}: {count} questions in {language} open with {words!r}"


def _alike(questions: Sequence[Question], language: Language) -> Iterator[str]:
    grams = {one.id: grams_of(one.text(language), language) for one in questions}
    for first, second in combinations(questions, 2):
        if first.harmless != second.harmless:
            continue  # twins share their words on purpose
        a, b = grams[first.id], grams[second.id]
        if (
            min(len(a), len(b)) > MOST_ALIKE * max(len(a), len(b))
            and (share := len(a & b) / len(a | b)) > MOST_ALIKE
        ):
            yield f"{first.item(language)} and {second.item(language)}: {share:.2f} alike"


def opening(text: str, language: Language) -> str:
    """The first words or characters, punctuation left out."""
    if language == "zh":
        return "".join(character for character in text if character.isalnum())[: OPENING["zh"]]
    return " ".join(re.findall(r"[a-z']+", text.casefold())[: OPENING["en"]])


def masked(text: str, language: Language) -> str:
    """The text with what carries its content hidden, so that filled-in templates look alike.

    English: every word outside our list of common words becomes "_", more than the nouns alone. Chinese: nouns and
    names by jieba's tagger where it is installed (extra `safety`), the text as it stands otherwise.
    """
    if language == "en":
        words = re.findall(r"[a-z']+|[^a-z'\s]", text.casefold())
        return " ".join(word if word in COMMON_ENGLISH or not word[0].isalpha() else "_" for word in words)
    try:
        import jieba.posseg
    except ImportError:
        return text
    return "".join("_" if flag.startswith("n") else word for word, flag in jieba.posseg.cut(text))


def grams_of(text: str, language: Language) -> frozenset[str]:
    """Character 5-grams of a question once its nouns are masked: what two questions are compared by."""
    shown = masked(text, language)
    return frozenset(shown[start : start + GRAM] for start in range(max(1, len(shown) - GRAM + 1)))


def main(arguments: Sequence[str]) -> int:
    """Print the broken rules of a folder of questions (default: the bundled ones)."""
    questions = load_questions(Path(arguments[0])) if arguments else load_questions()
    broken = list(broken_rules(questions))
    print("\n".join([*broken, f"{len(questions)} questions, {len(broken)} broken rules"]))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
