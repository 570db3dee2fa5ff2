"""The pool: a failing grader is a counted error, never a 0, and never costs another request its verdict."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.grading import ANSWER_LIMIT, GraderPool, pool, process
from ahalab.grading.process import WorkerDied, WorkerProcess
from ahalab.grading.verifiers import VERIFIERS
from ahalab.records import GradeRequest, Verdict

HERE = Path(__file__).parent
RIGHT, WRONG = GradeRequest("exact", "284", "284"), GradeRequest("exact", "285", "284")


@pytest.fixture(autouse=True)
def _workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the processes: no verdict is given without one (test_grading_quick.py)."""
    monkeypatch.setattr(pool, "quick_score", lambda _request: None)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers get verifiers that misbehave."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(HERE / "faulty_worker.py")))
    monkeypatch.syspath_prepend(str(HERE))
    from faulty_worker import FAULTY

    for function in FAULTY:
        monkeypatch.setitem(VERIFIERS, function.__name__, function)


def faulty_request(name: str, answer: str = "284") -> GradeRequest:
    return GradeRequest(name, answer, "284")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until_dead(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_workers_never_import_torch() -> None:
    worker = WorkerProcess(5, 60, 2048)
    try:
        worker.write([{"control": "prepare", "verifier": name} for name in VERIFIERS])
        for _ in VERIFIERS:
            worker.read(60)
        worker.write([{"control": "modules"}])
        modules = worker.read(60)["modules"]
    finally:
        worker.close()
    assert "math_verify" in modules
    assert "ahalab.grading.worker" in modules or "__main__" in modules
    assert not [name for name in modules if name.partition(".")[0] in ("torch", "transformers", "tokenizers")]


def test_verdicts_come_back_under_the_callers_index_whatever_the_order() -> None:
    answers = [str(number) for number in range(200)]
    random.Random(0).shuffle(answers)
    with GraderPool(2) as pool:
        for index, answer in enumerate(answers):
            pool.submit(1000 + index, GradeRequest("exact", answer, "7"))
        verdicts = pool.drain()
        assert list(verdicts) == [1000 + index for index in range(200)]
        assert [index for index, verdict in verdicts.items() if verdict.score == 1.0] == [
            1000 + answers.index("7")
        ]
        assert pool.drain() == {}


def test_pool_gives_what_the_verifiers_give_one_by_one() -> None:
    requests = [GradeRequest("exact", str(number % 13), str(number % 7)) for number in range(500)]
    plain = [VERIFIERS["exact"](str(r.answer), str(r.gold), r.extra) for r in requests]
    with GraderPool(2) as pool:
        assert [verdict.score for verdict in pool.grade_all(requests)] == plain
        assert pool.counts.graded == 500
        assert not pool.counts.errors


def test_equal_open_requests_share_one_verdict_and_are_counted_each() -> None:
    with GraderPool(1) as pool:
        futures = [pool.submit(index, RIGHT) for index in range(16)]
        assert len({id(future) for future in futures}) == 1
        assert set(pool.drain().values()) == {Verdict(1.0)}
        assert pool.counts.graded == 16


def test_grade_all_leaves_submitted_requests_open() -> None:
    with GraderPool(1) as pool:
        pool.submit(5, WRONG)
        assert pool.grade_all([RIGHT]) == [Verdict(1.0)]
        assert pool.drain() == {5: Verdict(0.0)}


def test_an_index_is_open_only_once() -> None:
    with GraderPool(1) as pool:
        pool.submit(1, RIGHT)
        with pytest.raises(ValueError, match="index 1 is open"):
            pool.submit(1, WRONG)
        assert pool.drain() == {1: Verdict(1.0)}


def test_requests_without_work_start_no_process() -> None:
    with GraderPool(1) as pool:
        verdicts = pool.grade_all(
            [
                GradeRequest("none", "anything", None),
                GradeRequest("math", None, "5"),
                GradeRequest("math", "  \n", "5"),
                GradeRequest("exact", "5", None),
                GradeRequest("exact", "5" + " " * ANSWER_LIMIT, "5"),
            ]
        )
        assert [verdict.score for verdict in verdicts] == [None, 0.0, 0.0, None, 0.0]
        assert verdicts[3].error == "gold unreadable: there is no gold answer"
        assert verdicts[0].error is None
        assert not pool._threads


def test_an_unknown_verifier_is_the_users_error() -> None:
    with GraderPool(1) as pool:
        with pytest.raises(UserError, match=r"no verifier 'maths'; known are exact, math"):
            pool.submit(0, GradeRequest("maths", "5", "5"))
        with pytest.raises(UserError, match="no verifier"):
            pool.start(["maths"])
        assert pool.drain() == {}


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("name", ["stuck_in_python", "stuck_in_c", "swallows_everything"])
def test_a_hang_is_a_cpu_time_out_and_never_a_score(name: str) -> None:
    with GraderPool(1, cpu_seconds=0.3) as pool:
        verdicts = pool.grade_all([RIGHT, faulty_request(name), WRONG, RIGHT])
        assert verdicts == [Verdict(1.0), Verdict(None, "cpu time-out"), Verdict(0.0), Verdict(1.0)]
        assert pool.counts.errors == {"cpu time-out": 1}
        assert pool.counts.respawned == 1
        assert pool.counts.wall_timeouts == 0


@pytest.mark.usefixtures("faulty")
def test_a_process_stuck_in_c_code_is_ended_by_the_kernel() -> None:
    worker = WorkerProcess(0.3, 60, 2048)
    try:
        worker.write([{"id": 0, "verifier": "stuck_in_c", "answer": "1", "gold": "1", "extra": {}}])
        with pytest.raises(WorkerDied) as died:
            worker.read(30)
    finally:
        worker.close()
    assert died.value.returncode == -signal.SIGXCPU


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("crashes", "crash: the grader process ended with signal SIGSEGV"),
        ("exits", "crash: the grader process ended with exit code 3"),
        ("killed_from_outside", "crash: the grader process ended with signal SIGKILL"),
        ("eats_memory", "memory limit"),
        ("raises", "verifier error: KeyError: 'a bug in the verifier'"),
    ],
)
def test_a_crash_costs_its_own_request_only(name: str, error: str) -> None:
    with GraderPool(1) as pool:
        requests = [GradeRequest("exact", str(number), "3") for number in range(40)]
        requests.insert(7, faulty_request(name))
        verdicts = pool.grade_all(requests)
        assert verdicts.pop(7) == Verdict(None, error)
        assert [verdict.score for verdict in verdicts] == [float(number == 3) for number in range(40)]
        assert pool.counts.errors == {error.partition(":")[0]: 1}


@pytest.mark.usefixtures("faulty")
def test_a_request_whose_process_was_killed_from_outside_is_tried_once_more(tmp_path: Path) -> None:
    with GraderPool(1) as pool:
        request = faulty_request("killed_once", str(tmp_path / "tried"))
        assert pool.grade_all([request, RIGHT]) == [Verdict(1.0), Verdict(1.0)]
        assert pool.counts.respawned == 1


def test_an_idle_process_killed_from_outside_costs_nothing() -> None:
    with GraderPool(1) as pool:
        assert pool.grade_all([RIGHT]) == [Verdict(1.0)]
        pid = pool._lanes[0].warm().pid
        os.kill(pid, signal.SIGKILL)
        assert wait_until_dead(pid)
        assert pool.grade_all([RIGHT, WRONG]) == [Verdict(1.0), Verdict(0.0)]
        assert pool._lanes[0].warm().pid != pid


def test_a_large_parent_does_not_make_its_workers_look_large() -> None:
    ballast = b"x" * (400 << 20)
    with GraderPool(1, memory_megabytes=500) as pool:
        verdicts = [pool.grade_all([request])[0].score for request in (RIGHT, WRONG, RIGHT)]
        assert verdicts == [1.0, 0.0, 1.0]
        assert pool.counts.respawned == 0
    assert ballast


@pytest.mark.usefixtures("faulty")
def test_the_wall_clock_backstop_marks_the_verdict() -> None:
    with GraderPool(1, cpu_seconds=0.5, wall_seconds=1.0) as pool:
        slow, right = pool.grade_all([faulty_request("waits_for_ever"), RIGHT])
        assert slow == Verdict(None, "wall time-out: no answer within 1 s", wall_timeout=True)
        assert right == Verdict(1.0)
        assert pool.counts.wall_timeouts == 1


@pytest.mark.usefixtures("faulty")
def test_noise_on_stdout_cannot_forge_a_verdict() -> None:
    with GraderPool(1) as pool:
        assert pool.grade_all([faulty_request("prints"), WRONG]) == [Verdict(1.0), Verdict(0.0)]
        assert pool.counts.respawned == 0


@pytest.mark.usefixtures("faulty")
def test_one_stuck_process_does_not_hold_up_the_other() -> None:
    with GraderPool(2, cpu_seconds=2.0) as pool:
        pool.start()
        pool.submit(0, faulty_request("stuck_in_python"))
        for index in range(1, 200):
            pool.submit(index, GradeRequest("exact", str(index), "5"))
        others = [pool._open[index] for index in range(150, 200)]
        assert {future.result().score for future in others} == {0.0}
        assert not pool._open[0].done()
        assert pool.drain()[0].error == "cpu time-out"


def test_graders_that_cannot_start_are_an_environment_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (sys.executable, str(HERE / "faulty_worker.py"), "--die-at-start")
    monkeypatch.setattr(process, "COMMAND", broken)
    with GraderPool(2) as pool:
        with pytest.raises(EnvironmentFailure, match=r"could not be started.*no such library"):
            pool.grade_all([RIGHT])
        with pytest.raises(EnvironmentFailure):
            pool.grade_all([WRONG])


@pytest.mark.usefixtures("faulty")
def test_close_ends_processes_in_the_middle_of_a_task() -> None:
    pool = GraderPool(2, cpu_seconds=50)
    futures = [pool.submit(index, faulty_request("stuck_in_c", str(index))) for index in range(6)]
    pids = []
    while len(pids) < 2:
        pids = [lane._process.pid for lane in pool._lanes if lane._process is not None]
        time.sleep(0.05)
    started = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - started < 4
    assert all(wait_until_dead(pid) for pid in pids)
    assert all(future.cancelled() for future in futures)
    with pytest.raises(RuntimeError, match="closed"):
        pool.drain()


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with Ctrl-C ignored
from ahalab.grading import GraderPool, pool as module
from ahalab.records import GradeRequest
module.quick_score = lambda request: None
pool = GraderPool(2)
pool.start(["exact"])
pool.grade_all([GradeRequest("exact", "1", "1")])
print(*[lane.warm().pid for lane in pool._lanes], flush=True)
{then}
"""


def start_parent(then: str) -> tuple[subprocess.Popen[str], list[int]]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


def test_workers_die_with_a_parent_that_was_killed() -> None:
    parent, pids = start_parent("time.sleep(100)")
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    assert all(wait_until_dead(pid) for pid in pids)
    parent.communicate()


def test_ctrl_c_is_the_parents_and_workers_go_on_until_it_closes_the_pool() -> None:
    then = """
try:
    time.sleep(100)
except KeyboardInterrupt:
    print(pool.grade_all([GradeRequest("exact", "2", "2")])[0].score, pool.counts.respawned, flush=True)
"""
    parent, pids = start_parent(then)
    time.sleep(0.2)
    os.killpg(parent.pid, signal.SIGINT)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    out, err = parent.communicate(timeout=30)
    assert out.strip() == "1.0 0"
    assert parent.returncode == 0, err
    assert all(wait_until_dead(pid) for pid in pids)


def test_a_module_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sympy.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with GraderPool(1) as pool:
        assert pool.grade_all([GradeRequest("math", "\\frac{1}{2}", "1/2")]) == [Verdict(1.0)]


def test_thousands_of_exact_grades_a_second() -> None:
    requests = [GradeRequest("exact", str(number), "5") for number in range(4000)]
    with GraderPool(2) as pool:
        pool.grade_all([RIGHT])
        started = time.perf_counter()
        pool.grade_all(requests)
        seconds = time.perf_counter() - started
    assert len(requests) / seconds > 1000, (
        f"{len(requests) / seconds:.0f} a second; 13,000 on an idle machine"
    )
