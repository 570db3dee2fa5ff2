"""The program of an answer: its last complete fenced code block. Time is linear in the length: answers are hostile."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ahalab.sandbox.records import ProgramLanguage

ANSWER_LIMIT = 100_000
"""Longest answer that is read for code, in characters. Our choice: contests take sources of 64 KiB."""

TAGS: dict[str, ProgramLanguage] = {
    **dict.fromkeys(("python", "py", "python3", "py3", "pypy", "pypy3"), "python"),
    **dict.fromkeys(("cpp", "c++", "cc", "cxx", "c++11", "c++14", "c++17", "c++20", "cpp17", "cpp20"), "cpp"),
}
"""What a fence may say after its marks → the language."""

Nesting = Literal["closes first", "nested", "begins anew"]
"""What a tagged fence inside an open one of its kind means. Markdown says: nothing, the first bare fence closes. But
models forget to close a block, and they nest blocks: then one of the others gives a text that is Python."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A program as it stands in an answer."""

    language: ProgramLanguage
    source: str


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    tag: str
    """First word after the opening marks, in small letters; "" where there is none."""
    info: str
    """All of what follows the opening marks."""
    text: str
    head: str
    """The last line with something in it before the block; "" where a block or the beginning comes first."""
    complete: bool


@dataclass(frozen=True, slots=True)
class _Fence:
    indent: int
    mark: str
    length: int
    info: str

    @property
    def tag(self) -> str:
        words = self.info.lower().split()
        return words[0].strip("{}.,:;") if words else ""

    def is_like(self, opened: _Fence) -> bool:
        return self.mark == opened.mark and self.length >= opened.length


def find_program(
    answer: str,
    language: ProgramLanguage | None,
    default: ProgramLanguage = "python",
    function: str | None = None,
) -> Submission | None:
    """The program of an answer, or None.

    The last complete block counts that is tagged with a known language; without any, the last complete one without
    a tag, in `language` (the prompt's). A single block that is never closed, and text without any block, count
    where they are Python. Where a `function` is asked for, a text without any block may also define it within prose:
    from the last `def` of that name on, to the end of the text or of the line.
    """
    if len(answer) > ANSWER_LIMIT:
        return None
    answer = answer.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    untagged = language or default
    found: list[Submission] = []
    for nesting in ("closes first", "nested", "begins anew"):
        one = _last_program(list(fenced_blocks(answer, nesting)), untagged)
        if one is not None and one not in found:
            found.append(one)
    if len(found) == 1:
        return found[0]
    if found:
        return next((one for one in found if one.language != "python" or is_python(one.source)), found[0])
    *_, last = [None, *fenced_blocks(answer)]
    if last is not None:
        tagged = TAGS.get(last.tag, untagged if not last.tag else None)
        alone = not last.complete and tagged == "python" and is_python(last.text)
        return Submission("python", last.text) if alone else None
    if untagged != "python":
        return None
    return Submission("python", answer) if is_python(answer) else _in_prose(answer, function)


def _in_prose(answer: str, function: str | None) -> Submission | None:
    start = answer.rfind(f"def {function}(") if function else -1
    if start < 0:
        return None
    rest = answer[start:]
    for text in (rest, rest.partition("\n")[0]):
        source = text.rstrip().rstrip(".。").rstrip()  # a full stop after the summary's last word
        if is_python(source):
            return Submission("python", source + "\n")
    return None


def fenced_blocks(text: str, nesting: Nesting = "closes first") -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order; the last one may be incomplete."""
    opened: _Fence | None = None
    lines: list[str] = []
    head, depth = "", 0
    for line in text.split("\n"):
        fence = _fence(line)
        if opened is None:
            if fence is not None:
                opened, lines, depth = fence, [], 0
            elif line.strip():
                head = line.strip()
            continue
        if fence is not None and fence.is_like(opened):
            if not fence.info and depth == 0:
                yield _block(opened, lines, head, complete=True)
                opened, head = None, ""
                continue
            if not fence.info:
                depth -= 1
            elif fence.tag in TAGS and nesting == "nested":
                depth += 1
            elif fence.tag in TAGS and nesting == "begins anew":
                opened, lines, head = (
                    fence,
                    [],
                    next((one.strip() for one in reversed(lines) if one.strip()), ""),
                )
                continue
        lines.append(line)
    if opened is not None:
        yield _block(opened, lines, head, complete=False)


def is_python(text: str) -> bool:
    """Whether it parses as Python and says anything. It is parsed, never run."""
    try:
        return bool(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _last_program(blocks: Sequence[Block], untagged: ProgramLanguage) -> Submission | None:
    complete = [block for block in blocks if block.complete and block.text.strip()]
    for block in reversed(complete):
        if block.tag in TAGS:
            return Submission(TAGS[block.tag], block.text)
    for block in reversed(complete):
        if not block.tag:
            return Submission(untagged, block.text)
    return None


def _fence(line: str) -> _Fence | None:
    body = line.lstrip(" \t")
    mark = body[:1]
    if mark not in ("`", "~"):
        return None
    length = len(body) - len(body.lstrip(mark))
    info = body[length:].strip()
    if length < 3 or (mark == "`" and "`" in info):
        return None
    return _Fence(len(line) - len(body), mark, length, info)


def _block(opened: _Fence, lines: Sequence[str], head: str, *, complete: bool) -> Block:
    indent = opened.indent
    kept = [line[min(indent, len(line) - len(line.lstrip(" \t"))) :] for line in lines] if indent else lines
    return Block(opened.tag, opened.info, "\n".join(kept) + "\n", head, complete)
