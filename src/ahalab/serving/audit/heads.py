"""Signed heads: how long the chain was at a time, and its last HMAC, in small files kept away from the database.

The chain itself shows every change but one: rows cut off its end (or the whole database put back to an older copy).
A head file shows that too. Ship them where the database's administrator cannot write.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs.atomic import explaining_disk_errors, read_json, write_json
from ahalab.runs.hashing import canonical_json
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import now
from ahalab.serving.audit.schema import HEAD


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain at a time."""

    chain: str
    count: int
    mac: str
    at: str

    def signature(self, keys: AuditKeys) -> str:
        """What the file carries as `hmac`."""
        return keys.sign(f"head\0{canonical_json(asdict(self))}".encode())


def current_head(database: Database, chain: str) -> Head:
    """Where the chain ends now. EnvironmentFailure when the database cannot be read."""
    with database.reading() as connection:
        found = own_head(connection)
    if found is None:
        raise EnvironmentFailure(
            f"audit log {database}: the chain has no single head; run `aha guard audit verify`"
        )
    return Head(chain, *found, now())


def own_head(connection: sa.Connection) -> tuple[int, str] | None:
    """Length and last HMAC as the database itself has them; None where there is none, or more than one."""
    found = connection.execute(sa.select(HEAD.c.length, HEAD.c.mac).limit(2)).all()
    return (found[0].length, found[0].mac) if len(found) == 1 else None


def write_head(folder: Path, head: Head, keys: AuditKeys) -> Path:
    """Write a head into `folder`, whole or not at all; names sort by time."""
    with explaining_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    name = head.at.replace("-", "").replace(":", "").split(".")[0]
    path = folder / f"head-{name}Z-{head.count:012d}.json"
    write_json(path, {**asdict(head), "hmac": head.signature(keys)})
    return path


def read_head(path: Path, keys: AuditKeys) -> Head:
    """The head of a file. UserError when it is no head, or not signed with this key."""
    data: Any = read_json(path)
    try:
        signature = data.pop("hmac")
        head = Head(**data)
        sound = isinstance(head.count, int) and all(
            isinstance(one, str) for one in (head.chain, head.mac, head.at)
        )
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise UserError(f"{path}: is no head of an audit log, as `aha guard audit heads` writes it")
    if head.signature(keys) != signature:
        raise UserError(
            f"{path}: its signature does not fit this key: the file was changed, or is another log's"
        )
    return head


def read_heads(places: list[Path], keys: AuditKeys) -> list[Head]:
    """The heads of files and folders."""
    files = [
        file
        for place in places
        for file in (sorted(place.glob("head-*.json")) if place.is_dir() else [place])
    ]
    if places and not files:
        raise UserError(f"{places[0]}: there is no head-*.json in it")
    return [read_head(file, keys) for file in files]
