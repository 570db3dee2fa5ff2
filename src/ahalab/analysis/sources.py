"""Samples from anyone's training: JSON rows, plain or gzipped, whose columns are guessed or named by the user.

Rows of ahalab's own run folders have the first name of every guess, so they are read the same way.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ahalab.analysis.curves import is_number
from ahalab.analysis.tally import Seen, whole_or_none
from ahalab.errors import UserError
from ahalab.text.hostile import make_visible
from ahalab.text.reflection import ReflectiveWords, count_reflective

GUESSES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "completion", "completions", "response", "responses", "output", "outputs", "generation",
             "generations", "messages"),
    "correct": ("correct", "is_correct", "acc", "accuracy", "accuracy_reward", "rewards/accuracy_reward/mean",
                "correctness_math_verify", "correctness", "reward.accuracy", "score"),
    "step": ("step", "global_step", "global_steps", "training_step", "iteration"),
    "tokens": ("tokens", "completion_tokens", "response_length", "completion_length", "output_tokens", "num_tokens",
               "token_count"),
    "prompt": ("prompt_id", "problem_id", "question_id", "prompt", "question", "problem", "input", "instruction"),
    "level": ("level", "difficulty"),
}  # fmt: skip
"""What is looked for, best name first: names of ahalab, TRL's logs, verl's dumped rollouts, open-r1's data sets."""
LOOKED_AT = 50
"""Rows in which columns are looked for."""
RIGHT = 1.0
"""A score of this or more is right: 1, true, 1.0; verl's −1 and 0 are wrong."""
_GZIP = b"\x1f\x8b"
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class SampleFile:
    """Iterator over the rows of a JSONL file, plain or gzipped. A half-written last line is dropped and counted.

    Raises:
        UserError: a line that is no JSON object, or text that is not UTF-8, with row and byte.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.row = 0
        self.truncated = 0
        """Half-written last lines dropped: 0 or 1."""
        self._offset = 0
        """Bytes before the current line, unpacked."""
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
        self._packed = self._raw.read(2) == _GZIP
        self._raw.seek(0)
        self._file: Iterable[bytes] = gzip.GzipFile(fileobj=self._raw) if self._packed else self._raw

    @property
    def position(self) -> int:
        """Bytes of the file read so far, packed ones where it is packed."""
        return 0 if self._raw.closed else self._raw.tell()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for line in self._lines():
                self.row += 1
                if self.row == 1:
                    self._refuse_encoding(line)
                if line.strip():
                    row = self._parse(line)
                    if row is None:
                        return
                    yield row
                self._offset += len(line)
        finally:
            self._raw.close()

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from self._file
        except EOFError:
            # A gzip stream that ends early: still being written, or its writer was killed.
            self.truncated = 1
        except (OSError, zlib.error) as error:
            raise UserError(f"{self.path}, after row {self.row}: it cannot be read on ({error}).") from error

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        try:
            value = json.loads(
                line.decode("utf-8-sig" if self.row == 1 else "utf-8"), parse_constant=lambda _: None
            )
            if not isinstance(value, dict):
                raise ValueError(f"a JSON object was expected, found {type(value).__name__}")
            return value
        except UnicodeDecodeError as error:
            if not line.endswith(b"\n"):
                self.truncated = 1
                return None
            raise UserError(
                f"{self.path}, row {self.row}: byte {self._offset + error.start} of the {self._what()} "
                f"(0x{line[error.start]:02x}) is not UTF-8. If it is Latin-1 or Windows text, convert it: "
                f"iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
            ) from error
        except (ValueError, RecursionError) as error:
            if not line.endswith(b"\n"):
                self.truncated = 1
                return None
            hint = (
                " A JSON list over several lines is not JSONL: `jq -c '.[]' FILE > NEW` makes one row a line."
                if line.strip() in (b"[", b"{")
                else " Each line must be one JSON object; mend or remove this line."
            )
            raise UserError(f"{self.path}, row {self.row}: {error}.{hint}") from error

    def _refuse_encoding(self, line: bytes) -> None:
        found = next((name for mark, name in _MARKS if line.startswith(mark)), None)
        if found is None and b"\0" in line[:200]:
            found = "UTF-16"
        if found is not None:
            at = 0 if line.startswith(tuple(mark for mark, _ in _MARKS)) else line.index(b"\0")
            raise UserError(
                f"{self.path}: byte {at} of the {self._what()} (0x{line[at]:02x}) shows {found} text; JSON rows are "
                f"UTF-8. Convert it: iconv -f {found} -t UTF-8 FILE > NEW"
            )

    def _what(self) -> str:
        return "unpacked file" if self._packed else "file"


@dataclass(slots=True)
class Columns:
    """Which column holds what. Dots lead into objects: `reward.accuracy`."""

    names: dict[str, str]
    given: frozenset[str] = frozenset()
    """Those the user named."""

    def describe(self) -> str:
        """As `text=completion, correct=score`."""
        return ", ".join(f"{what}={make_visible(name)}" for what, name in self.names.items())


def parse_columns(text: str | None) -> dict[str, str]:
    """`text=…,correct=…` as a mapping.

    Raises:
        UserError: not of that form, or an unknown key.
    """
    found: dict[str, str] = {}
    for part in filter(None, (text or "").split(",")):
        what, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name or what not in GUESSES:
            raise UserError(
                f"--columns {part!r}: expected KEY=COLUMN with a key of {', '.join(GUESSES)}, "
                "for example text=completion,correct=accuracy_reward"
            )
        found[what] = name
    return found


def find_columns(path: Path, given: Mapping[str, str]) -> Columns:
    """The columns of a file from its first rows; `given` wins over guesses.

    Raises:
        UserError: no rows, no text column, or a given column that is not there; says which columns are.
    """
    rows = list(islice(SampleFile(path), LOOKED_AT))
    if not rows:
        raise UserError(f"{path} has no rows: a JSON object a line was expected, one a sample.")
    there = list(dict.fromkeys(name for row in rows for name in row))
    names: dict[str, str] = {}
    for what, guesses in GUESSES.items():
        if what in given:
            if not any(look_up(row, given[what])[0] for row in rows):
                raise UserError(
                    f"{path}: --columns {what}={given[what]}, but the first {len(rows)} rows have no such column. "
                    f"Found: {_listed(there)}."
                )
            names[what] = given[what]
            continue
        for name in guesses:
            if name not in names.values() and any(look_up(row, name)[1] is not None for row in rows):
                names[what] = name
                break
    if "text" not in names:
        raise UserError(
            f"{path}: no column of answers. Looked for {', '.join(GUESSES['text'])}; found {_listed(there)}. "
            "Name it: --columns text=COLUMN"
        )
    return Columns(names, frozenset(given))


def look_up(row: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """(whether the row has the column, its value); a dotted name leads into objects unless it is a column itself."""
    if name in row:
        return True, row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


@dataclass(slots=True)
class RowReader:
    """Rows to samples, and how many of what could not be used."""

    columns: Columns
    words: ReflectiveWords
    without_text: int = 0
    without_step: int = 0
    highest_score: float | None = None
    """Of the column of scores: below 1, no answer can count as right."""
    text: str = field(default="", repr=False)
    """Of the sample read last."""

    def samples(self, row: Mapping[str, Any]) -> Iterator[Seen]:
        """The samples of one row: one, or as many as its text column lists."""
        names = self.columns.names
        value = {what: look_up(row, name)[1] for what, name in names.items()}
        texts = _texts(value["text"])
        if not texts:
            self.without_text += 1
            return
        step = _whole(value.get("step"))
        if step is None:
            self.without_step += "step" in names
            step = 0
        for place, text in enumerate(texts):
            self.text = text
            level = value.get("level")
            prompt = value.get("prompt")
            yield Seen(
                step=step,
                prompt=None if prompt is None else _key(prompt),
                correct=self._correct(_of(value.get("correct"), place, len(texts))),
                tokens=whole_or_none(_of(value.get("tokens"), place, len(texts))),
                words=count_reflective(text, self.words),
                level=None if level is None else str(level)[:40],
            )

    def _correct(self, score: object) -> bool | None:
        if isinstance(score, str):
            score = {"true": True, "false": False}.get(score.strip().lower(), score)
        if isinstance(score, bool):
            score = float(score)
        if not is_number(score):
            return None
        self.highest_score = (
            float(score) if self.highest_score is None else max(self.highest_score, float(score))
        )
        return float(score) >= RIGHT


def natural_order(path: Path) -> list[Any]:
    """2.jsonl before 10.jsonl."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name)
    ]


def _texts(value: object) -> list[str]:
    """A text, the texts of a list, or the last turns of conversations."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        content = value.get("content")
        return [content] if isinstance(content, str) else []
    if isinstance(value, Sequence) and value:
        if all(isinstance(one, Mapping) for one in value):
            said = [one for one in value if one.get("role", "assistant") == "assistant"]
            turns = [text for one in said for text in _texts(one)]
            return ["\n".join(turns)] if turns else []
        nested = [_texts(one) for one in value]
        return [texts[0] for texts in nested] if all(len(texts) == 1 for texts in nested) else []
    return []


def _of(value: object, place: int, count: int) -> object:
    """The value that belongs to one of a row's texts: of a list of the same length its own, else the row's."""
    if isinstance(value, list):
        return value[place] if len(value) == count else None
    return value


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value) if len(value) < 18 else None
    return int(value) if is_number(value) and abs(value) < 2**62 else None


def _key(prompt: object) -> str:
    return (
        prompt
        if isinstance(prompt, str)
        else json.dumps(prompt, ensure_ascii=True, sort_keys=True, default=str)
    )


def _listed(names: Sequence[str]) -> str:
    shown = [make_visible(str(name))[:40] for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if shown else "none"
