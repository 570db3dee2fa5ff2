"""`aha guard keys`: who may ask a gateway, and how much."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import errors, output
from ahalab.cli.gateway_options import DEFAULT_FOLDER, FolderOption
from ahalab.validation import validate

app = typer.Typer(no_args_is_help=True, help="API keys of a gateway; only their hashes are kept.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    folder: FolderOption = DEFAULT_FOLDER,
    key_id: Annotated[
        str, typer.Option("--id", help="Its name in the audit log; made up when left out.")
    ] = "",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="chat, moderate, audit-read or admin; chat and moderate when left out."),
    ] = None,
    policy: Annotated[str, typer.Option(help="Name of its policy; the gateway's first when left out.")] = "",
    mode: Annotated[str | None, typer.Option(help="shadow or enforce, whatever its policy says.")] = None,
    requests: Annotated[int | None, typer.Option("--requests-per-minute", min=1, help="At most.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens-per-minute", min=1, help="At most.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="Requests under way at one time.")] = None,
) -> None:
    """Make a key. It is printed once and kept nowhere."""
    from ahalab.serving.keys import Key, add_key

    wanted = {
        "id": key_id,
        "name": name,
        "policy": policy,
        "mode": mode,
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "parallel": parallel,
        **({"scopes": scopes} if scopes else {}),
    }
    made, token = add_key(_file(folder), validate(Key, wanted, "the key"))
    errors.print(
        f"key {made.id} ({', '.join(made.scopes)}); this is the only time it is shown:", highlight=False
    )
    output.print(token, highlight=False, markup=False, soft_wrap=True)


@app.command("list")
def show(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """The keys that there are."""
    from ahalab.serving.keys import read_keys

    keys = read_keys(_file(folder)).keys
    if not keys:
        output.print(f"{_file(folder)}: no keys", highlight=False, markup=False)
        return
    table = Table("id", "name", "scopes", "policy", "mode", "limits", "made", "")
    for one in keys:
        limits = [
            f"{one.requests_per_minute} requests/min" if one.requests_per_minute else "",
            f"{one.tokens_per_minute} tokens/min" if one.tokens_per_minute else "",
            f"{one.parallel} at a time" if one.parallel else "",
        ]
        table.add_row(
            one.id,
            escape(one.name),
            " ".join(one.scopes),
            one.policy,
            one.mode or "",
            ", ".join(filter(None, limits)),
            time.strftime("%Y-%m-%d", time.gmtime(one.created)),
            "revoked" if one.revoked else "",
        )
    output.print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `aha guard keys list` shows it.")],
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Take a key back. A running gateway notices within a second or so."""
    from ahalab.serving.keys import revoke_key

    revoked = revoke_key(_file(folder), key_id)
    output.print(f"key {revoked.id} is revoked", highlight=False, markup=False)


def _file(folder: Path) -> Path:
    from ahalab.serving.keys import KEYS

    return folder / KEYS
