"""Programs on their way through the house: processes, settings, checks beforehand, and counts."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.evaluation.figures import evaluation_figures
from ahalab.evaluation.measures import verdict_counts
from ahalab.grading import GraderPool
from ahalab.grading.code import executor as room
from ahalab.grading.code.executor import runs_programs
from ahalab.grading.code.patch import patch_verifier
from ahalab.grading.code.verifier import code_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.grading.noted import Noted
from ahalab.grading.process import WorkerProcess
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.recipe import load_recipe, parse_recipe
from ahalab.records import GradeRequest, Prompt, Verdict
from ahalab.sandbox.records import SandboxFailure
from ahalab.sandbox.settings import VARIABLE, SandboxSettings
from ahalab.stages import isolation
from ahalab.stages.isolation import check_isolation
from code_tools import Played, fenced, outcome
from conftest import Aha
from small_runs import events, manifests, small_recipe, training_only, write_recipe

HERE = SandboxSettings(unsafe_no_isolation=True)
TESTS = {"tests": [{"stdin": f"{n}", "stdout": f"{2 * n}"} for n in (1, 2)]}
RIGHT = GradeRequest("code", fenced("print(2 * int(input()))"), None, TESTS)
WRONG = GradeRequest("code", fenced("print(2)"), None, TESTS)
BUG = {
    "files": {"m.py": "def one(): return 0\n"},
    "tests": {"t.py": "from m import one\ndef test_one(): assert one() == 1\n"},
}
NO_WALLS = "this machine gives no namespaces; run on another, or say --unsafe-no-isolation"


@pytest.fixture
def no_isolation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which nothing can be isolated."""
    from ahalab.sandbox import open as sandbox_open

    isolation.refusal.cache_clear()
    known = sandbox_open.open_executor

    def refuse(settings: SandboxSettings) -> Any:
        if not settings.unsafe_no_isolation:
            raise UserError(NO_WALLS)
        return known(settings)

    monkeypatch.setattr(sandbox_open, "open_executor", refuse)
    yield
    isolation.refusal.cache_clear()


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """In place of this process's sandbox."""
    one = Played(lambda _program, given: outcome(str(2 * int(given))))
    monkeypatch.setattr(room, "_open", one)
    return one


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contest problems in our own layout, whose answers the small bases never give."""
    path = tmp_path_factory.mktemp("code") / "problems.jsonl"
    rows = [
        {"id": f"double-{n}", "question": f"Print twice the number, problem {n}.", "tests": TESTS["tests"]}
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# -- verifiers


def test_the_verifiers_give_the_score_and_the_verdicts_name(played: Played) -> None:
    assert code_verifier(str(RIGHT.answer), None, TESTS) == Noted(1.0, "accepted")
    assert code_verifier("I do not know.", None, TESTS) == Noted(0.0, "no program")
    assert code_verifier("", None, TESTS) == Noted(0.0, "no program")
    assert patch_verifier("I do not know.", None, BUG) == Noted(0.0, "no patch")
    assert patch_verifier("t.py\n```python\ndef test_one(): pass\n```", None, BUG) == Noted(
        0.0, "patch refused"
    )
    assert len(played.ran) == 2


def test_what_is_no_problem_is_a_failure_of_the_grading(played: Played) -> None:
    with pytest.raises(GraderFailure, match=r"^verifier error: code: `tests` should be"):
        code_verifier("x", None, {})
    with pytest.raises(GraderFailure, match=r"^verifier error: patch: `files` should be"):
        patch_verifier("x", None, {})
    assert not played.ran


def test_a_sandbox_that_failed_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise SandboxFailure("the walls fell")

    broken, closed = Played(fail), []
    monkeypatch.setattr(broken, "close", lambda: closed.append(1))
    monkeypatch.setattr(room, "_open", broken)
    with pytest.raises(GraderFailure, match=r"^sandbox failure: the walls fell"):
        code_verifier(str(RIGHT.answer), None, TESTS)
    assert closed
    assert room._open is None
    from ahalab.sandbox import open as sandbox_open

    monkeypatch.setattr(
        sandbox_open,
        "open_executor",
        lambda _settings: Played(lambda _p, given: outcome(str(2 * int(given)))),
    )
    assert code_verifier(str(RIGHT.answer), None, TESTS).score == 1.0
    room.close_executor()


def test_which_prompts_run_programs() -> None:
    assert runs_programs("code", {})
    assert runs_programs("patch", {})
    assert runs_programs("code_io", {"kind": "input"})
    assert runs_programs("code_io", {"kind": "output", "checker": "print('ok')"})
    assert not runs_programs("code_io", {"kind": "output"})
    assert not runs_programs("function", {})


# -- grader processes


def test_a_pool_grades_programs_and_names_the_verdicts() -> None:
    patch = GradeRequest("patch", "m.py\n```python\ndef one(): return 1\n```", None, BUG)
    with GraderPool(2, cpu_seconds=20, sandbox=HERE) as pool:
        verdicts = pool.grade_all([RIGHT, WRONG, GradeRequest("code", None, None, TESTS), patch])
    assert verdicts == [
        Verdict(1.0, note="accepted"),
        Verdict(0.0, note="wrong answer"),
        Verdict(0.0, note="no program"),
        Verdict(1.0, note="accepted"),
    ]


def test_a_sandbox_that_cannot_be_had_is_a_counted_error_and_no_score() -> None:
    nowhere = SandboxSettings(executor="http://127.0.0.1:9")
    with GraderPool(1, cpu_seconds=20, sandbox=nowhere) as pool:
        verdicts = pool.grade_all([RIGHT, WRONG])
        assert sum(pool.counts.errors.values()) == 2
    for verdict in verdicts:
        assert verdict.score is None
        assert str(verdict.error).startswith("sandbox ")


def test_long_programs_are_read_where_long_answers_are_not() -> None:
    long = GradeRequest("code", fenced("x = 0\n" * 5_000 + "print(2 * int(input()))"), None, TESTS)
    with GraderPool(1, cpu_seconds=20, sandbox=HERE) as pool:
        assert pool.grade_all([long]) == [Verdict(1.0, note="accepted")]


def test_a_worker_gets_the_settings_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SandboxSettings("http://sandbox.example:8080", unsafe_no_isolation=True)
    worker = WorkerProcess(5, 60, 2048, settings)
    try:
        given = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    finally:
        worker.close()
    [value] = [line.partition(b"=")[2] for line in given if line.startswith(VARIABLE.encode())]
    assert SandboxSettings.from_environment({VARIABLE: value.decode()}) == settings
    monkeypatch.setenv(VARIABLE, settings.to_environment()[VARIABLE])
    with GraderPool(1) as pool:
        assert pool._limits.sandbox == settings


def below(pid: int) -> set[int]:
    """All processes that descend from one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found: set[int] = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_the_sandbox_of_a_worker_ends_with_it(how: str) -> None:
    worker = WorkerProcess(5, 60, 2048, HERE)
    worker.write([{"id": 0, "verifier": "code", "answer": RIGHT.answer, "gold": None, "extra": TESTS}])
    assert worker.read(60) == {"id": 0, "score": 1.0, "note": "accepted"}
    started = below(worker.pid)
    assert started
    if how == "killed":
        os.kill(worker.pid, signal.SIGKILL)
    worker.close()
    end = time.monotonic() + 10
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in started):
        time.sleep(0.05)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


# -- the recipe, and what is checked beforehand


def test_the_recipe_says_where_programs_run_and_only_the_command_line_that_nothing_keeps_them_in() -> None:
    recipe = {"name": "x", "stages": {"a": {"evaluate": {"prompts": [{"world": "math"}]}}}}
    plain = parse_recipe(recipe, "x")
    assert plain.resolved()["sandbox"] == {"executor": "local"}
    remote = parse_recipe({**recipe, "sandbox": {"executor": "https://sandbox.example"}}, "x")
    for unsafe in (False, True):
        execution = Execution(Path("runs/x"), unsafe_no_isolation=unsafe)
        context = execution.context(remote, remote.stages["a"], {}, Path(), None)
        assert context.sandbox == SandboxSettings("https://sandbox.example", unsafe)
    for wrong in ({"executor": "docker"}, {"unsafe_no_isolation": True}, "local"):
        with pytest.raises(UserError, match="sandbox"):
            parse_recipe({**recipe, "sandbox": wrong}, "x")


def test_where_programs_run_is_no_part_of_a_stages_identity() -> None:
    from ahalab.pipeline.identity import identify

    recipe = {"name": "x", "stages": {"a": {"evaluate": {"prompts": [{"world": "math"}]}}}}
    one = parse_recipe(recipe, "x")
    other = parse_recipe({**recipe, "sandbox": {"executor": "https://sandbox.example"}}, "x")
    assert identify(one.stages["a"], one, {}).key == identify(other.stages["a"], other, {}).key


def prompt(verifier: str) -> Prompt:
    return Prompt("p/1", "?", None, "code", "p", verifier, extra=TESTS)


@pytest.mark.usefixtures("no_isolation")
def test_only_prompts_that_run_programs_need_isolation() -> None:
    check_isolation([prompt("function"), prompt("none")], SandboxSettings(), "here")
    check_isolation([prompt("code")], HERE, "here")
    with pytest.raises(UserError, match=f"here: answers to p are programs.*verifier code.*{NO_WALLS}"):
        check_isolation([prompt("function"), prompt("code")], SandboxSettings(), "here")


@pytest.mark.usefixtures("no_isolation")
@pytest.mark.parametrize("kind", ["rl", "evaluate", "sample"])
def test_a_run_whose_programs_cannot_be_isolated_is_refused_before_it_begins(
    kind: str, trained_base: Path, problems: Path, tmp_path: Path, aha: Aha
) -> None:
    whole = small_recipe(trained_base, problems)
    stages = {
        "rl": {"zero": whole["stages"]["zero"]},
        "evaluate": {"before": whole["stages"]["before"]},
        "sample": {"data": {"sample": {"from": "base", "prompts": [{"file": str(problems)}], "n": 4}}},
    }
    recipe = write_recipe(tmp_path / "small.yaml", {**whole, "stages": stages[kind]})
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert NO_WALLS in done.err.replace("\n", " ")
    assert not (tmp_path / "runs").exists()


def test_every_command_that_grades_knows_the_option(aha: Aha, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    for command in ("run", "zero", "eval", "probe"):
        assert "--unsafe-no-isolation" in aha(command, "--help").out


# -- counts


def test_verdicts_are_counted_where_there_are_any() -> None:
    assert verdict_counts([None, "accepted", "time limit", "accepted"]) == {
        "verdicts": {"accepted": 2, "time limit": 1}
    }
    assert verdict_counts([None]) == {}
    row = {
        "prompt_id": "p/1", "domain": "code", "language": "en", "level": None, "correct": 1.0, "tokens": 1,
        "thinking_tokens": 1, "well_formed": True, "mixed": None, "finish": "stop", "error": None, "reflective": {},
        "text": "", "extra": {},
    }  # fmt: skip
    assert "verdicts" not in evaluation_figures([row], 1, {})
    assert evaluation_figures([{**row, "note": "accepted"}], 1, {})["verdicts"] == {"accepted": 1}


def test_a_run_on_code_counts_its_verdicts_in_metrics_samples_and_figures(
    trained_base: Path, problems: Path, tmp_path: Path, aha: Aha
) -> None:
    recipe = small_recipe(trained_base, problems, steps=2)
    recipe["stages"]["zero"]["rl"]["stop"] = {"dead_rollouts": 50}
    path = write_recipe(tmp_path / "small.yaml", recipe)
    done = aha("run", path, "--runs", tmp_path / "runs", "--unsafe-no-isolation")
    assert done.code == 0, done.err
    assert "run with your rights" in done.err.replace("\n", " ")
    run = tmp_path / "runs" / "small"
    metrics = [json.loads(line) for line in (run / "stages/zero/metrics.jsonl").read_text().splitlines()]
    assert all(sum(row["verdicts"].values()) == 24 for row in metrics)
    assert all(row["grader_errors"] == 0 for row in metrics)
    samples = [
        json.loads(line)
        for line in next((run / "stages/zero/samples").glob("*1.jsonl")).read_text().splitlines()
    ]
    assert {row["note"] for row in samples} <= {"no program", "wrong answer", "runtime error"}
    assert "verdict no program" in (run / "report.html").read_text().lower()
    found = manifests(run)
    assert sum(found["before"]["figures"]["verdicts"].values()) == 16
    assert found["zero"]["environment"]["unsafe_no_isolation"] is True
    assert events(run, "unsafe_no_isolation")
    assert load_recipe(str(path)).resolved()["sandbox"] == {"executor": "local"}


def test_a_run_without_programs_says_nothing_of_them(
    trained_base: Path, questions: Path, tmp_path: Path, aha: Aha
) -> None:
    path = write_recipe(
        tmp_path / "small.yaml", training_only(trained_base, {"file": str(questions)}, steps=2)
    )
    assert aha("run", path, "--runs", tmp_path / "runs").code == 0
    run = tmp_path / "runs" / "small"
    assert "verdicts" not in (run / "stages/zero/metrics.jsonl").read_text()
    assert "unsafe_no_isolation" not in manifests(run)["zero"]["environment"]


def test_without_a_compiler_cpp_is_refused_where_it_was_asked_for_and_else_no_program(
    monkeypatch: pytest.MonkeyPatch, played: Played
) -> None:
    from ahalab.sandbox import open as sandbox_open

    monkeypatch.setattr(sandbox_open, "why_no_compiler", lambda: "none")
    monkeypatch.setattr(isolation, "refusal", lambda _settings: None)
    in_cpp = Prompt("p/1", "?", None, "code", "p", "code", extra={**TESTS, "language": "cpp"})
    with pytest.raises(UserError, match="no C\\+\\+ compiler is installed"):
        check_isolation([prompt("code"), in_cpp], HERE, "here")
    check_isolation([prompt("code")], HERE, "here")
    check_isolation([in_cpp], SandboxSettings("http://sandbox.example"), "here")
    assert code_verifier(fenced("int main() {}", "cpp"), None, TESTS) == Noted(0.0, "no program")
    assert not played.ran
