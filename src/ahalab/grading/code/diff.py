"""Unified diffs, read and applied strictly: context has to match exactly, without fuzz.

Two things that models get wrong are forgiven, because they leave no doubt about what is meant: the counts of a hunk's
header, and its line numbers where its lines occur once in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.grading.code.verdicts import Kind

_HUNK = re.compile(r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")
_MODE = re.compile(r"(?:new file mode|deleted file mode|new mode|old mode) ([0-9]{6})")
_REGULAR = ("100644", "100755")
_NO_FILE = "/dev/null"


class PatchFault(Exception):
    """The answer's change is not made; the text says why."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind: Kind = kind


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that are replaced by others."""

    start: int | None
    """First line before, from 1, as the header says it (where nothing is replaced: the line it comes after)."""
    before: tuple[str, ...]
    after: tuple[str, ...]
    ends_without_newline: bool = False


@dataclass(frozen=True, slots=True)
class FileChange:
    """The hunks of one file; paths as they stand in the diff."""

    old: str | None
    """None: the file is new."""
    new: str | None
    """None: the file is deleted."""
    hunks: tuple[Hunk, ...]


def is_diff(text: str) -> bool:
    """Whether a text has the two header lines of a unified diff."""
    lines = text.split("\n")
    return any(_is_header(lines, place) for place in range(len(lines)))


def parse_diff(text: str) -> list[FileChange]:
    """The changes of a unified diff, git's or plain; prose around it is passed over.

    Raises:
        PatchFault: it is none, or does more than change text: links, binary files, renames, other modes.
    """
    lines = text.split("\n")
    changes: list[FileChange] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        _refuse_special(line)
        if not _is_header(lines, place):
            place += 1
            continue
        old, new = _path(line), _path(lines[place + 1])
        place += 2
        hunks: list[Hunk] = []
        while place < len(lines) and lines[place].startswith("@@"):
            hunk, place = _read_hunk(lines, place)
            hunks.append(hunk)
        if not hunks:
            raise PatchFault("patch does not apply", f"no @@ after +++ {new or _NO_FILE}")
        changes.append(FileChange(old, new, tuple(hunks)))
    if not changes:
        raise PatchFault("patch does not apply", "no --- and +++ lines")
    return changes


def apply_hunks(text: str, hunks: Sequence[Hunk]) -> str:
    """The text after all hunks, each found at its line, or at the one place behind the previous where its lines are.

    Raises:
        PatchFault: a hunk's lines are not there, or are there more than once.
    """
    lines = text.split("\n")
    newline = lines[-1] == ""
    if newline:
        lines.pop()
    made: list[str] = []
    done = 0
    for number, hunk in enumerate(hunks, 1):
        at = _find(lines, hunk, done, number)
        made += lines[done:at]
        made += hunk.after
        done = at + len(hunk.before)
        if done == len(lines):
            newline = not hunk.ends_without_newline
    made += lines[done:]
    return "\n".join(made) + ("\n" if newline and made else "")


def _find(lines: Sequence[str], hunk: Hunk, done: int, number: int) -> int:
    before = list(hunk.before)
    if not before:
        if hunk.start is None or not done <= hunk.start <= len(lines):
            raise PatchFault(
                "patch does not apply", f"hunk {number} has no context that says where it belongs"
            )
        return hunk.start
    stated = None if hunk.start is None else hunk.start - 1
    if stated is not None and stated >= done and lines[stated : stated + len(before)] == before:
        return stated
    found = [
        place
        for place in range(done, len(lines) - len(before) + 1)
        if lines[place] == before[0] and lines[place : place + len(before)] == before
    ]
    if len(found) != 1:
        times = "not in the file" if not found else f"in the file {len(found)} times"
        raise PatchFault("patch does not apply", f"the lines of hunk {number} are {times}")
    return found[0]


def _is_header(lines: Sequence[str], place: int) -> bool:
    return lines[place].startswith("--- ") and place + 1 < len(lines) and lines[place + 1].startswith("+++ ")


def _path(line: str) -> str | None:
    path = line[4:].partition("\t")[0].strip()
    return None if path == _NO_FILE else path


def _refuse_special(line: str) -> None:
    if line.startswith(("GIT binary patch", "Binary files ")):
        raise PatchFault("patch refused", "it changes binary files")
    if line.startswith(("rename from ", "rename to ", "copy from ", "copy to ")):
        raise PatchFault("patch refused", "it renames or copies files")
    mode = _MODE.match(line)
    if mode is not None and mode.group(1) not in _REGULAR:
        raise PatchFault("patch refused", f"it makes something that is no plain file (mode {mode.group(1)})")


def _read_hunk(lines: Sequence[str], place: int) -> tuple[Hunk, int]:
    """The hunk whose header is at `place`, and the place after it."""
    header = _HUNK.match(lines[place])
    start = int(header.group(1)) if header else None
    body = _counted(lines, place + 1, header) if header else None
    if body is None:
        body = _uncounted(lines, place + 1)
    before, after = [], []
    marks: list[str] = []
    bare = False
    for line in body:
        if line.startswith("\\"):
            bare = bare or (bool(marks) and marks[-1] in " +")
            continue
        mark, rest = (line[0], line[1:]) if line else (" ", "")
        marks.append(mark)
        if mark != "+":
            before.append(rest)
        if mark != "-":
            after.append(rest)
    if not marks:
        raise PatchFault("patch does not apply", "a hunk without lines")
    return Hunk(start, tuple(before), tuple(after), bare), place + 1 + len(body)


def _counted(lines: Sequence[str], place: int, header: re.Match[str]) -> list[str] | None:
    """The lines that the header's counts say; None where they do not come out."""
    old, new = (int(header.group(group) or 1) for group in (2, 4))
    first = place
    while old > 0 or new > 0:
        if place == len(lines):
            return None
        mark = lines[place][:1] or " "
        if mark not in " +-\\":
            return None
        old -= mark in " -"
        new -= mark in " +"
        if old < 0 or new < 0:
            return None
        place += 1
    if place < len(lines) and lines[place].startswith("\\"):
        place += 1
    ended = place == len(lines) or lines[place][:1] not in (" ", "+", "-") or _is_header(lines, place)
    return list(lines[first:place]) if ended else None


def _uncounted(lines: Sequence[str], place: int) -> list[str]:
    """The lines up to whatever cannot belong to a hunk."""
    first = place
    while place < len(lines):
        line = lines[place]
        if line[:1] not in ("", " ", "+", "-", "\\") or _is_header(lines, place):
            break
        place += 1
    body = list(lines[first:place])
    while body and not body[-1]:
        body.pop()
    return body
