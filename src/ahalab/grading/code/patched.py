"""The files after an answer's change: a unified diff, or whole files in fences headed by their path."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ahalab.grading.code.budget import wall_seconds
from ahalab.grading.code.diff import PatchFault, apply_hunks, is_diff, parse_diff
from ahalab.grading.code.extraction import ANSWER_LIMIT, TAGS, Block, fenced_blocks
from ahalab.grading.code.problem import MEMORY_MEGABYTES, check_keys, encodable, number, shown
from ahalab.sandbox.records import Limits

CPU_SECONDS = 10.0
"""For all unit tests together (our choice)."""

_KEYS = ("files", "tests", "cpu_seconds", "memory_megabytes")
_LONGEST_PATH = 180
"""Below what a sandbox takes, with the folder that the files are put in."""
_WORDS_BEFORE = re.compile(r"^(?:[#*`>\s-]|(?:filename|file|path)\b[\s:]+){0,12}", re.IGNORECASE)
_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./+-]*\.[A-Za-z][A-Za-z0-9]{0,7}")
_DRIVE = re.compile(r"[A-Za-z]:/")
_KEY = re.compile(r"^(?:title|path|file|filename)=", re.IGNORECASE)
_RUNS_BY_ITSELF = ("conftest", "sitecustomize", "usercustomize")
"""Modules that Python or test runners import without being asked."""


@dataclass(frozen=True, slots=True)
class BugProblem:
    """Buggy files and the unit tests that decide."""

    files: Mapping[str, str]
    tests: Mapping[str, str]
    cpu_seconds: float = CPU_SECONDS
    memory_megabytes: int = MEMORY_MEGABYTES

    def limits(self) -> Limits:
        """What bounds the run of all tests."""
        return Limits(
            cpu_seconds=self.cpu_seconds,
            wall_seconds=wall_seconds(self.cpu_seconds),
            memory_megabytes=self.memory_megabytes,
        )

    @classmethod
    def read(cls, extra: Mapping[str, Any]) -> BugProblem:
        """The problem that `extra` holds.

        Raises:
            ValueError: it holds none; says which key, what was expected and what was found.
        """
        check_keys(extra, _KEYS)
        files, tests = _files(extra, "files"), _files(extra, "tests")
        both = sorted(set(files) & set(tests))
        if both:
            raise ValueError(f"{both[0]!r} is in `files` and in `tests`: what may be changed is no test")
        _check_folders({**files, **tests})
        return cls(
            files,
            tests,
            number(extra, "cpu_seconds", CPU_SECONDS, 0.01, 60.0),
            int(number(extra, "memory_megabytes", MEMORY_MEGABYTES, 16, 65536)),
        )


def patched_files(answer: str, problem: BugProblem) -> dict[str, str]:
    """The problem's files with the answer's change made in them.

    A diff counts before whole files. With a single file a code block without a path is taken for it.

    Raises:
        PatchFault: there is no change, it does not apply, or it is refused: it touches a test, leaves the folder,
            is no plain text, or adds a module that would stand in for one of Python's own.
    """
    if len(answer) > ANSWER_LIMIT:
        raise PatchFault("no patch", f"the answer is longer than {ANSWER_LIMIT:,} characters")
    answer = answer.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    blocks = [block for block in fenced_blocks(answer) if block.complete]
    diffs = [block.text for block in blocks if block.tag in ("diff", "patch") or is_diff(block.text)]
    if diffs or is_diff(answer):
        files = _by_diff("\n".join(diffs) if diffs else answer, problem)
    else:
        files = _by_whole_files(blocks, problem)
    if files == dict(problem.files):
        raise PatchFault("no patch", "it changes nothing")
    _check_new(files, problem)
    return files


def clean_path(path: str) -> str:
    """A relative path in plain form. Raises PatchFault for one that leads anywhere else."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    strange = "\\" in path or not path.isprintable() or len(path) > _LONGEST_PATH
    if path.startswith(("/", "~")) or ":" in path or strange or ".." in parts or not parts:
        raise PatchFault("patch refused", f"{shown(path)} is no path inside the folder")
    return "/".join(parts)


def _by_diff(text: str, problem: BugProblem) -> dict[str, str]:
    files = dict(problem.files)
    for change in parse_diff(text):
        names = [name for name in (change.old, change.new) if name is not None]
        if not names:
            raise PatchFault("patch refused", "it names no file")
        paths = {_known(name, files) for name in names}
        if len(paths) > 1:
            raise PatchFault("patch refused", f"it renames {' to '.join(map(shown, names))}")
        [path] = paths
        _refuse_test(path, problem)
        if change.old is None:
            if path in files:
                raise PatchFault("patch does not apply", f"{path} is there already")
            files[path] = "".join(f"{line}\n" for hunk in change.hunks for line in hunk.after)
            continue
        if path not in files:
            raise PatchFault("patch does not apply", f"there is no file {shown(path)}")
        after = apply_hunks(files[path], change.hunks)
        if change.new is None:
            del files[path]
        else:
            files[path] = after
    return files


def _known(name: str, files: Mapping[str, str]) -> str:
    """The path that a diff means by `a/x.py`: one that is there as it stands, or else without git's letter."""
    path = clean_path(name)
    if path not in files and path[:2] in ("a/", "b/"):
        return clean_path(path[2:])
    return path


def _by_whole_files(blocks: list[Block], problem: BugProblem) -> dict[str, str]:
    files = dict(problem.files)
    found = False
    for block in blocks:
        path = _headed_by(block, problem)
        if path is not None:
            _refuse_test(path, problem)
            files[path] = block.text
            found = True
    code = [block for block in blocks if (block.tag in TAGS or not block.tag) and block.text.strip()]
    if not found and len(problem.files) == 1 and code:
        [path] = problem.files
        files[path] = code[-1].text
        found = True
    if not found:
        raise PatchFault("no patch", "neither a diff nor a file headed by its path")
    return files


def _headed_by(block: Block, problem: BugProblem) -> str | None:
    """The path that a block's opening line or head gives: "```python a.py", "**src/a.py**", "File: a.py", or a sentence
    that names one of the files."""
    known = {*problem.files, *problem.tests}
    head = _WORDS_BEFORE.sub("", block.head)
    for word in (head, *(_KEY.sub("", word) for word in block.info.replace(":", " ").split())):
        path = word.strip("`*\"' \t:")
        if path in known:
            return path
        leads_out = path.startswith(("/", "~")) or "../" in path or "\\" in path or _DRIVE.match(path)
        if " " not in path and (leads_out or _PATH.fullmatch(path)):
            return clean_path(path)
    named = [path for word in head.split() if (path := word.strip("`*\"'()[].,:;")) in problem.files]
    return named[-1] if named else None


def _refuse_test(path: str, problem: BugProblem) -> None:
    if path in problem.tests:
        raise PatchFault("patch refused", f"{path} is a test")


def _check_new(files: Mapping[str, str], problem: BugProblem) -> None:
    """Refuse what would come between the tests and the code they test."""
    for path in files:
        if path in problem.files:
            continue
        name = path.rpartition("/")[2].partition(".")[0]
        top = path.partition("/")[0].partition(".")[0]
        folders = {test.rpartition("/")[0] for test in problem.tests} | {"", "src"}
        beside = path.rpartition("/")[0] in folders and name in sys.stdlib_module_names
        if name in _RUNS_BY_ITSELF or beside or top in sys.stdlib_module_names:
            raise PatchFault(
                "patch refused", f"{path} would stand in for a module of Python or of a test runner"
            )
    try:
        _check_folders({**files, **problem.tests})
    except ValueError as error:
        raise PatchFault("patch refused", str(error)) from None


def _check_folders(paths: Mapping[str, str]) -> None:
    """Raises ValueError where one path is a file and another lies in it."""
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in paths:
                raise ValueError(f"{'/'.join(parts[:depth])!r} is a file, and {path!r} lies in it")


def _files(extra: Mapping[str, Any], key: str) -> dict[str, str]:
    value = extra.get(key)
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"`{key}` should be a mapping of paths to their text, not {shown(value)}")
    found: dict[str, str] = {}
    for path, text in value.items():
        if not isinstance(path, str) or not isinstance(text, str):
            raise ValueError(f"`{key}`: {shown(path)} should be a path with its text, not {shown(text)}")
        try:
            plain = clean_path(path)
        except PatchFault as fault:
            raise ValueError(f"`{key}`: {fault}") from None
        found[plain] = encodable(text.replace("\r\n", "\n"), f"{key}.{plain}")
    return found
