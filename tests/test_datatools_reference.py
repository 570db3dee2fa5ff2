"""`aha data check`: failing references are named and left out, the good are written, a stop loses nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools.reading import Watch
from ahalab.datatools.reference import CheckSettings, ReferenceCheck, Summary, every_test
from ahalab.errors import Interrupted, UserError
from ahalab.grading.pool import GraderPool
from ahalab.records import GradeRequest, Verdict
from ahalab.runs.jsonl import read_jsonl
from contest_rows import APPS, BUG_FIX, CODEFORCES, LIVECODEBENCH, OWN, OWN_CALL, SUM, load, write

WRONG = "print(input())"


class Judge(GraderPool):
    """Gives verdicts by what a solution says, so that no program runs; `seen` are the requests it got."""

    def __init__(self) -> None:
        super().__init__(1)
        self.seen: list[GradeRequest] = []

    def grade_all(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        self.seen += requests
        return [self._verdict(str(request.answer)) for request in requests]

    @staticmethod
    def _verdict(answer: str) -> Verdict:
        if "broken grader" in answer:
            return Verdict(None, "sandbox failure: it was full")
        if "no sandbox" in answer:
            return Verdict(None, "sandbox unavailable: no user namespaces here")
        if WRONG in answer:
            return Verdict(0.0, note="wrong answer")
        return Verdict(0.0, note="time limit") if "while" in answer else Verdict(1.0, note="accepted")


def with_solutions(*sources: str, row: dict[str, Any] = OWN) -> dict[str, Any]:
    return {**row, "solutions": {"good": [{"language": "python", "source": source} for source in sources]}}


def run(file: Path, judge: Judge | None = None, out: Path | None = None, **settings: Any) -> Summary:
    report = file.with_name("report.jsonl")
    watch = settings.pop("watch", Watch())
    overwrite = settings.pop("overwrite", False)
    checking = ReferenceCheck(
        file, report, judge or Judge(), CheckSettings(**settings), out=out, overwrite=overwrite, watch=watch
    )
    return checking.run()


def test_problems_whose_references_fail_are_named_with_the_verdict_and_left_out(tmp_path: Path) -> None:
    rows = [
        with_solutions(SUM),
        {**with_solutions(WRONG), "id": "bad-one"},
        {**with_solutions("while True: pass", WRONG), "id": "slow-one"},
        {**OWN, "solutions": None, "id": "without"},
        with_solutions(WRONG, SUM, row=OWN_CALL),
    ]
    file, out = write(tmp_path / "data.jsonl", *rows), tmp_path / "good.jsonl"
    summary = run(file, out=out)
    assert summary.verdicts == {"accepted": 2, "wrong answer": 1, "time limit": 1, "no reference solution": 1}
    named = [(one.row, one.id, one.verdict, one.solutions) for one in summary.checked]
    assert named == [
        (2, "bad-one", "wrong answer", ("wrong answer",)),
        (3, "slow-one", "time limit", ("time limit", "wrong answer")),
        (4, "without", "no reference solution", ()),
    ]
    written = list(read_jsonl(out))
    assert summary.written == len(written) == 2
    assert [row["id"] for row in written] == ["sum-of-two", "add"]
    # Only what passed is kept, so that the gold answer of a run is right.
    assert [one["source"] for one in written[1]["solutions"]["good"]] == [SUM]
    source = load(out, language="en")
    assert source.prompt(0).extra["tests"] == OWN["tests"]


def test_all_must_pass_where_that_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", with_solutions(SUM, WRONG), with_solutions(SUM, SUM + "\n"))
    assert run(file).verdicts == {"accepted": 2}
    assert run(file, strict=True).verdicts == {"accepted": 1, "wrong answer": 1}
    assert run(file, strict=True, solutions=1).verdicts == {"accepted": 2}


def test_every_solution_is_asked_with_all_tests_of_its_problem(tmp_path: Path) -> None:
    tests = [{"stdin": f"{n} 0", "stdout": str(n)} for n in range(200)]
    judge = Judge()
    run(write(tmp_path / "data.jsonl", {**with_solutions(SUM, SUM + " "), "tests": tests}), judge)
    assert [len(request.extra["tests"]) for request in judge.seen] == [200, 200]
    assert {request.verifier for request in judge.seen} == {"code"}
    assert judge.seen[0].answer == f"```python\n{SUM}\n```"
    few = Judge()
    options = every_test().model_copy(update={"max_tests": 5, "time_factor": 3.0})
    run(write(tmp_path / "few.jsonl", {**with_solutions(SUM), "tests": tests}), few, options=options)
    assert (len(few.seen[0].extra["tests"]), few.seen[0].extra["cpu_seconds"]) == (5, 6.0)


def test_bug_fixes_are_checked_by_their_own_verifier(tmp_path: Path) -> None:
    judge, out = Judge(), tmp_path / "good.jsonl"
    bad = {**BUG_FIX, "solutions": {"good": [{"patch": "--- a\n+++ b\n" + WRONG}]}}
    summary = run(write(tmp_path / "data.jsonl", BUG_FIX, bad), judge, out)
    assert {request.verifier for request in judge.seen} == {"patch"}
    assert summary.verdicts == {"accepted": 1, "wrong answer": 1}
    assert next(iter(read_jsonl(out)))["files"] == BUG_FIX["files"]


def test_rows_of_other_layouts_are_written_in_ours(tmp_path: Path) -> None:
    out = tmp_path / "good.jsonl"
    run(write(tmp_path / "apps.jsonl", APPS), out=out)
    (row,) = read_jsonl(out)
    assert row["tests"] == [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "-5 5\n", "stdout": "0\n"}]
    assert (row["id"], row["level"]) == ("7", 2)
    before, after = load(tmp_path / "apps.jsonl").prompt(0), load(out).prompt(0)
    assert (before.question, before.extra, before.answer) == (after.question, after.extra, after.answer)


def test_what_was_checked_is_not_checked_again_unless_it_changed(tmp_path: Path) -> None:
    rows = [with_solutions(SUM), with_solutions(WRONG)]
    file = write(tmp_path / "data.jsonl", *rows)
    run(file)
    again = Judge()
    summary = run(file, again)
    assert (again.seen, summary.reused, summary.problems) == ([], 2, 2)
    assert summary.verdicts == {"accepted": 1, "wrong answer": 1}
    write(file, rows[0], with_solutions(SUM + " "))
    changed = Judge()
    assert run(file, changed).verdicts == {"accepted": 2}
    assert len(changed.seen) == 1
    other = Judge()
    run(file, other, strict=True)
    assert len(other.seen) == 2


def test_a_stop_keeps_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ahalab.datatools.reference.BATCH_PROBLEMS", 2)
    file = write(tmp_path / "data.jsonl", *[{**with_solutions(SUM), "id": str(n)} for n in range(5)])
    watch = Watch()

    class Stopping(Judge):
        def grade_all(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
            watch.interrupt.asked = True
            return super().grade_all(requests)

    out = tmp_path / "good.jsonl"
    with pytest.raises(Interrupted):
        run(file, Stopping(), out, watch=watch)
    assert not out.exists()
    judge = Judge()
    summary = run(file, judge, out)
    assert (summary.reused, len(judge.seen), summary.written) == (2, 3, 5)


def test_a_failure_of_the_grading_is_counted_and_tried_again(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", with_solutions("# broken grader"), with_solutions(SUM))
    summary = run(file)
    assert summary.verdicts == {"not judged": 1, "accepted": 1}
    assert summary.checked[0].detail == "sandbox failure: it was full"
    again = Judge()
    run(file, again)
    assert len(again.seen) == 1


def test_without_a_sandbox_nothing_is_said_of_any_problem(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", with_solutions("# no sandbox"))
    with pytest.raises(UserError, match="sandbox unavailable: no user namespaces here"):
        run(file)


def test_what_has_no_solution_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "good.jsonl"
    assert run(write(tmp_path / "data.jsonl", LIVECODEBENCH), out=out).written == 0
    assert run(tmp_path / "data.jsonl", out=out, overwrite=True, keep_unchecked=True).written == 1
    assert load(out).prompt(0).extra == load(tmp_path / "data.jsonl").prompt(0).extra


def test_bad_rows_are_named_or_counted_and_other_kinds_left_out(tmp_path: Path) -> None:
    interactive = {**CODEFORCES, "interaction_format": "Ask."}
    file = write(
        tmp_path / "data.jsonl", CODEFORCES, interactive, {**CODEFORCES, "time_limit": "soon"}, '{"id": '
    )
    with pytest.raises(UserError, match="row 3, column 'time_limit'"):
        run(file)
    summary = run(file, skip_bad_rows=True)
    assert summary.left_out == {"interactive problem": 1}
    assert summary.bad_rows.total() == 2
    assert summary.problems == 1


def test_places_that_would_overwrite_something_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", OWN)
    with pytest.raises(UserError, match="the file that is checked"):
        run(file, out=file)
    taken = write(tmp_path / "good.jsonl", OWN)
    with pytest.raises(UserError, match="there already"):
        run(file, out=taken)
    write(tmp_path / "report.jsonl", {"step": 1})
    with pytest.raises(UserError, match="no report of `aha data check`"):
        run(file)


def test_an_unknown_layout_shows_the_mapping_to_write(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", {"prompt": "Add.", "cases": []})
    with pytest.raises(UserError, match=r"columns: \{question: prompt, tests: cases\}"):
        run(file)
    assert json.loads(json.dumps(every_test().model_dump()))["max_tests"] == 1_000_000
