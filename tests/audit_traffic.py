"""Harmless made-up exchanges for the audit log's tests, and a process that writes them until it is killed."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

from ahalab.guard.records import Decision, Exchange, Review, Span, Turn
from ahalab.serving.audit import AuditLog, AuditSettings, create_keys, open_audit, read_keys
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.verify import verify

TERM = "banana"


def exchange(name: str, text: str = "a ripe banana", key: str = "alpha", **more: Any) -> Exchange:
    return Exchange(name, key, more.pop("turns", (Turn("user", text),)), "toy", True, **more)


def decision(one: Exchange, **more: Any) -> Decision:
    text = one.turns[-1].content
    at = text.find(TERM)
    flagged = at >= 0
    spans = (
        (Span("query", len(one.turns) - 1, at, at + len(TERM), TERM, "fruit", 2, ("raw",)),)
        if flagged
        else ()
    )
    given: dict[str, Any] = {
        "action": "release",
        "would": "release",
        "policy": "p1",
        "spans": spans,
        "flagged": flagged,
        "category": "fruit" if flagged else "",
        **more,
    }
    return Decision(**given)


def review(*rules: int, error: str = "") -> Review:
    return Review(
        rules=rules, reason="said so", error=error, reviewer="r1", calls=1, tokens=7, raw=("raw words",)
    )


def opened(folder: Path, url: str | None = None, **settings: Any) -> AuditLog:
    key = folder / "audit.key"
    if not key.exists():
        create_keys(key)
    return open_audit(url or str(folder / "audit.sqlite"), key, AuditSettings(**settings))


async def record(log: AuditLog, one: Exchange, reply: str = "a reply", **more: Any) -> None:
    await log.intent(one, "p1")
    await log.conclude(one, decision(one, **more), reply, "a thought", {"tokens": 3})


def fill(log: AuditLog, names: list[str], **more: Any) -> None:
    async def all_of_them() -> None:
        for name in names:
            await record(log, exchange(name), **more)

    asyncio.run(all_of_them())


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log in SQLite, as its administrator sees them."""
    with sqlite3.connect(path) as raw:
        raw.row_factory = sqlite3.Row
        return [dict(row) for row in raw.execute("SELECT * FROM audit_rows ORDER BY number")]


def sound(folder: Path) -> bool:
    """Whether the log in a folder verifies, texts and all."""
    return verify(
        Database(str(folder / "audit.sqlite")), read_keys(folder / "audit.key"), open_texts=True
    ).sound


def write_forever(url: str, key: str, name: str, parallel: int) -> None:
    """Prints `i ID` and `c ID` once intent and conclusion are durable, until the process is killed."""
    log = open_audit(url, Path(key))

    async def client(number: int) -> None:
        at = 0
        while True:
            one = exchange(f"{name}-{number}-{at}")
            await log.intent(one, "p1")
            print("i", one.id, flush=True)
            await log.conclude(one, decision(one), "a reply " * 20, "", {})
            print("c", one.id, flush=True)
            at += 1

    async def clients() -> None:
        await asyncio.gather(*(client(number) for number in range(parallel)))

    asyncio.run(clients())


def write_some(url: str, key: str, name: str, count: int, parallel: int) -> None:
    """`count` exchanges from `parallel` clients, then ends."""
    log = open_audit(url, Path(key))

    async def client(number: int) -> None:
        for at in range(count // parallel):
            await record(log, exchange(f"{name}-{number}-{at}"))

    async def clients() -> None:
        await asyncio.gather(*(client(number) for number in range(parallel)))

    asyncio.run(clients())
    log.close()


if __name__ == "__main__":
    if sys.argv[1] == "forever":
        write_forever(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        write_some(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
