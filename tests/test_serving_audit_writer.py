"""The audit log's writer thread: rows nobody waits for share commits and are never lost, and loops are woken once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahalab.errors import EnvironmentFailure
from ahalab.guard.records import Exchange
from ahalab.serving.audit import AuditLog, rows, writer
from ahalab.serving.audit.bell import Bell
from ahalab.serving.audit.rows import Draft, conclusion_draft
from audit_traffic import decision, exchange, fill, opened, sound
from audit_traffic import rows as rows_of

FOREVER = 3600.0


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    """Its conclusions that nobody waits for stay until something else makes them go."""
    monkeypatch.setattr(writer, "PATIENCE", FOREVER)
    made = opened(tmp_path)
    made.writer._tick_seconds = FOREVER
    fill(made, ["x0"])
    return made


def later(log: AuditLog, name: str) -> asyncio.Task[None]:
    one = exchange(name)
    return asyncio.create_task(log._durable(log.writer.submit(lambda: [_concluded(log, one)], waited=False)))


def _concluded(log: AuditLog, one: Exchange) -> Draft:
    return conclusion_draft(log.keys, one, decision(one), "r", "", {}, keep_text=True)


def kinds(folder: Path) -> list[tuple[str, str]]:
    return [(row["kind"], row["exchange"]) for row in rows_of(folder / "audit.sqlite")]


def test_conclusions_that_nobody_waits_for_share_the_next_intent_s_commit(
    tmp_path: Path, log: AuditLog
) -> None:
    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        await log.intent(exchange("x2"), "p1")
        before = log.writer.commits
        tasks = [later(log, "x1"), later(log, "x2")]
        await asyncio.sleep(0)
        assert len(kinds(tmp_path)) == 4
        await log.intent(exchange("x3"), "p1")
        assert log.writer.commits == before + 1
        await asyncio.gather(*tasks)

    asyncio.run(traffic())
    ended = [("conclusion", "x1"), ("conclusion", "x2")]
    assert kinds(tmp_path)[2:] == [("intent", "x1"), ("intent", "x2"), *ended, ("intent", "x3")]
    log.close()
    assert sound(tmp_path)


def test_one_that_somebody_waits_for_is_held_up_by_none_that_nobody_waits_for(
    tmp_path: Path, log: AuditLog
) -> None:
    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        await log.intent(exchange("x2"), "p1")
        task = later(log, "x1")
        await asyncio.sleep(0)
        await asyncio.wait_for(log.conclude(exchange("x2"), decision(exchange("x2")), "r", "", {}), 60)
        await asyncio.wait_for(task, 60)

    asyncio.run(traffic())
    log.close()
    assert sound(tmp_path)


def test_alone_it_is_written_by_itself(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        await asyncio.wait_for(later(log, "x1"), 60)
        assert kinds(tmp_path)[-1] == ("conclusion", "x1")

    asyncio.run(traffic())
    log.close()


@pytest.mark.parametrize("tick", [0.01, FOREVER])
def test_it_is_written_whatever_the_writer_was_sleeping_for(tmp_path: Path, tick: float) -> None:
    log = opened(tmp_path)
    log.writer._tick_seconds = tick
    fill(log, ["x0"])

    async def traffic() -> None:
        for number in range(1, 9):
            await log.intent(exchange(f"x{number}"), "p1")
            await asyncio.sleep(writer.PATIENCE * number / 4)
            await asyncio.wait_for(later(log, f"x{number}"), 60)

    asyncio.run(traffic())
    log.close()
    assert len(kinds(tmp_path)) == 18


def test_closing_writes_what_nobody_waits_for(tmp_path: Path, log: AuditLog) -> None:
    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        later(log, "x1")
        await asyncio.sleep(0)

    asyncio.run(traffic())
    log.close()
    assert kinds(tmp_path)[2:] == [("intent", "x1"), ("conclusion", "x1")]
    assert sound(tmp_path)


def test_a_full_group_waits_for_nobody(
    tmp_path: Path, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP", 4)

    async def traffic() -> None:
        await asyncio.gather(*(log.intent(exchange(f"y{number}"), "p1") for number in range(4)))
        await asyncio.wait_for(asyncio.gather(*(later(log, f"y{number}") for number in range(4))), 60)

    asyncio.run(traffic())
    log.close()
    assert sound(tmp_path)


def test_one_that_cannot_be_fails_alone_and_says_so(tmp_path: Path, log: AuditLog) -> None:
    async def traffic() -> None:
        await log.intent(exchange("x1"), "p1")
        ghost, good = later(log, "ghost"), later(log, "x1")
        await asyncio.sleep(0)
        await log.intent(exchange("x2"), "p1")
        await good
        with pytest.raises(EnvironmentFailure, match="never began"):
            await ghost

    asyncio.run(traffic())
    log.close()
    assert kinds(tmp_path)[2:] == [("intent", "x1"), ("conclusion", "x1"), ("intent", "x2")]


def finishing(futures: Sequence[Future[int]]) -> threading.Thread:
    """A thread that does it, already started."""

    def finish() -> None:
        for future in futures:
            future.set_result(1)

    thread = threading.Thread(target=finish)
    thread.start()
    return thread


def test_a_loop_is_woken_once_for_all_rows_of_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crowd() -> int:
        loop = asyncio.get_running_loop()
        bell, calls = Bell(loop), 0
        told = loop.call_soon_threadsafe

        def counted(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return told(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        futures: list[Future[int]] = [Future() for _ in range(100)]
        waits = [asyncio.create_task(bell.done(future)) for future in futures]
        await asyncio.sleep(0)
        waits[7].cancel()
        finishing(futures).join()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert [one is None for one in ended].count(True) == 99
        return calls

    assert asyncio.run(crowd()) == 1


def test_every_wait_ends_however_many_threads_finish_futures() -> None:
    async def crowd() -> None:
        bell = Bell(asyncio.get_running_loop())
        futures: list[Future[int]] = [Future() for _ in range(2000)]
        waits = [asyncio.create_task(bell.done(future)) for future in futures]
        await asyncio.sleep(0)
        for part in range(4):
            finishing(futures[part::4])
        await asyncio.wait_for(asyncio.gather(*waits), 60)
        broken: Future[int] = Future()
        broken.set_exception(EnvironmentFailure("full"))
        with pytest.raises(EnvironmentFailure, match="full"):
            await bell.done(broken)

    asyncio.run(crowd())


def test_a_loop_that_was_closed_is_no_error_for_the_writer() -> None:
    future: Future[int] = Future()

    async def gone() -> None:
        task = asyncio.create_task(Bell(asyncio.get_running_loop()).done(future))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(gone())
    finishing([future]).join()
    assert future.result() == 1


SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(SAID)
def test_the_quick_way_to_write_a_body_writes_what_the_careful_one_does(value: Any) -> None:
    assert rows.written(value) == rows._SORTED.encode(rows._plain(value))
