"""`aha serve`: one command from a checkpoint to an OpenAI-compatible server under control."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ahalab.guard.history import RetractedReplies
from ahalab.guard.reload import Controls
from conftest import Aha


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str], list[str]]]:
    """The command in a process of its own; its addresses and what it said until then."""
    command = [sys.executable, "-m", "ahalab.cli", "serve", "builtin:tiny", "--threads", "1", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--admin-port", "0", *options],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        said: list[str] = []
        places: dict[str, str] = {}
        while "metrics" not in places:
            line = process.stdout.readline()
            assert line, f"it ended: {''.join(said)}"
            said.append(line)
            if " at http" in line and "v1" in line:
                places["v1"] = line.split(" at ")[1].split()[0]
            if line.startswith("metrics: "):
                places["metrics"] = line.split()[1]
        yield places, process, said
    finally:
        process.kill()
        process.wait()


def ask(address: str, text: str, **fields: Any) -> httpx2.Response:
    body = {"model": "builtin:tiny", "messages": [{"role": "user", "content": text}], "seed": 1, **fields}
    return httpx2.post(f"{address}/chat/completions", json=body, timeout=60)


def test_one_command_answers_streams_records_and_ends_gracefully(tmp_path: Path) -> None:
    with served(tmp_path, "--rows", "2") as (places, process, said):
        start = "".join(said)
        for told in (
            "is a toy",
            "no --reviewer",
            "policy general, reviewer none",
            "chat page: http",
            "context 1024",
        ):
            assert told in start
        plain = ask(places["v1"], "What is 3 + 4?").json()["choices"][0]
        streamed = ask(places["v1"], "What is 3 + 4?", stream=True).text
        chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        for part in ("content", "reasoning_content"):
            assert "".join(delta.get(part) or "" for delta in deltas) == plain["message"][part] != ""
        assert plain["finish_reason"] == "stop"
        too_long = ask(places["v1"], "word " * 3_000)
        assert (too_long.status_code, too_long.json()["error"]["code"]) == (400, "context_length_exceeded")
        engine = httpx2.get(places["metrics"].replace("metrics", "healthz")).json()["engine"]
        assert engine["finished"] == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    with sqlite3.connect(tmp_path / "guard" / "audit.sqlite") as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        rows = sum(database.execute(f"select count(*) from {name}").fetchone()[0] for name in names)
    assert rows >= 6  # an intent and a conclusion of each


def test_without_control_is_said_and_recorded_as_such(tmp_path: Path) -> None:
    with served(tmp_path, "--no-control", "--no-page") as (places, _, said):
        assert "no control" in "".join(said)
        assert "chat page" not in "".join(said)
        assert ask(places["v1"], "What is 3 + 4?").status_code == 200
        state = httpx2.get(places["metrics"].replace("metrics", "healthz")).json()
        assert list(state["guard"]["policies"]) == ["no-control"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--no-control", "--policy", "paper"), "choose one"),
        (("--no-control", "--host", "0.0.0.0"), "can be reached by others"),
        (("--mode", "loud"), "expected shadow or enforce"),
        (("--context", "9999"), "made to read 1024"),
        (("--weights", "fp64"), "weights"),
        (("--host", "0.0.0.0"), "keys"),
        (("--reviewer", "nobody"), "no such reviewer"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_listens(
    aha: Aha, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    outcome = aha("serve", "builtin:tiny", "--threads", "1", "--folder", tmp_path / "guard", *options)
    assert outcome.code == 2
    assert told in " ".join(outcome.err.split())


def test_a_model_that_is_not_there_is_refused(aha: Aha, tmp_path: Path) -> None:
    outcome = aha("serve", "builtin:huge", "--folder", tmp_path / "guard")
    assert outcome.code == 2
    assert not (tmp_path / "guard").exists()


def test_a_mode_of_the_server_goes_before_the_policies_and_that_of_a_key_before_both() -> None:
    controls = Controls(
        ["general"], lambda _: None, RetractedReplies(b"a secret of the tests"), mode="shadow"
    )
    assert controls.get().mode == "shadow"
    assert controls.get(mode="enforce").mode == "enforce"
    assert controls.status()["policies"]["general"]["mode"] == "shadow"
