"""`aha guard audit` on the command line: what it prints, its exit codes, and that it never acts silently."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ahalab.cli.guard_audit import app
from ahalab.cli.guard_audit_options import moment
from ahalab.errors import AhaError, UserError
from ahalab.serving.audit.keyfile import VARIABLE
from audit_traffic import exchange, opened, record, review

STOP = {"would": "retract", "action": "retract", "review": review(1)}
WHY = ["--who", "ann", "--why", "a test"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four exchanges and one that never ended; the key in the environment."""
    monkeypatch.chdir(tmp_path)
    made = opened(tmp_path)

    async def traffic() -> None:
        await record(made, exchange("bad", "sell a ripe banana"), **STOP)
        await record(made, exchange("good", "a banana bread", key="beta"), **STOP)
        await record(made, exchange("plain", "hello"))
        await made.intent(exchange("open", "hello"), "p1")

    asyncio.run(traffic())
    made.close()
    monkeypatch.setenv(VARIABLE, (tmp_path / "audit.key").read_text())
    return tmp_path / "audit.sqlite"


def said(*arguments: str) -> str:
    """Output of a command that succeeds."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> AhaError:
    """The error of a command that fails as it should."""
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, AhaError), (result.output, result.exception)
    return result.exception


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    output = said("key", str(tmp_path / "k"))
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    for line in (tmp_path / "k").read_text().split():
        assert line not in output or len(line) < 10
    assert "there already" in str(refused("key", str(tmp_path / "k")))
    said("key", str(tmp_path / "auditor"), "--verifier-of", str(tmp_path / "k"))
    assert "texts" not in (tmp_path / "auditor").read_text()


@pytest.mark.usefixtures("log")
def test_verify_says_what_is_there_and_what_is_open() -> None:
    output = said("verify", "--texts")
    assert "7 rows (3 conclusion, 4 intent)" in output
    assert "7 texts kept, 0 erased" in output
    assert "1 exchanges without an end: interrupted, or under way" in output
    assert "open" in output
    assert "no head was given" in output
    assert "the chain is sound" in output


def test_verify_fails_with_exit_code_1_and_names_the_row(log: Path) -> None:
    with sqlite3.connect(log) as raw:
        raw.execute("UPDATE audit_rows SET action = 'release' WHERE number = 2")
    error = refused("verify")
    assert error.exit_code == 1
    assert "NOT sound: row 2 does not fit" in str(error)


def test_a_cut_is_found_with_the_exported_head(log: Path) -> None:
    assert "7 rows signed" in said("heads", "heads")
    assert "1 heads fit" in said("verify", "--head", "heads")
    with sqlite3.connect(log) as raw:
        mac = raw.execute("SELECT mac FROM audit_rows WHERE number = 4").fetchone()[0]
        for table in ("audit_rows", "audit_texts", "audit_text_keys"):
            raw.execute(f"DELETE FROM {table} WHERE number > 4")
        raw.execute("UPDATE audit_head SET length = 4, mac = ?", (mac,))
    assert "the chain is sound" in said("verify")
    assert "row 5 is missing" in str(refused("verify", "--head", "heads"))


@pytest.mark.usefixtures("log")
def test_open_exchanges_are_closed_by_age() -> None:
    assert "0 interrupted exchanges closed" in said("close", "--who", "ann")
    assert "1 interrupted exchanges closed" in said("close", "--before", "0m", "--who", "ann")
    assert "without an end" not in said("verify")


@pytest.mark.usefixtures("log")
def test_read_shows_the_dialogue_and_leaves_a_row() -> None:
    output = said("read", "bad", *WHY)
    assert "user: sell a ripe banana" in output
    assert "reply: a reply" in output
    assert "1 reading" in said("verify")
    assert "why" in str(refused("read", "bad", "--who", "ann"))
    assert "there is none" in str(refused("read", "ghost", *WHY))


@pytest.mark.usefixtures("log")
def test_an_auditor_s_copy_verifies_and_may_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said("key", "auditor", "--verifier-of", "audit.key")
    monkeypatch.delenv(VARIABLE)
    assert "sound" in said("verify", "--key-file", "auditor")
    for command in (("read", "bad"), ("export", "--texts"), ("suggest",), ("replay", "--policy", "general")):
        assert "audit-read" in str(refused(*command, *WHY, "--key-file", "auditor"))
    assert "audit-read" in str(refused("verify", "--texts", "--key-file", "auditor"))
    assert "needs its key" in str(refused("verify"))


@pytest.mark.usefixtures("log")
def test_export_writes_rows_to_a_new_private_file(tmp_path: Path) -> None:
    assert "7 rows written" in said("export", "--output", "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(1, 8))
    assert "banana" not in (tmp_path / "rows.jsonl").read_text()
    assert stat.S_IMODE((tmp_path / "rows.jsonl").stat().st_mode) == 0o600
    assert "there already" in str(refused("export", "--output", "rows.jsonl"))
    assert len(said("export", "--key", "beta").splitlines()) == 2


@pytest.mark.usefixtures("log")
def test_an_export_that_cannot_be_written_leaves_no_half_file_and_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("ahalab.cli.guard_audit_texts.os.fsync", full)
        assert "disk full" in str(refused("export", "--output", "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()
    said("export", "--output", "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    assert "there already" in str(refused("export", "--output", "out.jsonl"))
    assert "there already" in str(refused("export", "--texts", *WHY, "--output", "out.jsonl"))
    assert "reading" not in said("verify")
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert "why" in str(refused("export", "--texts", "--output", "texts.jsonl"))
    assert not (tmp_path / "texts.jsonl").exists()


@pytest.mark.usefixtures("log")
def test_a_replay_under_a_broken_policy_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("rules: [")
    refused("replay", "--policy", "broken.yaml", *WHY)
    assert "reading" not in said("verify")


@pytest.mark.usefixtures("log")
def test_export_with_texts_needs_a_reason_and_is_audited() -> None:
    assert "why" in str(refused("export", "--texts", "--who", "ann"))
    lines = [json.loads(line) for line in said("export", "--texts", *WHY).splitlines()]
    assert [line["text"]["turns"][0]["content"] for line in lines] == [
        "sell a ripe banana",
        "a banana bread",
        "hello",
    ]
    assert "1 reading" in said("verify")


@pytest.mark.usefixtures("log")
def test_erase_by_id_key_and_age() -> None:
    assert "which texts" in str(refused("erase"))
    assert "2 texts erased" in said("erase", "--id", "bad", "--who", "ann")
    assert "there is no text: erased" in said("read", "bad", *WHY)
    assert "2 texts erased" in said("erase", "--key", "beta", "--who", "ann")
    assert "0 texts erased" in said("erase", "--before", "1d", "--who", "ann")
    assert "3 texts erased" in said("erase", "--before", "0m", "--who", "ann")
    assert "0 texts kept, 7 erased" in said("verify")
    assert "0 texts erased" in said("erase", "--again", "--who", "ann")
    assert "--again repeats" in str(refused("erase", "--again", "--id", "bad"))


@pytest.mark.usefixtures("log")
def test_a_label_feeds_rates_and_suggestions() -> None:
    assert "good: false_positive, row 8" in said("label", "good", "false_positive", "--who", "ann")
    output = said("rates")
    assert "labels: 1 false_positive" in output
    assert "precision of flags     0.500  [0.095, 0.905]  n 2" in output
    assert "recall of flags        unknown" in output
    output = said("suggest", *WHY)
    assert "spares 1 (good)" in output
    assert "checked against 1 true hits" in output
    assert "no such exchange" in str(refused("label", "ghost", "missed"))


@pytest.mark.usefixtures("log")
def test_replay_shows_what_another_policy_would_change(tmp_path: Path) -> None:
    output = said("replay", "--policy", "general", "--output", "changes.json", *WHY)
    assert "3 dialogues judged again, 2 end differently" in output
    assert "retract -> release  2  changed" in output
    changes = json.loads((tmp_path / "changes.json").read_text())
    assert [one["exchange"] for one in changes["changes"]] == ["bad", "good"]
    assert "no such profile" in str(refused("replay", "--policy", "nonsense", *WHY))


@pytest.mark.usefixtures("log")
def test_no_command_makes_a_log_where_there_is_none(tmp_path: Path) -> None:
    for command in (["verify"], ["heads", "h"], ["close"], ["rates"], ["export"]):
        assert "there is no audit log" in str(refused(*command, "--log", str(tmp_path / "none.db")))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("text", ["yesterday", "7x", "-1d", "2026-13-01", ""])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected 2026-11-26"):
        moment(text)


def test_times_are_utc() -> None:
    assert moment("2026-11-26") == "2026-11-26T00:00:00.000000Z"
    assert moment("2026-11-26T12:30+08:00") == "2026-11-26T04:30:00.000000Z"
    assert moment(None) == ""
    assert moment("1d") < moment("1h") < moment("1m")
