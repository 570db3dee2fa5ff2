"""Several processes, one chain, on SQLite and on a real PostgreSQL server; and what a `kill -9` leaves behind."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure
from ahalab.serving.audit.closing import close_interrupted
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.erasure import Selection, erase_texts
from ahalab.serving.audit.heads import current_head
from ahalab.serving.audit.keyfile import read_keys
from ahalab.serving.audit.rows import now
from ahalab.serving.audit.schema import HEAD, ROWS, TEXT_KEYS, TEXTS
from ahalab.serving.audit.verify import verify
from audit_traffic import decision, exchange, fill, opened
from postgres_server import PostgresServer, running_server

PROGRAM = str(Path(__file__).with_name("audit_traffic.py"))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "audit.sqlite")
    started: PostgresServer = request.getfixturevalue("server")
    return started.new_database()


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)


def kept(url: str) -> set[tuple[str, str]]:
    with Database(url).reading() as connection:
        return {
            (row.kind, row.exchange) for row in connection.execute(sa.select(ROWS.c.kind, ROWS.c.exchange))
        }


def test_four_processes_write_one_chain(url: str, tmp_path: Path) -> None:
    opened(tmp_path, url).close()
    key = str(tmp_path / "audit.key")
    writers = [started("some", url, key, f"w{number}", "80", "8") for number in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    report = verify(Database(url), read_keys(Path(key)), open_texts=True)
    assert (report.sound, report.rows, report.open_count) == (True, 640, 0)
    assert report.kinds == {"intent": 320, "conclusion": 320}


def test_processes_that_start_together_on_an_empty_database_make_one_log(url: str, tmp_path: Path) -> None:
    from ahalab.serving.audit import create_keys

    create_keys(tmp_path / "audit.key")
    writers = [
        started("some", url, str(tmp_path / "audit.key"), f"w{number}", "4", "2") for number in range(3)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * 3
    report = verify(Database(url), read_keys(tmp_path / "audit.key"))
    assert (report.sound, report.rows) == (True, 24)


def test_a_writer_killed_under_load_leaves_a_sound_chain_and_all_it_confirmed(
    url: str, tmp_path: Path
) -> None:
    opened(tmp_path, url).close()
    key = tmp_path / "audit.key"
    luck = random.Random(8)
    confirmed: set[tuple[str, str]] = set()
    for attempt in range(4):
        writer = started("forever", url, str(key), f"k{attempt}", "16")
        assert writer.stdout is not None
        lines: list[str] = []
        reader = threading.Thread(target=lambda out, into: into.extend(out), args=(writer.stdout, lines))
        reader.start()
        while not lines and writer.poll() is None:
            time.sleep(0.01)
        time.sleep(luck.uniform(0.02, 0.4))
        writer.send_signal(signal.SIGKILL)
        writer.wait(60)
        reader.join(60)
        assert lines
        names = {"i": "intent", "c": "conclusion"}
        # The kill may cut the last line of the pipe in two.
        confirmed |= {
            (names[line[0]], line[2:].strip()) for line in lines if line.endswith("\n") and line[0] in names
        }
        report = verify(Database(url), read_keys(key), open_texts=True)
        assert report.sound, report.first_bad
        assert report.kinds["intent"] - report.kinds["conclusion"] == report.open_count
    assert confirmed <= kept(url)
    log = opened(tmp_path, url)
    open_before = verify(log.database, log.keys).open_count
    assert close_interrupted(log, now(), "tester") == open_before
    report = verify(log.database, log.keys)
    log.close()
    assert (report.sound, report.open_count, report.kinds["closure"]) == (True, 0, open_before)


def test_verification_while_others_write_is_sound(url: str, tmp_path: Path) -> None:
    opened(tmp_path, url).close()
    key = tmp_path / "audit.key"
    writer = started("some", url, str(key), "w", "200", "8")
    reports = [verify(Database(url), read_keys(key))]
    while writer.poll() is None:
        reports.append(verify(Database(url), read_keys(key)))
    assert writer.returncode == 0
    assert all(report.sound for report in reports)
    assert verify(Database(url), read_keys(key)).rows == 400


def test_erasure_works_alike_on_both(url: str, tmp_path: Path) -> None:
    log = opened(tmp_path, url)
    fill(log, ["x1", "x2"])
    assert erase_texts(log, Selection(exchange="x1"), "asked", "tester") == (2, "")
    report = verify(log.database, log.keys, open_texts=True)
    log.close()
    assert (report.sound, report.texts, report.erased) == (True, 2, 2)


def test_a_server_that_is_gone_refuses_rows_and_takes_them_again_once_it_is_back(tmp_path: Path) -> None:
    with running_server() as own:
        log = opened(tmp_path, own.new_database())

        async def begin(name: str) -> str:
            try:
                await log.intent(exchange(name), "p1")
            except EnvironmentFailure as error:
                return str(error)
            return ""

        assert asyncio.run(begin("x1")) == ""
        own.stop("immediate")
        said = asyncio.run(begin("x2"))
        assert "start the server or mend the network" in said
        assert asyncio.run(log.ready())
        own.start()
        assert asyncio.run(begin("x3")) == ""
        own.stop()
        own.start()
        # The connection died while idle: the writer opens another one, nobody sees an error.
        assert asyncio.run(begin("x4")) == ""
        asyncio.run(log.conclude(exchange("x1"), decision(exchange("x1")), "r", "", {}))
        report = verify(log.database, log.keys)
        log.close()
        assert (report.sound, report.rows) == (True, 4)


def test_a_hanging_worker_does_not_hold_up_the_others_for_ever(server: PostgresServer) -> None:
    database = Database(server.new_database())
    with database.connect() as connection:
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        assert limit == "10s"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "5s"
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_any_column_that_a_server_s_administrator_changes_is_found_at_its_row(
    server: PostgresServer, tmp_path: Path
) -> None:
    log = opened(tmp_path, server.new_database())
    fill(log, ["x1", "x2", "x3"])
    number = 4
    for column in (one for one in ROWS.columns if one.name != "number"):
        here = ROWS.c.number == number
        with log.database.reading() as connection:
            old = connection.scalar(sa.select(column).where(here))
        other = 3 + (old or 0) if isinstance(column.type, (sa.Integer, sa.BigInteger)) else f"{old}."
        for value, found in ((other, f"row {number} does not fit"), (old, "")):
            with log.database.writing() as connection:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                connection.exec_driver_sql(
                    "ALTER TABLE audit_rows DROP CONSTRAINT IF EXISTS audit_no_half_row"
                )
                connection.execute(ROWS.update().where(here).values({column: value}))
            assert verify(log.database, log.keys, open_texts=True).first_bad.startswith(found), column.name
    assert verify(log.database, log.keys, open_texts=True).sound
    log.close()


def test_an_older_state_of_a_server_s_database_is_found_by_the_head(
    server: PostgresServer, tmp_path: Path
) -> None:
    log = opened(tmp_path, server.new_database())
    fill(log, ["x1", "x2", "x3"])
    head = current_head(log.database, log.chain)
    with log.database.writing() as connection:
        for table in (TEXT_KEYS, TEXTS, ROWS):
            connection.execute(table.delete().where(table.c.number > 4))
        last = sa.select(ROWS.c.mac).where(ROWS.c.number == 4).scalar_subquery()
        connection.execute(HEAD.update().values(length=4, mac=last))
    assert verify(log.database, log.keys).sound
    assert verify(log.database, log.keys, [head]).first_bad.startswith("row 5 is missing: the head of")
    with pytest.raises(EnvironmentFailure, match="cut back while this process wrote"):
        asyncio.run(log.intent(exchange("x4"), "p1"))
    log.close()
