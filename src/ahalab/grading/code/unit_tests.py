"""Running unit tests over changed files in the sandbox, and believing what comes of it only so far.

Code under test shares its process with the tests: they call it. So a hostile change can, in the end, imitate success.
What stands in its way is described in docs/code.md, with what is left open: every expected test has to be reported as
passed, by name, with a word that is made for each run; what is expected is read out of the tests here, not there.
"""

from __future__ import annotations

import ast
import json
import secrets
from collections.abc import Iterator, Mapping

from ahalab.grading.code.budget import check_starved
from ahalab.grading.code.contest import end, inside
from ahalab.grading.code.patched import BugProblem
from ahalab.grading.code.verdicts import CaseVerdict, CodeVerdict, bad_end, summed_up
from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor, Outcome, Program

FOLDER = "repository"
"""Folder of the files inside the sandbox's: their names cannot meet those of the sandbox's own."""

_TEST_CASES = ("TestCase", "IsolatedAsyncioTestCase")
_LEFT_OUT = ("skip", "skipIf", "skipUnless", "expectedFailure")


def run_unit_tests(problem: BugProblem, files: Mapping[str, str], executor: Executor) -> CodeVerdict:
    """The verdict on changed files: accepted when every test of the problem passes.

    Raises:
        GraderFailure: the tests are of a kind that is not run here, or the machine was too busy to tell.
        SandboxFailure: the sandbox failed.
    """
    try:
        expected = expected_tests(problem.tests)
    except ValueError as error:
        raise GraderFailure(f"verifier error: patch: {error}") from error
    word = secrets.token_hex(16)
    sources = {path: text for path, text in problem.tests.items() if path.endswith(".py")}
    beside = {path: text for path, text in problem.tests.items() if path not in sources}
    names, packages = module_names(problem)
    paths = dict.fromkeys(name.partition("::")[0] for name in expected)
    asked = {
        "word": word,
        "folder": FOLDER,
        "tests": sources,
        "names": names,
        "packages": packages,
        "modules": {path: next(name for name in names if names[name] == path) for path in paths},
    }
    program = Program(
        "python",
        inside("unit_tests.py"),
        {f"{FOLDER}/{path}": text for path, text in {**files, **beside}.items()},
    )
    outcomes = executor.run(program, [json.dumps(asked)], problem.limits())
    try:
        outcome = next(outcomes, None)
    finally:
        end(outcomes)
    if outcome is None:
        raise GraderFailure("sandbox failure: it gave no outcome for unit tests")
    check_starved(outcome, problem.limits())
    return _verdict(outcome, read_report(outcome.stdout, word), expected)


def expected_tests(tests: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the tests, as "path::function" and "path::Class.method", read out of their source.

    Tests that are skipped or expected to fail by a decorator are left out.

    Raises:
        ValueError: a test's source is no Python, there is no test, or one needs what only pytest has.
    """
    found: list[str] = []
    for path, source in tests.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                raise ValueError(f"the tests in {path} are no Python: {error}") from None
            found += (f"{path}::{name}" for name in _of_module(tree, path))
    if not found:
        raise ValueError(
            "there is no test: neither methods of a unittest.TestCase nor functions named test_…"
        )
    return tuple(found)


def module_names(problem: BugProblem) -> tuple[dict[str, str], list[str]]:
    """How test modules are imported: (module name → path, packages that only tests lie in).

    A test's helper is known by its whole name, and by its bare one where no file of the problem has it.
    """
    sources = [path for path in problem.tests if path.endswith(".py")]
    names: dict[str, str] = {}
    for path in sources:
        names.setdefault(path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"), path)
    taken = {path.removeprefix("src/").partition("/")[0].removesuffix(".py") for path in problem.files}
    for path in sources:
        bare = path.rpartition("/")[2].removesuffix(".py")
        if bare != "__init__" and bare not in taken:
            names.setdefault(bare, path)
    folders = {
        "/".join(path.split("/")[:depth]) for path in sources for depth in range(1, path.count("/") + 1)
    }
    alone = [
        folder
        for folder in sorted(folders)
        if not any(path.startswith(f"{folder}/") for path in problem.files)
    ]
    return names, [folder.replace("/", ".") for folder in alone]


def read_report(stdout: str, word: str) -> dict[str, str]:
    """Test → what the runner says of it, worst first; lines without this run's word are nobody's."""
    found: dict[str, str] = {}
    for line in stdout.splitlines():
        given, _, said = line.partition(" ")
        result, _, name = said.partition(" ")
        if given == word and name:
            found[name] = result if found.get(name, "passed") == "passed" else found[name]
    return found


def _verdict(outcome: Outcome, report: Mapping[str, str], expected: tuple[str, ...]) -> CodeVerdict:
    share = outcome.cpu_seconds / len(expected)
    if "tampered" in report.values():
        return summed_up([CaseVerdict("tampering", share)], len(expected), partial=False)
    # What its own decorator skips is expected of nobody; what skips itself on the way has not passed.
    failed = [
        name
        for name, result in report.items()
        if result != "passed" and not (result == "skipped" and name not in expected)
    ]
    missing = [name for name in expected if name not in report]
    passed = [CaseVerdict("accepted", share) for name in expected if report.get(name) == "passed"]
    ended = bad_end(outcome)
    if not failed and not missing and ended is None:
        return summed_up(passed, len(expected), partial=False)
    if failed:
        case = CaseVerdict("tests failed", share, f"{failed[0]} {report[failed[0]]}")
    else:
        # The runner always ends by itself: whoever ended the process before, it was not the runner.
        case = ended or CaseVerdict("runtime error", share, f"it ended before {missing[0]}")
    return summed_up([*passed, case], len(expected), partial=False)


def _of_module(tree: ast.Module, path: str) -> Iterator[str]:
    classes: dict[str, ast.ClassDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            if isinstance(node, ast.AsyncFunctionDef) or _needs_arguments(node) or node.decorator_list:
                raise ValueError(
                    f"{path}: {node.name} needs pytest (fixtures, marks, async), which is not there"
                )
            yield node.name
        elif isinstance(node, ast.ClassDef):
            classes[node.name] = node
            chain = _in_file(node, classes)
            methods = {name: method for one in reversed(chain) for name, method in _test_methods(one)}
            if not any(_is_test_case(one) for one in chain):
                if methods and node.name.startswith("Test"):
                    raise ValueError(
                        f"{path}: {node.name} is no unittest.TestCase; only pytest runs its methods"
                    )
                continue
            if not any(map(_left_out, node.decorator_list)):
                yield from (
                    f"{node.name}.{name}"
                    for name, method in methods.items()
                    if not any(map(_left_out, method.decorator_list))
                )


def _in_file(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and those of its bases that the file defines, nearest first."""
    found, open_ = [], [node]
    while open_:
        one = open_.pop(0)
        if one not in found:
            found.append(one)
            open_ += [
                classes[base.id]
                for base in one.bases
                if isinstance(base, ast.Name) and base.id in classes and classes[base.id] is not one
            ]
    return found


def _test_methods(node: ast.ClassDef) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test"):
            yield one.name, one


def _is_test_case(node: ast.ClassDef) -> bool:
    return any(_last_name(base) in _TEST_CASES for base in node.bases)


def _left_out(decorator: ast.expr) -> bool:
    return _last_name(decorator.func if isinstance(decorator, ast.Call) else decorator) in _LEFT_OUT


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _needs_arguments(node: ast.FunctionDef) -> bool:
    arguments = node.args
    plain = len(arguments.posonlyargs) + len(arguments.args)
    optional_ = sum(default is not None for default in arguments.kw_defaults)
    return plain > len(arguments.defaults) or len(arguments.kwonlyargs) > optional_
