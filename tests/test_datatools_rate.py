"""Pass rates are those of the graded answers; a killed rating goes on and ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ahalab.datatools.rate import BINS, Keep, bin_of
from ahalab.errors import UserError
from ahalab.evaluation.intervals import wilson
from conftest import Aha, Outcome
from data_files import read_lines, write_lines
from endpoint_server import EndpointServer, Step, endpoint_alone, error, say  # noqa: F401

SHORT = ("--max-new-tokens", 48, "--threads", 1, "--max-rows", 16)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty questions whose answers are digits from 1 to 4, of two domains."""
    rows = [
        {
            "id": row,
            "question": f"Say a digit, number {row}",
            "answer": str(row % 4 + 1),
            "domain": ("a", "b")[row % 2],
        }
        for row in range(40)
    ]
    return write_lines(tmp_path_factory.mktemp("rate") / "digits.jsonl", rows)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def ok(done: Outcome) -> Outcome:
    assert done.code == 0, done.err
    return done


def rate(aha: Aha, file: Path, base: Path, folder: Path, *more: object) -> Outcome:
    return aha("data", "rate", file, "--model", base, "--samples", 8, "--output", folder, *SHORT, *more)


def test_rates_are_those_of_the_answers_and_the_bounds_keep_what_is_within(
    aha: Aha, trained_base: Path, digits: Path, tmp_path: Path
) -> None:
    done = ok(rate(aha, digits, trained_base, tmp_path / "r", "--keep", "0.1:0.5"))
    answers: dict[str, list[float]] = {}
    for path in sorted((tmp_path / "r" / "samples").glob("*.jsonl")):
        for row in read_lines(path):
            answers.setdefault(row["question"], []).append(row["correct"])
    rated = read_lines(tmp_path / "r" / "rated.jsonl")
    assert [row["id"] for row in rated] == list(range(40))
    for row in rated:
        scores = answers[row["question"]]
        assert row["pass_rate"] == pytest.approx(sum(scores) / 8)
        assert row["pass_samples"] == 8
        assert (row["pass_low"], row["pass_high"]) == pytest.approx(wilson(row["pass_rate"], 8))
        assert list(row)[:4] == ["id", "question", "answer", "domain"]
    kept = read_lines(tmp_path / "r" / "kept.jsonl")
    assert kept == [row for row in rated if 0.1 <= row["pass_rate"] <= 0.5]
    assert 0 < len(kept) < 40
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert [(one["domain"], one["rows"]) for one in summary["domains"]] == [("a", 20), ("b", 20)]
    assert sum(sum(one["histogram"].values()) for one in summary["domains"]) == 40
    assert sum(one["kept"] for one in summary["domains"]) == summary["kept"] == len(kept)
    assert "pass rate over 8 samples" in done.out
    # Other bounds ask nothing anew.
    stamps = [path.stat().st_mtime_ns for path in (tmp_path / "r" / "samples").glob("*.jsonl")]
    ok(rate(aha, digits, trained_base, tmp_path / "r", "--keep", ":1"))
    assert stamps == [path.stat().st_mtime_ns for path in (tmp_path / "r" / "samples").glob("*.jsonl")]
    assert len(read_lines(tmp_path / "r" / "kept.jsonl")) == 40
    ok(rate(aha, digits, trained_base, tmp_path / "r"))
    assert not (tmp_path / "r" / "kept.jsonl").exists()


def test_a_killed_rating_goes_on_and_ends_with_the_same_bytes(
    trained_base: Path, digits: Path, tmp_path: Path
) -> None:
    words = ["data", "rate", digits, "--model", trained_base, "--samples", 8, "--keep", "0.1:0.9", *SHORT]
    for output, kills in (("whole", []), ("killed", ["rollout:10", "rollout:150"])):
        command = [sys.executable, "-m", "ahalab.cli", *map(str, words), "--output", str(tmp_path / output)]
        for kill in kills:
            done = subprocess.run(
                command, env={**os.environ, "AHALAB_KILL_AT": kill}, capture_output=True, check=False
            )
            assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        if kills:
            written = sorted((tmp_path / output).rglob("shard-*.jsonl"))
            stamps = [path.stat().st_mtime_ns for path in written]
            assert 0 < len(written) < 5
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    assert [path.stat().st_mtime_ns for path in written] == stamps  # finished shards were not sampled again
    whole, killed = (
        {
            name: data.replace(str(tmp_path / one).encode(), b"")
            for name, data in contents(tmp_path / one).items()
        }
        for one in ("whole", "killed")
    )
    assert whole == killed


def test_another_file_or_setting_in_the_same_folder_is_refused(
    aha: Aha, trained_base: Path, digits: Path, tmp_path: Path
) -> None:
    ok(rate(aha, digits, trained_base, tmp_path / "r", "--rows", 4))
    for more, key in (
        (("--rows", 4, "--temperature", 0.7), "temperature"),
        (("--rows", 5), "rows"),
        ((), "rows"),
    ):
        done = rate(aha, digits, trained_base, tmp_path / "r", *more)
        assert done.code == 2
        assert f"begun with {key}" in " ".join(done.err.split())
    other = write_lines(tmp_path / "digits.jsonl", read_lines(digits)[:20])
    done = rate(aha, other, trained_base, tmp_path / "r", "--rows", 4)
    assert "begun with sha256" in " ".join(done.err.split())


def test_equal_prompts_are_rated_each_and_bad_rows_are_said_before_a_model_is_loaded(
    aha: Aha, trained_base: Path, tmp_path: Path
) -> None:
    row = {"question": "Say a digit, number 1", "answer": "2", "pass_rate": 7}
    path = write_lines(tmp_path / "a.jsonl", [row, row, {"question": "q", "answer": None}, row])
    done = rate(aha, path, "builtin:nothing", tmp_path / "r")
    assert done.code == 2
    done = rate(aha, path, trained_base, tmp_path / "r")
    assert (done.code, "row 3, column 'answer'" in done.err) == (2, True)
    assert not (tmp_path / "r").exists()
    done = ok(rate(aha, path, trained_base, tmp_path / "r", "--skip-bad-rows"))
    rated = read_lines(tmp_path / "r" / "rated.jsonl")
    assert len(rated) == 3
    assert all(0 <= one["pass_rate"] <= 1 for one in rated)
    assert "3 rows had a pass rate already" in done.out
    assert "1 no answer" in done.out


def test_prompts_without_a_rule_are_refused(aha: Aha, trained_base: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "hi"}]}])
    done = rate(aha, path, trained_base, tmp_path / "r")
    assert (done.code, "checked by no rule" in done.err) == (2, True)
    assert aha("data", "rate", path).code == 2


def counting_reply(prompt: str) -> Step:
    number = int(prompt.split("number ")[1].split()[0])
    if number == 0:
        return error(400, "content filter: no")
    return say(f"<answer> {number % 4 + 1 if number < 20 else 9} </answer>")


def test_a_server_is_rated_and_its_failures_are_no_zeros(aha: Aha, digits: Path, tmp_path: Path) -> None:
    with EndpointServer(counting_reply) as server:
        words = (
            "data",
            "rate",
            digits,
            "--endpoint",
            server.url,
            "--model",
            "fake",
            "--samples",
            2,
            "--keep",
            "0.5:1",
        )
        done = ok(aha(*words, "--output", tmp_path / "r"))
        asked = len(server.bodies)
        assert asked == 80
        ok(aha(*words, "--output", tmp_path / "r"))
        assert len(server.bodies) == asked
    rated = read_lines(tmp_path / "r" / "rated.jsonl")
    assert rated[0]["pass_rate"] is None
    assert rated[0]["pass_samples"] == 0
    assert [row["pass_rate"] for row in rated[1:]] == [1.0] * 19 + [0.0] * 20
    assert [row["id"] for row in read_lines(tmp_path / "r" / "kept.jsonl")] == list(range(1, 20))
    assert "1 rows have no rate" in done.out
    assert "2 endpoint" in done.out


@pytest.mark.parametrize("text", ["0.5", "0.9:0.1", "a:b", "0:2", "-1:1", ":"])
def test_bounds_that_are_none_are_refused(text: str) -> None:
    if text == ":":
        assert Keep.read(text) == Keep(0.0, 1.0)
        return
    with pytest.raises(UserError, match="expected LOW:HIGH"):
        Keep.read(text)


def test_every_rate_has_a_bin() -> None:
    found: list[Any] = [bin_of(place / 16) for place in range(17)]
    assert found[0] == "0"
    assert found[-1] == "1"
    assert set(found) == set(BINS)
    assert [bin_of(rate) for rate in (0.2, 0.4, 0.6, 0.8)] == ["to 0.2", "to 0.4", "to 0.6", "to 0.8"]
