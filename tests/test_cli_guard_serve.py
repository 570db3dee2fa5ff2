"""`aha guard serve` and `aha guard keys` as a person runs them: one process, both sides, a graceful end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from ahalab.cli.gateway_options import with_path
from ahalab.cli.guard_serve import named
from ahalab.cli.main import app
from ahalab.errors import UserError

UPSTREAM = """
import http.server, json, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.say({"data": [{"id": "mock"}]})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "Hello there"}
            return self.say({"choices": [{"message": message, "finish_reason": "stop"}]})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for text, finish in (("Hello", None), (" there", None), ("", "stop")):
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
            self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\\n\\n")
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(b"data: [DONE]\\n\\n")
    def say(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""
ASKED: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def upstream() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", UPSTREAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A running gateway: its process, its public and its admin address."""
    command = [sys.executable, "-m", "ahalab.cli", "guard", "serve", "--port", "0", "--admin-port", "0"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder), "--no-page", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        said = ""
        while "metrics:" not in said:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            said += line
        public, admin = re.findall(r"http://[0-9.:]+/", said)[:2]
        yield process, public, admin
    finally:
        process.kill()
        process.wait()


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_one_command_serves_and_ends_gracefully(upstream: str, tmp_path: Path) -> None:
    short = upstream.removesuffix("/v1")
    with serving(tmp_path / "guard", "--upstream", short) as (process, public, admin):
        url = f"{public}v1/chat/completions"
        whole = httpx2.post(url, json=ASKED, timeout=30).json()
        assert whole["choices"][0]["message"]["content"] == "Hello there"
        assert 'aha_requests_total{route="chat",status="200"} 1.0' in httpx2.get(f"{admin}metrics").text
        assert httpx2.get(f"{admin}healthz").json()["guard"]["policies"]["general"]["terms"] > 100
        with httpx2.stream("POST", url, json=ASKED | {"stream": True}, timeout=30) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
        assert "data: [DONE]" in rest
        assert any('"finish_reason":"stop"' in one for one in rest)
        assert process.wait(timeout=30) == 0
    made = {one.name for one in (tmp_path / "guard").iterdir()}
    assert {"audit.sqlite", "audit.key", "history.key", "retracted.log"} <= made


def test_keys_are_made_listed_and_revoked(upstream: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "guard")
    made = invoke(
        "guard", "keys", "add", "me", "--id", "mine", "--requests-per-minute", "100", "--folder", folder
    )
    assert made.exit_code == 0, made.output
    token = re.search(r"aha-[\w-]{43}", made.output)
    assert token is not None
    listed = invoke("guard", "keys", "list", "--folder", folder)
    assert "mine" in listed.output
    assert "100 requests/min" in listed.output
    assert token[0] not in listed.output
    with serving(tmp_path / "guard", "--upstream", upstream) as (_, public, admin):
        url, headers = f"{public}v1/chat/completions", {"Authorization": f"Bearer {token[0]}"}
        assert httpx2.post(url, json=ASKED, timeout=30).status_code == 401
        assert httpx2.post(url, json=ASKED, headers=headers, timeout=30).status_code == 200
        assert httpx2.get(f"{admin}metrics").status_code == 401
        assert httpx2.get(f"{public}healthz").json() == {"status": "ok", "insecure": False}
    assert invoke("guard", "keys", "revoke", "mine", "--folder", folder).exit_code == 0
    assert "revoked" in invoke("guard", "keys", "list", "--folder", folder).output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "aha guard keys add"),
        (["--admin-host", "0.0.0.0"], "aha guard keys add"),
        (["--policy", "nothing"], "nothing"),
        (["--policy", "general", "--policy", "general"], "twice"),
        (["--reviewer", "nothing"], "reviewer"),
        (["--terms", "/nowhere"], "/nowhere"),
        (["--settings", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--upstream-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["--audit", "postgresql://nobody@127.0.0.1:9/x"], "audit"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_listens(
    options: list[str], words: str, tmp_path: Path
) -> None:
    folder = ["--folder", str(tmp_path / "guard")]
    found = invoke("guard", "serve", "--upstream", "http://127.0.0.1:9/v1", "--model", "m", *folder, *options)
    assert isinstance(found.exception, Exception)
    assert words in str(found.exception)


def without(package: str, *command: str) -> tuple[int, str]:
    """Exit code and words of `aha`, run where a package is not installed."""
    script = f"import sys; sys.modules[{package!r}] = None; from ahalab.cli.main import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False, timeout=120
    )
    return found.returncode, " ".join((found.stdout + found.stderr).split())


@pytest.mark.parametrize(
    "command", [["serve", "builtin:tiny"], ["guard", "serve", "--upstream", "http://127.0.0.1:9"]]
)
@pytest.mark.parametrize("package", ["fastapi", "sqlalchemy", "ahocorasick_rs"])
def test_a_missing_package_is_named_with_its_extra(command: list[str], package: str, tmp_path: Path) -> None:
    code, words = without(package, *command, "--folder", str(tmp_path / "guard"))
    assert code == 2
    assert words == f"aha: this needs {package}: pip install 'ahalab[serve]'"


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (["terms", "explain", "x"], "ahocorasick_rs"),
        (["audit", "verify", "--log", "x.sqlite"], "sqlalchemy"),
        (["audit", "read", "x", "--why", "y"], "cryptography"),
    ],
)
def test_every_command_of_guard_names_the_extra(command: list[str], package: str) -> None:
    code, words = without(package, "guard", *command)
    assert code == 2
    assert words.startswith("aha: this needs ")
    assert words.endswith("pip install 'ahalab[serve]'")


def test_an_address_without_a_path_gets_openais() -> None:
    assert with_path("http://127.0.0.1:9/") == "http://127.0.0.1:9/v1"
    assert with_path("http://127.0.0.1:9") == "http://127.0.0.1:9/v1"
    assert with_path("http://127.0.0.1:9/api/v3") == "http://127.0.0.1:9/api/v3"
    assert with_path("127.0.0.1:9") == "127.0.0.1:9"


def test_a_settings_file_is_checked_by_name(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("body_bites: 5\n")
    found = invoke("guard", "serve", "--upstream", "http://127.0.0.1:9/v1", "--settings", str(path))
    assert isinstance(found.exception, UserError)
    assert "body_bytes" in str(found.exception)


def test_a_lost_audit_key_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "guard"
    folder.mkdir()
    (folder / "audit.sqlite").write_bytes(b"")
    found = invoke(
        "guard", "serve", "--upstream", "http://127.0.0.1:9/v1", "--model", "m", "--folder", str(folder)
    )
    assert "audit.key" in str(found.exception)
    assert not (folder / "audit.key").exists()


def test_a_key_whose_policy_is_not_served_stops_the_start(tmp_path: Path) -> None:
    folder = str(tmp_path / "guard")
    assert invoke("guard", "keys", "add", "me", "--policy", "paper", "--folder", folder).exit_code == 0
    found = invoke(
        "guard", "serve", "--upstream", "http://127.0.0.1:9/v1", "--model", "m", "--folder", folder
    )
    assert "'paper', which is not served" in str(found.exception)


def test_model_names_may_differ_from_the_servers() -> None:
    assert named(["a", "b=own/b"]) == {"a": "a", "b": "own/b"}
    for wrong in (["=x"], ["a", "a"], [""]):
        with pytest.raises(UserError, match="--model"):
            named(wrong)


def test_a_damaged_secret_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "guard"
    folder.mkdir()
    (folder / "history.key").write_text("zz")
    found = invoke(
        "guard", "serve", "--upstream", "http://127.0.0.1:9/v1", "--model", "m", "--folder", str(folder)
    )
    assert "history.key" in str(found.exception)
