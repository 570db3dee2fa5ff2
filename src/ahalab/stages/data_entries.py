"""What a config calls its data: a stage, a file of one's own, a Hub data set; and the reading of all of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.files import open_table
from ahalab.prompts.mapping import QuestionColumns
from ahalab.prompts.source import content_hash
from ahalab.prompts.table import RowTable
from ahalab.records import LabelledResponse, PreferencePair, SupervisedRow
from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.jsonl import encode_row
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import describe_dropped, read_dropped, read_labelled, read_pairs, read_rows
from ahalab.stages.foreign_rows import UNUSABLE, Kind, RowReader, language_of
from ahalab.stages.inputs import InputRef
from ahalab.stages.record_decoder import Record, as_values
from ahalab.validation import StrictModel, nearest, told

DATA_NAME = "data.json"
"""What a stage that learns read: names, counts and hashes."""


class StageData(StrictModel):
    """What another stage of the recipe left."""

    stage: str = Field(min_length=1, description="Name of the stage (the name alone means the same).")


class ForeignData(StrictModel):
    """What file and Hub data sets share. Columns are recognised where that is possible."""

    columns: dict[str, QuestionColumns] = Field(
        {},
        description="Our name of a column (question, thinking, answer, messages, chosen, rejected, label, domain) "
        "to the table's own, where it is not recognised. A question may be a list of columns, joined by a blank line "
        "(alpaca: [instruction, input]).",
    )
    answer_after: str | None = Field(
        None,
        min_length=1,
        description="Marker in the answer: what stands before its last one is the thinking (GSM8K: '####').",
    )
    safe_when: str | None = Field(
        None, min_length=1, description="Value of the label that means safe, where it is not true or `safe`."
    )
    domain: str = Field("general", min_length=1, description="Domain of rows that name none.")
    language: str | None = Field(
        None,
        min_length=1,
        description="Language of all rows (default: zh where the question has Han, else en).",
    )
    rows: Annotated[int, Field(ge=1)] | None = Field(None, description="Read only so many first rows.")


class FileData(ForeignData):
    """Rows of a file."""

    file: str = Field(
        min_length=1, description="A .jsonl, .jsonl.gz or .parquet file, relative to the recipe's folder."
    )


class HubData(ForeignData):
    """Rows of a Hugging Face data set."""

    hub: str = Field(min_length=1, description="Id of the data set, such as Anthropic/hh-rlhf, or a folder.")
    config: str | None = Field(None, min_length=1, description="Configuration (subset) of the data set.")
    split: str = Field("train", min_length=1, description="Split of the data set.")
    revision: str | None = Field(
        None, min_length=1, description="Commit or tag; name one for a run that can be repeated."
    )


_KINDS: dict[str, type[StrictModel]] = {"stage": StageData, "file": FileData, "hub": HubData}


def _entry(entry: Any) -> Any:
    """A stage's name alone is an entry; what is of no kind, or of several, is refused in words."""
    if isinstance(entry, StrictModel):
        return entry
    if isinstance(entry, str):
        return {"stage": entry}
    found = [kind for kind in _KINDS if kind in entry] if isinstance(entry, Mapping) else []
    if len(found) == 1:
        return entry
    expected = "expected the name of a stage, or one of `file` and `hub` with its settings"
    if found:
        raise told(f"{expected}, got {' and '.join(found)} in one entry: make them entries of their own")
    hint = ""
    if isinstance(entry, Mapping) and entry:
        key = str(next(iter(entry)))
        hint = f" (did you mean `{nearest(key, _KINDS)}` by `{key}`?)"
    raise told(f"{expected}, got {repr(entry)[:60]}{hint}")


def _tag(entry: Any) -> str | None:
    if isinstance(entry, StrictModel):
        return type(entry).__name__
    return next((model.__name__ for kind, model in _KINDS.items() if kind in entry), None)


DataEntry = Annotated[
    Annotated[StageData, Tag("StageData")]
    | Annotated[FileData, Tag("FileData")]
    | Annotated[HubData, Tag("HubData")],
    Discriminator(_tag),
    BeforeValidator(_entry),
]
"""One data set of a config: `cold_start`, `{stage: cold_start}`, `{file: rows.jsonl}` or `{hub: id, split: train}`."""

DataEntries = Annotated[
    list[DataEntry], BeforeValidator(lambda given: given if isinstance(given, list) else [given])
]
"""A config's `data: DataEntries = Field(min_length=1, …)`; a single entry may stand without a list."""


def data_refs(entries: Sequence[DataEntry], key: str = "data") -> dict[str, InputRef]:
    """The stages among `entries` as a config's `input_refs()` gives them: "data[0]", "data[2]", …"""
    return {
        f"{key}[{index}]": InputRef(entry.stage, ("dataset",))
        for index, entry in enumerate(entries)
        if isinstance(entry, StageData)
    }


def load_rows(entries: Sequence[DataEntry], context: StageContext, key: str = "data") -> list[SupervisedRow]:
    """The worked answers of all entries, in their order. `key` is what `data_refs` was given.

    What was read is written to `data.json` of the stage's folder (name, rows, hash of the content, rows left out),
    and may not change while the stage is unfinished.

    Raises UserError: a file, column or row that cannot be read (rows are left out and counted with
    `--skip-bad-rows`), a data set without rows (it says which filter took how many), data that changed.
    """
    return _load(entries, context, key, "rows", read_rows, _supervised)


def load_pairs(
    entries: Sequence[DataEntry], context: StageContext, key: str = "data"
) -> list[PreferencePair]:
    """The preference pairs of all entries; as `load_rows`."""
    return _load(entries, context, key, "pairs", read_pairs, _pair)


def load_labelled(
    entries: Sequence[DataEntry], context: StageContext, key: str = "data"
) -> list[LabelledResponse]:
    """The labelled responses of all entries; as `load_rows`."""
    return _load(entries, context, key, "labelled", read_labelled, _labelled)


def check_data(entries: Sequence[DataEntry], context: StageContext, kind: Kind, key: str = "data") -> None:
    """Read what is there before anything is spent: files, Hub data sets and finished stages; writes nothing.

    Raises UserError as `load_rows`.
    """
    for index, entry in enumerate(entries):
        if isinstance(entry, StageData) and f"{key}[{index}]" not in context.inputs:
            continue
        if kind == "rows":
            _read_entry(index, entry, context, key, kind, read_rows, _supervised)
        elif kind == "pairs":
            _read_entry(index, entry, context, key, kind, read_pairs, _pair)
        else:
            _read_entry(index, entry, context, key, kind, read_labelled, _labelled)


def _load(
    entries: Sequence[DataEntry],
    context: StageContext,
    key: str,
    kind: Kind,
    read: Callable[[Path], list[Record]],
    make: Callable[[RowReader, Mapping[str, Any], ForeignData], Record],
) -> list[Record]:
    records: list[Record] = []
    stated: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        name, found, skipped = _read_entry(index, entry, context, key, kind, read, make)
        if skipped:
            context.event("skipped_rows", stage=context.name, source=name, reasons=dict(skipped))
            context.progress.note(f"{name}: left out {skipped.total()} rows ({describe_dropped(skipped)})")
        stated.append(
            {"name": name, "rows": len(found), "content": _content(found), "left_out": dict(skipped)}
        )
        records += found
    _settle(stated, context)
    return records


def _read_entry(
    index: int,
    entry: DataEntry,
    context: StageContext,
    key: str,
    kind: Kind,
    read: Callable[[Path], list[Record]],
    make: Callable[[RowReader, Mapping[str, Any], ForeignData], Record],
) -> tuple[str, list[Record], Counter[str]]:
    """(name, records, rows left out by reason) of one entry, which is never empty."""
    skipped: Counter[str] = Counter()
    where = f"stages.{context.name}: {key}[{index}]"
    if isinstance(entry, StageData):
        folder = Path(context.inputs[f"{key}[{index}]"])
        found = read(folder)
        if not found:
            raise _nothing_left(f"{where}: the data set of stage {entry.stage}", read_dropped(folder))
        return entry.stage, found, skipped
    table = _table(entry, context, where)
    found = _foreign(entry, table, kind, make, skipped, where, context.skip_bad_rows)
    if not found:
        raise _nothing_left(f"{where}: {table.label}", skipped)
    return table.label, found, skipped


def _table(entry: FileData | HubData, context: StageContext, where: str) -> RowTable:
    if isinstance(entry, FileData):
        return open_table(context.data_folder / Path(entry.file).expanduser(), f"{where}.file")
    from ahalab.prompts.hub import HubTable

    return HubTable(entry.hub, entry.config, entry.split, entry.revision, where)


def _foreign(
    entry: ForeignData,
    table: RowTable,
    kind: Kind,
    make: Callable[[RowReader, Mapping[str, Any], ForeignData], Record],
    skipped: Counter[str],
    where: str,
    skip_bad_rows: bool,
) -> list[Record]:
    reader = RowReader(
        kind,
        entry.columns,
        table.columns(),
        label=table.label,
        where=where,
        answer_after=entry.answer_after,
        safe_when=entry.safe_when,
    )
    table.select(reader.columns)
    records: list[Record] = []
    times: Counter[str] = Counter()
    for index in range(min(len(table), entry.rows or len(table))):
        try:
            record = make(reader, table.row(index), entry)
        except BadRow as bad:
            if bad.reason not in UNUSABLE and not skip_bad_rows:
                column = f", column {bad.column!r}" if bad.column else ""
                raise UserError(
                    f"{table.label}, row {table.number(index)}{column}: expected {bad.expected}, but {bad.found}. "
                    "Correct the row, or leave such rows out with --skip-bad-rows (they are counted)"
                ) from None
            skipped[bad.reason] += 1
            continue
        times[record.id] += 1
        again = times[record.id]
        records.append(record if again == 1 else replace(record, id=f"{record.id}-{again}"))
    return records


def _supervised(reader: RowReader, row: Mapping[str, Any], entry: ForeignData) -> SupervisedRow:
    reply = reader.reply(row)
    domain = reader.domain(row, entry.domain)
    return SupervisedRow(
        id=content_hash(reply.question, f"{reply.thinking}\x1f{reply.answer}", domain),
        question=reply.question,
        thinking=reply.thinking,
        answer=reply.answer,
        domain=domain,
        language=language_of(reply.question, entry.language),
        source=_source(entry),
        rounds=reply.rounds,
        messages=reply.messages,
    )


def _pair(reader: RowReader, row: Mapping[str, Any], entry: ForeignData) -> PreferencePair:
    question, chosen, rejected = reader.pair(row)
    domain = reader.domain(row, entry.domain)
    return PreferencePair(
        id=content_hash(question, f"{chosen}\x1f{rejected}", domain),
        question=question,
        chosen=chosen,
        rejected=rejected,
        domain=domain,
        language=language_of(question, entry.language),
        source=_source(entry),
    )


def _labelled(reader: RowReader, row: Mapping[str, Any], entry: ForeignData) -> LabelledResponse:
    reply = reader.reply(row)
    domain = reader.domain(row, entry.domain)
    return LabelledResponse(
        id=content_hash(reply.question, f"{reply.thinking}\x1f{reply.answer}", domain),
        question=reply.question,
        thinking=reply.thinking,
        answer=reply.answer,
        safe=reader.safe(row),
        domain=domain,
        language=language_of(reply.question, entry.language),
        source=_source(entry),
    )


def _source(entry: ForeignData) -> str:
    return Path(entry.file).name if isinstance(entry, FileData) else getattr(entry, "hub", "")


def _nothing_left(what: str, dropped: Mapping[str, int]) -> UserError:
    took = f" Of {sum(dropped.values())} candidates it lost {describe_dropped(dropped)}." if dropped else ""
    return UserError(
        f"{what} has no rows: there is nothing to learn from.{took} Loosen what took the most, give it more "
        "candidates, or take the data set out of `data`."
    )


def _content(records: Iterable[Record]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(encode_row(as_values(record)))
    return digest.hexdigest()


def _settle(stated: list[dict[str, Any]], context: StageContext) -> None:
    path = context.folder / DATA_NAME
    if not path.is_file():
        write_json(path, stated)
        return
    before = read_json(path)
    if before != stated:
        changed = [one["name"] for one, then in zip(stated, before, strict=False) if one != then]
        raise UserError(
            f"the data of {context.name} changed since it began ({', '.join(changed) or 'its list'}; {path} says what "
            "was there). Put the data back as it was and run the same command, or choose another folder for a new run."
        )
