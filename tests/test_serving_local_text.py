"""What a client is shown while a reply arrives: whole characters, thinking apart, stop strings cut, nothing lost."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from ahalab.safety.running.parting import part_reply
from ahalab.serving.local_text import ReplyText


class Characters:
    """Each character is a token."""

    eos_token_id = None

    def decode(self, token_ids: Sequence[int], **_: bool) -> str:
        return "".join(map(chr, token_ids))


class Bytes:
    """Byte-level: one U+FFFD for what is no character (yet)."""

    def decode(self, token_ids: Sequence[int], **_: bool) -> str:
        return bytes(token_ids).decode("utf-8", "replace")


class ByteFallback:
    """As sentencepiece's: a run of byte tokens (below 256) is text, or one U+FFFD for each; a first space is lost."""

    def decode(self, token_ids: Sequence[int], **_: bool) -> str:
        out, run = [], bytearray()
        for token in [*token_ids, 256]:
            if token < 256:
                run.append(token)
                continue
            try:
                out.append(run.decode("utf-8"))
            except UnicodeDecodeError:
                out.append("\ufffd" * len(run))
            run.clear()
            out.append(chr(token - 256) if token > 256 else "")
        return "".join(out).removeprefix(" ")


def shown(
    tokenizer: object, tokens: Sequence[int], sizes: Sequence[int], **options: object
) -> tuple[str, str, list[str]]:
    text = ReplyText(tokenizer, **options)  # type: ignore[arg-type]
    thinking, content, pieces, at = "", "", [], 0
    for size in sizes:
        piece = text.feed(tokens[at : at + size])
        at += size
        thinking, content = thinking + piece.thinking, content + piece.content
        pieces.append(piece.thinking + piece.content)
    assert at >= len(tokens)
    rest = text.finish()
    return thinking + rest.thinking, content + rest.content, pieces


def codes(text: str) -> list[int]:
    return [ord(one) for one in text]


def chunked(length: int, generator: random.Random) -> list[int]:
    sizes = []
    while sum(sizes) < length:
        sizes.append(generator.choice((1, 1, 2, 3, 7, 40)))
    return sizes or [1]


WORDS = (
    "a",
    " ",
    "\n",
    "<",
    "<th",
    "</",
    "</think",
    "ink>",
    "<answer>",
    "</answer>",
    "no <b> tag",
    "字",
    "  ",
)


@pytest.mark.parametrize("seed", range(300))
def test_parts_of_a_stream_are_those_of_the_whole_text_at_any_chunking(seed: int) -> None:
    generator = random.Random(seed)

    def some(most: int) -> str:
        return "".join(generator.choice(WORDS) for _ in range(generator.randint(0, most))).replace(
            "</think>", ""
        )

    text = f"{some(2)}<think>{some(8)}</think>{some(8)}"
    if "</think>" in text[: text.index("<think>")] or text.count("<think>") > 1:
        return
    thinking, content, _ = shown(Characters(), codes(text), chunked(len(text), generator))
    assert (thinking, content) == part_reply(text)


def test_a_prefilled_thinking_begins_inside() -> None:
    tokens = codes(" so 2 </think> <answer> 2 </answer>")
    assert shown(Characters(), tokens, [1] * len(tokens), thinking=True)[:2] == ("so 2", "2")


def test_a_thinking_without_end_is_thinking_and_an_end_without_thinking_is_text() -> None:
    assert shown(Characters(), codes("<think> a <answer>b"), [19])[:2] == ("a <answer>b", "")
    assert shown(Characters(), codes("a </think> b"), [12])[:2] == ("", "a </think> b")


def test_text_that_is_no_tag_after_all_is_shown() -> None:
    assert shown(Characters(), codes("1 < 2 </ans"), [1] * 11)[:2] == ("", "1 < 2 </ans")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_no_piece_ends_in_half_a_character(size: int) -> None:
    text = "né 字 🙂🙂 e\u0301 ok 字字字"
    raw = list(text.encode("utf-8"))
    _, content, pieces = shown(Bytes(), raw, [size] * (len(raw) // size + 1))
    assert content == text
    assert all("\ufffd" not in piece for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_byte_tokens_of_sentencepiece_become_whole_characters(size: int) -> None:
    text = "one 字🙂字 two 🙂"
    tokens = [one for char in text for one in ([ord(char) + 256] if char.isascii() else char.encode("utf-8"))]
    _, content, pieces = shown(ByteFallback(), tokens, [size] * (len(tokens) // size + 1))
    assert content == text
    assert all("\ufffd" not in piece for piece in pieces)


def test_bytes_that_are_no_text_are_shown_as_such_and_do_not_pile_up() -> None:
    text = ReplyText(Bytes())  # type: ignore[arg-type]
    longest = 0
    seen = ""
    for _ in range(500):
        seen += text.feed([0xFF]).content
        longest = max(longest, len(text._characters._open) + len(text._characters._context))
    seen += text.finish().content
    assert set(seen) == {"\ufffd"}
    assert len(seen) == 500
    assert longest < 200


def test_half_a_character_at_the_end_is_shown_as_unknown() -> None:
    assert shown(Bytes(), list("ok 字".encode()[:-1]), [1] * 5)[1] == "ok \ufffd"


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_stop_string_is_cut_off_wherever_the_pieces_part(size: int) -> None:
    text = "<think> END is not looked for here </think> one EN two\n\nEND three"
    _, content, pieces = shown(
        Characters(), codes(text), [size] * (len(text) // size + 1), stops=["END", "zzz"]
    )
    assert content == "one EN two"
    assert "END" not in "".join(pieces).split("here")[1]


def test_the_first_stop_string_counts_and_white_space_before_it_may_be_one() -> None:
    assert shown(Characters(), codes("\n\na\n\nb"), [1] * 6, stops=["b", "\n\n"])[1] == "a"


def test_a_stop_string_that_does_not_come_is_given_out_at_the_end() -> None:
    assert shown(Characters(), codes("a EN"), [1] * 4, stops=["END"])[1] == "a EN"
