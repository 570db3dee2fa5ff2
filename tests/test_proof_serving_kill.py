"""Random `kill -9` of a gateway under load: what clients got is in the audit log, and the chain is sound."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres_server import PostgresServer, running_server
from tests.proof_tools import write_result
from tests.serving_kill import Tally, kill_often

CLIENTS = 24
KILLS = int(os.environ.get("AHALAB_KILLS", "50"))


def check(tally: Tally, kills: int) -> None:
    assert not tally.wrong, tally.wrong[:10]
    assert len(tally.seconds) == kills
    assert tally.answered > 5 * kills
    assert tally.retracted > 0
    assert tally.cut >= kills  # a kill that cuts nobody off says nothing


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as started:
        yield started


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_kills_under_load_lose_nothing_that_was_answered(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    log = request.getfixturevalue("server").new_database() if database == "postgresql" else None
    check(asyncio.run(kill_often(tmp_path, 2, clients=8, longest=0.8, seed=8, log=log)), 2)


@pytest.mark.proof
def test_fifty_kills_under_load_lose_nothing_that_was_answered(
    tmp_path: Path, server: PostgresServer
) -> None:
    logs = {"SQLite": None, "PostgreSQL": server.new_database()}
    found: dict[str, dict[str, str]] = {}
    tallies = []
    for database, log in logs.items():
        began = time.monotonic()
        tally = asyncio.run(kill_often(tmp_path / database, KILLS, CLIENTS, longest=2.5, seed=50, log=log))
        found[database] = figures(tally, time.monotonic() - began)
        tallies.append(tally)
    lines = [
        "`aha guard serve --upstream` with its audit log in SQLite, then in PostgreSQL (the server is not killed), in",
        f"front of a scripted upstream on loopback. {CLIENTS} clients ask for chat and text completions, streamed and",
        "not; one reply in three has a term and is retracted. SIGKILL at a random moment, then another gateway on the",
        "same folder and log, by turns with `conclude_first: always` and `flagged` (the default). Every answer must",
        "have intent and conclusion in the end. Under `always` both must be in the database at the kill; under",
        "`flagged` the conclusion of an unflagged answer may lie in the pending files, from which the next gateway",
        "takes it up.",
        "",
        f"| | {' | '.join(found)} |",
        "|---|" + "---|" * len(found),
        *(f"| {name} | {' | '.join(each[name] for each in found.values())} |" for name in found["SQLite"]),
        "",
        "After every kill the chain was verified with all texts opened; at the end also by `aha guard audit verify "
        "--texts`.",
        *(["", *wrong[:20]] if (wrong := [one for tally in tallies for one in tally.wrong]) else []),
    ]
    write_result("serving-kill", "pytest -m proof --timeout=0 tests/test_proof_serving_kill.py", lines)
    for tally in tallies:
        check(tally, KILLS)


def figures(tally: Tally, seconds: float) -> dict[str, str]:
    assert tally.report is not None
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(tally.report.kinds.items()))
    return {
        "kills, half of them under each setting": str(len(tally.seconds)),
        "moment of the kill, seconds after the first answer": f"{min(tally.seconds):.2f} – {max(tally.seconds):.2f}",
        "requests sent": f"{tally.asked:,}",
        "of which something was answered": f"{tally.headed:,}",
        "answered to the end": f"{tally.answered:,}",
        "retracted among them": f"{tally.retracted:,}",
        "cut off by a kill": f"{tally.cut:,}",
        "rows in the log": f"{tally.rows:,} ({kinds})",
        "intents left open, closed afterwards by `aha guard audit close`": f"{tally.open_intents:,}",
        "answered under `flagged`, conclusion not yet in the database at the kill, taken up": f"{tally.taken_up:,}",
        "answers without their row, half rows, breaks of the chain, terms shown": str(len(tally.wrong)),
        "seconds": f"{seconds:.0f}",
    }
