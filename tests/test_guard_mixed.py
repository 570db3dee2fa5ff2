"""Words that mix scripts: unknown letters are guessed there and nowhere else, in messages and in streams alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard.matcher import Hit, Matcher
from ahalab.guard.stream import Stream, StreamList
from ahalab.guard.term import TermEntry, TermFile, make_terms

FILE = TermFile(
    category="made-up",
    en=[
        "bomb",
        "bombast",
        "kill him",
        TermEntry(text="mild", spaced=False),
        TermEntry(text="limbo", min_gap=30),
        "gun",
    ],
    zh=["炸弹"],
    allow=["bomb disposal", "a limbo dance"],
)
TERMS = make_terms([("made.yaml", FILE)])
MATCHER = Matcher(TERMS)
STREAMS = StreamList(TERMS)
OSAGE_O, MIAO_A, CHEROKEE_S, LYCIAN_I = "\U000104ea", "\U00016f40", "\u13da", "\U00010286"


def found(text: str) -> list[str]:
    return [hit.term.text for hit in MATCHER.find(text)]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (f"a b{OSAGE_O}mb here", ["bomb"]),
        (f"{LYCIAN_I}omb", ["bomb"]),
        (f"b{OSAGE_O}m{MIAO_A}", ["bomb"]),
        (f"用b{OSAGE_O}mb炸", ["bomb"]),
        (f"k{OSAGE_O}ll him", ["kill him"]),
        (f"kill h{OSAGE_O}m", ["kill him"]),
        (f"k{OSAGE_O}ll h{MIAO_A}m", ["kill him"]),
        ("m\U0001d678ld and m\u0406\u216cd", ["mild"]),
        ("lim\u0416o", ["limbo"]),
    ],
)
def test_unknown_letters_among_known_ones_are_guessed(text: str, terms: list[str]) -> None:
    assert set(found(text)) >= set(terms)


@pytest.mark.parametrize(
    "text",
    [
        "\u0431\u043e\u043c\u0436 \u0438 \u0431\u043e\u043c\u0436\u0438",  # Cyrillic alone
        f"b{OSAGE_O}m{MIAO_A}s",  # not the whole word
        f"ab{OSAGE_O}mb",
        f"{OSAGE_O}{MIAO_A}m{LYCIAN_I}",  # guesses outnumber what agrees
        f"{OSAGE_O}{MIAO_A}{CHEROKEE_S}b",
        f"g{OSAGE_O}n",  # three letters
        "g\u00fcn, b\u00e4mb, b\u00f6mp",  # one script
        f"k{OSAGE_O}ll. him",
        "ΔT = 5 K, 3 μm, λmax, β-carotene, x̄ and sinθ",
    ],
)
def test_what_mixes_no_scripts_or_agrees_too_little_is_no_find(text: str) -> None:
    assert "mixed" not in {view for hit in MATCHER.find(text) for view in hit.views}


def test_an_allowed_phrase_in_disguise_allows_nothing() -> None:
    assert found("bomb disposal") == []
    assert found(f"b{OSAGE_O}mb disposal") == ["bomb"]


def test_a_hit_says_that_letters_were_guessed() -> None:
    assert MATCHER.find(f"b{OSAGE_O}mb")[0].views == ("mixed",)


PIECES = """bomb|kill him|limbo|mild|bombast| bomb disposal|a limbo dance|bOmb|bOmM|kOll hSm|kill hLm|lOmbM|Oomb|OMmb
bOmb disposal|炸弹|bombasM|\u0431\u043e\u043c\u0436|m\U0001d678ld|\u0431omb""".replace("\n", "|").split("|")
FOREIGN = str.maketrans({"O": OSAGE_O, "M": MIAO_A, "S": CHEROKEE_S, "L": LYCIAN_I})
TEXTS = st.lists(
    st.one_of(
        st.sampled_from([one.translate(FOREIGN) for one in PIECES]),
        st.sampled_from(
            [
                *"bomkilhgunad 炸弹 .,\u200b\u0301Ｂ0'-",
                OSAGE_O,
                MIAO_A,
                CHEROKEE_S,
                "\u0416",
                "\u0131",
                "\u0416",
            ]
        ),
        st.text(max_size=2),
    ),
    max_size=16,
).map("".join)
CUTS = st.lists(st.integers(1, 7), max_size=60)


def streamed(text: str, cuts: list[int]) -> tuple[list[Hit], list[tuple[int, list[Hit]]]]:
    stream, at, seen = Stream(STREAMS), 0, []
    for cut in [*cuts, len(text) + 1]:
        stream.feed(text[at : at + cut])
        at += cut
        seen.append((stream.safe, stream.hits))
    stream.finish()
    return stream.hits, seen


@settings(max_examples=500, deadline=None)
@given(TEXTS, CUTS)
def test_a_stream_in_any_pieces_guesses_what_the_whole_message_does(text: str, cuts: list[int]) -> None:
    assert streamed(text, cuts)[0] == MATCHER.find(text)


@settings(max_examples=500, deadline=None)
@given(TEXTS, CUTS)
def test_no_character_of_a_guessed_term_is_safe_before_the_term_is_known(text: str, cuts: list[int]) -> None:
    hits, seen = streamed(text, cuts)
    for safe, known in seen:
        for hit in hits:
            assert safe <= hit.start or hit in known


def test_every_single_cut_of_a_guessed_term_is_held_from_its_first_character() -> None:
    text = f"so k{OSAGE_O}ll h{MIAO_A}m now"
    assert found(text) == ["kill him"]
    for cut in range(1, len(text)):
        stream = Stream(STREAMS)
        stream.feed(text[:cut])
        assert stream.safe <= 3 or stream.hits


def test_another_script_in_a_stream_is_shown_but_for_the_word_that_has_just_begun() -> None:
    text = "\u043c\u044b \u0438\u0434\u0451\u043c \u0432 \u043f\u0430\u0440\u043a " * 20
    stream = Stream(STREAMS)
    for cut in range(0, len(text), 3):
        stream.feed(text[cut : cut + 3])
        assert stream.safe >= min(len(text), cut + 3) - 5


def test_a_long_stream_of_mixed_words_forgets_what_is_safe() -> None:
    text = f"d{OSAGE_O}g and c{MIAO_A}t, " * 1500 + f"b{OSAGE_O}mb"
    stream = Stream(STREAMS)
    for at in range(0, len(text), 9):
        stream.feed(text[at : at + 9])
    stream.finish()
    assert stream.hits == MATCHER.find(text)
    assert [hit.term.text for hit in stream.hits] == ["bomb"]
