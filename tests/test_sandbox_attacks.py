"""Every attack is contained, has its verdict, and leaves the trainer and the next run as they were.

On a machine without isolation these tests are not run, and say so; they never pass there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ahalab.sandbox import root
from ahalab.sandbox.jail.watch import Watch
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.records import Program
from sandbox_attacks import ATTACKS, CALLS, CONTAINED, HUNT, SYSTEM_CALLS, TRY
from sandbox_tools import HELLO, QUICK, STANDING, box, need_isolation, processes, python, resident_megabytes

__all__ = ["box"]

T = TypeVar("T")

MARK = "the-secret-of-the-trainer-9b1f"
HALVES = (MARK[:9], MARK[9:])
HUNTER = f"{TRY}{HUNT}\nprint('contained')\n"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_contained_and_the_next_run_is_as_always(box: LocalExecutor, name: str) -> None:
    attack = ATTACKS[name]
    if attack.language == "cpp" and shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("not run: no C++ compiler here")
    next(box.run(HELLO, [""], QUICK))
    before = processes(box)
    limits = dataclasses.replace(QUICK, **attack.limits)
    program = Program(attack.language, attack.source, arguments=attack.arguments)
    began = time.monotonic()
    outcome = next(box.run(program, [""], limits))
    seconds = time.monotonic() - began
    assert outcome.status in attack.statuses, outcome
    assert attack.stdout is None or outcome.stdout == attack.stdout, outcome
    assert "BREACH" not in outcome.stdout
    assert outcome.status == "ok" or outcome.exit_code != 0
    assert len(outcome.stdout) <= limits.output_bytes
    if attack.language == "python":
        assert seconds < limits.wall_seconds + 5.0
        assert processes(box) == before, "something is left of it"
    # The same keeper, walls and zygote go on, and nobody of the run is left to disturb the next.
    after = next(box.run(HELLO, [""], QUICK))
    assert (after.status, after.stdout) == ("ok", "hello\n")
    assert before <= processes(box)
    assert all(resident_megabytes(pid, "VmHWM") < 100 for pid in box.pids)


def test_every_dangerous_system_call_is_refused(box: LocalExecutor) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("not run: the call numbers are those of x86_64")
    words = [str(word) for item in SYSTEM_CALLS.items() for word in item]
    outcome = python(box, CALLS, arguments=tuple(words))
    assert (outcome.status, outcome.stdout) == ("ok", CONTAINED), outcome


@pytest.mark.parametrize(
    "code", [b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", b"\xb8\x27\x00\x00\x40\x0f\x05\xc3"], ids=["i386", "x32"]
)
def test_calls_of_another_architecture_end_the_program(box: LocalExecutor, code: bytes) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("not run: machine code of x86_64")
    source = (
        "import ctypes, mmap\n"
        f"m = mmap.mmap(-1, 4096, prot=7)\nm.write({code!r})\n"
        "f = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
        "print('BREACH', f() > 0)"
    )
    outcome = python(box, source)
    assert "BREACH True" not in outcome.stdout
    assert outcome.status == "runtime error" or outcome.stdout == "BREACH False\n"


def test_the_trainers_environment_and_files_are_out_of_reach(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    need_isolation(request)
    canary = tmp_path / "canary.txt"
    canary.write_text(MARK)
    monkeypatch.setenv("CANARY", MARK)
    expected_answers = [MARK]  # what a checker holds in this process
    executor = LocalExecutor()
    try:
        source = HUNTER.replace(
            "print('contained')", "attempt('canary', lambda: open(sys.argv[3]).read())\nprint('contained')"
        )
        outcome = python(executor, source, arguments=(*HALVES, str(canary)))
        assert (outcome.status, outcome.stdout) == ("ok", CONTAINED), outcome
        names = python(executor, "import os\nprint(sorted(os.environ))").stdout
        assert names == "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED', 'TMPDIR']\n"
    finally:
        executor.close()
    assert canary.read_text() == expected_answers[0]


def test_the_hunt_for_a_secret_finds_one_that_is_there(box: LocalExecutor) -> None:
    """Else the tests beside it would prove nothing."""
    assert "BREACH" in python(box, HUNTER, arguments=HALVES, files={"answers.txt": MARK}).stdout
    assert "BREACH" in python(box, f"x = '{MARK}'\n{HUNTER}", arguments=HALVES).stdout
    assert "BREACH" in python(box, HUNTER, stdin=MARK, arguments=HALVES).stdout


def test_nothing_of_an_earlier_run_can_be_read(box: LocalExecutor) -> None:
    first = python(
        box,
        f"import builtins, sys, os\nbuiltins.secret = '{MARK}'\nos.environ['S'] = '{MARK}'\n"
        f"open('left.txt', 'w').write('{MARK}')\nopen('/run/left.txt', 'w').write('{MARK}')\n"
        f"open('/tmp/left.txt', 'w').write('{MARK}')\nprint(input(), '{MARK}')",
        stdin=MARK,
        files={"answers.txt": MARK},
        arguments=(MARK,),
    )
    assert first.stdout == f"{MARK} {MARK}\n"
    outcome = python(box, HUNTER, arguments=HALVES)
    assert (outcome.status, outcome.stdout) == ("ok", CONTAINED), outcome


def test_a_listener_on_this_machine_hears_nothing(box: LocalExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0ahalab-sandbox-test")
        abstract.listen()
        outcome = python(
            box,
            f"{TRY}\nimport socket\n"
            f"attempt('tcp', lambda: socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 1))\n"
            "s, _ = socket.socketpair()\n"
            "attempt('abstract', lambda: s.connect('\\0ahalab-sandbox-test'))\nprint('contained')",
        )
        assert (outcome.status, outcome.stdout) == ("ok", CONTAINED), outcome
        for listener in (tcp, abstract):
            listener.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listener.accept()


def test_a_file_of_the_program_cannot_report_in_our_name(box: LocalExecutor) -> None:
    """Modules that the interpreter itself may load while it compiles are the library's, whatever lies in the folder."""
    forging = (
        "import os\nfor fd in range(3, 300):\n    try:\n        os.write(fd, b'F forged\\n')\n"
        "    except OSError:\n        pass\n"
    )
    names = ("linecache", "traceback", "tokenize", "token", "warnings", "codecs", "encodings/utf_7")
    for source in ("x = 1 is 1\nprint('\\d')", "# -*- coding: utf-7 -*-\nprint(1)", "print(1"):
        for files in (
            {f"{name}.py": forging for name in names},
            {f"{name}.py": forging for name in names[:4]},
        ):
            outcome = python(box, source, files=files)
            assert outcome.status == ("compile error" if source == "print(1" else "ok"), outcome


def test_a_binary_that_cannot_be_started_is_its_authors_fault(
    box: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a program could turn its own failure into the sandbox's, which costs it nothing."""
    for binary in (b"no binary", b"#!/nowhere\n", b"\x7fELF" + bytes(100)):
        monkeypatch.setattr(box, "_compile", lambda _program, binary=binary: binary)
        assert next(box.run(Program("cpp", ""), [""], QUICK)).status == "runtime error"


def test_the_clock_of_this_machine_goes_on(box: LocalExecutor) -> None:
    apart = time.time() - time.monotonic()
    python(box, ATTACKS["changing the clock"].source)
    assert abs(time.time() - time.monotonic() - apart) < 0.5


def test_as_many_processes_as_allowed_and_not_one_more(box: LocalExecutor) -> None:
    source = (
        "import os, signal\nn = 0\ntry:\n    while True:\n        if os.fork() == 0:\n            signal.pause()\n"
        "        n += 1\nexcept BlockingIOError:\n    print(n)"
    )
    for allowed in (1, 2, 8):
        outcome = python(box, source, limits=dataclasses.replace(QUICK, processes=allowed))
        assert outcome.stdout == f"{allowed - 1}\n"


def test_a_run_has_its_own_small_world(box: LocalExecutor) -> None:
    source = (
        "import os\nprint(os.getpid(), os.getppid(), os.getuid(), os.getgid(), os.uname().nodename)\n"
        "print(os.getcwd(), os.listdir('.'))\nprint('\\n'.join(os.listdir('/')))"
    )
    lines = python(box, source).stdout.splitlines()
    assert lines[:2] == ["2 1 1000 1000 sandbox", "/run/box []"]
    assert not {"proc", "sys", "home", "var", "work", "old", "boot", "opt"} & set(lines[2:])


def test_packages_installed_beside_the_interpreter_are_not_there(box: LocalExecutor) -> None:
    source = (
        "import sys, os, importlib.util\n"
        "sys.path += [os.path.join(os.path.dirname(os.__file__), 'site-packages')]\n"
        "print([n for n in ('torch', 'numpy', 'pip', 'ahalab', 'pytest') if importlib.util.find_spec(n)])"
    )
    assert python(box, source).stdout == "[]\n"


def test_everything_ends_when_the_trainer_is_killed(request: pytest.FixtureRequest) -> None:
    need_isolation(request)
    script = (
        "from ahalab.sandbox.local import LocalExecutor\nfrom ahalab.sandbox.records import Limits, Program\n"
        "e = LocalExecutor()\nnext(e.run(Program('python', 'print(1)'), [''], Limits()))\n"
        "print(e.pids[0], flush=True)\n"
        "endless = 'import os\\nos.fork()\\nwhile True: pass'\n"
        "next(e.run(Program('python', endless), [''], Limits(cpu_seconds=100, wall_seconds=100)))"
    )
    trainer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    keeper = int(trainer.stdout.readline())
    tree = wait_for(lambda: found if len(found := Watch(keeper).pids()) >= STANDING + 3 else None)
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    assert tree
    assert wait_for(lambda: not any(alive(pid) for pid in tree)), "processes outlive the trainer"


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["keeper", "builder", "zygote"])
def test_everything_ends_when_one_of_ours_is_killed_and_the_executor_starts_anew(
    request: pytest.FixtureRequest, victim: int
) -> None:
    need_isolation(request)
    executor = LocalExecutor()
    try:
        python(executor, "print(1)")
        tree = sorted(Watch(executor.pids[0]).pids())
        assert len(tree) == STANDING
        os.kill(tree[victim], signal.SIGKILL)
        assert python(executor, "print(2)").stdout == "2\n"
        assert wait_for(lambda: not any(alive(pid) for pid in tree))
    finally:
        executor.close()


def test_the_end_of_the_thread_that_started_it_does_not_end_the_sandbox(
    request: pytest.FixtureRequest,
) -> None:
    need_isolation(request)
    executor = LocalExecutor()
    try:
        thread = threading.Thread(target=lambda: python(executor, "print(1)"))
        thread.start()
        thread.join()
        first = executor.pids
        assert python(executor, "print(2)").stdout == "2\n"
        assert executor.pids == first
    finally:
        executor.close()


def test_closing_leaves_nothing(request: pytest.FixtureRequest) -> None:
    need_isolation(request)
    descriptors, mounts = len(list(Path("/proc/self/fd").iterdir())), Path("/proc/self/mountinfo").read_text()
    executor = LocalExecutor()
    python(executor, "print(1)")
    tree = processes(executor)
    executor.close()
    executor.close()
    assert wait_for(lambda: not any(alive(pid) for pid in tree))
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_limits_that_a_grader_worker_lives_under_do_not_reach_programs(
    request: pytest.FixtureRequest,
) -> None:
    """Its CPU limit is for itself, and its ignored signals must not become the program's."""
    need_isolation(request)
    script = (
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "signal.signal(signal.SIGPROF, lambda *_: None)\nsignal.setitimer(signal.ITIMER_PROF, 100)\n"
        "from ahalab.sandbox.local import LocalExecutor\nfrom ahalab.sandbox.records import Limits, Program\n"
        "e = LocalExecutor()\n"
        "burn = 'import time\\nwhile time.process_time() < 0.8: pass\\nprint(1)'\n"
        "outcomes = list(e.run(Program('python', burn), [''] * 3, Limits()))\n"
        "ask = 'import signal\\nprint(signal.getsignal(2), signal.getsignal(15), signal.pthread_sigmask(0, []))'\n"
        "asked = next(e.run(Program('python', ask), [''], Limits())).stdout\n"
        "print([o.status for o in outcomes], asked)\ne.close()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['ok', 'ok', 'ok'] <built-in function default_int_handler> 0 set()") or (
        "['ok', 'ok', 'ok']" in done.stdout
        and "Handlers.SIG_DFL: 0" in done.stdout
        and "set()" in done.stdout
    ), done.stdout


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(question: Callable[[], T], seconds: float = 10.0) -> T:
    """What `question` answers, as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.02)
    return question()


def ordinary_user() -> tuple[str, dict[str, Any]]:
    """An interpreter, and how `subprocess.run` starts it as somebody who is not root; skips where it cannot be had."""
    if os.geteuid() != 0:
        return sys.executable, {}
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    for candidate in (root.interpreter(), shutil.which("python3", path="/usr/local/bin:/usr/bin") or ""):
        with suppress(OSError):
            works = [candidate, "-c", "import sys, ctypes; sys.exit(sys.version_info < (3, 11))"]
            if subprocess.run(works, capture_output=True, check=False, **nobody).returncode == 0:
                return candidate, nobody
    pytest.skip("not run: no interpreter here that another user can start")


@pytest.mark.parametrize("kind", ["own", "bubblewrap"])
def test_an_ordinary_user_has_the_same_walls(request: pytest.FixtureRequest, kind: str) -> None:
    """Also those of bubblewrap, which serves where the system grants namespaces to it and not to us."""
    need_isolation(request)
    if kind == "bubblewrap" and root.bubblewrap() is None:
        pytest.skip("not run: bubblewrap is not installed")
    python, nobody = ordinary_user()
    command = [python, "-B", str(Path(__file__).parent / "sandbox_as_user.py"), kind]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        cwd="/",
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        **nobody,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["user"] != 0
    if report["reason"] is not None:
        pytest.skip(f"not run: no isolation here for an ordinary user: {report['reason']}")
    assert report["runs"] > 30
    assert report["wrong"] == {}
    assert report["left"] == []
