"""`aha data tests`: generators written, cases made problem by problem, the new file; what is done is not done again.

OUT                     the problems with their new tests
OUT less .jsonl + .report.json   what was kept and dropped, and why
OUT.work/settings.json  what the folder was begun with
    generators.jsonl    a row a problem: the programs that a model wrote, or why there are none
    units.jsonl         a row a problem: its tests and its part of the report
    replies/            what an endpoint said, as it came
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ahalab.datatools.testcases.executors import Executors
from ahalab.datatools.testcases.inputs import Generator
from ahalab.datatools.testcases.making import Making, make_tests
from ahalab.datatools.testcases.problems import ProblemFile, Row
from ahalab.datatools.testcases.report import summarise
from ahalab.datatools.testcases.writers import Writer
from ahalab.errors import EnvironmentFailure, Interrupted, UserError
from ahalab.runs.atomic import explaining_disk_errors, remove_leftovers, write_json
from ahalab.runs.faults import fault_point
from ahalab.runs.hashing import config_hash
from ahalab.runs.held import hold
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.sandbox.records import Executor, SandboxFailure
from ahalab.stages.context import Interrupt
from ahalab.stages.shards import write_whole
from ahalab.teachers.protocol import Failure

FORMAT = 1
"""Raised when rows or settings change so that a folder begun before could not be gone on with."""
MOST_SANDBOX_FAILURES = 3
"""Problems in a row that the sandbox failed on before the command stops: then it is the machine. Our choice."""
SANDBOX_FAILED = "the sandbox failed"

REPLIES_NAME = "replies"


def work_folder(out: Path) -> Path:
    """Where the work on `out` lies."""
    return out.with_name(f"{out.name}.work")


def report_path(out: Path) -> Path:
    """The report beside `out`."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.report.json")


def check_places(source: str, out: Path) -> None:
    """UserError where `out` is the file itself, of another kind, or somebody's file."""
    if out.suffix != ".jsonl":
        raise UserError(f"--out {out}: expected a name that ends in .jsonl")
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise UserError(f"--out {out} is the file of problems itself: choose another name")
    if out.exists() and not work_folder(out).is_dir():
        raise UserError(
            f"--out {out} is there already, and this command did not make it: choose another name"
        )


@dataclass(slots=True)
class MakingRun:
    """One call of `aha data tests`."""

    problems: ProblemFile
    out: Path
    open_executor: Callable[[], Executor]
    making: Making = field(default_factory=Making)
    writer: Writer | None = None
    common: Sequence[Generator] = ()
    """Generators for every problem."""
    single: Mapping[str, Sequence[Generator]] = field(default_factory=dict)
    """Generators of single problems, by name."""
    workers: int = 1
    progress: Progress = field(default_factory=SilentProgress)
    interrupt: Interrupt = field(default_factory=Interrupt)

    def run(self) -> dict[str, Any]:
        """Make the file and its report; returns the report.

        Raises:
            UserError: the work folder was begun with other settings; the endpoint refuses.
            EnvironmentFailure: the endpoint or the sandbox fails again and again.
            RunStopped: the budget is used up.
            Interrupted: Ctrl-C; finished problems stay.
        """
        work = work_folder(self.out)
        executors = Executors(self.open_executor)
        with closing(executors), RunLock(work):
            executors.open_one()  # what has no sandbox is told before anything is paid for
            remove_leftovers(work)
            hold(
                work / "settings.json",
                self._settings(),
                "Put the setting back, choose another --out, or delete settings.json, generators.jsonl and "
                "units.jsonl there to make the cases anew (replies that were paid for stay)",
            )
            if self.writer is not None:
                self._write_generators(work / "generators.jsonl", self.writer)
            self._make_all(work, executors)
            return self._finish(work)

    def _settings(self) -> dict[str, Any]:
        programs = [[one.source for one in self.common]]
        programs += [[one.source for one in self.single[name]] for name in sorted(self.single)]
        return {
            "format": FORMAT,
            "problems": self.problems.sha256,
            "making": asdict(self.making),
            "generators": config_hash([sorted(self.single), programs]),
            "writer": self.writer.identity() if self.writer else None,
        }

    def _write_generators(self, path: Path, writer: Writer) -> None:
        total = len(self.problems)
        with JsonlWriter(path) as file:
            done = sum(1 for _ in read_jsonl(path))
            self.progress.begin("generators", total, "problem", done)
            try:
                for start in range(done, total, writer.at_once):
                    self._stop_if_asked("generators", start)
                    rows = [
                        self.problems.row(place) for place in range(start, min(start + writer.at_once, total))
                    ]
                    for row in _written(writer, rows):
                        file.append(row)
                    fault_point("rollout")
                    self.progress.advance(min(start + writer.at_once, total), writer.traffic)
            finally:
                self.progress.end()

    def _make_all(self, work: Path, executors: Executors) -> None:
        total = len(self.problems)
        path = work / "units.jsonl"
        with JsonlWriter(path) as file:
            tally = Counter[str]()
            done = 0
            for unit in read_jsonl(path):
                done += 1
                _count(tally, unit)
            self.progress.begin("test cases", total, "problem", done)
            pool = ThreadPoolExecutor(self.workers, thread_name_prefix="test-cases")
            try:
                for unit in _whole(self._units(pool, executors, work, done)):
                    file.append(unit)
                    fault_point("grading")
                    done += 1
                    _count(tally, unit)
                    self.progress.advance(done, dict(tally))
                self._stop_if_asked("test cases", done)
            except BaseException:
                executors.end()  # nobody waits for what is at work
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                self.progress.end()

    def _units(
        self, pool: ThreadPoolExecutor, executors: Executors, work: Path, done: int
    ) -> Iterator[dict[str, Any]]:
        """The units from number `done` on, in order, several at work at one time. Ends early when asked to stop."""
        waiting: deque[Future[dict[str, Any]]] = deque()
        for place, written in enumerate(self._written_rows(work)):
            if place < done:
                continue
            if self.interrupt.asked:
                break
            waiting.append(pool.submit(self._unit, place, written, executors))
            if len(waiting) >= 2 * self.workers:
                yield waiting.popleft().result()
        while waiting:
            future = waiting.popleft()
            if self.interrupt.asked and future.cancel():
                break
            yield future.result()

    def _written_rows(self, work: Path) -> Iterator[Mapping[str, Any]]:
        if self.writer is None:
            return iter([{}] * len(self.problems))
        return iter(read_jsonl(work / "generators.jsonl"))

    def _unit(self, place: int, written: Mapping[str, Any], executors: Executors) -> dict[str, Any]:
        row = self.problems.row(place)
        own = [Generator(row.problem.generator, "problem")] if row.problem.generator else []
        generators = [*own, *self.common, *self.single.get(row.name, [])]
        generators += [Generator(source, written["origin"]) for source in written.get("generators", ())]
        try:
            made = executors.use(lambda one: make_tests(row.problem, generators, one, self.making))
        except SandboxFailure as failure:
            made = {"tests": [], "report": {"left_out": SANDBOX_FAILED, "detail": str(failure)[:300]}}
        unit: dict[str, Any] = {"id": row.name, **made}
        if none_written := written.get("failure"):
            unit["report"]["no_generators_written"] = none_written
        return unit

    def _finish(self, work: Path) -> dict[str, Any]:
        reports: list[dict[str, Any]] = []

        def rows() -> Iterator[dict[str, Any]]:
            for place, unit in enumerate(read_jsonl(work / "units.jsonl")):
                reports.append({"id": unit["id"], **unit["report"]})
                if unit["tests"]:
                    yield self.problems.row(place).with_tests(unit["tests"])

        with explaining_disk_errors(self.out):
            write_whole(self.out, rows())
        report = summarise(reports, self._settings(), self.problems.skipped)
        write_json(report_path(self.out), report)
        return report

    def _stop_if_asked(self, what: str, done: int) -> None:
        if self.interrupt.asked and done < len(self.problems):
            raise Interrupted(f"{what}: {done} of {len(self.problems)} problems are done.")


def _written(writer: Writer, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """A row for each problem; nobody is paid for one that nothing can be made for."""
    asked = [row for row in rows if row.problem.good]
    outcomes = dict(
        zip(
            [row.name for row in asked],
            writer.write([(row.name, row.problem) for row in asked]) if asked else [],
            strict=True,
        )
    )
    for row in rows:
        outcome = outcomes.get(row.name, Failure("not asked: no correct submission"))
        if isinstance(outcome, Failure):
            yield {"id": row.name, "origin": writer.name, "generators": [], "failure": outcome.reason}
        else:
            yield {"id": row.name, "origin": writer.name, "generators": list(outcome), "failure": None}


def _whole(units: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The units; those that the sandbox failed on only once others succeeded, so that a resume tries them again.

    Raises:
        EnvironmentFailure: it failed on several in a row, or on everything.
    """
    held: list[dict[str, Any]] = []
    succeeded = False
    for unit in units:
        held.append(unit)
        if unit["report"].get("left_out") == SANDBOX_FAILED:
            if len(held) >= MOST_SANDBOX_FAILURES:
                break
            continue
        succeeded = True
        yield from held
        held.clear()
    if held and (len(held) >= MOST_SANDBOX_FAILURES or not succeeded):
        raise EnvironmentFailure(
            f"the sandbox failed on {', '.join(unit['id'] for unit in held)}: {held[-1]['report']['detail']}. "
            "Mend the machine and run the same command: it goes on from here."
        )
    yield from held


def _count(tally: Counter[str], unit: Mapping[str, Any]) -> None:
    report = unit["report"]
    tally["kept"] += len(unit["tests"])
    tally["dropped"] += sum(one["count"] for one in report.get("dropped", {}).values())
    tally["exposed"] += report.get("exposed", 0)
    tally["left out"] += not unit["tests"]


def default_workers() -> int:
    """A thread for each core: each waits for the programs that it runs."""
    return max(1, len(os.sched_getaffinity(0)))
