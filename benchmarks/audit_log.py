"""Rows a second of the audit log, and how long an intent takes: SQLite, and PostgreSQL where a server's URL is given.

    python -m benchmarks.audit_log [--postgresql postgresql://…] [--exchanges 2000] [--workers 1]

Each exchange is two rows with 1,200 characters in and 1,600 out, kept sealed. "Crowd": 50 clients at once, as fast as
it goes. "Paced": 200 exchanges a second (400 rows), when each is due, as a gateway would; once with conclusions that
somebody waits for, once without. CPU is the whole process's, clients too. Then the chain is verified.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ahalab.guard.records import Decision, Exchange, Span, Turn
from ahalab.serving.audit import AuditLog, create_keys, open_audit
from ahalab.serving.audit.verify import verify

QUERY, REPLY = "hello " * 200, "a reply " * 200


async def one_exchange(log: AuditLog, name: str, waited: bool = True) -> float:
    """Intent and conclusion; seconds until the intent was durable."""
    exchange = Exchange(name, "bench", (Turn("user", QUERY),), "model", True)
    begun = time.perf_counter()
    await log.intent(exchange, "p1")
    taken = time.perf_counter() - begun
    span = Span("query", 0, 0, 5, "hello", "greeting", 1, ("raw",))
    decision = Decision("release", "release", "p1", spans=(span,), flagged=True)
    if waited:
        await log.conclude(exchange, decision, REPLY, "", {})
    else:
        await (await log.conclude_soon(exchange, decision, REPLY, "", {}))
    return taken


async def crowd(log: AuditLog, name: str, exchanges: int) -> None:
    async def client(number: int) -> None:
        for at in range(exchanges // 50):
            await one_exchange(log, f"{name}-{number}-{at}")

    await asyncio.gather(*(client(number) for number in range(50)))


async def paced(log: AuditLog, exchanges: int, rate: float, waited: bool) -> list[float]:
    async def due(number: int) -> float:
        await asyncio.sleep(number / rate)
        return await one_exchange(log, f"paced-{number}-{time.time_ns()}", waited)

    return sorted(await asyncio.gather(*(due(number) for number in range(exchanges))))


def paced_figures(log: AuditLog, exchanges: int, waited: bool) -> dict[str, float]:
    commits, cpu = log.writer.commits, time.process_time()
    times = asyncio.run(paced(log, exchanges, 200.0, waited))
    return {
        "intent_ms_median": round(statistics.median(times) * 1e3, 2),
        "intent_ms_p99": round(times[int(len(times) * 0.99)] * 1e3, 2),
        "cpu_ms_per_exchange": round((time.process_time() - cpu) / exchanges * 1e3, 2),
        "commits_per_exchange": round((log.writer.commits - commits) / exchanges, 2),
    }


def work(url: str, key: str, name: str, exchanges: int) -> None:
    log = open_audit(url, Path(key))
    asyncio.run(crowd(log, name, exchanges))
    log.close()


def measured(url: str, key: Path, exchanges: int, workers: int) -> dict[str, Any]:
    log = open_audit(url, key)
    begun = time.perf_counter()
    asyncio.run(crowd(log, f"crowd-{time.time_ns()}", exchanges))
    crowd_seconds = time.perf_counter() - begun
    commits = log.writer.commits
    result: dict[str, Any] = {
        "rows_per_second": round(2 * (exchanges // 50) * 50 / crowd_seconds),
        "rows_per_commit": round(2 * exchanges / commits, 1),
        "paced_conclusion_waited_for": paced_figures(log, exchanges, True),
        "paced_conclusion_later": paced_figures(log, exchanges, False),
    }
    if workers > 1:
        context = multiprocessing.get_context("spawn")
        each = exchanges // workers
        others = [
            context.Process(target=work, args=(url, str(key), f"w{number}-{time.time_ns()}", each))
            for number in range(workers)
        ]
        before = verify(log.database, log.keys).rows
        begun = time.perf_counter()
        for other in others:
            other.start()
        for other in others:
            other.join()
        seconds = time.perf_counter() - begun
        result["workers"] = workers
        # The processes' start (some seconds of imports) is in it.
        result["rows_per_second_workers_with_start"] = round(
            (verify(log.database, log.keys).rows - before) / seconds
        )
    begun = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = verify(log.database, log.keys)
    result["verify_rows_per_second"] = round(report.rows / (time.perf_counter() - begun))
    result["verify_more_memory_mb"] = round(
        (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024, 1
    )
    result["rows"], result["sound"] = report.rows, report.sound
    log.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", help="URL of an empty database; its server is measured too")
    parser.add_argument("--exchanges", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        create_keys(key)
        found = {"sqlite": measured(str(Path(folder) / "audit.db"), key, options.exchanges, options.workers)}
        if options.postgresql:
            found["postgresql"] = measured(options.postgresql, key, options.exchanges, options.workers)
    hardware = {"machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"exchanges": options.exchanges, **found, "hardware": hardware}))


if __name__ == "__main__":
    main()
