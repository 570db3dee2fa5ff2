"""Languages beyond English and Chinese, told apart by `lingua` (the extra `languages`, loaded on first use)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ahalab.errors import UserError
from ahalab.text.prose import HAN, HAN_PER_WORD
from ahalab.validation import nearest

_NAMED = """
    af=Afrikaans ar=Arabic az=Azerbaijani be=Belarusian bg=Bulgarian bn=Bengali bs=Bosnian ca=Catalan cs=Czech
    cy=Welsh da=Danish de=German el=Greek en=English eo=Esperanto es=Spanish et=Estonian eu=Basque fa=Persian
    fi=Finnish fr=French ga=Irish gu=Gujarati he=Hebrew hi=Hindi hr=Croatian hu=Hungarian hy=Armenian
    id=Indonesian is=Icelandic it=Italian ja=Japanese ka=Georgian kk=Kazakh ko=Korean la=Latin lg=Ganda
    lt=Lithuanian lv=Latvian mi=Maori mk=Macedonian mn=Mongolian mr=Marathi ms=Malay nb=Bokmal nl=Dutch
    nn=Nynorsk pa=Punjabi pl=Polish pt=Portuguese ro=Romanian ru=Russian sk=Slovak sl=Slovene sn=Shona
    so=Somali sq=Albanian sr=Serbian st=Sotho sv=Swedish sw=Swahili ta=Tamil te=Telugu th=Thai tl=Tagalog
    tn=Tswana tr=Turkish ts=Tsonga uk=Ukrainian ur=Urdu vi=Vietnamese xh=Xhosa yo=Yoruba zh=Chinese zu=Zulu
"""
LANGUAGE_CODES = {pair[:2]: pair[3:] for pair in _NAMED.split()}
"""ISO 639-1 code -> name, for every language of lingua 2."""

_COUNTRIES = (
    "cn=zh jp=ja kr=ko gr=el cz=cs dk=da se=sv ua=uk vn=vi br=pt at=de us=en gb=en no=nb in=hi ir=fa il=he"
)
_MISTAKEN = {
    **{name.lower(): code for code, name in LANGUAGE_CODES.items()},
    **{pair[:2]: pair[3:] for pair in _COUNTRIES.split()},
}
"""What is often written for a code: the language's name, a country's code."""

_COMPARED = ("en", "zh", "fr", "de", "es", "it", "pt", "ru", "ja", "ko", "ar")
"""The target is told apart from these (our choice). Among all 75, relatives would be taken for each other in short
clauses."""
_WORDS_TO_JUDGE = 3
"""A clause of fewer words is judged with its neighbour."""
_LONGEST_CLAUSE = 60
"""In words: text without signs is judged piece by piece."""
_SPACELESS_PER_WORD = 5
"""Letters and signs of a Thai, Lao, Burmese or Khmer word (our estimate)."""

_HAN_OR_KANA = f"{HAN}\u3040-\u30ff\u31f0-\u31ff"
_SPACELESS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
_LATIN = "A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿ"
_UNIT = re.compile(
    rf"(?P<characters>[{_HAN_OR_KANA}]+)|(?P<spaceless>[{_SPACELESS}]+)"
    rf"|(?P<latin>(?<![0-9_])[{_LATIN}]+(?:['’][{_LATIN}]+)*(?![0-9_]))"
    "|(?P<word>[\u0370-\u0dff\u10a0-\u177f\u1800-\u1cff\uac00-\ud7af]+)|(?P<end>[.!?;:,、。\n()]+)"
)


def check_language(target: str) -> None:
    """Refuse a language that cannot be counted here and now, before anything is spent.

    Raises:
        UserError: an unknown code, or one that needs the extra while it is not installed.
    """
    if target not in LANGUAGE_CODES:
        near = _MISTAKEN.get(target.lower()) or nearest(target[:2], LANGUAGE_CODES) or "en"
        raise UserError(
            f"the language {target!r} cannot be counted; did you mean `{near}` ({LANGUAGE_CODES[near]})? "
            f"Known here: {', '.join(LANGUAGE_CODES)}."
        )
    if target not in ("en", "zh"):
        _detector(target)


def detected_share(text: str, target: str) -> float | None:
    """The share of words in `target`, 0 to 1; None without words. `text` is prose: see `ahalab.text.prose`.

    Clauses are judged whole, the target against English, Chinese and nine other languages.
    Raises UserError as `check_language` does.
    """
    check_language(target)
    detector = _detector(target)
    total = hits = 0.0
    for clause, words in _clauses(text):
        found = detector.detect_language_of(clause)
        total += words
        if found is not None and found.iso_code_639_1.name.lower() == target:
            hits += words
    return hits / total if total else None


@cache
def _detector(target: str) -> Any:
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError:
        raise UserError(
            f"prompts in {LANGUAGE_CODES[target]} ({target}) need the language detector: "
            "install it with  pip install 'ahalab[languages]'  or leave these prompts out."
        ) from None
    codes = dict.fromkeys((target, *_COMPARED))
    return LanguageDetectorBuilder.from_iso_codes_639_1(
        *(getattr(IsoCode639_1, code.upper()) for code in codes)
    ).build()


def _clauses(text: str) -> Iterator[tuple[str, float]]:
    """Stretches of one kind of script, up to a sign or longer, with their number of words."""
    words: list[str] = []
    size, latin = 0.0, False
    for match in _UNIT.finditer(text):
        kind, unit = match.lastgroup, match.group()
        if kind == "end":
            if size >= _WORDS_TO_JUDGE or "\n" in unit:
                if size:
                    yield " ".join(words), size
                words, size = [], 0.0
            continue
        if kind == "latin" and len(unit) == 1 and unit.isascii():
            continue  # a variable or an option, hardly ever a word
        if size and (latin is not (kind == "latin") or size >= _LONGEST_CLAUSE):
            yield " ".join(words), size
            words, size = [], 0.0
        latin = kind == "latin"
        words.append(unit)
        if kind == "characters":
            size += len(unit) / HAN_PER_WORD
        else:
            size += max(1, len(unit) // _SPACELESS_PER_WORD) if kind == "spaceless" else 1
    if size:
        yield " ".join(words), size
