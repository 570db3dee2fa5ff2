"""`aha guard audit read|export|erase`: texts, who may see them, and their end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahalab.cli.console import output
from ahalab.cli.guard_audit_options import (
    DEFAULT_LOG,
    Key,
    KeyId,
    Log,
    PolicyVersion,
    Since,
    Until,
    Who,
    Why,
    moment,
    opened,
    period,
    reader_of,
    who_am_i,
)
from ahalab.errors import UserError

if TYPE_CHECKING:
    from ahalab.serving.audit.reading import Reader
    from ahalab.serving.audit.recorded import Period
    from ahalab.serving.audit.store import AuditLog


def add_to(app: typer.Typer) -> None:
    """Add these commands to `aha guard audit`."""
    app.command("read")(read)
    app.command("export")(export)
    app.command("erase")(erase)


def read(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="The exchange's id.")],
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
    why: Why = None,
) -> None:
    """Show what was said in one exchange. The reading itself is written to the log first."""
    from ahalab.serving.audit.reading import read_texts
    from ahalab.text.hostile import make_visible

    with opened(log, key_file) as store:
        reader = reader_of(store, who, why)
        found = list(read_texts(store, period(exchange=exchange), reader, "read"))
    if not found:
        raise UserError(f"exchange {exchange!r}: there is none with a conclusion in {log}")
    one = found[0]
    lines = [f"{one.at}  key {one.key or '-'}  {one.would}  policy {one.policy}"]
    if one.text is None:
        lines.append(f"there is no text: {one.lacking}")
    else:
        for turn in one.text.turns:
            lines += [f"{turn.role}: {make_visible(text)}" for text in (turn.thinking, turn.content) if text]
        if one.text.thinking:
            lines.append(f"thinking: {make_visible(one.text.thinking)}")
        lines.append(f"reply: {make_visible(one.text.reply)}")
        if one.text.terms:
            lines.append("terms: " + ", ".join(make_visible(term) for term in one.text.terms))
        if one.text.review:
            lines.append(f"review: {make_visible(one.text.review)}")
    for line in lines:
        output.print(line, highlight=False, markup=False)


def export(
    to: Annotated[
        Path | None, typer.Option("--output", help="A new file, mode 0600; standard output when left out.")
    ] = None,
    texts: Annotated[
        bool,
        typer.Option(
            "--texts", help="Whole dialogues with their texts instead of rows; needs the scope and --why."
        ),
    ] = False,
    since: Since = None,
    until: Until = None,
    key: KeyId = None,
    version: PolicyVersion = None,
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
    why: Why = None,
) -> None:
    """Write the log as JSON lines: rows as they are chained, or, with --texts, dialogues."""
    from ahalab.serving.audit.export import exported_rows

    chosen = period(since, until, key, version)
    with opened(log, key_file) as store:
        if texts:
            count = _write(_dialogues(store, chosen, reader_of(store, who, why)), to)
        else:
            count = _write(exported_rows(store.database, chosen), to)
    if to is not None:
        output.print(
            f"{count} {'dialogues' if texts else 'rows'} written: {to}", highlight=False, markup=False
        )


def erase(
    before: Annotated[str | None, typer.Option(metavar="TIME|AGO", help="Texts older than this.")] = None,
    key: KeyId = None,
    exchange: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Texts of this exchange.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Erase what was erased before: after an old copy was put back.")
    ] = False,
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
    why: Why = None,
) -> None:
    """Make texts unreadable for ever by deleting their keys. The chain stays valid, the erasure is chained."""
    from ahalab.serving.audit.erasure import Selection, erase_again, erase_texts

    if again and (before or key or exchange):
        raise UserError("--again repeats all erasures in the log: it goes without --before, --key and --id")
    with opened(log, key_file) as store:
        if again:
            count, left = erase_again(store, who_am_i(who))
        else:
            count, left = erase_texts(
                store, Selection(moment(before), key or "", exchange or ""), why or "", who_am_i(who)
            )
    output.print(f"{count} texts erased", highlight=False)
    if left:
        output.print(f"note: {left}", highlight=False, markup=False)


def _dialogues(store: AuditLog, chosen: Period, reader: Reader) -> Iterator[dict[str, Any]]:
    """Read, and so chained as read, only once the file is there."""
    from ahalab.serving.audit.export import exported_dialogue
    from ahalab.serving.audit.reading import read_texts

    for one in read_texts(store, chosen, reader, "export"):
        yield exported_dialogue(one)


def _write(rows: Iterable[Mapping[str, Any]], to: Path | None) -> int:
    from ahalab.runs.atomic import explaining_disk_errors

    count = 0
    if to is None:
        for row in rows:
            sys.stdout.write(json.dumps(row) + "\n")
            count += 1
        return count
    with explaining_disk_errors(to):
        try:
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise UserError(f"{to} is there already: choose another name") from None
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                for row in rows:
                    file.write(json.dumps(row) + "\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            to.unlink(missing_ok=True)  # half an export would pass for a whole one
            raise
    return count
