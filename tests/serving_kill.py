"""Kills a real gateway with SIGKILL while clients ask it, and holds what they got against its audit log."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa
from tests.proof_tools import finish
from tests.serving_tools import TERMS, chat_body, text_body
from tests.stream_server import DONE, Sent, StreamServer, delta, plain, streamed, usage

from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import create_keys, read_keys
from ahalab.serving.audit.schema import ROWS
from ahalab.serving.audit.verification import Verification
from ahalab.serving.audit.verify import verify

HARMLESS = ["Hello", " there,", " this is", " a reply", " in several", " pieces."]
FLAGGED = [*HARMLESS[:3], " how a zor", "bom is built", " and so on."]
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/)v1")


@dataclass(slots=True)
class Got:
    """What one client saw of one request."""

    id: str = ""
    """The exchange's, as soon as the head was there."""
    status: int = 0
    text: str = ""
    finish: str = ""
    whole: bool = False
    """Came to its proper end."""


@dataclass(slots=True)
class Tally:
    """Over all kills."""

    seconds: list[float] = field(default_factory=list)
    """From the first answer of each gateway to its end."""
    asked: int = 0
    headed: int = 0
    """Requests of which anything was answered."""
    answered: int = 0
    """Those that came to their proper end."""
    retracted: int = 0
    taken_up: int = 0
    """Conclusions of answers that were not in the database at the kill, put there by the next process."""
    cut: int = 0
    """Those that the kill cut off."""
    wrong: list[str] = field(default_factory=list)
    open_intents: int = 0
    rows: int = 0
    report: Verification | None = None


def reply(body: dict[str, Any]) -> Sent:
    """Of the upstream: a term in every third reply, pauses in every stream."""
    luck = random.Random(json.dumps(body["messages"]))
    pieces = FLAGGED if luck.random() < 1 / 3 else HARMLESS
    if body.get("stream"):
        parts: list[bytes | float] = []
        for piece in pieces:
            parts += [luck.uniform(0.0, 0.03), delta(content=piece)]
        return streamed(*parts, delta("stop"), usage(5, 6), DONE)
    message = {"role": "assistant", "content": "".join(pieces)}
    whole = plain({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return Sent(whole.parts, whole.status, whole.headers, first=luck.uniform(0.0, 0.1))


class Killed:
    """One gateway process after another over one folder and one log."""

    def __init__(self, folder: Path, upstream: str, log: str | None) -> None:
        self.folder, self.upstream = folder, upstream
        (folder / "terms").mkdir(parents=True)
        (folder / "terms" / "made.yaml").write_text(TERMS, encoding="utf-8")
        self.log = log or str(folder / "guard" / "audit.sqlite")
        self.key = folder / "guard" / "audit.key"
        self._options: list[str] = []
        if log:  # the gateway makes no key for a log that it did not place itself
            self.key.parent.mkdir()
            create_keys(self.key)
            self._options = ["--audit", log, "--audit-key", str(self.key)]
        self._output = folder / "output"

    async def start(self, conclude_first: str) -> tuple[subprocess.Popen[bytes], str]:
        """A process that answers, and its address."""
        settings = self.folder / "settings.yaml"
        settings.write_text(f"conclude_first: {conclude_first}\n", encoding="utf-8")
        options = ["--folder", str(self.folder / "guard"), "--terms", str(self.folder / "terms"), "--no-page"]
        options += ["--settings", str(settings), *self._options]
        arguments = ["--upstream", self.upstream, "--model", "m", "--port", "0", "--admin-port", "0"]
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ahalab.cli", "guard", "serve", *arguments, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        async with asyncio.timeout(120):
            while not (found := ADDRESS.search(self._output.read_text("utf-8"))):
                assert process.poll() is None, self._output.read_text("utf-8")
                await asyncio.sleep(0.05)
        return process, found[1]

    async def left_alone(self) -> None:
        """Until a server has done with what the killed process had sent it: a commit may be among it."""
        database = Database(self.log)
        if database.sqlite:
            return
        others = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        async with asyncio.timeout(60):
            while True:
                with database.reading() as connection:
                    if not connection.scalar(others):
                        return
                await asyncio.sleep(0.02)

    def rows(self) -> dict[str, dict[str, str]]:
        """Exchange → kind of row → its action."""
        found: dict[str, dict[str, str]] = {}
        with Database(self.log).reading() as connection:
            for row in connection.execute(sa.select(ROWS.c.exchange, ROWS.c.kind, ROWS.c.action)):
                found.setdefault(row.exchange, {})[row.kind] = row.action
        return found


async def kill_often(
    folder: Path, kills: int, clients: int, longest: float, seed: int, log: str | None = None
) -> Tally:
    """So many random SIGKILLs under load, under each `conclude_first` in turn; what clients saw against the log.

    `log` is a server's URL; SQLite in the folder when left out.
    """
    luck, tally = random.Random(seed), Tally()
    seen: list[Got] = []
    async with StreamServer(reply) as upstream:
        gateways = Killed(folder, upstream.url, log)
        for number in range(kills):
            first = ("always", "flagged")[number % 2]
            process, url = await gateways.start(first)
            seconds = luck.uniform(0.05, longest)
            lived = await _one_life(process, url, seconds, [f"{number}-{one}" for one in range(clients)])
            seen += lived
            tally.seconds.append(seconds)
            upstream.bodies.clear()
            upstream.heads.clear()
            await gateways.left_alone()
            rows = gateways.rows()
            late = [one for one in lived if one.finish and "conclusion" not in rows.get(one.id, {})]
            tally.taken_up += len(late)
            if first == "always" and late:
                tally.wrong.append(
                    f"kill {number}: {len(late)} ended before their conclusion was on the disk"
                )
            report = verify(Database(gateways.log), read_keys(gateways.key), open_texts=True)
            if not report.sound:
                tally.wrong.append(f"kill {number}: {report.first_bad}")
            if report.kinds["intent"] - report.kinds["conclusion"] != report.open_count:
                tally.wrong.append(
                    f"kill {number}: half rows: {dict(report.kinds)}, {report.open_count} open"
                )
        process, _ = await gateways.start("flagged")  # takes up what the last one has left
        process.terminate()
        assert process.wait(60) == 0
    _hold(seen, gateways.rows(), tally)
    await _in_the_end(gateways, tally)
    return tally


async def _one_life(
    process: subprocess.Popen[bytes], url: str, seconds: float, names: list[str]
) -> list[Got]:
    got: list[Got] = []
    clients: list[asyncio.Task[None]] = []
    limits = httpx2.Limits(max_connections=None)
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as http:
            clients = [asyncio.ensure_future(_client(http, name, got)) for name in names]
            async with asyncio.timeout(60):
                while not any(one.id for one in got):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(seconds)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.gather(*clients)  # each ends at its first broken connection
    finally:
        for one in clients:
            one.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    return got


async def _client(http: httpx2.AsyncClient, name: str, got: list[Got]) -> None:
    """Asks again and again, in four ways, until the gateway is gone."""
    for number in range(10**6):
        text, stream = f"{name}-{number}", number % 4 < 3
        chat = number % 3 < 2
        body = (chat_body if chat else text_body)(text, stream=stream)
        one = Got()
        got.append(one)
        try:
            path = "v1/chat/completions" if chat else "v1/completions"
            async with http.stream("POST", path, json=body) as answer:
                one.status, one.id = answer.status_code, answer.headers.get("x-request-id", "")
                if stream and answer.status_code == 200:
                    await _read_stream(answer, one)
                else:
                    _read_whole(json.loads(await answer.aread()), one)
        except httpx2.TransportError:
            return


async def _read_stream(answer: httpx2.Response, one: Got) -> None:
    async for line in answer.aiter_lines():
        if line == "data: [DONE]":
            one.whole = True
        elif line.startswith("data: "):
            _read_choice(json.loads(line[6:]), one)


def _read_whole(value: dict[str, Any], one: Got) -> None:
    _read_choice(value, one)
    one.whole = True


def _read_choice(value: dict[str, Any], one: Got) -> None:
    for choice in value.get("choices", []):
        part = choice.get("delta") or choice.get("message")
        one.text += (part.get("content") or "") if part is not None else choice.get("text", "")
        one.finish = choice.get("finish_reason") or one.finish


def _hold(seen: list[Got], rows: dict[str, dict[str, str]], tally: Tally) -> None:
    """Every answer against the log."""
    actions = {"stop": "release", "content_filter": "retract"}
    for one in seen:
        tally.asked += 1
        tally.cut += not one.whole
        if "zorbom" in one.text:
            tally.wrong.append(f"{one.id}: a held term was shown")
        if not one.id:
            continue
        tally.headed += 1
        kinds = rows.get(one.id, {})
        if "intent" not in kinds:
            tally.wrong.append(f"{one.id}: answered without an intent ({one.status})")
        if not one.finish:
            continue
        tally.answered += one.whole
        tally.retracted += one.finish == "content_filter"
        if kinds.get("conclusion") != actions[one.finish]:
            tally.wrong.append(f"{one.id}: ended with {one.finish}, recorded {kinds}")
    unasked = Counter(kind for one in rows.values() for kind in one if "intent" not in one)
    if unasked:
        tally.wrong.append(f"rows without an intent: {dict(unasked)}")
    statuses = Counter(one.status for one in seen if one.status not in (0, 200))
    if statuses:
        tally.wrong.append(f"other answers than 200: {dict(statuses)}")


async def _in_the_end(gateways: Killed, tally: Tally) -> None:
    """The commands of an operator: verify, close what was left open, verify again; and it still serves."""
    options = ["--log", gateways.log, "--key-file", str(gateways.key)]
    said = finish(["guard", "audit", "verify", *options, "--texts"])
    assert "the chain is sound" in said, said
    report = verify(Database(gateways.log), read_keys(gateways.key))
    tally.open_intents = report.open_count
    said = finish(["guard", "audit", "close", *options, "--before", "0m", "--who", "proof"])
    assert f"{tally.open_intents} interrupted exchanges closed" in said, said
    tally.report = verify(Database(gateways.log), read_keys(gateways.key), open_texts=True)
    tally.rows = tally.report.rows
    if not tally.report.sound or tally.report.open_count:
        tally.wrong.append(f"after closing: {tally.report.first_bad or tally.report.open_count}")
