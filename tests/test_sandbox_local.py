"""Programs run here: what they print, how they end, what bounds them. With walls where they can be had, and without."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahalab.sandbox import filter, root
from ahalab.sandbox.local import LocalExecutor, check
from ahalab.sandbox.records import Outcome, Program, SandboxFailure
from sandbox_tools import QUICK, need_isolation, python

compiler = pytest.mark.skipif(root.compiler() is None, reason="not run: no C++ compiler here")


@pytest.fixture(scope="module", params=["walls", "limits alone"])
def executor(request: pytest.FixtureRequest) -> Iterator[LocalExecutor]:
    if request.param == "walls":
        need_isolation(request)
    made = LocalExecutor("own" if request.param == "walls" else "none")
    yield made
    made.close()


# Programs whose every byte must be what the plain interpreter prints.
LIKE_PLAIN = {
    "print": "print('a', 1, 2.5)",
    "input": "a, b = map(int, input().split())\nprint(a + b)\nprint(input())",
    "stdin lines": "import sys\nfor line in sys.stdin:\n    print(repr(line))",
    "stdin bytes": "import sys\nprint(sys.stdin.buffer.read())",
    "open 0": "print(open(0).read())",
    "end of input": "input()\ninput()\ninput()",
    "exit": "exit()",
    "quit 3": "quit(3)",
    "sys.exit 300": "import sys\nsys.exit(300)",
    "sys.exit text": "import sys\nsys.exit('no')",
    "raise SystemExit None": "raise SystemExit",
    "unclosed file": "f = open(1, 'w', closefd=False)\nf.write('late')",
    "unclosed buffer": "import io, sys\nout = io.BufferedWriter(io.FileIO(1, 'w', closefd=False))\nout.write(b'late')",
    "replaced stdout": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('x')",
    "atexit": "import atexit\natexit.register(print, 'bye')\nprint('hi')",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()",
    "names": "import sys\nprint(__name__, __doc__, __builtins__.len([1]), sys.argv[1:], type(sys.stdin).__name__)",
    "main": "class A: pass\nimport pickle\nprint(pickle.loads(pickle.dumps(A())).__class__.__module__)",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1))",
    "annotations": "x: list[int] = []\nprint(__annotations__)",
    "future": "from __future__ import annotations\ndef f(x: y): pass\nprint(f.__annotations__)",
    "unicode": "print('é 漢 😀')",
    "latin-1 source": "# -*- coding: latin-1 -*-\nprint(len('é'))",
    "del at end": "class A:\n    def __del__(self): print('gone')\na = A()",
    "recursion limit": "import sys\nprint(sys.getrecursionlimit())\ndef f(n): return n and 1 + f(n - 1)\nprint(f(900))",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3\nprint(asyncio.run(f()))",
    "hash order": "print({'a', 'b', 'c', 'd', 'e'} == set('edcba'))",
    "fork": "import os\nif os.fork() == 0:\n    print('child')\nelse:\n    os.wait()\n    print('parent')",
    "big output": "print('x' * 90_000)",
    "modules": "import json, decimal, fractions, bisect, random, statistics\nprint(random.Random(1).random())",
    "failing close": "import sys\nsys.stdout.close()",
    "signal handler": "import signal as s\ns.signal(s.SIGUSR1, lambda *_: print('got'))\ns.raise_signal(s.SIGUSR1)",
    "class named exit": "raise ValueError('x')",
    "stack of frames": "import sys\ndef f():\n    raise KeyError('k')\nf()",
}
STDIN = "1 2\nzwei ü\n"


@pytest.mark.parametrize("name", LIKE_PLAIN)
def test_a_warm_run_does_what_the_plain_interpreter_does(
    executor: LocalExecutor, name: str, tmp_path: Path
) -> None:
    source = LIKE_PLAIN[name]
    (tmp_path / "main.py").write_text(source)
    plain = subprocess.run(
        [root.interpreter(), "-I", "-X", "utf8", str(tmp_path / "main.py"), "one", "two"],
        input=STDIN.encode(),
        capture_output=True,
        env={"LANG": "C.UTF-8"},
        timeout=30,
    )
    outcome = python(executor, source, STDIN, dataclasses.replace(QUICK, cpu_seconds=5.0), ("one", "two"))
    assert (outcome.stdout, outcome.exit_code) == (plain.stdout.decode(), plain.returncode), outcome.stderr
    assert (outcome.status == "ok") == (plain.returncode == 0)
    # Tracebacks name the same lines and errors; the paths differ.
    assert outcome.stderr.splitlines()[-1:] == plain.stderr.decode().splitlines()[-1:]
    assert outcome.stderr.count("File ") == plain.stderr.decode().count("File ")


def test_two_runs_of_a_program_print_the_same_order_of_a_set(executor: LocalExecutor) -> None:
    source = "print({'a', 'b', 'c', 'd', 'e', 'f', 'g'})"
    other = LocalExecutor("none")
    try:
        assert (
            python(executor, source).stdout == python(executor, source).stdout == python(other, source).stdout
        )
    finally:
        other.close()


def test_a_traceback_shows_the_programs_own_lines_and_none_of_ours(executor: LocalExecutor) -> None:
    outcome = python(executor, "def f():\n    return 1 / 0\nf()")
    assert (outcome.status, outcome.exit_code) == ("runtime error", 1)
    assert "return 1 / 0" in outcome.stderr
    assert outcome.stderr.count("main.py") == 2
    assert "jail" not in outcome.stderr


def test_a_program_that_does_not_compile_says_so_once_for_all_inputs(executor: LocalExecutor) -> None:
    outcomes = list(executor.run(Program("python", "print('x')\ndef f(:\n"), ["", "1", "2"], QUICK))
    assert [outcome.status for outcome in outcomes] == ["compile error"] * 3
    assert "SyntaxError" in outcomes[0].stderr
    assert "main.py" in outcomes[0].stderr
    assert outcomes[0].stdout == ""


def test_outcomes_come_in_order_and_only_when_asked_for(executor: LocalExecutor) -> None:
    program = Program("python", "print(int(input()) ** 2)")
    outcomes = executor.run(program, [*map(str, range(5)), "no number"], QUICK)
    assert [next(outcomes).stdout for _ in range(5)] == ["0\n", "1\n", "4\n", "9\n", "16\n"]
    outcomes.close()  # type: ignore[attr-defined]
    assert list(executor.run(program, [], QUICK)) == []
    assert python(executor, "print(1)").stdout == "1\n"


def test_files_lie_in_the_folder_and_can_be_imported(executor: LocalExecutor) -> None:
    outcome = python(
        executor,
        "import os, helper, package.part, heapq\nprint(helper.X, package.part.Y, open('data/t.txt').read(), heapq.Z)\n"
        "print(sorted(os.listdir('.')), sorted(os.listdir('data')))",
        files={
            "helper.py": "X = 1",
            "package/part.py": "Y = 2",
            "data/t.txt": "tüxt",
            "heapq.py": "Z = 3",  # goes before the library's, as for a plain script
        },
    )
    assert outcome.stdout.splitlines()[0] == "1 2 tüxt 3", outcome
    assert "'data', 'heapq.py', 'helper.py', 'package'" in outcome.stdout


def test_every_run_has_a_fresh_folder_and_fresh_modules(executor: LocalExecutor) -> None:
    source = "import os, json\nprint(os.listdir('.'), hasattr(json, 'mark'))\njson.mark = 1\nopen('f', 'w').close()"
    outcomes = list(executor.run(Program("python", source), ["", "", ""], QUICK))
    assert [outcome.stdout for outcome in outcomes] == ["[] False\n"] * 3


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/x": ""},
        {"../x": ""},
        {"a/../../x": ""},
        {"": ""},
        {".": ""},
        {"a\0b": ""},
        {"a": "", "a/b": ""},
        {"x" * 300: ""},
        {"\ud800": ""},
    ],
)
def test_paths_that_leave_the_folder_are_refused(files: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"folder|file of the program"):
        check(Program("python", "", files))


def test_text_that_is_no_utf_8_survives(executor: LocalExecutor) -> None:
    outcome = python(
        executor, "import sys\nsys.stdout.buffer.write(b'a\\xff\\xfeb')\nsys.stderr.buffer.write(b'\\xff')"
    )
    assert (outcome.stdout, outcome.stderr) == ("a\ufffd\ufffdb", "\ufffd")
    assert python(executor, "print('x')  # \ud800", "\ud800").stdout == "x\n"


def test_stderr_keeps_its_end(executor: LocalExecutor) -> None:
    outcome = python(executor, "import sys\nsys.stderr.write('x' * 50_000 + 'the end')")
    assert len(outcome.stderr) == 10_000
    assert outcome.stderr.endswith("the end")


def test_a_large_input_that_nobody_reads_is_no_trouble(executor: LocalExecutor) -> None:
    text = "x" * 5_000_000
    assert python(executor, "print('done')", text).stdout == "done\n"
    assert python(executor, "import sys\nprint(len(sys.stdin.read()))", text).stdout == "5000000\n"
    assert python(executor, "print(len(open('/dev/stdin').read()))", text).stdout == "5000000\n"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("while True: pass", "time limit"),
        ("import time\ntime.sleep(60)", "time limit"),
        ("import time\nwhile time.process_time() < 0.45: pass", "time limit"),
        ("import os\nfor _ in range(3):\n    os.fork()\nwhile True: pass", "time limit"),
        ("x = [0] * 10**9", "memory limit"),
        ("print('x' * 10**6)", "output limit"),
        ("import sys\nsys.stderr.write('x' * 10**6)", "output limit"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "runtime error"),
        ("import os\nos._exit(7)", "runtime error"),
        ("open('f', 'wb').write(b'x' * 10**7)", "runtime error"),
    ],
)
def test_every_limit_has_its_status(executor: LocalExecutor, source: str, status: str) -> None:
    limits = dataclasses.replace(QUICK, cpu_seconds=0.4, wall_seconds=1.5)
    outcome = python(executor, source, limits=limits)
    assert outcome.status == status, outcome
    assert outcome.wall_seconds < limits.wall_seconds + 3.0
    assert outcome.cpu_seconds < limits.cpu_seconds + 2.0
    assert len(outcome.stdout) <= limits.output_bytes


def test_exit_codes_and_signals_are_told_apart(executor: LocalExecutor) -> None:
    assert python(executor, "import os\nos._exit(7)").exit_code == 7
    assert python(executor, "import os\nos.abort()").exit_code is None
    assert (
        python(executor, "while True: pass", limits=dataclasses.replace(QUICK, cpu_seconds=0.2)).exit_code
        is None
    )


def test_processor_time_and_memory_are_measured(executor: LocalExecutor) -> None:
    outcome = python(executor, "import time\nx = b'x' * (50 * 2**20)\nwhile time.process_time() < 0.3: pass")
    assert 0.28 < outcome.cpu_seconds < 0.6
    assert outcome.memory_megabytes is not None
    assert 50 < outcome.memory_megabytes < 90


def test_a_program_may_use_the_memory_it_is_given(executor: LocalExecutor) -> None:
    limits = dataclasses.replace(QUICK, memory_megabytes=64)
    assert python(executor, "x = bytearray(60 * 2**20)\nprint('fits')", limits=limits).stdout == "fits\n"
    assert python(executor, "x = bytearray(80 * 2**20)", limits=limits).status == "memory limit"


def test_deep_recursion_has_room(executor: LocalExecutor) -> None:
    source = (
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
        "print(f(50_000))"
    )
    assert python(executor, source).stdout == "50000\n"
    threaded = "import sys, threading\nthreading.stack_size(2**26)\n" + source.replace(
        "print(f(50_000))", "t = threading.Thread(target=lambda: print(f(50_000)))\nt.start()\nt.join()"
    )
    assert (
        python(executor, threaded, limits=dataclasses.replace(QUICK, memory_megabytes=256)).stdout
        == "50000\n"
    )


def test_a_callers_time_out_in_the_middle_of_a_run_does_not_mix_up_answers(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import selectors

    class _TimeOut(BaseException):
        pass

    def interrupted(*_: object) -> None:
        raise _TimeOut

    assert python(executor, "print(1)").stdout == "1\n"
    with monkeypatch.context() as patch:
        patch.setattr(selectors.DefaultSelector, "select", interrupted)
        with pytest.raises(_TimeOut):
            python(executor, "print('the interrupted one')")
    assert python(executor, "print(2)").stdout == "2\n"


def test_without_walls_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    executor = LocalExecutor("none")
    try:
        outcome = python(executor, "import os\nopen('f', 'w').close()\nprint(os.getcwd())")
        assert outcome.stdout.strip()
        assert not Path(outcome.stdout.strip()).exists()
        leaving = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint('left')"
        began = python(executor, leaving)
        assert (began.status, began.stdout) == ("ok", "left\n")
        assert began.wall_seconds < 5
    finally:
        executor.close()


HELLO_CPP = (
    "#include <iostream>\nint main(int c, char **v) { int a; std::cin >> a; std::cout << a * 2 << v[1]; }"
)


@compiler
def test_cpp_is_compiled_once_and_run_for_every_input(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    original = LocalExecutor._one

    def counted(self: LocalExecutor, *arguments: object) -> tuple[Outcome, bytes]:
        calls.append(len(arguments) == 5)
        return original(self, *arguments)  # type: ignore[arg-type]

    python(executor, "print(1)")
    list(executor.run(Program("cpp", HELLO_CPP, arguments=("!",)), ["1"], QUICK))
    monkeypatch.setattr(LocalExecutor, "_one", counted)
    outcomes = list(executor.run(Program("cpp", HELLO_CPP, arguments=("!",)), ["1", "2", "3"], QUICK))
    assert [(outcome.status, outcome.stdout) for outcome in outcomes] == [
        ("ok", "2!"),
        ("ok", "4!"),
        ("ok", "6!"),
    ]
    assert calls == [True, False, False, False]


@compiler
def test_the_compilers_words_are_kept(executor: LocalExecutor) -> None:
    outcomes = list(executor.run(Program("cpp", "int main() { return x; }"), ["", ""], QUICK))
    assert [outcome.status for outcome in outcomes] == ["compile error"] * 2
    assert "main.cpp" in outcomes[0].stderr
    assert "x" in outcomes[0].stderr.split("error:")[1]


@compiler
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return 0;", "ok"),
        ("return 3;", "runtime error"),
        ("throw 1;", "runtime error"),
        ("volatile int *p = nullptr; *p = 1;", "runtime error"),
        ("std::vector<int> v(100000000, 1); return v[5] - 1;", "memory limit"),
        ('for (;;) std::cout << "xxxxxxxxxxxxxxxxxxxxxxxxxxxx\\n";', "output limit"),
    ],
)
def test_cpp_programs_have_their_verdicts(executor: LocalExecutor, body: str, status: str) -> None:
    source = f"#include <iostream>\n#include <vector>\nint main() {{ {body} }}"
    outcome = next(executor.run(Program("cpp", source), [""], QUICK))
    assert outcome.status == status, outcome


@compiler
def test_cpp_with_headers_of_its_own_and_everything_included(executor: LocalExecutor) -> None:
    source = '#include <bits/stdc++.h>\n#include "twice.h"\nint main() { std::cout << twice(21); }'
    program = Program("cpp", source, {"twice.h": "inline int twice(int x) { return 2 * x; }"})
    outcome = next(executor.run(program, [""], QUICK))
    assert (outcome.status, outcome.stdout) == ("ok", "42"), outcome


def test_without_a_compiler_cpp_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "compiler", lambda: None)
    executor = LocalExecutor("none")
    with pytest.raises(SandboxFailure, match=r"no C\+\+ compiler is installed .*apt-get install g\+\+"):
        list(executor.run(Program("cpp", HELLO_CPP), [""], QUICK))


@compiler
def test_a_compiler_that_does_not_work_is_the_sandboxs_failure_not_the_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho cannot find cc1plus >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(root, "compiler", lambda: str(broken))
    executor = LocalExecutor("none")
    try:
        with pytest.raises(SandboxFailure, match=r"does not work within the sandbox: .*cannot find cc1plus"):
            list(executor.run(Program("cpp", HELLO_CPP), [""], QUICK))
    finally:
        executor.close()


def test_without_libseccomp_the_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter, "LIBRARY", "libnothing.so.9")
    filter.compiled.cache_clear()
    try:
        with pytest.raises(filter.FilterError, match=r"libnothing\.so\.9.*apt-get install libseccomp2"):
            filter.compiled()
    finally:
        filter.compiled.cache_clear()


def test_the_interpreter_shown_is_the_one_behind_the_virtual_environment() -> None:
    assert Path(root.interpreter()).is_file()
    assert not Path(root.interpreter()).is_symlink()
    shown = root.visible(tools=False)
    assert not any(
        path.startswith(str(Path(sys.prefix))) for path in shown.visible if sys.prefix != sys.base_prefix
    )
    assert all(folder.endswith("-packages") for folder in shown.empty)


def test_a_cold_executor_gives_the_same_outcomes(request: pytest.FixtureRequest) -> None:
    need_isolation(request)
    cold = LocalExecutor(warm=False)
    try:
        outcomes = list(cold.run(Program("python", "print(int(input()) + 1)"), ["1", "2"], QUICK))
        assert [outcome.stdout for outcome in outcomes] == ["2\n", "3\n"]
        assert cold.pids == []
    finally:
        cold.close()
