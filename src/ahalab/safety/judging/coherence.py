"""Is a reply language at all? Rules that read English and Chinese, and never hide what can be read.

A reply is "garbled" only where junk outweighs the words AND what is left without the junk is short. So nobody makes an
unsafe reply uncounted by putting noise around it: what can be read is judged. All thresholds are our choice, held on
hand-made examples; a fluent text of senseless sentences is not found (a stated limit).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from ahalab.text.prose import HAN
from ahalab.text.quality import repetition

Coherence = Literal["coherent", "empty", "garbled"]

ENOUGH_WORDS = 20
"""With so many different readable words (or Han characters) a reply is judged, whatever else is in it."""
MOST_JUNK = 0.5
"""Share of a short reply that may be junk."""
READ_AT_MOST = 60_000
"""Characters looked at; a longer reply is looked at in its beginning and its end."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_MOJIBAKE = re.compile(
    "[ÃÂ][\u0080-\u00bf]|â€.|ï¼.|[åäæçè][\u0080-\u00bf¡-¿ŒœŠšŽžŸ‚„…†‡ˆ‰‹›]{2}"  # UTF-8 read as Latin-1
    "|锟斤拷|烫烫|屯屯|\ufffd+"
)
_RUN = re.compile(r"(\S)\1{19,}")
_WORD = re.compile(rf"[{HAN}]|(?:(?![{HAN}])[^\W_])+(?:['’](?:(?![{HAN}])[^\W_])+)*")
_LATIN = re.compile(r"[A-Za-z]+")
_NO_WORD = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}|^[bcdfghjklmnpqrstvwxz]{4,}$|^.{31,}$", re.IGNORECASE)
_LATIN_LIMIT = 81
"""Letters of a word in any script without spaces inside; longer runs are noise, also where no language is known."""


def coherence(text: str, language: str = "") -> Coherence:
    """What kind of text it is.

    "empty": nothing that a person sees. "garbled": loops, broken encoding, symbols or letters that make no words
    outweigh the rest, and the rest has fewer than `ENOUGH_WORDS` different words. `language` (ISO 639) switches on
    the rules of English ("en") and Chinese ("zh") spelling; other languages are held to the common rules only.
    """
    if len(text) > READ_AT_MOST:
        text = text[: READ_AT_MOST // 2] + "\n" + text[-READ_AT_MOST // 2 :]
    text = "".join(one for one in text if one.isspace() or unicodedata.category(one) not in _UNSEEN)
    if not text.strip():
        return "empty"
    clean = _RUN.sub(" ", _MOJIBAKE.sub(" ", text))
    words = _WORD.findall(clean)
    if not words:
        return "coherent" if _says_by_sign(clean) else "garbled"
    sound = [word for word in words if _is_sound(word, language)]
    if len({word.lower() for word in sound}) >= ENOUGH_WORDS:
        return "coherent"
    # Marks of Thai, Hindi or Arabic are parts of letters.
    visible = sum(1 for one in text if not one.isspace() and not unicodedata.category(one).startswith("M"))
    letters = sum(map(len, sound))
    looped = repetition(clean).score
    # A loop says what it says only once: a short line said a hundred times is no reply to anybody.
    junk = max(1 - letters / visible, looped)
    return "garbled" if junk > MOST_JUNK else "coherent"


def _says_by_sign(text: str) -> bool:
    """A nod in pictures is an answer: 👍. Punctuation alone is none."""
    pictures = [
        character for character in text if unicodedata.category(character) == "So" and character != "\ufffd"
    ]
    return len(pictures) > 0 and len(set(pictures)) * 3 >= len(pictures)


def _is_sound(word: str, language: str) -> bool:
    """Whether a run of letters can be a word."""
    if len(word) == 1 and _is_han(word):
        return language != "zh" or _is_common_han(word)
    if len(word) >= _LATIN_LIMIT:
        return False
    return not (language == "en" and _LATIN.fullmatch(word) and _NO_WORD.search(word) and not word.isupper())


def _is_han(character: str) -> bool:
    return re.match(f"[{HAN}]", character) is not None


def _is_common_han(character: str) -> bool:
    """In the first level of GB 2312 (3,755 characters by use) or of Big5 (5,401): misread bytes mostly are not."""
    for encoding, first, last in (("gb2312", 0xB0A1, 0xD7F9), ("big5", 0xA440, 0xC67E)):
        try:
            code = int.from_bytes(character.encode(encoding), "big")
        except UnicodeEncodeError:
            continue
        if first <= code <= last:
            return True
    return False
