# ruff: noqa: PT009, PT027
"""Runs unit tests over code that may be hostile. Runs inside the sandbox; it is told which modules hold tests.

In, on stdin: {"word", "folder", "tests": {path: source}, "names": {module: path}, "packages": [module], "modules":
{path: module}}. Out: a line a test, "<word> passed <name>", or `failed`, `skipped`, `tampered` in place of `passed`.

The code under test runs in this very process and can do whatever Python can. So none of this is proof; it makes
success expensive to imitate. Tests never lie on disk; the word is nowhere but in a function's frame; unittest and the
tests' own classes are looked over after every test; tests that have to fail are run among the others; and whatever a
test compares or asserts must not equal an object that nothing equals.
"""

import ast
import builtins
import importlib
import importlib.abc
import importlib.util
import json
import os
import sys
import types
import unittest
from collections.abc import Callable
from typing import Any

Report = Callable[[str, str], None]

DEFINED_IN_PYTHON = 1 << 9
"""CPython's Py_TPFLAGS_HEAPTYPE."""
flags_of = type.__dict__["__flags__"].__get__


class MustFail(unittest.TestCase):
    """Tests that fail wherever unittest is as it was."""

    def test_equal(self) -> None:
        self.assertEqual(1, 2)

    def test_true(self) -> None:
        self.assertTrue(False)

    def test_raises(self) -> None:
        with self.assertRaises(ValueError):
            pass

    def test_in(self) -> None:
        self.assertIn(1, [])

    def test_is_none(self) -> None:
        self.assertIsNone(1)

    def test_fail(self) -> None:
        self.fail("as it must")

    def test_error(self) -> None:
        raise KeyError("as it must")

    def test_assert(self) -> None:
        assert not self


class Nothing:
    """Equal to itself alone."""


class Tampered(BaseException):
    """Something equals everything. No `except Exception` catches it."""


def any_of_mock() -> type | None:
    """The type of `unittest.mock.ANY`, which may equal everything: tests use it on their own side."""
    mock = sys.modules.get("unittest.mock")
    return None if mock is None else type(getattr(mock, "ANY", None))


def honest(value: Any) -> Any:
    """The value; Tampered where it, or something in it, claims to equal an object that nothing equals."""
    open_, looked = [value], 0
    while open_ and looked < 10_000:
        one = open_.pop()
        looked += 1
        kind = type(one)
        if kind in (list, tuple, set, frozenset):
            open_.extend(one)
        elif kind is dict:
            open_.extend(one)
            open_.extend(one.values())
        elif flags_of(kind) & DEFINED_IN_PYTHON and kind is not any_of_mock():
            try:
                lies = one == Nothing()
            except Exception:
                continue
            if lies is True:
                raise Tampered("it equals everything")
    return value


class Watchful(ast.NodeTransformer):
    """Puts `honest` around what tests compare and what they hand to assert methods."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _wrapped(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant | ast.Starred):
            return node
        call = ast.Call(func=ast.Name(id=self.name, ctx=ast.Load()), args=[node], keywords=[])
        return ast.copy_location(call, node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        node.left = self._wrapped(node.left)
        node.comparators = [self._wrapped(one) for one in node.comparators]
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr.startswith("assert"):
            node.args = [self._wrapped(one) for one in node.args]
        return node


class FromMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports test modules from their sources, before anything that lies on disk."""

    def __init__(self, tests: dict[str, str], names: dict[str, str], packages: list[str], guard: str) -> None:
        self.tests, self.names, self.packages, self.guard = tests, names, packages, guard
        self.here = os.getcwd()  # noqa: PTH109

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if name not in self.names and name not in self.packages:
            return None
        package = name in self.packages or self.names[name].endswith("__init__.py")
        spec = importlib.util.spec_from_loader(name, self, is_package=package)
        if package and spec is not None:
            spec.submodule_search_locations = [os.path.join(self.here, *name.split("."))]  # noqa: PTH118
        return spec

    def create_module(self, spec: Any) -> None:  # noqa: ARG002
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        path = self.names.get(module.__name__)
        if path is None:
            return
        tree = ast.fix_missing_locations(Watchful(self.guard).visit(ast.parse(self.tests[path], path)))
        module.__file__ = os.path.join(self.here, path)  # noqa: PTH118
        module.__dict__[self.guard] = honest
        exec(compile(tree, path, "exec"), module.__dict__)

    def load(self, name: str) -> types.ModuleType:
        """The module, made here and now: not one that somebody else has put in its place."""
        parent = name.rpartition(".")[0]
        if parent:
            importlib.import_module(parent)
        module = types.ModuleType(name)
        module.__spec__, module.__package__ = self.find_spec(name), parent
        sys.modules[name] = module
        self.exec_module(module)
        return module


class Watch:
    """Remembers how the machinery of the tests was, and says whether it still is."""

    def __init__(self) -> None:
        self.originals = (AssertionError, BaseException, isinstance, getattr, type)
        self.of_unittest = dir(unittest.TestCase)
        self.parts: list[tuple[Any, str, Any, Any]] = []
        self.names: list[tuple[type, frozenset[str]]] = []
        self.classes: list[tuple[type, frozenset[str]]] = []
        self.guards: list[tuple[types.ModuleType, str]] = []

    def add(self, *owners: Any) -> None:
        """Modules and classes of the machinery: what they define may not change, and classes get nothing new."""
        for owner in owners:
            self._add_parts(owner)
            if isinstance(owner, type):
                self.names.append((owner, frozenset(vars(owner))))

    def add_tests(self, module: types.ModuleType, guard: str, classes: list[type]) -> None:
        """Test classes may get attributes, but no method of unittest's in another form."""
        self.guards.append((module, guard))
        for one in classes:
            self._add_parts(one)
            self.classes.append((one, frozenset(vars(one))))

    def intact(self, test: object = None) -> bool:
        """Whether all is as it was; also within the test that has just ended."""
        traced = sys.gettrace() is not None or sys.getprofile() is not None
        return (
            not traced
            and tuple(getattr(builtins, one.__name__) for one in self.originals) == self.originals
            and all(
                vars(owner).get(name) is value and getattr(value, "__code__", None) is code
                for owner, name, value, code in self.parts
            )
            and all(frozenset(vars(owner)) == names for owner, names in self.names)
            and all(vars(module).get(guard) is honest for module, guard in self.guards)
            and not any(self._overridden(owner, known) for owner, known in self.classes)
            and not (isinstance(test, unittest.TestCase) and self._overridden(test, frozenset()))
        )

    def _add_parts(self, owner: Any) -> None:
        for name, value in list(vars(owner).items()):
            if callable(value) or isinstance(value, property | staticmethod | classmethod):
                self.parts.append((owner, name, value, getattr(value, "__code__", None)))

    def _overridden(self, owner: object, known: frozenset[str]) -> bool:
        return any(
            callable(value) and name in self.of_unittest and name not in known
            for name, value in list(vars(owner).items())
        )


class Result(unittest.TestResult):
    """Says what came of each test as soon as it is over."""

    def __init__(self, path: str, report: Report, watch: Watch) -> None:
        super().__init__()
        self.path, self.report, self.watch = path, report, watch
        self.came: dict[str, str] = {}

    def _name(self, test: Any) -> str:
        case = getattr(test, "test_case", test)  # of a subtest
        return f"{self.path}::{case.id().removeprefix(type(case).__module__ + '.')}"

    def _set(self, test: Any, result: str) -> None:
        self.came.setdefault(self._name(test), result)

    def addSuccess(self, test: Any) -> None:
        self._set(test, "passed")

    def addError(self, test: Any, err: Any) -> None:
        self._set(test, "tampered" if err[0] is Tampered else "failed")
        if not isinstance(test, unittest.TestCase):  # setUpClass or setUpModule
            self.report(self.came[self._name(test)], self._name(test))

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: ARG002
        self._set(test, "failed")

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: ARG002
        self._set(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: ARG002
        self._set(test, "skipped")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._set(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: ARG002
        if err is not None:
            self._set(test, "tampered" if err[0] is Tampered else "failed")

    def stopTest(self, test: Any) -> None:
        name = self._name(test)
        self.report(self.came.get(name, "failed") if self.watch.intact(test) else "tampered", name)


def case_classes(module: types.ModuleType) -> list[type[unittest.TestCase]]:
    """The module's own classes of tests."""
    return [
        value
        for value in list(vars(module).values())
        if isinstance(value, type)
        and issubclass(value, unittest.TestCase)
        and value.__module__ == module.__name__
    ]


def run_module(module: types.ModuleType, path: str, report: Report, watch: Watch) -> None:
    """Every test of one module."""
    for name, value in list(vars(module).items()):
        own = isinstance(value, types.FunctionType) and value.__module__ == module.__name__
        if name.startswith("test") and own:
            came = call(value)
            report(came if watch.intact() else "tampered", f"{path}::{name}")
    loader = unittest.TestLoader()
    cases = [one(name) for one in case_classes(module) for name in loader.getTestCaseNames(one)]
    try:
        unittest.TestSuite(cases).run(Result(path, report, watch))
    except Tampered:
        report("tampered", f"{path}::its run")
    except BaseException:
        report("failed", f"{path}::its run")


def call(function: types.FunctionType) -> str:
    """What came of a test that is a plain function."""
    try:
        function()
    except unittest.SkipTest:
        return "skipped"
    except Tampered:
        return "tampered"
    except BaseException:
        return "failed"
    return "passed"


def canaries_fail() -> bool:
    """Whether tests that must fail do."""
    for name in [name for name in vars(MustFail) if name.startswith("test_")]:
        result = unittest.TestResult()
        MustFail(name).run(result)
        if len(result.errors) + len(result.failures) != 1 or result.testsRun != 1 or result.wasSuccessful():
            return False
    return True


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    channel = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    word, tests, write = request.pop("word"), request["tests"], os.write

    def report(result: str, name: str) -> None:
        data = f"{word} {result} {name}\n".encode("utf-8", "replace")
        while data:
            data = data[write(channel, data) :]

    os.chdir(request["folder"])
    here = os.getcwd()  # noqa: PTH109
    folders = dict.fromkeys(os.path.join(here, os.path.dirname(path)) for path in tests)  # noqa: PTH118, PTH120
    sys.path[:0] = [here, os.path.join(here, "src"), *folders]  # noqa: PTH118
    guard = f"_{os.urandom(8).hex()}"
    memory = FromMemory(tests, request["names"], request["packages"], guard)
    sys.meta_path.insert(0, memory)
    watch = Watch()
    watch.add(unittest.TestCase, unittest.TestSuite, unittest.TestResult, unittest.TestLoader)
    watch.add(unittest.case, unittest.suite, Result, Watch, FromMemory, MustFail, sys.modules[__name__])
    # `import __main__` shall not find the runner.
    sys.modules["__main__"] = types.ModuleType("__main__")
    for path, name in request["modules"].items():
        try:
            module = memory.load(name)
        except BaseException as error:
            report("failed", f"{path}::import: {type(error).__name__}"[:300])
            continue
        watch.add_tests(module, guard, list(case_classes(module)))
        if not (watch.intact() and canaries_fail()):
            report("tampered", f"{path}::import")
        run_module(module, path, report, watch)
        if not canaries_fail():
            report("tampered", f"{path}::after")
    os._exit(0)  # threads that the code left behind are not waited for


if __name__ == "__main__":
    main()
