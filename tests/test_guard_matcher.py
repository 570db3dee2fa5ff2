"""Terms in messages and in streams: options, views, allowed phrases, and that both ways find the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.errors import UserError
from ahalab.guard.checks import checked_terms, failed_tests, lint
from ahalab.guard.matcher import Hit, Matcher
from ahalab.guard.stream import Stream, StreamList
from ahalab.guard.term import BUNDLED, TermEntry, TermFile, load_terms, make_terms, read_folder

FILE = TermFile(
    category="made-up",
    en=["bomb", "kill him", TermEntry(text="sb", spaced=False), TermEntry(text="gun", min_gap=10), "x2y"],
    zh=["炸弹", "买枪", "三个字"],
    allow=["photobomb", "bomb disposal", "拆炸弹专家"],
)
TERMS = make_terms([("made.yaml", FILE)])
MATCHER = Matcher(TERMS)
STREAMS = StreamList(TERMS)


def found(text: str) -> list[tuple[str, str]]:
    return [(hit.term.text, hit.span(text)) for hit in MATCHER.find(text)]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("a bomb here", [("bomb", "bomb")]),
        ("用bomb炸", [("bomb", "bomb")]),
        ("bombard the tomb, abomb", []),
        ("b o m b", [("bomb", "b o m b")]),
        ("b*o*m*b!", [("bomb", "b*o*m*b")]),
        ("the mob ombudsman: bo mb", []),
        ("b0mb", [("bomb", "b0mb")]),
        ("B 0 M B", [("bomb", "B 0 M B")]),
        ("ki11 him", [("kill him", "ki11 him")]),
        ("killhim", [("kill him", "killhim")]),
        ("kill  him", [("kill him", "kill  him")]),
        ("bill and kiii", []),
        ("炸 弹 和 炸.弹", [("炸弹", "炸 弹"), ("炸弹", "炸.弹")]),
        ("它炸，弹琴的人", []),
        ("三，个，字", [("三个字", "三，个，字")]),
        ("b" + " " * 30 + "o m b", []),
        ("2400 80 48", []),
        ("sbc s.b", []),
        ("a sb", [("sb", "sb")]),
        ("x 2 y", []),
        ("to kill. Him, they", []),
        ("kill-him", [("kill him", "kill-him")]),
        ("to kill\nhim", [("kill him", "kill\nhim")]),
        ("to kill\r\n  him", [("kill him", "kill\r\n  him")]),
        ("to kill\n\nHim, they", []),
        ("to kill\n \r\nHim, they", []),
        ("to kill.\nHim, they", []),
        ("炸\n弹", [("炸弹", "炸\n弹")]),
        ("炸\n\n弹 炸。\n弹", []),
    ],
)
def test_a_term_is_found_in_its_disguises_and_not_by_accident(text: str, hits: list[tuple[str, str]]) -> None:
    assert found(text) == hits


def test_a_hit_says_in_which_views_it_was_found() -> None:
    assert MATCHER.find("bomb")[0].views == ("raw", "folded")
    assert MATCHER.find("Ｂomb")[0].views == ("folded",)
    assert MATCHER.find("b.o.m.b")[0].views == ("squeezed", "leet")
    assert MATCHER.find("b0mb")[0].views == ("leet",)


def test_an_allowed_phrase_covers_the_terms_inside_it_and_nothing_else() -> None:
    assert found("a photobomb, the bomb disposal") == []
    assert found("photobomb a bomb") == [("bomb", "bomb")]
    assert found("拆炸弹专家的炸弹") == [("炸弹", "炸弹")]


def test_min_gap_counts_a_run_of_one_term_once() -> None:
    assert len(found("gun gun gun")) == 1
    assert len(found("gun and then after a while gun")) == 2


PIECES = [
    "bomb",
    "photobomb",
    "bomb disposal",
    "炸弹",
    "拆炸弹专家",
    "b.o.m.b",
    "b0mb",
    "kill him",
    "ki11 him",
    "买枪",
    "gun",
    "kill\nhim",
    "bo\u0651\u200b\u0301mb",
]
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(list("bomkilhgun炸弹拆专买枪三个字 .*，01\n\u200b\u0301\u0651ВＢ")),
        st.text(max_size=3),
    ),
    max_size=14,
).map("".join)


def streamed(text: str, cuts: list[int]) -> tuple[list[Hit], list[tuple[int, list[Hit]]]]:
    stream, at, seen = Stream(STREAMS), 0, []
    for cut in [*cuts, len(text) + 1]:
        stream.feed(text[at : at + cut])
        at += cut
        seen.append((stream.safe, stream.hits))
    stream.finish()
    return stream.hits, seen


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 6), max_size=60))
def test_a_stream_in_any_pieces_finds_what_the_whole_message_holds(text: str, cuts: list[int]) -> None:
    assert streamed(text, cuts)[0] == MATCHER.find(text)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 6), max_size=60))
def test_no_character_of_a_term_is_safe_to_show_before_the_term_is_known(text: str, cuts: list[int]) -> None:
    hits, seen = streamed(text, cuts)
    for safe, known in seen:
        for hit in hits:
            assert safe <= hit.start or hit in known


def test_every_chunking_of_a_held_term_keeps_its_first_character_back() -> None:
    text = "so b.0.m.b now"
    for cut in range(1, len(text)):
        stream = Stream(STREAMS)
        stream.feed(text[:cut])
        assert stream.safe <= 3 or stream.hits


def test_a_long_stream_forgets_what_is_safe_and_still_finds_all() -> None:
    text = "nothing at all here, " * 2000 + "a b\u200bomb and 炸彈 at the end"
    stream = Stream(STREAMS)
    for at in range(0, len(text), 7):
        stream.feed(text[at : at + 7])
    stream.finish()
    assert stream.hits == MATCHER.find(text)
    assert len(stream._kept) < 6000


def test_harmless_text_is_shown_almost_at_once() -> None:
    stream = Stream(STREAMS)
    stream.feed("We walk through the park today")
    assert stream.safe >= len("We walk through the park today") - 2


def test_the_bundled_list_passes_its_own_tests_and_lint() -> None:
    files = read_folder(BUNDLED)
    assert list(failed_tests(files, Matcher(make_terms(files)))) == []
    assert list(lint(files)) == []


def test_lint_names_doubles_and_terms_that_never_count() -> None:
    files = [
        ("a.yaml", TermFile(category="one-kind", en=["bomb", "ab"], allow=["bomb", "teapot"])),
        ("b.yaml", TermFile(category="two-kind", en=["ＢＯＭＢ"])),
    ]
    told = "\n".join(lint(files))
    assert "b.yaml: 'ＢＯＭＢ' is the same as 'bomb' of a.yaml" in told
    assert "'bomb' is an allowed phrase too" in told
    assert "'ab' is so short" in told
    assert "'teapot' holds no term" in told


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("category: weapons\nen: [bomb]\nsevrity: 2\n", "severity"),
        ("category: weapons\nen: ['']\n", "visible characters"),
        ("category: weapons\n", "no term"),
        ("category: weapons\nen: [bomb]\ntests: {flags: [a teapot]}\n", "tests.flags, sentence 1"),
        ("category: weapons\nen: [bomb]\ntests: {passes: [a bomb]}\n", "flagged by 'bomb'"),
        ("category: [\n", "neither YAML nor JSON"),
        ("category: weapons\nallow: [a phrase]\n", "names no term"),
    ],
)
def test_a_broken_list_is_refused_with_file_and_key(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(content)
    with pytest.raises(UserError, match=words):
        checked_terms(tmp_path)


@pytest.mark.parametrize("phrase", ["  ", "\u200b\u200b", "\u00ad \u2060"])
def test_an_allowed_phrase_of_nothing_visible_is_refused_and_never_allows_everything(phrase: str) -> None:
    files = [("a.yaml", TermFile(category="one-kind", en=["bomb"], allow=[phrase]))]
    with pytest.raises(UserError, match="the allowed phrase"):
        make_terms(files)
    with pytest.raises(UserError, match="the allowed phrase"):
        list(lint(files))


def test_half_a_surrogate_pair_in_a_text_hides_no_term_and_breaks_nothing() -> None:
    terms = make_terms(
        [("a.yaml", TermFile(category="one-kind", en=["bomb", "bath bomb"], allow=["photo bomb"]))]
    )
    text = "\ud83d a bomb\udfff, \udcffb\udc80o\udc80mb, photo bomb"
    matcher, stream = Matcher(terms), Stream(StreamList(terms))
    assert [(one.start, one.end) for one in matcher.find(text)] == [(4, 8), (12, 18)]
    for character in text:
        stream.feed(character)
    stream.finish()
    assert stream.hits == matcher.find(text)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no term files"):
        load_terms(tmp_path)


def test_hidden_files_of_a_folder_are_no_terms(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text("category: one-kind\nen: [bomb]\n")
    (tmp_path / ".#made.yaml").symlink_to("somebody@a-machine.1")  # the lock of an editor
    (tmp_path / "._made.yaml").write_bytes(b"\x00\x05\x16\x07")
    assert [name for name, _ in read_folder(tmp_path)] == ["made.yaml"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(UserError, match="cannot be read"):
        read_folder(tmp_path)
