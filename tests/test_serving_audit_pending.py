"""Conclusions that nobody waits for outlive a `kill -9`, come into the chain once, and are readable for nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.serving.audit import AuditLog, pending, writer
from ahalab.serving.audit.closing import close_interrupted
from ahalab.serving.audit.pending import Pending, left_behind
from ahalab.serving.audit.rows import Draft, now
from audit_traffic import decision, exchange, fill, opened, record, rows, sound

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from ahalab.serving.audit import writer
from audit_traffic import opened, exchange
from test_serving_audit_pending import soon
writer.PATIENCE = 3600.0
folder = Path(sys.argv[1])
log = opened(folder, pending=folder / "pending")
async def traffic():
    for name in sys.argv[2:]:
        await log.intent(exchange(name), "p1")
    for name in sys.argv[2:]:
        await soon(log, name)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(traffic())
"""


async def soon(log: AuditLog, name: str, reply: str = "a secret reply") -> Awaitable[None]:
    one = exchange(name)
    return await log.conclude_soon(one, decision(one), reply, "", {"tokens": 3})


def killed(folder: Path, *names: str) -> None:
    """A process that concludes those exchanges and is killed before the database has one of the conclusions."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    path = os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *names],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == -signal.SIGKILL, found.stderr
    assert [one["kind"] for one in rows(folder / "audit.sqlite")] == ["intent"] * len(names)


def kinds(folder: Path) -> list[tuple[str, str]]:
    return [(one["kind"], one["exchange"]) for one in rows(folder / "audit.sqlite")]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "pending").iterdir())


def test_what_a_killed_process_had_concluded_comes_into_the_chain_with_its_texts(tmp_path: Path) -> None:
    killed(tmp_path, "x1", "x2")
    left = [one for one in files(tmp_path) if one.stat().st_size]
    assert len(left) == 1
    assert b"secret" not in left[0].read_bytes()
    assert left[0].stat().st_mode & 0o077 == 0
    log = opened(tmp_path, pending=tmp_path / "pending")
    assert log.taken_up == 2
    log.close()
    assert kinds(tmp_path)[2:] == [("conclusion", "x1"), ("conclusion", "x2")]
    assert sound(tmp_path)
    assert files(tmp_path) == []


def test_nothing_is_written_twice_however_often_the_files_come_back(tmp_path: Path) -> None:
    killed(tmp_path, "x1")
    copies = {one.name: one.read_bytes() for one in files(tmp_path)}
    for taken in (1, 0, 0):
        log = opened(tmp_path, pending=tmp_path / "pending")
        assert log.taken_up == taken
        log.close()
        for name, data in copies.items():
            (tmp_path / "pending" / name).write_bytes(data)
    assert kinds(tmp_path) == [("intent", "x1"), ("conclusion", "x1")]


def test_files_of_a_process_that_lives_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 3600.0)
    one = opened(tmp_path, pending=tmp_path / "pending")
    one.writer._tick_seconds = 3600.0
    fill(one, ["x0"])

    async def traffic() -> None:
        await one.intent(exchange("x1"), "p1")
        later = asyncio.ensure_future(await soon(one, "x1"))
        other = opened(tmp_path, pending=tmp_path / "pending")
        assert other.taken_up == 0
        other.close()
        later.cancel()

    asyncio.run(traffic())
    assert kinds(tmp_path)[-1] == ("intent", "x1")
    one.close()
    assert kinds(tmp_path)[-1] == ("conclusion", "x1")
    assert files(tmp_path) == []


def test_a_changed_file_is_put_aside_and_what_stands_before_the_change_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, "x1", "x2")
    (left,) = [one for one in files(tmp_path) if one.stat().st_size]
    data = bytearray(left.read_bytes())
    data[-3] ^= 1
    left.write_bytes(data)
    log = opened(tmp_path, pending=tmp_path / "pending")
    log.close()
    assert kinds(tmp_path)[2:] == [("conclusion", "x1")]
    assert [one.suffix for one in files(tmp_path)] == [".refused"]
    assert "damaged" in caplog.text


def test_a_conclusion_of_an_exchange_that_the_database_does_not_know_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, "x1")
    for one in tmp_path.glob("audit.sqlite*"):
        one.unlink()
    log = opened(tmp_path, pending=tmp_path / "pending")
    assert log.taken_up == 0
    fill(log, ["x2"])
    log.close()
    assert sound(tmp_path)
    assert [one.suffix for one in files(tmp_path)] == [".refused"]
    assert "never began" in caplog.text


def test_a_conclusion_of_an_exchange_that_was_closed_meanwhile_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, "x1")
    operator = opened(tmp_path)
    assert close_interrupted(operator, now(), "me") == 1
    operator.close()
    log = opened(tmp_path, pending=tmp_path / "pending")
    log.close()
    assert kinds(tmp_path) == [("intent", "x1"), ("closure", "x1")]
    assert [one.suffix for one in files(tmp_path)] == [".refused"]
    assert "refused" in caplog.text


def test_a_half_written_end_hides_nothing_before_it(tmp_path: Path) -> None:
    killed(tmp_path, "x1", "x2")
    (left,) = [one for one in files(tmp_path) if one.stat().st_size]
    left.write_bytes(left.read_bytes()[:-5])
    log = opened(tmp_path, pending=tmp_path / "pending")
    log.close()
    assert kinds(tmp_path)[2:] == [("conclusion", "x1")]
    assert files(tmp_path) == []


def test_files_run_empty_as_the_database_takes_what_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "FULL", 3000)
    log = opened(tmp_path, pending=tmp_path / "pending")
    sizes = []

    async def traffic() -> None:
        for number in range(40):
            await log.intent(exchange(f"x{number}"), "p1")
        writing = []
        for number in range(40):
            writing.append(await soon(log, f"x{number}"))
            sizes.append(sum(one.stat().st_size for one in files(tmp_path)))
            if number % 4 == 3:
                await asyncio.gather(*writing)
                writing.clear()
                assert sum(one.stat().st_size for one in files(tmp_path)) == 0

    asyncio.run(traffic())
    assert max(sizes) > 0
    log.close()
    assert files(tmp_path) == []
    assert sound(tmp_path)


def test_where_the_files_cannot_be_written_a_conclusion_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path, pending=tmp_path / "pending")

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pending, "write_all", full)

    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        later = asyncio.ensure_future(await soon(log, "x1"))
        assert kinds(tmp_path)[-1] == ("conclusion", "x1")
        later.cancel()

    asyncio.run(traffic())
    log.close()
    assert "No space left" in caplog.text


def test_a_conclusion_that_the_database_refuses_is_not_forgotten(tmp_path: Path) -> None:
    log = opened(tmp_path, pending=tmp_path / "pending")

    async def traffic() -> None:
        await record(log, exchange("x1"))
        with pytest.raises(Exception, match=r"never began|already"):
            await (await soon(log, "x1"))

    asyncio.run(traffic())
    log.close()
    assert len(files(tmp_path)) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.builds(dict, reply=st.text(max_size=30), key=st.text(max_size=5)), max_size=6),
    st.sampled_from([0, 40, 10**6]),
)
def test_drafts_come_back_as_they_were(tmp_path_factory: Any, given: list[dict[str, str]], full: int) -> None:
    folder = tmp_path_factory.mktemp("drafts")
    keys = opened(folder).keys
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pending, "FULL", full)
        drafts = [
            Draft(
                "conclusion",
                f"x{number}",
                one["key"],
                body={"a": one["reply"]},
                text=one["reply"].encode("ascii", "replace"),
            )
            for number, one in enumerate(given)
        ]
        kept = Pending(folder / "p", keys)
        for draft in drafts:
            kept.keep(draft)
        with left_behind(folder / "p", keys) as found:
            assert list(found) == []
        kept.close()
    with left_behind(folder / "p", keys) as found:
        back = [draft for one in found for draft in one.drafts]
    assert sorted(back, key=lambda one: one.exchange) == drafts
