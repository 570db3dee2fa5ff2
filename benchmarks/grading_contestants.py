"""Who grades in `grading`: our pool, math-verify called in-line, and real RL steps on `builtin:tiny`.

A round's answers are in `rows_<round>.jsonl`; reading them is not part of the time.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ahalab.grading import GraderPool, pool
from ahalab.records import GradeRequest
from benchmarks.grading_answers import Row, read_rows

MANY = 1_000_000
_TICK = os.sysconf("SC_CLK_TCK")


class PoolGrading:
    """Our pool. `at_once=False` sends every answer to a worker, as if there were no short cut."""

    def __init__(self, folder: str, workers: int, cpu_seconds: float, at_once: bool = True) -> None:
        self._folder = Path(folder)
        if not at_once:
            _send_all_to_workers()
        self._pool = GraderPool(workers, cpu_seconds=cpu_seconds)
        self._pool.start(["math"])

    def describe(self) -> dict[str, Any]:
        return {}

    def run(self, number: int) -> dict[str, Any]:
        rows = read_rows(self._folder / f"rows_{number}.jsonl")
        requests = [GradeRequest(row.verifier, row.answer, row.gold, row.extra) for row in rows]
        at_once = self._pool.counts.at_once
        with Workers(self._pool) as workers:
            own, started = time.process_time(), time.perf_counter()
            verdicts = self._pool.grade_all(requests)
            seconds, own = time.perf_counter() - started, time.process_time() - own
        return {
            "seconds": seconds,
            "cpu_seconds": own + workers.cpu_seconds,
            "callers_cpu_seconds": own,
            "workers_peak_mb": workers.peak_mb,
            "answers": len(rows),
            "at_once": self._pool.counts.at_once - at_once,
            "scores": [verdict.score for verdict in verdicts],
            "errors": [verdict.error for verdict in verdicts if verdict.error],
            "time_outs": sum("time-out" in (verdict.error or "") for verdict in verdicts),
        }

    def close(self) -> None:
        self._pool.close()


class InLine:
    """math-verify as its page shows it: `parse`, `parse`, `verify` in the caller's main thread, 5 s of alarm each.

    The gold answer stands in a box, as in the data sets of open-r1. A time-out is False there.
    """

    def __init__(self, folder: str) -> None:
        import math_verify

        self._parse, self._verify = math_verify.parse, math_verify.verify
        self._folder = Path(folder)
        self._time_outs = _Counter()
        for name in ("math_verify.parser", "math_verify.grader"):
            logger = logging.getLogger(name)
            logger.addHandler(self._time_outs)
            logger.propagate = False

    def describe(self) -> dict[str, Any]:
        return {}

    def run(self, number: int) -> dict[str, Any]:
        rows = read_rows(self._folder / f"rows_{number}.jsonl")
        before = self._time_outs.count
        cpu, started = time.process_time(), time.perf_counter()
        scores = [self._score(row) for row in rows]
        return {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
            "answers": len(rows),
            "at_once": 0,
            "scores": scores,
            "errors": [],
            "time_outs": self._time_outs.count - before,
        }

    def _score(self, row: Row) -> float:
        gold = self._parse(f"\\boxed{{{row.gold}}}")
        return float(self._verify(gold, self._parse(row.answer)))


class TinySteps:
    """The `zero` stage of the recipe `zero-quickstart`, step by step: what grading adds to each."""

    def __init__(self, steps: int, domains: list[str], at_once: bool = True) -> None:
        import yaml

        from ahalab.stages.context import StageContext
        from ahalab.stages.rl import _Trainer
        from ahalab.stages.rl_config import RLConfig

        if not at_once:
            _send_all_to_workers()
        self._steps = steps
        self._folder = tempfile.TemporaryDirectory()
        self._logs = Path(self._folder.name) / "stage"
        self._logs.mkdir()
        package = importlib.util.find_spec("ahalab.pipeline")
        assert package is not None
        assert package.origin is not None
        recipe = Path(package.origin).parent / "recipes" / "zero-quickstart.yaml"
        config = yaml.safe_load(recipe.read_text(encoding="utf-8"))["stages"]["zero"]["rl"]
        config |= {"prompts": [{"world": domains}], "steps": MANY, "checkpoint_every": MANY}
        context = StageContext("zero", self._logs, {"from": "builtin:tiny"}, seed=0)
        self._trainer = _Trainer(RLConfig.model_validate(config), context)
        graders = self._trainer.collector.pool
        self._pool, self._requests = graders, list[GradeRequest]()
        self._submitting = _Timed(graders.submit, lambda _index, request: self._requests.append(request))
        graders.submit = self._submitting  # type: ignore[method-assign]

    def describe(self) -> dict[str, Any]:
        return {"dtype": "fp32"}

    def run(self, _number: int) -> dict[str, Any]:
        self._requests.clear()
        submitting, counts = self._submitting.seconds, self._pool.counts
        graded, at_once = counts.graded, counts.at_once
        with Workers(self._pool) as workers:
            started = time.perf_counter()
            for _ in range(self._steps):
                self._trainer._rollout()
            seconds = time.perf_counter() - started
        timings = [
            json.loads(line)
            for line in (self._logs / "timings.jsonl").read_text(encoding="utf-8").splitlines()
        ][-self._steps :]
        return {
            "seconds": seconds,
            "steps": self._steps,
            "answers": self._pool.counts.graded - graded,
            "at_once": self._pool.counts.at_once - at_once,
            "seconds_submitting": self._submitting.seconds - submitting,
            "seconds_waiting": sum(row["seconds_grading_wait"] for row in timings),
            "workers_cpu_seconds": workers.cpu_seconds,
            "workers_peak_mb": workers.peak_mb,
            "requests": [[r.verifier, r.answer, r.gold, dict(r.extra)] for r in self._requests],
        }

    def close(self) -> None:
        self._trainer.close()
        self._folder.cleanup()


class Workers:
    """What a pool's processes take while this context is open: CPU seconds, and the peak of their memory."""

    def __init__(self, graders: GraderPool) -> None:
        self._pool = graders
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.cpu_seconds = 0.0
        self.peak_mb = 0.0

    def __enter__(self) -> Workers:
        self.cpu_seconds = -self._cpu_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.cpu_seconds += self._cpu_seconds()
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, sum(_resident_megabytes(pid) for pid in self._pids()))
            if self._done.wait(0.05):
                return

    def _cpu_seconds(self) -> float:
        """Of those alive, and of those that were waited for."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime + sum(_cpu_seconds(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        return [process.pid for lane in self._pool._lanes if (process := lane._process) is not None]


class _Timed:
    """A method, the seconds spent in it, and a look at what it is given."""

    def __init__(self, method: Callable[..., Any], seen: Callable[..., None]) -> None:
        self._method, self._seen = method, seen
        self.seconds = 0.0

    def __call__(self, *given: Any) -> Any:
        started = time.perf_counter()
        result = self._method(*given)
        self.seconds += time.perf_counter() - started
        self._seen(*given)
        return result


class _Counter(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Timeout during")


def _send_all_to_workers() -> None:
    pool.quick_score = lambda _request: None  # type: ignore[attr-defined]


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def _resident_megabytes(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except (OSError, IndexError):  # it has just ended
        return 0.0
