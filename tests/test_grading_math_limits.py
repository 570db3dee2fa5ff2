"""No answer, however it is built, holds a mathematics verifier longer than its limit, counted in the process itself."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ahalab.grading import GraderPool
from ahalab.records import GradeRequest, Verdict
from math_pathological import GOLD, HARD_GOLDS, PATHOLOGICAL
from proof_tools import write_result

LIMIT = 1.0
"""CPU seconds that a call may take: what the pool bounds. The clock on the wall also counts our neighbours."""
SLACK = 0.5
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Call:
    name: str
    verdict: Verdict
    cpu_seconds: float
    wall_seconds: float


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, cpu_seconds=LIMIT, wall_seconds=120.0) as pool:
        pool.start(["math"])
        yield pool


def _of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _of_ended() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(pool: GraderPool, name: str, request: GradeRequest) -> Call:
    """One call in a warm worker, and the CPU time that this worker spent on it."""
    warm = GradeRequest("math", "2\\sqrt{2}", "\\sqrt{8}")
    assert pool.grade_all([warm]) == [Verdict(1.0)]
    process = pool._lanes[0]._process
    assert process is not None
    before, ended = _of_process(process.pid), _of_ended()
    started = time.monotonic()
    [verdict] = pool.grade_all([request])
    wall = time.monotonic() - started
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        if _of_ended() > ended:  # it was replaced: all of its time is that of ended processes now
            return Call(name, verdict, _of_ended() - ended - before, wall)
        if pool._lanes[0]._process is process and verdict.error is None:
            return Call(name, verdict, _of_process(process.pid) - before, wall)
        time.sleep(0.02)
    raise AssertionError(f"{name}: the time of its process is nowhere")


def held(calls: Sequence[Call]) -> None:
    """Every call within the limit, none of them right, none lost to the clock on the wall."""
    assert [call for call in calls if call.cpu_seconds > LIMIT + SLACK] == []
    assert [call for call in calls if call.verdict.score == 1.0 or call.verdict.wall_timeout] == []
    errors = {call.verdict.error for call in calls} - {None}
    assert errors <= {"cpu time-out", "memory limit"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts CPU time through /proc")
def test_a_sample_of_pathological_answers_keeps_the_limit(pool: GraderPool) -> None:
    names = list(PATHOLOGICAL)[::12]
    held([timed(pool, name, GradeRequest("math", PATHOLOGICAL[name], GOLD)) for name in names])


def test_there_are_a_hundred_of_them_and_none_is_like_another() -> None:
    assert len(PATHOLOGICAL) >= 100
    assert len(set(PATHOLOGICAL.values())) == len(PATHOLOGICAL)


@pytest.mark.proof
def test_no_pathological_answer_exceeds_its_limit() -> None:
    with GraderPool(1, cpu_seconds=LIMIT, wall_seconds=120.0) as pool:
        pool.start(["math"])
        calls = [timed(pool, name, GradeRequest("math", text, GOLD)) for name, text in PATHOLOGICAL.items()]
        for number, gold in enumerate(HARD_GOLDS):
            for name in list(PATHOLOGICAL)[number::8]:
                calls.append(
                    timed(pool, f"{name}, gold {gold}", GradeRequest("math", PATHOLOGICAL[name], gold))
                )
        respawned = pool.counts.respawned
    calls.sort(key=lambda call: -call.cpu_seconds)
    timeouts = sum(call.verdict.error is not None for call in calls)
    lines = [
        f"{len(PATHOLOGICAL)} pathological answers, gold `{GOLD}`, and {len(calls) - len(PATHOLOGICAL)} of them"
        f" again with other golds, each alone in a warm worker of a `GraderPool`;"
        f" the limit is {LIMIT:g} s of CPU time.",
        "",
        f"- largest time of a call: {calls[0].cpu_seconds:.2f} s of CPU time ({calls[0].name}):"
        f" {max(0.0, calls[0].cpu_seconds - LIMIT):.2f} s beyond the limit; allowed is {SLACK:g} s",
        f"- largest time by the clock, on a shared machine: {max(call.wall_seconds for call in calls):.2f} s",
        f"- given the score 0: {len(calls) - timeouts}; counted as errors: {timeouts}; accepted: "
        f"{sum(call.verdict.score == 1.0 for call in calls)}; processes replaced: {respawned}",
        "",
        "| the slowest | CPU s | verdict |",
        "|---|---|---|",
        *(
            f"| {c.name.replace('|', '/')} | {c.cpu_seconds:.2f} | {c.verdict.error or c.verdict.score} |"
            for c in calls[:20]
        ),
    ]
    print("\n".join(lines))
    held(calls)
    write_result("math-limits", "python -m pytest tests/test_grading_math_limits.py -m proof -s", lines)
