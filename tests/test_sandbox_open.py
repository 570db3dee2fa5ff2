"""Without isolation nothing is run: the refusal, its reasons, and what the user may say instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.sandbox import filter, probe, verdict
from ahalab.sandbox.jail.walls import identity
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.open import open_executor, why_no_compiler, why_no_isolation
from ahalab.sandbox.pool import ExecutorPool, Job
from ahalab.sandbox.records import Limits, Program, SandboxFailure
from ahalab.sandbox.remote import RemoteExecutor
from ahalab.sandbox.settings import SandboxSettings
from sandbox_tools import HELLO, QUICK

UNSAFE = SandboxSettings(unsafe_no_isolation=True)
REASON = "user namespaces are disabled: /proc/sys/user/max_user_namespaces is 0"


@pytest.fixture
def no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that pretends."""
    monkeypatch.setenv(probe.PRETEND, REASON)


@pytest.mark.usefixtures("no_isolation")
def test_without_isolation_it_refuses_and_says_why_and_what_to_do() -> None:
    assert why_no_isolation() == REASON
    with pytest.raises(UserError) as refused:
        open_executor(SandboxSettings())
    text = str(refused.value)
    assert REASON in text
    assert "--unsafe-no-isolation" in text
    assert "docs/sandbox.md" in text
    assert "Nothing was run" in text


@pytest.mark.usefixtures("no_isolation")
def test_without_isolation_programs_run_when_the_user_says_so() -> None:
    executor = open_executor(UNSAFE)
    try:
        assert next(executor.run(HELLO, [""], QUICK)).stdout == "hello\n"
        endless = next(executor.run(Program("python", "while True: pass"), [""], Limits(cpu_seconds=0.3)))
        assert endless.status == "time limit"
    finally:
        executor.close()


@pytest.mark.usefixtures("no_isolation")
def test_a_pool_refuses_like_an_executor() -> None:
    with pytest.raises(UserError, match="cannot be isolated"):
        ExecutorPool(SandboxSettings(), 2)


def test_where_isolation_works_the_unsafe_setting_does_not_take_it_away() -> None:
    if why_no_isolation() is not None:
        pytest.skip(f"not run: no isolation here: {why_no_isolation()}")
    executor = open_executor(UNSAFE)
    try:
        outcome = next(
            executor.run(Program("python", "import os\nprint(os.path.exists('/proc'))"), [""], QUICK)
        )
        assert outcome.stdout == "False\n"
    finally:
        executor.close()


def test_a_url_opens_a_remote_executor_without_asking_for_isolation_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(probe.PRETEND, REASON)
    executor = open_executor(SandboxSettings("http://127.0.0.1:2000/api/v2/execute"))
    assert isinstance(executor, RemoteExecutor)
    executor.close()


def settings_files(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
    return folder


DENIED = "unshare (a user namespace): Operation not permitted"


@pytest.mark.parametrize(
    ("files", "failure", "reason"),
    [
        ({"user__max_user_namespaces": "0"}, "unshare (a user namespace): No space left on device", REASON),
        (
            {"user__max_user_namespaces": "9", "kernel__unprivileged_userns_clone": "0"},
            DENIED,
            "user namespaces are disabled for ordinary users: /proc/sys/kernel/unprivileged_userns_clone is 0",
        ),
        (
            {"kernel__apparmor_restrict_unprivileged_userns": "1"},
            DENIED,
            "AppArmor keeps user namespaces from ordinary users: "
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns is 1",
        ),
        (
            {"user__max_user_namespaces": "9"},
            "mount of tmpfs on /tmp: Invalid argument",
            "mount of tmpfs on /tmp: Invalid argument",
        ),
    ],
)
def test_the_reason_names_the_setting_that_forbids_it(
    tmp_path: Path, files: dict[str, str], failure: str, reason: str
) -> None:
    assert probe.explain(failure, settings_files(tmp_path, **files)) == reason


def test_in_a_container_the_reason_points_at_the_container(tmp_path: Path) -> None:
    assert "inside a container" in probe.explain(DENIED, tmp_path)


@pytest.mark.parametrize("wall", ["no sockets", "a limit on processes", "no /proc of the host"])
def test_a_wall_that_does_not_stand_is_named(monkeypatch: pytest.MonkeyPatch, wall: str) -> None:
    """The probe does not believe that walls stand because nothing failed on the way."""
    monkeypatch.setattr(probe, "LocalExecutor", lambda _kind: LocalExecutor("none"))
    monkeypatch.setattr(probe, "_PROCESSES", 100)  # else the run would be ended before it has said so
    reason = probe.try_walls("own")
    assert reason is not None
    assert wall in reason


def test_a_program_that_cannot_start_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PROGRAM", "import nothing_of_the_kind")
    monkeypatch.setattr(probe, "LocalExecutor", lambda _kind: LocalExecutor("none"))
    assert "nothing_of_the_kind" in str(probe.try_walls("own"))


def test_other_systems_and_processors_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert "isolation needs Linux" in str(probe._cannot())
    monkeypatch.setattr(probe.platform, "machine", lambda: "riscv64")
    assert "this processor is riscv64" in str(probe._cannot())


def test_a_missing_library_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> bytes:
        raise filter.FilterError("the library libseccomp is not installed")

    monkeypatch.setattr(filter, "compiled", missing)
    assert probe._cannot() == "the library libseccomp is not installed"


def test_opening_loads_neither_torch_nor_the_http_library() -> None:
    script = (
        "import sys\nimport ahalab.sandbox.open\n"
        "print([n for n in ('torch', 'httpx2', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_settings_survive_the_way_through_an_environment() -> None:
    settings = SandboxSettings("http://x/run_code", True)
    assert SandboxSettings.from_environment(settings.to_environment()) == settings
    assert SandboxSettings.from_environment({}) == SandboxSettings()


def test_the_compiler_is_found_or_its_absence_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ahalab.sandbox.root.compiler", lambda: None)
    assert "no C++ compiler" in str(why_no_compiler())


@pytest.mark.parametrize(
    ("table", "own", "outer"),
    [
        ("0 0 4294967295", 1000, 1000),  # an ordinary user has itself only
        ("0 0 4294967295", 0, 2_000_000_007),  # root: a user that nobody has
        ("0 100000 65536", 0, 65536 - 2 - 7),  # a container's root: near the top of its ids
        ("0 1000 1", 0, 0),  # a root with no other ids
    ],
)
def test_programs_get_a_user_of_their_own_where_there_is_one(table: str, own: int, outer: int) -> None:
    assert identity(table, own, 7) == outer


FACTS = {
    "started": True,
    "failure": None,
    "killed": None,
    "uncompiled": False,
    "full_house": False,
    "wait": 0,
    "cpu_seconds": 0.1,
    "wall_seconds": 0.2,
    "resident_bytes": 10 * 2**20,
}
LIMITS = Limits(cpu_seconds=1.0, memory_megabytes=100)


@pytest.mark.parametrize(
    ("changes", "stderr", "status"),
    [
        ({}, b"", "ok"),
        ({"wait": 256}, b"", "runtime error"),
        ({"wait": 11}, b"", "runtime error"),
        ({"wait": None}, b"", "runtime error"),
        ({"wait": 24}, b"", "time limit"),
        ({"wait": 9}, b"", "memory limit"),
        ({"wait": 9, "cpu_seconds": 1.1}, b"", "time limit"),
        ({"cpu_seconds": 1.1}, b"", "time limit"),
        ({"killed": "cpu", "wait": None}, b"", "time limit"),
        ({"killed": "wall", "wait": None}, b"", "time limit"),
        ({"killed": "output", "wait": None}, b"", "output limit"),
        ({"killed": "memory", "wait": None}, b"", "memory limit"),
        ({"killed": "processes", "wait": None}, b"", "process limit"),
        ({"wait": 256, "uncompiled": True}, b"SyntaxError", "compile error"),
        ({"wait": 256}, b"Traceback\nMemoryError\n", "memory limit"),
        ({"wait": 256}, b"MyMemoryError\n", "runtime error"),
        ({"wait": 6}, b"terminate called after throwing an instance of 'std::bad_alloc'\n", "memory limit"),
        ({"wait": 11, "resident_bytes": 95 * 2**20}, b"", "memory limit"),
        ({"wait": 256, "resident_bytes": 95 * 2**20}, b"", "runtime error"),
        ({"wait": 256}, b"BlockingIOError: [Errno 11] Resource temporarily unavailable\n", "process limit"),
        ({"wait": 256}, b"RuntimeError: can't start new thread\n", "process limit"),
        ({"wait": 256, "full_house": True}, b"", "process limit"),
        ({"full_house": True}, b"", "ok"),
    ],
)
def test_the_status_follows_from_the_facts(changes: dict[str, object], stderr: bytes, status: str) -> None:
    assert verdict.judge({**FACTS, **changes}, LIMITS, b"out", stderr).status == status


def test_a_program_that_never_started_has_no_verdict() -> None:
    for changes in (
        {"started": False},
        {"started": False, "failure": "mount: no"},
        {"failure": "g++: no such file"},
    ):
        with pytest.raises(SandboxFailure, match="could not start"):
            verdict.judge({**FACTS, **changes}, LIMITS, b"", b"")


def test_a_pool_keeps_the_order_and_tells_its_own_failures_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(probe.PRETEND, REASON)
    monkeypatch.setattr("ahalab.sandbox.root.compiler", lambda: None)
    taken = []

    def jobs():  # type: ignore[no-untyped-def]
        for number in range(30):
            taken.append(number)
            language = "cpp" if number == 7 else "python"
            yield Job(Program(language, f"print({number}, input())"), ["a", "b"], QUICK)

    with ExecutorPool(UNSAFE, 2) as pool:
        results = []
        for result in pool.map(jobs()):
            results.append(result)
            assert len(taken) - len(results) <= 8, "jobs are taken far ahead"
        assert isinstance(results[7], SandboxFailure)
        texts = [[o.stdout for o in result] for result in results if not isinstance(result, SandboxFailure)]
        assert texts == [[f"{n} a\n", f"{n} b\n"] for n in range(30) if n != 7]
        assert pool.run(HELLO, [""], QUICK)[0].stdout == "hello\n"


def test_a_pool_needs_workers() -> None:
    with pytest.raises(ValueError, match="0 workers"):
        ExecutorPool(UNSAFE, 0)
