"""`aha guard review` and `aha guard policy`: exit codes, hostile text shown, wrong input named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint_server import EndpointServer, endpoint_alone
from tests.review_tools import block, says
from typer.testing import CliRunner, Result

from ahalab.cli.main import app
from ahalab.errors import UserError

__all__ = ["endpoint_alone"]


def run(*arguments: Any, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["guard", *map(str, arguments)], input=given)


def dialogue(folder: Path, reply: str = "Here.", **more: Any) -> Path:
    path = folder / "dialogue.json"
    turns = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": reply, **more}]
    path.write_text(json.dumps({"messages": turns}), "utf-8")
    return path


def review(path: Path | str, script: Any, *more: Any, given: str | bytes | None = None) -> Result:
    with EndpointServer(script) as server:
        return run("review", path, "--reviewer", f"{server.url}#m", *more, given=given)


def test_a_violation_is_printed_with_its_standards_and_ends_with_one(tmp_path: Path) -> None:
    done = review(dialogue(tmp_path), lambda prompt: says(prompt, "[2, 6]", "It\u202e does\x1b[2J."))
    assert done.exit_code == 1, done.output
    assert "violates 2 (Violence and weapons), 6 (Crime)" in done.output
    assert "reason: It\\u{202E} does\\u{001B}[2J." in done.output
    assert "reviewer endpoint, m" in done.output


def test_no_violation_ends_with_zero_and_no_verdict_with_three(tmp_path: Path) -> None:
    done = review(dialogue(tmp_path), says)
    assert (done.exit_code, "violates no standard" in done.output) == (0, True), done.output
    done = review(dialogue(tmp_path), lambda _: "nonsense")
    assert (done.exit_code, "no verdict: schema" in done.output) == (3, True), done.output


def test_the_last_turn_of_the_assistant_is_what_is_judged(tmp_path: Path) -> None:
    seen = []

    def script(prompt: str) -> str:
        seen.append((block(prompt, "reply"), block(prompt, "thinking"), block(prompt, "query")))
        return says(prompt)

    path = dialogue(tmp_path, reasoning_content="I think.")
    assert review(path, script).exit_code == 0
    assert review("-", script, given=path.read_bytes()).exit_code == 0
    assert seen == [("Here.", "I think.", "Hello?")] * 2


def test_a_dialogue_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = dialogue(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert review(path, lambda prompt: says(prompt, "[-1]")).exit_code == 0


def test_a_review_is_recorded_and_repeated_without_the_server(tmp_path: Path) -> None:
    path, kept = dialogue(tmp_path), tmp_path / "kept.jsonl"
    assert review(path, lambda prompt: says(prompt, "[3]"), "--record", kept).exit_code == 1
    done = run("review", path, "--reviewer", f"recorded:{kept}")
    assert done.exit_code == 1
    assert "violates 3 (Self-harm)" in done.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff", "not UTF-8"),
        (b"[1, 2", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"messages": [], "messages": []}', "the key 'messages' is there twice"),
        (b"[]", "expected a mapping"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "king", "content": "x"}]}', "messages[0].role"),
        (b'{"messages": [{"role": "user", "content": ["x"]}]}', "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": "x", "name": "y"}]}', "unknown key"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', "no turn of the user"),
    ],
)
def test_a_file_that_is_no_dialogue_is_named_with_what_is_wrong(
    text: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "dialogue.json"
    path.write_bytes(text)
    done = run("review", path, "--reviewer", "http://127.0.0.1:9/v1#m")
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)


def test_a_policy_is_checked_and_printed(tmp_path: Path) -> None:
    assert [line.split()[0] for line in run("policy").output.splitlines()] == [
        "general",
        "jurisdiction-example",
        "paper",
    ]
    done = run("policy", "paper")
    assert done.exit_code == 0
    assert "11 standards:" in done.output
    assert "\n11. Risky advice: " in done.output
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\nstandards:\n- {id: 2, title: One, text: Whatever is forbidden.}\nmood: bad\n", "utf-8"
    )
    done = run("policy", path)
    assert isinstance(done.exception, UserError)
    assert "`mood`: unknown key" in str(done.exception)
