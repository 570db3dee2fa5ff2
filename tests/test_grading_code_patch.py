"""Bug fixing: what a change may be, what it may not touch, and when its tests have passed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ahalab.grading.code.diff import PatchFault, apply_hunks, parse_diff
from ahalab.grading.code.patch import judge_patch
from ahalab.grading.code.patched import BugProblem, patched_files
from ahalab.grading.code.unit_tests import expected_tests, module_names, read_report, run_unit_tests
from ahalab.grading.code.verdicts import CodeVerdict
from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor
from code_tools import Played, fenced, outcome, real_executor
from patch_attacks import ATTACKS

MEAN = (
    "def mean(values):\n    total = 0\n    for value in values:\n"
    "        total += value\n    return total / (len(values) - 1)\n"
)
FIXED = MEAN.replace("(len(values) - 1)", "len(values)")
UNITTEST = (
    "import unittest\nfrom stats import mean\n\n\nclass TestMean(unittest.TestCase):\n"
    "    def test_two(self):\n        self.assertEqual(mean([2, 4]), 3)\n\n"
    "    def test_one(self):\n        self.assertAlmostEqual(mean([5]), 5)\n"
)
PLAIN = "from stats import mean\n\n\ndef test_mean():\n    assert mean([1, 2, 3]) == 2\n"
PROBLEM = BugProblem({"stats.py": MEAN}, {"tests/test_stats.py": UNITTEST, "tests/test_plain.py": PLAIN})
DIFF = """\
--- a/stats.py
+++ b/stats.py
@@ -2,4 +2,4 @@
     total = 0
     for value in values:
         total += value
-    return total / (len(values) - 1)
+    return total / len(values)
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    opened = real_executor()
    yield opened
    opened.close()


def after(answer: str, problem: BugProblem = PROBLEM) -> dict[str, str]:
    return patched_files(answer, problem)


def refused(answer: str, problem: BugProblem = PROBLEM) -> tuple[str, str]:
    with pytest.raises(PatchFault) as caught:
        patched_files(answer, problem)
    return caught.value.kind, str(caught.value)


# -- the change


def test_a_diff_is_applied_bare_or_fenced_by_git_or_plain() -> None:
    wanted = {"stats.py": FIXED}
    assert after(DIFF) == wanted
    assert after(fenced(DIFF, "diff")) == wanted
    assert after(fenced(DIFF.replace("a/stats", "stats").replace("b/stats", "stats"), "")) == wanted
    git = "diff --git a/stats.py b/stats.py\nindex 1234567..89abcde 100644\n" + DIFF
    assert after(f"I fixed it.\n{git}") == wanted
    assert after(DIFF.replace("stats.py\n@@", "stats.py\t2024-01-01 00:00:00\n@@")) == wanted
    assert after(DIFF.replace("\n", "\r\n")) == wanted


def test_wrong_counts_and_wrong_lines_are_forgiven_where_there_is_no_doubt() -> None:
    assert after(DIFF.replace("-2,4 +2,4", "-2,9 +2,7")) == {"stats.py": FIXED}
    assert after(DIFF.replace("-2,4 +2,4", "-40,4 +40,4")) == {"stats.py": FIXED}
    assert after(DIFF.replace("@@ -2,4 +2,4 @@", "@@ def mean(values):")) == {"stats.py": FIXED}


def test_there_is_no_fuzz() -> None:
    assert refused(DIFF.replace("total = 0", "total = 1"))[0] == "patch does not apply"
    twice = BugProblem({"x.py": "a\nb\na\nb\n"}, PROBLEM.tests)
    assert refused("--- x.py\n+++ x.py\n@@ -9,1 +9,1 @@\n-a\n+c\n", twice) == (
        "patch does not apply",
        "the lines of hunk 1 are in the file 2 times",
    )
    assert after("--- x.py\n+++ x.py\n@@ -3,1 +3,1 @@\n-a\n+c\n", twice) == {"x.py": "a\nb\nc\nb\n"}


def test_several_hunks_files_and_blocks_are_one_change() -> None:
    text = "".join(f"line {n}\n" for n in range(30))
    problem = BugProblem({"pkg/a.py": text, "b.py": "x = 1\n"}, PROBLEM.tests)
    one = (
        "--- a/pkg/a.py\n+++ b/pkg/a.py\n@@ -2,2 +2,3 @@\n line 1\n+new\n line 2\n"
        "@@ -20,2 +21,1 @@\n line 19\n-line 20\n"
    )
    two = (
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
        "--- /dev/null\n+++ b/c.py\n@@ -0,0 +1,2 @@\n+y = 1\n+z = 2\n"
    )
    made = after(fenced(one, "diff") + "\n" + fenced(two, "patch"), problem)
    assert made["pkg/a.py"] == text.replace("line 1\nline 2\n", "line 1\nnew\nline 2\n").replace(
        "line 20\n", ""
    )
    assert made["b.py"] == "x = 2\n"
    assert made["c.py"] == "y = 1\nz = 2\n"


def test_removed_lines_that_look_like_headers_are_lines() -> None:
    problem = BugProblem({"q.sql": "-- old\n++ x\nselect\n"}, PROBLEM.tests)
    diff = "--- a/q.sql\n+++ b/q.sql\n@@ -1,3 +1,2 @@\n--- old\n-++ x\n+-- new\n select\n"
    assert after(diff, problem) == {"q.sql": "-- new\nselect\n"}


def test_files_may_end_without_a_newline() -> None:
    [change] = parse_diff(
        "--- x\n+++ x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    )
    assert apply_hunks("a", change.hunks) == "b"
    [change] = parse_diff("--- x\n+++ x\n@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+b\n+c\n")
    assert apply_hunks("a", change.hunks) == "b\nc\n"
    assert apply_hunks("a\nb", parse_diff("--- x\n+++ x\n@@ -1,1 +1,1 @@\n-a\n+c\n")[0].hunks) == "c\nb"


def test_files_may_be_deleted_and_blank_context_may_lose_its_space() -> None:
    problem = BugProblem({"a.py": "x\n\ny\n", "b.py": "z\n"}, PROBLEM.tests)
    diff = "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n x\n\n-y\n+w\n--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-z\n"
    assert after(diff, problem) == {"a.py": "x\n\nw\n"}


@pytest.mark.parametrize(
    "answer",
    [
        f"**stats.py**\n```python\n{FIXED}```",
        f"`stats.py`:\n\n```python\n{FIXED}```",
        f"### File: stats.py\n```\n{FIXED}```",
        f"Here is the corrected version of stats.py:\n```python\n{FIXED}```",
        f"```python stats.py\n{FIXED}```",
        f"```python:stats.py\n{FIXED}```",
        f'```python title="stats.py"\n{FIXED}```',
        f"```python\n{FIXED}```",  # there is only one file
        f"```python\n{MEAN}```\nNo:\n```python\n{FIXED}```",
    ],
)
def test_whole_files_are_headed_by_their_path(answer: str) -> None:
    assert after(answer) == {"stats.py": FIXED}


def test_a_block_without_a_path_is_no_file_where_there_are_several() -> None:
    problem = BugProblem({"a.py": "x\n", "b.py": "y\n"}, PROBLEM.tests)
    assert refused("```python\nz\n```", problem)[0] == "no patch"
    assert after("File: __init__.py\n```python\nz\n```", problem)["__init__.py"] == "z\n"
    assert after("src/new_module.py\n```python\nz\n```", problem)["src/new_module.py"] == "z\n"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot.",
        "```text\nhello\n```",
        DIFF.replace("-    ret", "     ret").replace("+    return total / len(values)\n", ""),
    ],
)
def test_no_change_is_no_patch(answer: str) -> None:
    assert refused(answer)[0] == "no patch"


@pytest.mark.parametrize(
    "path",
    [
        "../stats.py",
        "/etc/passwd",
        "a/../../x.py",
        "~/x.py",
        "C:/x.py",
        "a\\b.py",
        "b/tests/test_stats.py",
        "./tests/test_plain.py",
    ],
)
def test_a_change_cannot_leave_the_folder_or_touch_a_test(path: str) -> None:
    diff = f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-x\n+y\n"
    assert refused(diff)[0] == "patch refused"
    new = f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+y\n"
    assert refused(new)[0] == "patch refused"
    assert refused(f"{path.removeprefix('b/')}\n```python\ny\n```")[0] == "patch refused"


@pytest.mark.parametrize(
    "diff",
    [
        "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n"
        "+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
        "diff --git a/x b/x\nnew file mode 160000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n",
        "diff --git a/stats.py b/x.py\nrename from stats.py\nrename to x.py\n" + DIFF,
        "diff --git a/x b/x\nBinary files a/x and b/x differ\n" + DIFF,
        "GIT binary patch\n" + DIFF,
        "--- a/stats.py\n+++ b/other.py\n" + DIFF.partition("b/stats.py\n")[2],
    ],
)
def test_links_renames_and_binary_files_are_refused(diff: str) -> None:
    assert refused(diff)[0] == "patch refused"


@pytest.mark.parametrize(
    "path",
    [
        "unittest.py",
        "unittest/__init__.py",
        "json.py",
        "tests/random.py",
        "conftest.py",
        "sitecustomize.py",
        "src/abc.py",
    ],
)
def test_modules_that_stand_in_for_others_are_refused(path: str) -> None:
    assert refused(f"{path}\n```python\nx = 1\n```")[0] == "patch refused"
    mine = BugProblem({path: "x = 0\n"}, PROBLEM.tests)  # the problem's own may be repaired
    assert after(f"{path}\n```python\nx = 1\n```", mine) == {path: "x = 1\n"}


def test_a_path_cannot_be_file_and_folder() -> None:
    assert refused("stats.py/x.py\n```python\nx = 1\n```")[0] == "patch refused"


@pytest.mark.parametrize(
    "diff", ["--- a/stats.py\n+++ b/stats.py\n", "--- a/stats.py\n+++ b/stats.py\n@@ -1 +1 @@\nnothing\n"]
)
def test_what_is_no_diff_does_not_apply(diff: str) -> None:
    assert refused(diff)[0] == "patch does not apply"


# -- which tests there are


def test_tests_are_read_out_of_their_source() -> None:
    source = (
        "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\n    def helper(self): pass\n"
        "class Other(Base):\n    def test_b(self): pass\n    @unittest.skip('no')\n    def test_c(self): pass\n"
        "@unittest.skipIf(True, 'no')\nclass Left(Base):\n    def test_d(self): pass\n"
        "def test_e(x=1): pass\ndef helper(): pass\n"
    )
    assert expected_tests({"t.py": source, "data.txt": "x"}) == (
        "t.py::Base.test_a",
        "t.py::Other.test_a",
        "t.py::Other.test_b",
        "t.py::test_e",
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = 1", "there is no test"),
        ("def test_a(tmp_path): pass", "needs pytest"),
        ("@pytest.mark.parametrize('x', [1])\ndef test_a(x=1): pass", "needs pytest"),
        ("async def test_a(): pass", "needs pytest"),
        ("class TestA:\n    def test_a(self): pass", "is no unittest.TestCase"),
        ("def", "are no Python"),
    ],
)
def test_tests_of_other_kinds_are_the_problems_fault(source: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        expected_tests({"t.py": source})
    with pytest.raises(GraderFailure, match="verifier error: patch"):
        run_unit_tests(
            BugProblem({"a.py": ""}, {"t.py": source}), {"a.py": "x"}, Played(lambda *_: outcome())
        )


def test_helpers_of_tests_are_found_and_modules_of_the_problem_are_not_hidden() -> None:
    problem = BugProblem(
        {"pkg/__init__.py": "", "utils.py": ""},
        {
            "tests/__init__.py": "",
            "tests/test_a.py": "",
            "tests/utils.py": "",
            "pkg/tests/test_b.py": "",
            "tests/data.txt": "",
        },
    )
    names, packages = module_names(problem)
    assert names["tests"] == "tests/__init__.py"
    assert names["tests.utils"] == "tests/utils.py"
    assert "utils" not in names
    assert names["test_a"] == names["tests.test_a"] == "tests/test_a.py"
    assert names["pkg.tests.test_b"] == "pkg/tests/test_b.py"
    assert packages == ["pkg.tests", "tests"]


def test_only_lines_with_this_runs_word_count() -> None:
    report = read_report("w passed a\nx passed b\npassed c\nw failed a\nw passed a\nw passed d\nw  \n", "w")
    assert report == {"a": "failed", "d": "passed"}


@pytest.mark.parametrize("key", ["files", "tests"])
def test_a_problem_of_another_form_says_why(key: str) -> None:
    whole = {"files": {"a.py": "x"}, "tests": {"t.py": "y"}}
    for value in (None, [], {}, {"../a.py": "x"}, {"a.py": 1}, {"/a.py": "x"}):
        with pytest.raises(ValueError, match=f"`{key}`"):
            BugProblem.read({**whole, key: value})
    with pytest.raises(ValueError, match="is no test"):
        BugProblem.read({"files": {"a.py": "x"}, "tests": {"a.py": "y"}})
    with pytest.raises(ValueError, match="unknown key 'test'"):
        BugProblem.read({**whole, "test": {}})


# -- running them


def run(executor: Executor, stats: str, tests: dict[str, str] | None = None) -> CodeVerdict:
    problem = BugProblem(PROBLEM.files, tests or PROBLEM.tests, cpu_seconds=2.0)
    return run_unit_tests(problem, {"stats.py": stats}, executor)


def test_a_right_change_is_accepted_and_the_bug_is_not(executor: Executor) -> None:
    right = judge_patch(PROBLEM, DIFF, executor)
    assert (right.kind, right.score, right.total) == ("accepted", 1.0, 3)
    assert (run(executor, MEAN).kind, run(executor, MEAN).score) == ("tests failed", 0.0)


def test_every_way_of_failing_has_its_name(executor: Executor) -> None:
    for source, kind in (
        ("def mean(values): return 0\n", "tests failed"),
        ("def mean(values: return 0\n", "tests failed"),
        ("def mean(values):\n    while True: pass\n", "time limit"),
        ("x = bytearray(1 << 33)\n", "tests failed"),
        ("import os\nos._exit(0)\n", "runtime error"),
        ("import os, signal\ndef mean(v): os.kill(os.getpid(), signal.SIGSEGV)\n", "runtime error"),
        # Nobody but the kernel, out of memory, ends a program so: the sandbox cannot tell it from this.
        ("import os, signal\ndef mean(v): os.kill(os.getpid(), signal.SIGKILL)\n", "memory limit"),
    ):
        assert run(executor, source).kind == kind, source


def test_fixtures_subtests_helpers_and_packages_work(executor: Executor) -> None:
    problem = BugProblem(
        {
            "pkg/__init__.py": "from .core import twice\n",
            "pkg/core.py": "def twice(x):\n    return x\n",
            "pkg/data.txt": "4\n",
        },
        {
            "pkg/tests/test_core.py": (
                "import os, unittest\nfrom unittest import mock\nfrom pkg import twice\n"
                "from pkg.tests.help import NUMBERS\n"
                "class T(unittest.TestCase):\n"
                "    @classmethod\n    def setUpClass(cls): cls.k = 2\n"
                "    def setUp(self): self.here = os.path.dirname(__file__)\n"
                "    def test_numbers(self):\n        for n in NUMBERS:\n            with self.subTest(n=n):\n"
                "                self.assertEqual(twice(n), self.k * n)\n"
                "    def test_data(self):\n"
                "        with open('pkg/data.txt') as f: self.assertEqual(twice(2), int(f.read()))\n"
                "    def test_mock(self):\n        m = mock.Mock()\n        m(twice(1), x=1)\n"
                "        m.assert_called_once_with(2, x=mock.ANY)\n"
                "        self.assertEqual(m.mock_calls, [mock.call(2, x=mock.ANY)])\n"
                "    def test_raises(self):\n        with self.assertRaises(TypeError): twice()\n"
                "        self.assertRaises(TypeError, twice, 1, 2)\n"
                "    @unittest.skip('later')\n    def test_later(self): self.fail()\n"
                "    @unittest.expectedFailure\n    def test_known(self): self.fail()\n"
            ),
            "pkg/tests/help.py": "NUMBERS = [1, 2, 3]\n",
        },
    )
    assert (
        judge_patch(problem, "pkg/core.py\n```python\ndef twice(x):\n    return 2 * x\n```", executor).kind
        == "accepted"
    )
    wrong = "pkg/core.py\n```python\ndef twice(x):\n    return 2 * x if x != 3 else 0\n```"
    assert judge_patch(problem, wrong, executor).kind == "tests failed"


@pytest.mark.parametrize("what", ATTACKS)
def test_imitated_success_is_none(executor: Executor, what: str) -> None:
    verdict = run(executor, ATTACKS[what])
    assert verdict.kind in ("tests failed", "runtime error", "tampering"), what
    assert verdict.score == 0.0
