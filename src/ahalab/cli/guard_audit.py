"""`aha guard audit`: the key, the chain and its heads, and what was left open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ahalab.cli import guard_audit_labels, guard_audit_texts
from ahalab.cli.console import output
from ahalab.cli.guard_audit_options import DEFAULT_LOG, Key, Log, Who, moment, opened, who_am_i
from ahalab.errors import AhaError

if TYPE_CHECKING:
    from ahalab.serving.audit.verification import Verification

app = typer.Typer(no_args_is_help=True, help="The audit log: verify, read, label, replay, erase.")


class NotSound(AhaError):
    """The log was changed."""


@app.command("key")
def make_key(
    file: Annotated[Path, typer.Argument(help="The new key's file, mode 0600; never overwritten.")],
    verifier_of: Annotated[
        Path | None,
        typer.Option(
            "--verifier-of",
            metavar="KEY",
            help="Write an auditor's copy: verifies, reads no text.",
        ),
    ] = None,
) -> None:
    """Make the audit log's key. Keep it outside the database, its machine's backups and its administrators' reach."""
    from ahalab.serving.audit.keyfile import create_keys, read_keys, write_verifier

    if verifier_of is None:
        output.print(f"key {create_keys(file).fingerprint} written: {file}", highlight=False, markup=False)
        return
    keys = read_keys(verifier_of)
    write_verifier(keys, file)
    output.print(f"auditor's copy of key {keys.fingerprint} written: {file}", highlight=False, markup=False)


@app.command("verify")
def verify_log(
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="A head exported earlier, or a folder of them; may be given again."),
    ] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Also open every text, compare its hash; show none.")
    ] = False,
) -> None:
    """Follow the chain from its first row to its last. Exit code 1 and the first bad row when something was changed."""
    from ahalab.serving.audit.database import Database
    from ahalab.serving.audit.heads import read_heads
    from ahalab.serving.audit.keyfile import read_keys
    from ahalab.serving.audit.verify import verify

    keys = read_keys(key_file)
    if texts:
        keys.seal()
    report = verify(Database(log), keys, read_heads(head or [], keys), open_texts=texts)
    _print(report, bool(head))
    if not report.sound:
        more = f"; {report.bad - 1} more findings" if report.bad > 1 else ""
        raise NotSound(f"the audit log is NOT sound: {report.first_bad}{more}")


@app.command("heads")
def export_heads(
    folder: Annotated[
        Path, typer.Argument(help="Where heads are kept: another disk, another administrator.")
    ],
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
) -> None:
    """Export a signed head now. A server with `--heads` does so on a schedule."""
    from ahalab.serving.audit.heads import current_head, write_head

    with opened(log, key_file) as store:
        head = current_head(store.database, store.chain)
        path = write_head(folder, head, store.keys)
    output.print(f"{head.count} rows signed: {path}", highlight=False, markup=False)


@app.command("close")
def close_open(
    before: Annotated[
        str,
        typer.Option(metavar="TIME|AGO", help="Only exchanges that began before; those under way are newer."),
    ] = "1h",
    log: Log = DEFAULT_LOG,
    key_file: Key = None,
    who: Who = None,
) -> None:
    """Chain an end for exchanges that a killed process left open."""
    from ahalab.serving.audit.closing import close_interrupted

    with opened(log, key_file) as store:
        count = close_interrupted(store, moment(before), who_am_i(who))
    output.print(f"{count} interrupted exchanges closed", highlight=False)


def _print(report: Verification, with_heads: bool) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
    lines = [f"{report.rows} rows ({kinds or 'none'})", f"{report.texts} texts kept, {report.erased} erased"]
    if report.returned:
        lines.append(
            f"{report.returned} texts can be read though they were erased: an old copy of the database was put back; "
            "erase them again"
        )
    if report.open_count:
        lines.append(f"{report.open_count} exchanges without an end: interrupted, or under way. The oldest:")
        lines += [f"  row {one.number}  {one.at}  {one.exchange}" for one in report.open_named]
    if with_heads:
        lines.append(f"{report.heads} heads fit")
    elif report.sound:
        lines.append(
            "no head was given: rows cut off the end, or an old copy put back, would not be seen (--head)"
        )
    if report.sound:
        lines.append("the chain is sound")
    for line in lines:
        output.print(line, highlight=False, markup=False)


guard_audit_texts.add_to(app)
guard_audit_labels.add_to(app)
