"""`aha review`: a person goes through the rows of a data set in the terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ahalab.cli.console import output
from ahalab.errors import UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:  # pydantic models of the stages take a moment to import: only this verb pays
    from ahalab.records import SupervisedRow
    from ahalab.stages.review import ReviewFile

KEYS = "k keep · d drop [reason] · e edit · s skip · b back · q quit"


def review(
    places: Annotated[
        list[str], typer.Argument(metavar="FILE", help="A review file; with --export: RUN STAGE FILE.")
    ],
    export: Annotated[
        bool, typer.Option("--export", help="Write the rows of a finished sample stage as a review file.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show rows that have a decision, too.")] = False,
) -> None:
    """Keep, drop or edit rows one by one; every decision is saved at once, and the same command goes on.

    The file is plain JSONL: any editor does as well (set `status` to keep or drop). A sample stage takes it back by
    the key `reviewed: FILE`.
    """
    if len(places) != (3 if export else 1):
        expected = "--export RUN STAGE FILE" if export else "FILE"
        raise UserError(f"aha review: expected {expected}, got {' '.join(places)}")
    if export:
        _export(Path(places[0]), places[1], Path(places[2]))
    else:
        _go_through(Path(places[0]), every=every)


def _export(run: Path, stage: str, file: Path) -> None:
    from ahalab.stages.review import export_rows, rows_folder

    count = export_rows(rows_folder(run, stage), file)
    output.print(
        f"{count} rows of {stage} written to {file}. Go through them with `aha review {file}` or any editor, "
        f"then set `reviewed: {file.name}` in the stage's recipe.",
        markup=False,
        highlight=False,
    )


def _go_through(path: Path, *, every: bool) -> None:
    from ahalab.stages.review import ReviewFile

    file = ReviewFile(path)
    place: int | None = 0 if every else file.first_open()
    try:
        while place is not None:
            place = _one(file, place, every=every)
    except (EOFError, KeyboardInterrupt):
        output.print()
    counts = file.counts()
    removed = f", {counts['removed']} removed" if counts["removed"] else ""
    output.print(
        f"{counts['keep']} kept, {counts['drop']} dropped, {counts['open']} open{removed}", highlight=False
    )


def _one(file: ReviewFile, place: int, *, every: bool) -> int | None:
    """Show one row and do what is asked; the row to show next, None to end."""
    _show(file, place)
    while True:
        key, _, rest = output.input(f"[dim]{escape(KEYS)}[/] > ").strip().partition(" ")
        match key.lower():
            case "k" | "keep":
                file.mark(place, "keep", rest.strip() or None)
            case "d" | "drop":
                file.mark(place, "drop", rest.strip() or output.input("reason > ").strip())
            case "e" | "edit":
                if not _edit(file, place):
                    continue
            case "s" | "skip":
                pass
            case "b" | "back":
                return max(0, place - 1)
            case "q" | "quit":
                return None
            case _:
                output.print(f"[yellow]unknown key '{escape(make_visible(key))}'[/]", highlight=False)
                continue
        return _next(file, place, every=every)


def _next(file: ReviewFile, place: int, *, every: bool) -> int | None:
    following = range(place + 1, len(file.rows))
    return next((one for one in following if every or not file.rows[one].status), None)


def _show(file: ReviewFile, place: int) -> None:
    one = file.rows[place]
    row = one.row
    about = " · ".join(part for part in (row.domain, row.language, row.id) if part)
    output.rule(f"row {place + 1} of {len(file.rows)}", style="dim")
    _say(about, "dim")
    if one.status:
        _say(f"{one.status}{f': {one.note}' if one.note else ''}", "yellow")
    _say(row.question, "bold cyan")
    _say(row.thinking or "(no thinking)", "dim")
    _say(row.answer, "bold")


def _say(text: str, style: str) -> None:
    """Model output is hostile: no markup, no escape sequence, no reversed text reaches the terminal."""
    output.print(f"[{style}]{escape(make_visible(text))}[/]", highlight=False)


def _edit(file: ReviewFile, place: int) -> bool:
    """Open the row in the person's editor; False (and why) when nothing came of it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        output.print("[yellow]no editor: set the variable EDITOR, such as `export EDITOR=nano`[/]")
        return False
    row = file.rows[place].row
    try:
        thinking, answer = _edited(shlex.split(editor), row)
        file.edit(place, thinking, answer)
    except UserError as error:
        output.print(f"[yellow]{escape(str(error))}[/]", highlight=False)
        return False
    return True


def _edited(editor: list[str], row: SupervisedRow) -> tuple[str, str]:
    """Thinking and answer as the person left them. UserError when the editor failed or a marker line is gone."""
    from ahalab.stages.review import content_hash

    # The hash keeps a marker apart from whatever a model wrote.
    above, between = (f"#### {name} ({content_hash(row)})" for name in ("thinking", "answer"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "row.txt"
        path.write_text(
            f"{above}\n{row.thinking}\n{between}\n{row.answer}\n", encoding="utf-8", errors="backslashreplace"
        )
        try:
            ended = subprocess.run([*editor, str(path)], check=False).returncode
        except OSError as error:
            raise UserError(f"the editor {editor[0]!r} cannot be started ({error.strerror}).") from error
        if ended:
            raise UserError(f"the editor ended with code {ended}: nothing was changed.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"what the editor left is no UTF-8 text ({error}): nothing was changed."
            ) from error
    _, first, rest = text.partition(above)
    thinking, second, answer = rest.partition(between)
    if not first or not second:
        raise UserError("the two lines that begin with #### must stay: nothing was changed.")
    return thinking.strip(), answer.strip()
