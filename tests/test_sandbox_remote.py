"""Remote executors: what is asked, how answers are read, and that a service's trouble is never a program's verdict."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ahalab.errors import UserError
from ahalab.sandbox import remote
from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure
from ahalab.sandbox.remote import open_remote

LIMITS = Limits(cpu_seconds=1.0, wall_seconds=2.0, memory_megabytes=64, output_bytes=1000)
Answer = tuple[int, Any]


class Service:
    """Answers each request by the next of `answers` (the last one again and again); `bodies` are the requests."""

    def __init__(self, *answers: Answer | Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers, self.bodies, self.paths = list(answers), list[dict[str, Any]](), list[str]()

    def __enter__(self) -> Service:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner.paths.append(self.path)
                owner.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                answer = owner.answers[min(len(owner.bodies), len(owner.answers)) - 1]
                if callable(answer):
                    answer(self)
                    return
                status, value = answer
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def run(self, path: str, program: Program, *inputs: str) -> list[Outcome]:
        executor = open_remote(f"http://127.0.0.1:{self._server.server_address[1]}{path}")
        try:
            return list(executor.run(program, inputs, LIMITS))
        finally:
            executor.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.002)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


PISTON, FUSION = "/api/v2/execute", "/run_code"
DOUBLE = Program("python", "print(int(input()) * 2)", {"data.txt": "é"}, ("a", "b"))


def piston(compiled: dict[str, Any] | None = None, **run: Any) -> Answer:
    """An answer as docs/api-v2.md of Piston shows it."""
    stage = {"stdout": "", "stderr": "", "output": "", "code": 0, "signal": None}
    value: dict[str, Any] = {"language": "python", "version": "3.12.0", "run": {**stage, **run}}
    if compiled is not None:
        value["compile"] = {**stage, **compiled}
    return 200, value


def fusion(compiled: dict[str, Any] | None = None, status: str = "Success", **run: Any) -> Answer:
    """An answer as SandboxFusion's API reference shows it."""
    stage = {"status": "Finished", "execution_time": 0.05, "return_code": 0, "stdout": "", "stderr": ""}
    value = {
        "status": status,
        "message": "",
        "compile_result": {**stage, **compiled} if compiled is not None else None,
        "run_result": {**stage, **run},
        "executor_pod_name": None,
        "files": {},
    }
    return 200, value


def test_piston_is_asked_as_its_documentation_says() -> None:
    with Service(piston(stdout="42\n", cpu_time=30, wall_time=70, memory=2**23)) as service:
        outcome = service.run(PISTON, DOUBLE, "21")[0]
    assert service.paths == [PISTON]
    assert service.bodies == [
        {
            "language": "python",
            "version": "*",
            "files": [
                {"name": "main.py", "content": DOUBLE.source},
                {"name": "data.txt", "content": "é"},
            ],
            "stdin": "21",
            "args": ["a", "b"],
            "run_timeout": 2000,
            "run_cpu_time": 1000,
            "compile_timeout": 60000,
            "run_memory_limit": 64 * 2**20,
            "compile_memory_limit": 1024 * 2**20,
        }
    ]
    assert outcome == Outcome("ok", "42\n", "", 0, 0.03, 0.07, 8.0)


def test_fusion_is_asked_as_its_documentation_says() -> None:
    program = Program("cpp", "int main() {}", {"a/b.txt": "é"})
    with Service(fusion({}, stdout="42\n")) as service:
        outcome = service.run(FUSION, program, "21")[0]
    assert service.bodies == [
        {
            "language": "cpp",
            "code": "int main() {}",
            "stdin": "21",
            "files": {"a/b.txt": base64.b64encode("é".encode()).decode()},
            "run_timeout": 2.0,
            "compile_timeout": 60.0,
            "memory_limit_MB": 64,
        }
    ]
    assert outcome == Outcome("ok", "42\n", "", 0, 0.05, 0.05, None)


def test_fusion_has_no_arguments_and_says_so() -> None:
    with Service(fusion()) as service, pytest.raises(SandboxFailure, match="no arguments"):
        service.run(FUSION, DOUBLE, "")


def test_the_program_stays_the_first_file_whatever_the_others_are_called() -> None:
    with Service(piston()) as service:
        service.run(PISTON, Program("python", "the program", {"main.py": "another"}), "")
    assert [file["content"] for file in service.bodies[0]["files"]] == ["the program", "another"]
    assert len({file["name"] for file in service.bodies[0]["files"]}) == 2


@pytest.mark.parametrize(
    ("path", "answer", "status"),
    [
        (PISTON, piston(code=1, stderr="Traceback\nValueError: x"), "runtime error"),
        (PISTON, piston(code=1, stderr="Traceback\nMemoryError"), "memory limit"),
        (PISTON, piston(code=None, signal="SIGSEGV"), "runtime error"),
        (
            PISTON,
            piston(code=None, signal="SIGKILL", status="TO", message="Time limit exceeded"),
            "time limit",
        ),
        (PISTON, piston(code=None, signal="SIGKILL", wall_time=2001), "time limit"),
        (PISTON, piston(cpu_time=1001), "time limit"),
        (PISTON, piston(code=None, signal="SIGKILL", status="OL"), "output limit"),
        (PISTON, piston(stdout="x" * 1001), "output limit"),
        (PISTON, piston({"code": 1, "stderr": "main.cpp: error"}), "compile error"),
        (PISTON, piston({"code": 0}, stdout="1"), "ok"),
        (FUSION, fusion(status="Failed", return_code=1, stderr="ValueError"), "runtime error"),
        (FUSION, fusion(status="Failed", return_code=-11), "runtime error"),
        (FUSION, fusion(status="Failed", return_code=1, stderr="MemoryError"), "memory limit"),
        (FUSION, fusion({"return_code": 1, "stderr": "error: x"}, status="Failed"), "compile error"),
        (
            FUSION,
            fusion({"status": "TimeLimitExceeded", "return_code": None}, status="Failed"),
            "compile error",
        ),
        (FUSION, fusion(stdout="x" * 1001), "output limit"),
    ],
)
def test_answers_become_the_same_statuses_as_here(path: str, answer: Answer, status: str) -> None:
    with Service(answer) as service:
        program = Program("cpp", "x")
        outcomes = service.run(path, program, "", "")
    assert [outcome.status for outcome in outcomes] == [status, status]
    assert len(service.bodies) == (1 if status == "compile error" else 2)


def test_fusions_time_limit_is_one() -> None:
    value = fusion()[1]
    value["run_result"] = {
        "status": "TimeLimitExceeded",
        "execution_time": 2.0,
        "return_code": None,
        "stdout": None,
        "stderr": None,
    }
    with Service((200, value)) as service:
        assert service.run(FUSION, Program("python", "x"), "")[0].status == "time limit"


def test_a_busy_service_is_asked_again() -> None:
    with Service((503, b"busy"), (429, {"message": "slow down"}), piston(stdout="1")) as service:
        assert service.run(PISTON, DOUBLE, "")[0].stdout == "1"
    assert len(service.bodies) == 3


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(5000):
            handler.wfile.write(b" " * 10_000)
    except OSError:
        pass
    handler.close_connection = True


@pytest.mark.parametrize(
    ("path", "answers", "words", "requests"),
    [
        (PISTON, [(500, {"message": "broken"})], "no answer in 5 tries; the last: HTTP 500: broken", 5),
        (PISTON, [hang_up], "no answer in 5 tries", 5),
        (PISTON, [(400, {"message": "runtime is unknown"})], "HTTP 400: runtime is unknown", 1),
        (PISTON, [(302, b"")], "HTTP 302", 1),
        (PISTON, [(200, b"<html>")], "not JSON", 1),
        (PISTON, [(200, [1])], "not a JSON object", 1),
        (PISTON, [(200, {"output": "x"})], "not of this API", 1),
        (PISTON, [piston(status="XX", message="box failed")], "box failed", 1),
        (PISTON, [endless], "more than", 1),
        (FUSION, [(200, {"status": "SandboxError", "message": "no pod"})], "no pod", 1),
        (FUSION, [(200, {"status": "Failed", "compile_result": None, "run_result": None})], "did not run", 1),
    ],
)
def test_a_services_trouble_is_a_failure_and_never_a_verdict(
    path: str, answers: list[Any], words: str, requests: int
) -> None:
    with Service(*answers) as service:
        with pytest.raises(SandboxFailure, match=words):
            service.run(path, Program("python", "x"), "")
        assert len(service.bodies) == requests


def test_a_service_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_SLACK_SECONDS", -61.8)  # 0.2 s in all
    monkeypatch.setattr(remote, "RETRIES", 1)
    with Service(lambda _: time.sleep(1.0)) as service, pytest.raises(SandboxFailure, match="ReadTimeout"):
        service.run(PISTON, DOUBLE, "")


def test_nobody_there_is_a_failure() -> None:
    executor = open_remote("http://127.0.0.1:9/api/v2/execute")
    with pytest.raises(SandboxFailure, match=r"127\.0\.0\.1:9.*no answer in 5 tries"):
        list(executor.run(DOUBLE, [""], LIMITS))


def test_runs_are_asked_for_one_by_one() -> None:
    with Service(piston(stdout="1")) as service:
        executor = open_remote(f"http://127.0.0.1:{service._server.server_address[1]}{PISTON}")
        outcomes: Iterator[Outcome] = executor.run(DOUBLE, ["1", "2", "3"], LIMITS)
        next(outcomes)
        assert len(service.bodies) == 1
        executor.close()


def test_paths_outside_the_folder_never_leave_this_machine() -> None:
    with Service(piston()) as service:
        with pytest.raises(ValueError, match="folder"):
            service.run(PISTON, Program("python", "x", {"../x": ""}), "")
        assert service.bodies == []


@pytest.mark.parametrize(
    "url",
    ["http://host/", "ftp://host/api/v2/execute", "remote", "http:///run_code", "host:2000/api/v2/execute"],
)
def test_a_url_of_no_known_api_is_refused_with_examples(url: str) -> None:
    with pytest.raises(UserError, match=r"(?s)expected \"local\".*Piston.*SandboxFusion"):
        open_remote(url)
