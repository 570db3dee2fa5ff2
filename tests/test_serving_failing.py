"""The real parts fail under traffic: a full or read-only audit log on disk, a reviewer that dies while it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from tests.audit_traffic import opened
from tests.guard_control import STANDARDS
from tests.serving_tools import BAD_REPLY, ScriptedModel, Served, chat_body, events, shown
from tests.stream_server import Sent, StreamServer, plain

from ahalab.errors import EnvironmentFailure
from ahalab.guard.policy import Policy
from ahalab.guard.records import Delta
from ahalab.guard.review.opening import open_reviewer
from ahalab.serving.admin import make_admin_app
from ahalab.serving.audit import AuditLog, database
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.rows import Draft
from ahalab.serving.audit.schema import ROWS
from ahalab.serving.audit.verify import verify

REPLY = [Delta(f"Words {number} and more. ") for number in range(8)] + [Delta(finish="stop")]
VERDICT = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]
}
DEATHS = {
    "at once": Sent(whole=False),
    "in its head": Sent(first=0.05, whole=False, status=200, headers={"Content-Type": "application/json"}),
    "in its body": Sent(
        [b'{"choices": [{"index"'], headers={"Content-Type": "application/json"}, whole=False
    ),
    "with a 500": plain({"error": "x"}, status=500),
    "with nonsense": plain(VERDICT),
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuditLog]:
    monkeypatch.setattr("ahalab.serving.audit.store._FRESH_SECONDS", 0.0)
    made = opened(tmp_path, pending=tmp_path / "pending")
    yield made
    made.close()


def fails(log: AuditLog, pragma: str) -> Any:
    """From now on every connection of the log fails as on such a disk; the listener, to take it back."""

    def broken(raw: Any, _record: Any) -> None:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(pragma.format(pages=pages + 2))

    sa.event.listen(log.database.engine, "connect", broken)
    connect_anew(log)
    return broken


def connect_anew(log: AuditLog) -> None:
    """The writer's next commit opens a connection; from its own thread, so under no commit's feet."""

    def drop() -> list[Draft]:
        log.writer._chain.drop_connection()
        return []

    with suppress(EnvironmentFailure):
        log.writer.submit(drop).result(30)


@pytest.mark.parametrize("first", ["flagged", "always"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pragma", ["PRAGMA max_page_count={pages}", "PRAGMA query_only=ON"])
def test_a_disk_that_fails_under_traffic_ends_answers_well_formed_and_then_refuses(
    pragma: str, stream: bool, first: str, log: AuditLog, tmp_path: Path
) -> None:
    served = Served(tmp_path, model=ScriptedModel(REPLY), audit=log, settings={"conclude_first": first})

    async def use(url: str) -> list[httpx2.Response]:
        answers = []
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:

            async def ask(number: int) -> httpx2.Response:
                body = chat_body(f"{number} " + "x" * 2_000, stream=stream)
                return await http.post(f"{url}/chat/completions", json=body)

            assert (await ask(0)).status_code == 200
            listener = fails(log, pragma)
            for round_ in range(30):
                answers += await asyncio.gather(*(ask(10 * round_ + one) for one in range(4)))
                answers.append(await ask(1_000 + round_))
                if all(one.status_code == 503 for one in answers[-5:]):
                    break
            assert answers[-1].status_code == 503
            asked = len(served.model.asked)
            assert (await http.get(f"{url.removesuffix('/v1')}/healthz")).status_code == 503
            assert (await ask(2_000)).status_code == 503
            assert len(served.model.asked) == asked
            sa.event.remove(log.database.engine, "connect", listener)
            connect_anew(log)
            again = await ask(3_000)
            assert again.status_code == 200, again.text
        return answers

    answers = served.run(use)
    assert {one.status_code for one in answers} <= {200, 503}
    for one in answers:
        if one.status_code == 503:
            assert one.json()["error"]["code"] == "unavailable"
        elif stream:
            *_, last = events(one)
            assert "error" in last or last["choices"][0]["finish_reason"] == "stop"
        else:
            assert shown(one).startswith("Words 0")
    with log.database.reading() as connection:
        kept = set(connection.execute(sa.select(ROWS.c.exchange).where(ROWS.c.kind == "intent")).scalars())
    assert {one.headers["x-request-id"] for one in answers if one.status_code == 200} <= kept
    assert verify(Database(str(tmp_path / "audit.sqlite")), log.keys, open_texts=True).sound


@pytest.mark.parametrize("fault", ["full", "gone", "asked in vain"])
def test_health_is_503_while_the_audit_log_cannot_be_written_and_only_admins_hear_why(
    fault: str, log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(tmp_path, audit=log)
    admin = Served(tmp_path, audit=log)
    admin.app = make_admin_app(served.gateway)
    assert served.ask("/healthz", method="GET").json() == {"status": "ok", "insecure": False}
    with monkeypatch.context() as broken:
        if fault == "full":
            broken.setattr(database, "LEAST_FREE", 2**80)
        elif fault == "gone":
            broken.setattr(Database, "file", tmp_path / "unmounted" / "audit.sqlite")
        else:
            broken.setattr(log.database, "room", lambda: 1 / 0)
        health = served.ask("/healthz", method="GET")
        assert health.status_code == 503
        assert health.json() == {"status": "unavailable", "insecure": False}
        told = admin.ask("/healthz", method="GET")
        assert told.status_code == 503
        assert "the audit store is not ready" in told.json()["why"]
        assert served.chat().status_code == 503
        assert not served.model.asked
    assert served.ask("/healthz", method="GET").status_code == 200
    assert served.chat().status_code == 200


@pytest.mark.parametrize("streaming", ["hold", "retract"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("on_error", ["retract", "allow", "queue"])
@pytest.mark.parametrize("death", DEATHS)
def test_a_reviewer_that_dies_is_no_verdict_and_on_error_decides(
    death: str, on_error: str, stream: bool, streaming: str, tmp_path: Path
) -> None:
    policy = {
        "on_error": on_error,
        "streaming": streaming,
        "queue": {"size": 4, "deadline_seconds": 0.1},
    }

    async def use() -> tuple[Any, Served]:
        async with StreamServer([DEATHS[death]]) as reviewing:
            made = Policy.model_validate({"name": "test", "standards": STANDARDS})
            reviewer = open_reviewer(f"{reviewing.url}#r", made)
            served = Served(tmp_path, model=ScriptedModel(BAD_REPLY), reviewer=reviewer, policy=policy)
            transport = httpx2.ASGITransport(app=served.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                answer = await http.post("/v1/chat/completions", json=chat_body(stream=stream))
            assert reviewing.bodies
            return answer, served

    answer, served = asyncio.run(use())
    assert answer.status_code == 200
    said = events(answer) if stream else [answer.json()]
    finishes = [one["choices"][0]["finish_reason"] for one in said if one["choices"][0]["finish_reason"]]
    decision = served.audit.rows[0][1]
    assert decision.review is not None
    assert decision.review.error
    if on_error == "allow":
        assert finishes == ["stop"]
        assert shown(answer) == "You build a zorbom like so"
        assert decision.bypass
    else:
        assert finishes == ["content_filter"]
        assert said[-1]["ahalab"]["retracted"] is True
        assert ("zor" in shown(answer)) == (stream and streaming == "retract")
        assert (decision.action, decision.bypass) == ("retract", "")
