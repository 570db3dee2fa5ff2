"""The bundled contest set: it is what its sources make, and every solution gets the verdict it deserves."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import pytest

from ahalab.grading.code.executor import close_executor
from ahalab.grading.code.patch import patch_verifier
from ahalab.grading.code.verifier import code_verifier
from ahalab.sandbox.open import open_executor, why_no_compiler, why_no_isolation
from ahalab.sandbox.records import Limits, Program
from ahalab.sandbox.settings import SandboxSettings
from ahalab.world.contest import BugProblem, ContestProblem, Solution, load_bugs, load_contest, sources
from ahalab.world.contest.build import as_lines, build_bugs, build_contest, made_tests, row_of
from ahalab.world.contest.records import BUGS_FILE, CONTEST_FILE

CONTEST, BUGS = load_contest(), load_bugs()
SAMPLE = 6
"""One problem in so many is run by the ordinary tests; `make proof` runs all."""
SLOW = ("cpp", "time limit")
QUICK = [
    one
    for one in CONTEST[::SAMPLE]
    if not any(s.verdict in SLOW or s.language in SLOW for s in (*one.good, *one.bad))
]
OF_EACH_KIND = (
    "stamps-of-two-kinds",
    "price-ending",
    "uphill-run",
    "honest-division",
    "cube-walk",
    "infix-value",
)
"""A memory limit, a function, C++ with a compile error and with a wrong answer, a time limit, a
program whose own `eval` meets a SyntaxError (a runtime error)."""


@pytest.fixture(scope="module")
def isolation() -> Iterator[None]:
    """Programs run in the sandbox only."""
    if (reason := why_no_isolation()) is not None:
        pytest.skip(f"not run: no isolation here: {reason}")
    yield
    close_executor()


def committed(name: str) -> list[str]:
    """The lines of a file of the package."""
    return (sources.HERE / name).read_text(encoding="utf-8").splitlines(keepends=True)


def as_answer(solution: Solution) -> str:
    """A solution as a model gives it."""
    return f"My program:\n```{solution.language}\n{solution.source}```\n"


def changed_files(files: Mapping[str, str]) -> str:
    """Whole files as a model gives them."""
    return "\n\n".join(f"{path}\n```python\n{text}```" for path, text in files.items())


def runnable(problem: ContestProblem) -> list[Solution]:
    """The solutions in languages that this machine has."""
    return [
        one for one in (*problem.good, *problem.bad) if one.language == "python" or why_no_compiler() is None
    ]


def verdicts(problems: Iterable[ContestProblem]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """(expected verdict, seen verdict) counted, and the solutions where they differ."""
    seen: Counter[tuple[str, str]] = Counter()
    wrong = []
    for problem in problems:
        for solution in runnable(problem):
            noted = code_verifier(as_answer(solution), None, problem.grading())
            assert noted.score == float(noted.note == "accepted")
            seen[solution.verdict, noted.note] += 1
            if noted.note != solution.verdict:
                wrong.append(
                    f"{problem.id} ({solution.language}): {solution.verdict} expected, {noted.note} seen"
                )
    return seen, wrong


def bug_faults(bugs: Iterable[BugProblem]) -> list[str]:
    """The bugs whose repair is refused, or whose wrong repair passes."""
    faults = []
    for bug in bugs:
        fixed = patch_verifier(changed_files(bug.fix), None, bug.grading())
        spoilt = patch_verifier(changed_files(bug.wrong), None, bug.grading())
        if (fixed.note, spoilt.note) != ("accepted", "tests failed"):
            faults.append(f"{bug.id}: fix {fixed.note}, wrong fix {spoilt.note}")
    return faults


def test_the_committed_rows_are_what_the_sources_say():
    """Everything but the tests, which cost running; the next test makes those of some again."""
    rows = [json.loads(line) for line in committed(CONTEST_FILE)]
    entries = sources.contest_sources()
    assert committed(CONTEST_FILE) == [
        as_lines([row_of(entry, row["tests"])]) for entry, row in zip(entries, rows, strict=True)
    ]


def test_running_the_sources_again_makes_the_committed_tests():
    by_id = {entry["id"]: entry for entry in sources.contest_sources()}
    for problem in CONTEST[::SAMPLE]:
        assert made_tests(by_id[problem.id]) == list(problem.tests), problem.id


def test_the_committed_bugs_are_what_the_sources_make():
    """Each row's repair is proved by the way."""
    count = len(BUGS) // SAMPLE
    assert as_lines(build_bugs(sources.bug_sources()[:count])) == "".join(committed(BUGS_FILE)[:count])


@pytest.mark.usefixtures("isolation")
def test_known_solutions_get_their_verdicts():
    chosen = [*QUICK, *(one for one in CONTEST if one.id in OF_EACH_KIND)]
    seen, wrong = verdicts(chosen)
    assert not wrong
    assert len(chosen) > 25
    kinds = {"accepted", "wrong answer", "runtime error", "memory limit", "time limit"}
    assert {expected for expected, _ in seen} >= kinds


@pytest.mark.usefixtures("isolation")
def test_only_the_right_repair_passes_a_bugs_tests():
    assert not bug_faults(BUGS[::SAMPLE])


@pytest.mark.usefixtures("isolation")
def test_a_generator_takes_its_seed_as_argument_or_on_stdin():
    executor = open_executor(SandboxSettings())
    try:
        for problem in CONTEST[:: 10 * SAMPLE]:
            by_argument = Program("python", problem.generator, arguments=("7",))
            (first,) = executor.run(by_argument, [""], Limits())
            (second,) = executor.run(Program("python", problem.generator), ["7"], Limits())
            assert first.status == second.status == "ok", first.stderr
            assert first.stdout == second.stdout
            if problem.function:
                assert isinstance(json.loads(first.stdout), list)
    finally:
        executor.close()


def test_the_set_is_as_large_and_as_mixed_as_the_docs_say():
    assert len(CONTEST) >= 200
    assert len(BUGS) >= 40
    assert len({one.id for one in CONTEST}) == len(CONTEST)
    assert {one.level for one in CONTEST} == {1, 2, 3, 4, 5}
    assert sum(any(s.language == "cpp" for s in one.good) for one in CONTEST) >= 30
    assert sum(len(one.good) > 1 for one in CONTEST) >= 100
    assert all(one.good[0].language == "python" and one.bad for one in CONTEST)
    assert all(6 <= len(one.tests) <= 12 for one in CONTEST)
    assert {s.verdict for one in CONTEST for s in one.bad} == set(sources.BAD.values())
    assert {(one.function is not None, one.class_name is not None) for one in CONTEST} == {
        (False, False),
        (True, False),
        (True, True),
    }
    assert {one.compare for one in CONTEST} == {"tokens", "exact", "float"}
    assert sum(one.checker is not None for one in CONTEST) >= 10
    assert sum(len(line.encode()) for line in committed(CONTEST_FILE)) < 2_500_000


def test_every_statement_is_there_in_english_and_in_chinese():
    for one in (*CONTEST, *BUGS):
        assert any("\u4e00" <= char <= "\u9fff" for char in one.question["zh"]), one.id
    for problem in CONTEST:
        ours = problem.question["en"].partition("\n\nExample")[0]
        assert not any("\u4e00" <= char <= "\u9fff" for char in ours) or problem.id == "chinese-numerals"


def test_a_split_is_chosen_by_the_id_alone():
    for load, everything in ((load_contest, CONTEST), (load_bugs, BUGS)):
        train, held_out = load("train"), load("held_out")
        assert {one.id for one in train} | {one.id for one in held_out} == {one.id for one in everything}
        assert not {one.id for one in train} & {one.id for one in held_out}
        assert 0.03 < len(held_out) / len(everything) < 0.25


def test_a_slip_in_the_sources_is_named(tmp_path, monkeypatch):
    entry = {"id": "x", "title": "X", "level": 1, "tags": ["math"], "en": "…", "zh": "…", "inputs": ["1"]}
    entry |= {"gen": "print(1)", "seeds": 1, "good": "print(1)", "wa": "print(2)"}
    monkeypatch.setattr(sources, "HERE", tmp_path)
    (tmp_path / "problems").mkdir()
    for slip, named in (
        ({"colour": "red"}, "colour"),
        ({"tags": ["cooking"]}, "tags"),
        ({"level": 6}, "level"),
        ({"function": "f"}, "signature"),
        ({"variation_of": "y"}, "variation_of"),
    ):
        (tmp_path / "problems" / "one.yaml").write_text(json.dumps([entry | slip]), encoding="utf-8")
        with pytest.raises(ValueError, match=named):
            sources.contest_sources()


def test_a_reference_that_fails_is_named():
    entry = {"id": "broken", "inputs": ["1"], "gen": "print(1)", "seeds": 0, "good": "print(1 / 0)"}
    with pytest.raises(ValueError, match=r"broken(.|\n)*ZeroDivisionError"):
        made_tests(entry)


@pytest.mark.proof
@pytest.mark.usefixtures("isolation")
def test_proof_every_solution_of_the_set_gets_its_verdict():
    started = time.monotonic()
    seen, wrong = verdicts(CONTEST)
    print(
        f"\n{sum(seen.values())} solutions of {len(CONTEST)} problems in {time.monotonic() - started:.0f} s"
    )
    for (expected, found), count in sorted(seen.items()):
        print(f"{expected:15} {found:15} {count:5}")
    print(*wrong, sep="\n")
    assert not wrong
    if why_no_compiler() is not None:
        print(f"C++ solutions: not run: {why_no_compiler()}")


@pytest.mark.proof
@pytest.mark.usefixtures("isolation")
def test_proof_every_bug_is_fixed_by_its_repair_only():
    faults = bug_faults(BUGS)
    print(f"\n{len(BUGS)} bugs, {len(faults)} with a wrong verdict", *faults, sep="\n")
    assert not faults


@pytest.mark.proof
def test_proof_the_whole_set_is_what_its_sources_make():
    assert as_lines(build_contest(sources.contest_sources())) == "".join(committed(CONTEST_FILE))
    assert as_lines(build_bugs(sources.bug_sources())) == "".join(committed(BUGS_FILE))
