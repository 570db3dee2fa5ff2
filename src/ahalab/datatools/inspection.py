"""`aha data inspect`: what a file is, what is in its columns, what is wrong with it, and how a recipe reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.datatools.census import Census
from ahalab.datatools.layouts import KINDS, Head, Layout, fragment, layout_of, prompt_entry
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import converted_name, open_stream, sniff_encoding, suffix_of
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.files import SUFFIXES as RECIPE_SUFFIXES

SHOWN_BAD = 5
"""Bad rows that are named; the rest are counted by reason."""
TRIED_ENCODINGS = ("gb18030", "big5", "cp1252", "latin-1")
_SNIFFED = 1 << 20


@dataclass(frozen=True)
class Inspection:
    """What was found in a file."""

    path: Path
    format: str
    encoding: str
    size: int
    seconds: float
    rows: int
    census: Census
    bad: dict[str, int]
    """Reason → rows that cannot be read."""
    bad_rows: list[tuple[int, str]]
    """(row, what is wrong), the first few."""
    layout: Layout
    unfit: dict[str, int]
    """Reason → rows that can be read and make no prompt."""
    unfit_rows: list[tuple[int, str]]
    prompts: int
    """Prompts that the rows make."""
    advice: list[str]

    def fragments(self) -> list[str]:
        """What to paste into a recipe."""
        path = self._recipe_path()
        found = [fragment("prompts", prompt_entry(path, self.layout))]
        if self.layout.kinds:
            found.append(fragment("data", {"file": str(path)}))
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file": str(self.path),
            "format": self.format,
            "encoding": self.encoding,
            "bytes": self.size,
            "rows": self.rows,
            "columns": self.census.as_dict(),
            "other_keys": self.census.other_keys,
            "bad": self.bad,
            "bad_rows": [{"row": row, "what": what} for row, what in self.bad_rows],
            "recognised": self.layout.recognised,
            "mapping": None if self.layout.prompts is None else self.layout.prompts.describe(),
            "data_kinds": list(self.layout.kinds),
            "prompts": self.prompts,
            "unfit": self.unfit,
            "unfit_rows": [{"row": row, "what": what} for row, what in self.unfit_rows],
            "fragments": self.fragments(),
            "advice": self.advice,
        }

    def _recipe_path(self) -> Path:
        if self.path.name.endswith(RECIPE_SUFFIXES) and self.encoding == "utf-8":
            return self.path
        return Path(converted_name(self.path))


class _AllRows(GoodRows):
    """Rows, bad ones being named up to `SHOWN_BAD` and counted."""

    def __init__(self, path: Path, watch: Watch, encoding: str | None) -> None:
        super().__init__(path, watch, "inspect", skip_bad_rows=True, encoding=encoding, may_be_none=True)
        self.named: list[tuple[int, str]] = []

    def leave_out(self, number: int, bad: BadRow) -> None:
        """See `GoodRows`."""
        if len(self.named) < SHOWN_BAD:
            self.named.append((number, in_words(bad)))
        super().leave_out(number, bad)


def inspect(
    path: Path,
    watch: Watch,
    *,
    encoding: str | None = None,
    most_rows: int | None = None,
    no_text: bool = False,
) -> Inspection:
    """Look at every row of a file, or at the first `most_rows`; with `no_text` none of its text is kept.

    Raises:
        UserError: no such file, an empty one, one of an unknown kind; what no row can be read of.
        Interrupted: Ctrl-C.
    """
    suffix_of(path)
    if encoding is None and path.is_file() and suffix_of(path) != ".parquet":
        encoding = sniff_encoding(path)
    rows = _AllRows(path, watch, encoding)
    census, head = Census(no_text=no_text), Head()
    unfit: dict[str, int] = {}
    unfit_rows: list[tuple[int, str]] = []
    layout: Layout | None = None
    prompts = 0

    def fit(number: int, values: dict[str, Any], found: Layout) -> int:
        if found.prompts is None:
            return 0
        try:
            return len(found.prompts.prompts(values))
        except BadRow as bad:
            unfit[bad.reason] = unfit.get(bad.reason, 0) + 1
            if len(unfit_rows) < SHOWN_BAD:
                unfit_rows.append((number, in_words(bad)))
        except LeftOut as left:
            unfit[left.reason] = unfit.get(left.reason, 0) + 1
        return 0

    for row in rows:
        census.add(row.values)
        if layout is None:
            head.add(row)
            if head.full:
                layout = layout_of([values for _, values in head.rows], str(path))
                prompts += sum(fit(number, values, layout) for number, values in head.rows)
        else:
            prompts += fit(row.number, row.values, layout)
        if census.rows == most_rows:
            break
    if layout is None:
        layout = layout_of([values for _, values in head.rows], str(path))
        prompts += sum(fit(number, values, layout) for number, values in head.rows)
    stream = open_stream(path, encoding)
    stream.close()
    found = Inspection(
        path=path,
        format=stream.format,
        encoding=stream.encoding,
        size=path.stat().st_size,
        seconds=rows.seconds,
        rows=census.rows,
        census=census,
        bad=dict(rows.skipped),
        bad_rows=rows.named,
        layout=layout,
        unfit=unfit,
        unfit_rows=unfit_rows,
        prompts=prompts,
        advice=[],
    )
    found.advice.extend(_advice(found))
    return found


def in_words(bad: BadRow) -> str:
    """What is wrong with a row: "column 'answer': expected the answer, but it is null"."""
    column = f"column {bad.column!r}: " if bad.column else ""
    return f"{column}expected {bad.expected}, but {bad.found}"


def _advice(found: Inspection) -> list[str]:
    """What to do, a sentence each."""
    path, told = found.path, []
    converted = converted_name(path)
    if found.encoding != "utf-8":
        told.append(f"a recipe reads UTF-8: aha data convert {path} {converted} --encoding {found.encoding}")
    elif not path.name.endswith(RECIPE_SUFFIXES):
        told.append(f"a recipe reads {', '.join(RECIPE_SUFFIXES)}: aha data convert {path} {converted}")
    if found.bad.get("not UTF-8"):
        guess = guess_encoding(path)
        hint = f"; its bytes would be {guess}" if guess else ""
        told.append(
            f"{found.bad['not UTF-8']:,} rows are not UTF-8{hint}: aha data convert {path} {converted} --encoding "
            f"{guess or 'NAME'}"
        )
    if found.bad.get("cut off"):
        told.append(
            "the last row is cut off, as by a copy or a program that was stopped: fetch the file again"
        )
    if found.layout.prompts is None:
        told.append(
            "for prompts, correct the columns in the fragment below: they are a guess by the columns' names"
        )
    if found.unfit:
        told.append(
            "a run stops at the first row that makes no prompt, or leaves them out with --skip-bad-rows"
        )
    for name in KINDS:
        if name in found.layout.kinds:
            told.append(f"it can be read as {KINDS[name]}")
    return told


def guess_encoding(path: Path) -> str | None:
    """The first of some encodings in which the beginning of a text file can be read; None for none."""
    import gzip

    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            head = file.read(_SNIFFED).rpartition(b"\n")[0]
    except OSError:
        return None
    for name in TRIED_ENCODINGS:
        try:
            text = head.decode(name)
        except UnicodeDecodeError:
            continue
        strange = [character for character in text if not character.isascii()]
        chinese = sum(
            "\u3000" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef" for character in strange
        )
        # Many bytes are some sign of an encoding of Chinese; only Chinese text is Chinese in most of them.
        fits = chinese > 0.8 * len(strange) if name in ("gb18030", "big5") else True
        if fits and not any("\x80" <= character <= "\x9f" for character in strange):
            return name
    return None
