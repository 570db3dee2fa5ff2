"""The whole of `aha data tests`: writers, resuming with the same bytes, budgets, the file and its report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools.testcases.inputs import MakingLimits
from ahalab.datatools.testcases.making import Making
from ahalab.datatools.testcases.problems import ProblemFile, read_generators
from ahalab.datatools.testcases.run import MakingRun, check_places, report_path, work_folder
from ahalab.datatools.testcases.writers import EndpointWriter, RecordedWriter, read_programs
from ahalab.errors import EnvironmentFailure, Interrupted, RunStopped, UserError
from ahalab.runs.hashing import file_hash
from ahalab.teachers.protocol import Failure
from endpoint_server import EndpointServer, block, endpoint_alone, say  # noqa: F401  a fixture for all
from testcase_tools import Behaviour, PretendExecutor, generator, problem, read_rows, write_rows

SMALL, BIG = generator("small random"), generator("big")
PROGRAMS: dict[str, Behaviour] = {
    SMALL: lambda seed: f"{seed}\n",
    BIG: lambda seed: f"{10**6 + int(seed)}\n",
    "good": lambda stdin: f"{2 * int(stdin)}\n",
    "squares": lambda stdin: f"{int(stdin) ** 2}\n",
    "right": lambda stdin: f"{2 * int(stdin)}\n",
}
REPLY = f"Two programs.\n\n```python\n{SMALL}```\n\nand\n\n```python\n{BIG}```\n"


def making_run(folder: Path, rows: list[dict[str, Any]], **more: Any) -> MakingRun:
    source = write_rows(folder / "problems.jsonl", rows)
    more.setdefault("open_executor", lambda: PretendExecutor(PROGRAMS))
    return MakingRun(
        ProblemFile(str(source)), folder / "out.jsonl", making=Making(MakingLimits(inputs=4)), **more
    )


def rows_of(count: int) -> list[dict[str, Any]]:
    return [problem(f"p{number}", bad=["squares", "right"], level=number + 1) for number in range(count)]


def endpoint(server: EndpointServer, folder: Path, **more: Any) -> EndpointWriter:
    budget = more.pop("budget_calls", None)
    return EndpointWriter(server.config(**more), folder / "replies", None, lambda: False, budget)


def test_a_model_at_an_endpoint_writes_the_generators(tmp_path: Path) -> None:
    with EndpointServer([say(REPLY)]) as server:
        report = making_run(tmp_path, rows_of(2), writer=endpoint(server, tmp_path)).run()
        prompt = server.prompts[0]
    assert "print twice the number" in block(prompt, "question")
    assert "Time limit: 2 seconds" in block(prompt, "question")
    assert "adversarial" in prompt
    out = read_rows(tmp_path / "out.jsonl")
    assert [row["id"] for row in out] == ["p0", "p1"]
    assert out[1]["level"] == 2
    assert all(len(row["tests"]) == 1 for row in out)
    totals = report["totals"]
    assert (totals["generators"], totals["inputs"], totals["kept"]) == (4, 8, 2)
    assert (totals["wrong"], totals["exposed"], totals["not_exposed"]) == (4, 2, 2)
    assert report["problems"][0]["not_exposed"] == ["bad[1]"]
    assert json.loads(report_path(tmp_path / "out.jsonl").read_text()) == report


def test_a_reply_without_a_program_is_asked_again_and_then_counted(tmp_path: Path) -> None:
    def answer(prompt: str) -> str:
        return "I cannot." if "Problem p0" in prompt else REPLY

    with EndpointServer(answer) as server:
        report = making_run(tmp_path, rows_of(2), writer=endpoint(server, tmp_path)).run()
        assert len([prompt for prompt in server.prompts if "Problem p0" in prompt]) == 3
    assert report["totals"]["no_generators_written"] == {"no program": 1}
    assert report["totals"]["left_out"] == {"no generator": 1}
    assert [row["id"] for row in read_rows(tmp_path / "out.jsonl")] == ["p1"]


def test_nobody_is_paid_for_a_problem_without_a_correct_submission(tmp_path: Path) -> None:
    with EndpointServer([say(REPLY)]) as server:
        report = making_run(tmp_path, [problem(good=[])], writer=endpoint(server, tmp_path)).run()
        assert not server.prompts
    assert report["totals"]["left_out"] == {"no correct submission": 1}
    assert read_rows(tmp_path / "out.jsonl") == []


def test_the_budget_of_calls_is_never_exceeded_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with EndpointServer([say(REPLY)]) as server:
        small = endpoint(server, tmp_path, budget_calls=7)
        with pytest.raises(RunStopped, match="--budget-calls is 7"):
            making_run(tmp_path, rows_of(20), writer=small).run()
        paid = len(server.prompts)
        assert 0 < paid <= 7
        making_run(tmp_path, rows_of(20), writer=endpoint(server, tmp_path, budget_calls=100)).run()
        assert len(server.prompts) == 20
    assert len(read_rows(tmp_path / "out.jsonl")) == 20


def test_recorded_replies_and_programs_of_ones_own_do_without_a_model(tmp_path: Path) -> None:
    recorded = write_rows(tmp_path / "replies.jsonl", [{"id": "p0", "reply": REPLY}])
    report = making_run(tmp_path, rows_of(2), writer=RecordedWriter(recorded)).run()
    assert report["totals"]["no_generators_written"] == {"no reply recorded": 1}
    assert [row["id"] for row in read_rows(tmp_path / "out.jsonl")] == ["p0"]

    own = write_rows(
        tmp_path / "own.jsonl", [{"id": "p1", "generators": [BIG]}, {"id": "p0", "source": SMALL}]
    )
    (tmp_path / "all.py").write_text(SMALL)
    common, single = read_generators([own, tmp_path / "all.py"])
    assert [one.source for one in common] == [SMALL]
    assert {name: [one.source for one in some] for name, some in single.items()} == {
        "p1": [BIG],
        "p0": [SMALL],
    }


def test_the_generators_that_a_model_wrote_can_be_given_to_another_run(tmp_path: Path) -> None:
    with EndpointServer([say(REPLY)]) as server:
        making_run(tmp_path, rows_of(2), writer=endpoint(server, tmp_path)).run()
    first = file_hash(tmp_path / "out.jsonl")
    _, single = read_generators([work_folder(tmp_path / "out.jsonl") / "generators.jsonl"])
    (again := tmp_path / "again").mkdir()
    making_run(again, rows_of(2), single=single).run()
    assert file_hash(again / "out.jsonl") == first


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_datatools_testcases_run import PROGRAMS, REPLY, making_run, rows_of
from ahalab.datatools.testcases.writers import RecordedWriter
folder = Path(sys.argv[1])
making_run(folder, rows_of(40), writer=RecordedWriter(folder / "replies.jsonl"), workers=3).run()
"""


@pytest.mark.parametrize("point", ["rollout:1", "grading:1", "grading:17", "grading:40"])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path, point: str) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    replies = [{"id": f"p{number}", "reply": REPLY} for number in range(40)]
    hashes = []
    for name, kills in (("whole", []), ("killed", [point])):
        folder = tmp_path / name
        folder.mkdir()
        write_rows(folder / "replies.jsonl", replies)
        for kill_at in [*kills, ""]:
            environment = {**os.environ, "AHALAB_KILL_AT": kill_at}
            ended = subprocess.run([sys.executable, "-c", script, str(folder)], env=environment, timeout=120)
            assert ended.returncode == (-signal.SIGKILL if kill_at else 0)
        hashes.append([file_hash(folder / "out.jsonl"), file_hash(folder / "out.report.json")])
    assert hashes[0] == hashes[1]


def test_an_interrupted_run_goes_on_and_finished_problems_are_not_run_again(tmp_path: Path) -> None:
    executor = PretendExecutor(PROGRAMS)
    (tmp_path / "all.py").write_text(SMALL)
    common, _ = read_generators([tmp_path / "all.py"])
    run = making_run(tmp_path, rows_of(6), common=common, open_executor=lambda: executor)
    run.progress = StopAfter(run, 2)
    with pytest.raises(Interrupted, match="of 6 problems are done"):
        run.run()
    finished = len(read_rows(work_folder(run.out) / "units.jsonl"))
    assert 2 <= finished < 6
    executor.runs.clear()
    making_run(tmp_path, rows_of(6), common=common, open_executor=lambda: executor).run()
    assert len({seed for source, seed in executor.runs if source == SMALL}) == 4
    assert sum(source == SMALL for source, _ in executor.runs) == 4 * (6 - finished)


class StopAfter:
    """Progress that asks to stop after so many problems."""

    def __init__(self, run: MakingRun, count: int) -> None:
        self._run, self._count = run, count

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, done: int, figures: Any) -> None:  # noqa: ARG002
        self._run.interrupt.asked |= done >= self._count

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


def test_other_settings_are_not_mixed_into_a_folder_that_is_begun(tmp_path: Path) -> None:
    making_run(tmp_path, rows_of(1)).run()
    other = making_run(tmp_path, rows_of(1))
    other.making = Making(MakingLimits(inputs=9))
    with pytest.raises(
        UserError, match=r"begun with making\.limits\.inputs 4, now it is 9.*choose another --out"
    ):
        other.run()


def test_a_failure_of_the_sandbox_is_tried_again_and_then_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "all.py").write_text(SMALL)
    common, _ = read_generators([tmp_path / "all.py"])
    once = PretendExecutor(PROGRAMS, fail_first=1)
    assert (
        making_run(tmp_path, rows_of(1), common=common, open_executor=lambda: once).run()["totals"]["kept"]
        == 1
    )
    assert once.closed

    (other := tmp_path / "other").mkdir()
    broken = PretendExecutor(PROGRAMS, fail_first=10**6)
    with pytest.raises(EnvironmentFailure, match="the sandbox failed on p0, p1, p2: no more processes"):
        making_run(other, rows_of(9), common=common, open_executor=lambda: broken).run()
    assert read_rows(work_folder(other / "out.jsonl") / "units.jsonl") == []


def test_a_place_that_is_taken_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "problems.jsonl", rows_of(1))
    with pytest.raises(UserError, match="is the file of problems itself"):
        check_places(str(source), source)
    with pytest.raises(UserError, match=r"ends in \.jsonl"):
        check_places(str(source), tmp_path / "out.parquet")
    (tmp_path / "mine.jsonl").write_text("precious")
    with pytest.raises(UserError, match="this command did not make it"):
        check_places(str(source), tmp_path / "mine.jsonl")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"solutions": {"good": [{"language": "perl", "source": "x"}]}},
            r"row 2, column 'solutions\.good\[0\]",
        ),
        ({"question": None}, "row 2, column 'question'"),
        ({"id": "p0"}, "row 2, column 'id': expected an id of its own, but an earlier row has 'p0' too"),
        ({"tests": [{"stdin": "1"}]}, r"row 2, column 'tests\[0\]"),
        ({"compare": "near"}, "row 2, column 'compare'"),
    ],
)
def test_a_bad_row_is_named_or_skipped_and_counted(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    rows = rows_of(3)
    rows[1] |= change
    source = write_rows(tmp_path / "problems.jsonl", rows)
    with pytest.raises(UserError, match=words):
        ProblemFile(str(source))
    problems = ProblemFile(str(source), skip_bad_rows=True)
    assert problems.names == ["p0", "p2"]
    assert sum(problems.skipped.values()) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"question": "1+1?", "answer": "2"},
            "none of the known layouts of contest problems. Columns there: question",
        ),
        (
            {"issue": "x", "files": {"a.py": ""}, "tests": {"t.py": ""}},
            "bug-fix tasks bring unit tests of their own",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ProblemFile(str(write_rows(tmp_path / "other.jsonl", [row])))


def test_problems_of_another_known_layout_are_written_in_our_own(tmp_path: Path) -> None:
    tests = json.dumps({"inputs": ["4\n"], "outputs": ["8\n"]})
    row = {"problem_id": 7, "question": "Twice.", "input_output": tests, "solutions": json.dumps(["good"])}
    write_rows(tmp_path / "problems.jsonl", [row])
    problems = ProblemFile(str(tmp_path / "problems.jsonl"))
    MakingRun(problems, tmp_path / "out.jsonl", lambda: PretendExecutor(PROGRAMS)).run()
    (out,) = read_rows(tmp_path / "out.jsonl")
    assert (out["id"], out["question"]) == ("7", "Twice.")
    assert out["tests"] == [{"stdin": "4\n", "stdout": "8\n"}]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.txt", b"", r"expected a \.py file"),
        ("x.py", b"\xff\xfe", "cannot be read as UTF-8"),
        ("x.jsonl", b'{"id": "p0"}\n', "row 1: expected"),
        ("y.py", None, "cannot be read"),
    ],
)
def test_a_bad_file_of_generators_is_refused(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_generators([tmp_path / name])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\nprint(1)\n```", ("print(1)\n",)),
        ("```py\nprint(1)\n```\n```\nprint(2)\n```", ("print(1)\n", "print(2)\n")),
        ("```python\nprint(1)\n```\n```python\nprint(1)\n```", ("print(1)\n",)),
        ("```text\n5\n```\n  ```Python\nprint(1)\n  ```", ("print(1)\n",)),
        ("```python\nprint(1)\n```\n```python\nprint(2", ("print(1)\n",)),
    ],
)
def test_programs_are_the_closed_python_blocks_of_a_reply(text: str, found: tuple[str, ...]) -> None:
    assert read_programs(text) == found


@pytest.mark.parametrize(
    "text", ["", "print(1)", "```json\n{}\n```", "```python\n\n```", "```python\nx" * 50_000]
)
def test_a_reply_without_a_closed_block_has_no_program(text: str) -> None:
    assert isinstance(read_programs(text), Failure)


Call = Callable[..., Any]


def test_the_command_says_what_it_needs(aha: Call, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "problems.jsonl", rows_of(1))
    out = tmp_path / "out.jsonl"
    for words, said in (
        (("--endpoint", "http://127.0.0.1:1/v1"), "--endpoint needs --model NAME"),
        (("--given", "some"), "expected candidates, keep or ignore"),
        (("--replies", source, "--model", "x"), "either --replies FILE or a model"),
    ):
        ended = aha("data", "tests", source, "--out", out, *words)
        assert ended.code == 2
        assert said in " ".join(ended.err.split())
