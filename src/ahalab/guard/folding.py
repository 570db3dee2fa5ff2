"""One table that takes the disguise from a text, and the way back to the place it came from.

Width, case, compatibility forms, hidden characters, ornamental marks, look-alike letters and traditional Chinese go in
one look-up per character. `Folded.offsets` says for each folded character where in the text it stood.

Marks: combining marks of whatever script leave only after Latin, Greek, Cyrillic and Han, where they are ornament, also
where hidden characters stand between. Elsewhere they carry meaning (Indic vowels, Hebrew points, Japanese voicing) and
stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Places = NDArray[np.int64]

DATA = Path(__file__).with_name("data")
HIGHEST = 0x110000
LATIN, ODD_LATIN = 1, 2
"""Scripts. Odd are Latin letters from U+0180 on that fold to none of a to z, such as those of phonetic writing."""
I_OR_L, ANY = 1, 2
SIMPLE_SCRIPTS_END = 0x30000
"""Beyond this plane nothing folds (private use, unassigned), but for tags and variation selectors."""

_MARK_RANGES = (
    (0x0300, 0x036F),
    (0x0483, 0x0489),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
_ORNAMENT_BASES = (
    (0x0041, 0x024F), (0x0250, 0x02AF), (0x0370, 0x03FF), (0x0400, 0x052F), (0x1C80, 0x1C8F), (0x1D00, 0x1DBF),
    (0x1E00, 0x1FFF), (0x2C60, 0x2C7F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xAB30, 0xAB6F),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F), (0xFF21, 0xFF5A), (0x1D400, 0x1D7FF),
    (0x0030, 0x0039),
)  # fmt: skip
_STAY = ((0xAC00, 0xD7A3), (0xD800, 0xF8FF))
"""Hangul syllables stay whole; surrogates and private use stay."""
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBE0), (0x2EBF0, 0x2EE5D))
"""Han without compatibility forms: nothing happens to it but that it is simplified."""
_WITHOUT_WORDS = frozenset(
    {
        "CJK",
        "HANGUL",
        "HIRAGANA",
        "KATAKANA",
        "HENTAIGANA",
        "BOPOMOFO",
        "HALFWIDTH",
        "IDEOGRAPHIC",
        "VERTICAL",
        "MASU",
    }
)
"""First words of the names of letters that are written without spaces between words."""
_LETTER_NAME = re.compile(
    r"(?:LATIN (?:SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL |SCRIPT |DOTLESS |INSULAR |HALF |REVERSED )?"
    r"|(?:NEGATIVE )?(?:SQUARED|CIRCLED) LATIN CAPITAL LETTER |CROSSED NEGATIVE SQUARED LATIN CAPITAL LETTER "
    r"|REGIONAL INDICATOR SYMBOL LETTER |DOUBLE-STRUCK (?:ITALIC )?(?:SMALL|CAPITAL) |SCRIPT (?:SMALL|CAPITAL) "
    r"|MATHEMATICAL [A-Z -]*(?:SMALL|CAPITAL) )([A-Z])(?: WITH .*)?"
)
"""Unicode's own names tell what most variants of a Latin letter are a variant of."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text without its disguise."""

    text: str
    offsets: Places
    """[characters of `text`] index of the character of the raw text that each came from."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Per code point: what it becomes. 0 in `single` deletes it; `expands` marks those that become several."""

    single: Codes
    expands: NDArray[np.bool_]
    several: dict[int, tuple[int, ...]]
    mark: NDArray[np.bool_]
    ornamental_base: NDArray[np.bool_]
    separator: NDArray[np.bool_]
    """Of folded characters: what may stand between the letters of a stretched word (spaces, punctuation, symbols)."""
    leet: Codes
    """Of folded characters: the letter that a digit or sign stands for; itself otherwise."""
    script: NDArray[np.uint8]
    """Of raw letters: a number for the script, `LATIN`, `ODD_LATIN` or another; 0 for Han, kana, Hangul and whatever is
    no letter."""
    doubtful: NDArray[np.uint8]
    """Of raw letters in a word that mixes scripts: `ANY` may stand for any Latin letter, `I_OR_L` for one of these."""


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables, built once a process (about 0.3 s on the machine that runs the tests)."""
    look_alike = _letters_for("homoglyphs.yaml")
    simplified = _simplified()
    single = np.arange(HIGHEST, dtype=np.uint32)
    expands = np.zeros(HIGHEST, dtype=np.bool_)
    several: dict[int, tuple[int, ...]] = {}
    mark, base = _where(_MARK_RANGES), _where(_ORNAMENT_BASES)
    script, doubtful = np.zeros(HIGHEST, dtype=np.uint8), np.zeros(HIGHEST, dtype=np.uint8)
    scripts: dict[str, int] = {"LATIN": LATIN, "odd": ODD_LATIN}
    for traditional, plain in simplified.items():
        single[ord(traditional)] = ord(plain)
    for code in _codes_to_look_at():
        character = chr(code)
        folded = _folded_character(character, look_alike, simplified)
        category = unicodedata.category(character)
        # What is hidden is no mark: it goes everywhere.
        mark[code] = bool(folded) and (mark[code] or category in ("Mn", "Me"))
        if category[0] == "L":
            script[code] = number = _script(character, folded, scripts)
            if len(folded) == 1 and code > 0x7F and number:
                if number != LATIN:
                    doubtful[code] = ANY
                elif folded in "il":
                    doubtful[code] = I_OR_L
        if folded == character:
            continue
        if len(folded) > 1:
            expands[code] = True
            several[code] = tuple(map(ord, folded))
        single[code] = ord(folded[0]) if folded else 0
    for low, high in ((0xE0000, 0xE007F), (0xE0100, 0xE01EF)):  # tags and variation selectors hide text
        single[low : high + 1] = 0
    separator = np.zeros(HIGHEST, dtype=np.bool_)
    for code in range(0x10000):
        separator[code] = unicodedata.category(chr(code))[0] in "ZPSC" and code not in (0x25CB,)
    leet = np.arange(HIGHEST, dtype=np.uint32)
    for sign, letter in _letters_for("signs.yaml").items():
        leet[ord(sign)] = ord(letter)
    return Tables(single, expands, several, mark, base, separator, leet, script, doubtful)


def _codes_to_look_at() -> Iterator[int]:
    """In order. A look costs 5 µs, and two thirds of all codes are known to stay, or only to be simplified."""
    begin = 0
    for low, high in (*sorted(_STAY + _HAN), (SIMPLE_SCRIPTS_END, SIMPLE_SCRIPTS_END)):
        yield from (code for code in range(begin, low) if unicodedata.category(chr(code)) != "Cn")
        begin = high + 1


def _where(ranges: Iterable[tuple[int, int]]) -> NDArray[np.bool_]:
    """[code points] whether in one of the ranges, ends included."""
    inside = np.zeros(HIGHEST, dtype=np.bool_)
    for low, high in ranges:
        inside[low : high + 1] = True
    return inside


def _folded_character(character: str, look_alike: dict[str, str], simplified: dict[str, str]) -> str:
    category = unicodedata.category(character)
    if (
        category == "Cf"
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or 0xFE00 <= ord(character) <= 0xFE0F
    ):
        return (
            ""  # joiners, direction marks, soft hyphen, fillers, variation selectors: nothing a reader sees
        )
    if character in look_alike:
        return look_alike[character]
    named = _LETTER_NAME.fullmatch(unicodedata.name(character, ""))
    if named and not unicodedata.decomposition(character):
        return named.group(1).lower()
    if not character.isspace() and category[0] == "Z":
        return " "
    decomposed = unicodedata.normalize("NFKD", character)
    kept = (
        "".join(one for one in decomposed if not _is_ornament(one)) if _latin_like(decomposed) else character
    )
    if not kept:
        return character
    if kept == character or not _latin_like(decomposed):
        composed = unicodedata.normalize("NFKC", character)
        kept = composed if composed.strip() else kept
    folded = "".join(look_alike.get(one, one) for one in kept).casefold()
    folded = "".join(look_alike.get(one, one) for one in folded)
    if folded[0] == " " and any(one.isalpha() for one in folded):
        folded = (
            folded.strip()
        )  # a letter that stands alone as a mark: the space is Unicode's, not the reader's
    return "".join(simplified.get(one, one) for one in folded)


def _script(character: str, folded: str, scripts: dict[str, int]) -> int:
    """The number of a letter's script, by the first word of its base letter's name; `scripts` learns new ones."""
    base = unicodedata.normalize("NFKD", character)[0]
    if not base.isalpha():
        base = character
    word = re.split(r"[ -]", unicodedata.name(base, ""), maxsplit=1)[0]
    if not word or word in _WITHOUT_WORDS:
        return 0
    if word == "LATIN":
        known = all("a" <= one <= "z" for one in folded)
        return LATIN if known or ord(character) < 0x180 else ODD_LATIN
    return scripts.setdefault(word, len(scripts) + 1)


def _is_ornament(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _MARK_RANGES)


def _latin_like(decomposed: str) -> bool:
    first = ord(decomposed[0])
    return any(low <= first <= high for low, high in _ORNAMENT_BASES)


def _letters_for(name: str) -> dict[str, str]:
    data = yaml.safe_load((DATA / name).read_text("utf-8"))
    return {one: letter for letter, alike in data.items() for one in alike}


def _simplified() -> dict[str, str]:
    text = (DATA / "simplified.txt").read_text("utf-8").strip()
    return dict(zip(text[::2], text[1::2], strict=True))


def codes_of(text: str) -> Codes:
    """[characters] code points; lone surrogates keep their number."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def text_of(codes: Codes) -> str:
    """The text of code points; one that cannot be a character becomes U+FFFD."""
    return codes.astype(np.uint32).tobytes().decode("utf-32-le", "replace")


def fold_codes(codes: Codes, base_before: bool = False) -> tuple[Codes, Places, bool]:
    """Folded code points, the place of each in `codes`, and whether marks at a next chunk's start are ornament.

    `base_before` is that last value of the chunk before; folding chunk by chunk equals folding at once.
    """
    if not len(codes):
        return codes, np.zeros(0, np.int64), base_before
    table = tables()
    marks = table.mark[codes]
    folded = table.single[codes]
    ignored = marks | (folded == 0)
    last_base = bool(table.ornamental_base[codes[-1]])
    dropped = marks
    if ignored.any():
        # For each position, the nearest earlier character that is seen and no mark decides.
        place = np.where(ignored, -1, np.arange(len(codes)))
        before = np.maximum.accumulate(place)
        ornamental = np.where(before >= 0, table.ornamental_base[codes[np.maximum(before, 0)]], base_before)
        dropped = marks & ornamental
        last_base = bool(ornamental[-1])
    folded = np.where(marks & ~dropped, codes, folded)
    keep = (folded != 0) & ~dropped
    spread = table.expands[codes] & keep
    if spread.any():
        return (*_expanded(codes, folded, keep, spread, table), last_base)
    places = np.flatnonzero(keep)
    return folded[places], places, last_base


def _expanded(
    codes: Codes, folded: Codes, keep: NDArray[np.bool_], spread: NDArray[np.bool_], table: Tables
) -> tuple[Codes, Places]:
    places = np.flatnonzero(keep)
    among = np.flatnonzero(spread[places])
    parts = [table.several[int(codes[places[one]])] for one in among.tolist()]
    lengths = np.ones(len(places), np.int64)
    lengths[among] = [len(one) for one in parts]
    starts = np.cumsum(lengths) - lengths
    out = np.repeat(folded[places], lengths)
    for start, part in zip(starts[among].tolist(), parts, strict=True):
        out[start : start + len(part)] = part
    return out, np.repeat(places, lengths)


def fold(text: str) -> Folded:
    """The folded text and its offsets."""
    codes, places, _ = fold_codes(codes_of(text))
    return Folded(text_of(codes), places)


def squeeze(codes: Codes, places: Places) -> tuple[Codes, Places]:
    """Folded code points without separators: the view in which a stretched word is whole again."""
    keep = ~tables().separator[codes]
    return codes[keep], places[keep]


def leet(codes: Codes) -> Codes:
    """Folded code points with the digits and signs read as the letters that they stand for."""
    return tables().leet[codes]
