"""`aha eval` from the model to the table: resumed, graded again, at a server, compared, judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahalab.evaluation.suites import SUITES
from conftest import Aha, Outcome
from endpoint_server import EndpointServer, Step, endpoint_alone, error, obliging, say  # noqa: F401

SHORT = ("--max-new-tokens", 48, "--threads", 1, "--max-rows", 16)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty questions of GSM8K's form whose answers are digits from 1 to 4."""
    rows = [
        {"question": f"Say a digit, number {row}", "answer": f"so\n#### {row % 4 + 1}"} for row in range(40)
    ]
    return write(tmp_path_factory.mktemp("items") / "digits.jsonl", rows)


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"question": f"Number {i}?", "choices": ["one", "two", "three"], "answer": i % 3} for i in range(6)
    ]
    return write(tmp_path_factory.mktemp("choices") / "choices.jsonl", rows)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """GSM8K's questions without their frame, which the small base has never seen."""
    monkeypatch.setitem(SUITES, "gsm8k", replace(SUITES["gsm8k"], asks={}))


def contents(folder: Path) -> dict[str, bytes]:
    """Everything an evaluation leaves, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def rows_of(folder: Path, suite: str) -> list[dict[str, Any]]:
    paths = sorted((folder / suite / "samples").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return found


def ok(done: Outcome) -> Outcome:
    assert done.code == 0, done.err
    return done


def run_digits(aha: Aha, base: Path, items: Path, folder: Path, *more: object) -> Outcome:
    return aha("eval", base, "--suite", "gsm8k", "--file", items, "--k", 8, "--output", folder, *SHORT, *more)


@pytest.mark.usefixtures("bare")
def test_figures_are_those_of_the_rows(aha: Aha, trained_base: Path, items: Path, tmp_path: Path) -> None:
    done = ok(run_digits(aha, trained_base, items, tmp_path / "e", "--pass-at", 2))
    rows = rows_of(tmp_path / "e", "gsm8k")
    assert len(rows) == 40 * 8
    figures = summary(tmp_path / "e")["suites"]["gsm8k"]
    by_item: dict[str, list[float]] = {}
    for row in rows:
        by_item.setdefault(row["prompt_id"], []).append(row["correct"])
    assert figures["pass@1"]["value"] == pytest.approx(sum(map(sum, by_item.values())) / 320)
    assert figures["pass@8"]["value"] == pytest.approx(sum(max(one) for one in by_item.values()) / 40)
    pairs = [1 - (8 - sum(one)) * (7 - sum(one)) / 56 for one in by_item.values()]
    assert figures["pass@2"]["value"] == pytest.approx(sum(pairs) / 40)
    assert 0.1 < figures["pass@1"]["value"] < 0.5
    assert figures["pass@1"]["low"] < figures["pass@1"]["value"] < figures["pass@1"]["high"]
    assert (figures["n"], figures["k"], figures["samples"]) == (40, 8, 320)
    assert figures["settings"] == {
        "k": 8, "temperature": 0.6, "top_p": 0.95, "max_new_tokens": 48, "seed": 0
    }  # fmt: skip
    assert figures["truncated"] == sum(row["finish"] == "length" for row in rows) / 320
    assert "cons@8" in figures
    assert "pass@2" in done.out
    assert {"gsm8k", "40", "8"} <= set(done.out.split())
    row = rows[0]
    assert row["text"].count("<answer>") <= 1
    assert row["found"] in figures["found"]
    assert row["thinking"] is None or row["thinking"] in row["text"]
    markdown = (tmp_path / "e" / "evaluation.md").read_text(encoding="utf-8")
    assert "| gsm8k | 40 | 8 |" in markdown


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bytes(
    trained_base: Path, items: Path, tmp_path: Path
) -> None:
    words = ["eval", trained_base, "--suite", "gsm8k", "--file", items, "--k", 8, *SHORT]
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
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")


def test_other_settings_in_the_same_folder_are_refused_by_the_key_that_differs(
    aha: Aha, trained_base: Path, random_base: Path, items: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "e"
    ok(run_digits(aha, trained_base, items, folder, "--n", 4))
    before = contents(folder)
    for more, key in (
        (("--n", 4, "--temperature", 0.7), "temperature 0.6, now it is 0.7"),
        (("--n", 5), "n 4, now it is 5"),
        (("--n", 4, "--seed", 1), "seed 0, now it is 1"),
    ):
        done = run_digits(aha, trained_base, items, folder, *more)
        assert done.code == 2
        assert key in " ".join(done.err.split())
        assert "--output" in done.err
    done = run_digits(aha, random_base, items, folder, "--n", 4)
    assert done.code == 2
    assert "begun with model" in " ".join(done.err.split())
    assert contents(folder) == before
    # The same again samples nothing, and another suite may join.
    ok(run_digits(aha, trained_base, items, folder, "--n", 4))
    assert contents(folder) == before
    ok(aha("eval", trained_base, "--suite", "world:math", "--n", 3, "--k", 2, "--output", folder, *SHORT))
    assert list(summary(folder)["suites"]) == ["gsm8k", "world:math"]


def test_grading_again_gives_the_same_verdicts_and_mends_changed_ones(
    aha: Aha, trained_base: Path, items: Path, choices: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "e"
    ok(
        aha(
            "eval", trained_base, "--suite", "gsm8k", "--suite", "mmlu", "--suite", "world", "--n", 6, "--k", 2,
            "--file", f"gsm8k={items}", "--file", f"mmlu={choices}", "--output", folder, *SHORT,
        )
    )  # fmt: skip
    before = contents(folder)
    assert {"gsm8k", "mmlu", "world"} == set(summary(folder)["suites"])
    done = ok(aha("eval", "--regrade", folder))
    assert "36 answers, 0 verdicts changed" in done.out
    assert contents(folder) == before
    shard = folder / "gsm8k" / "samples" / "shard-000000.jsonl"
    rows = rows_of(folder, "gsm8k")
    rows[0]["correct"] = 1.0 - rows[0]["correct"]
    write(shard, rows)
    done = ok(aha("eval", "--regrade", folder))
    assert "36 answers, 1 verdicts changed" in done.out
    assert contents(folder) == before
    world = summary(folder)["suites"]["world"]["by_domain"]
    assert set(world) == {"math", "logic", "choice", "code", "instructions", "safety"}


def thinking_reply(prompt: str) -> Step:
    """A reasoning server: the thinking apart, the answer boxed; some replies cut off, some refused."""
    number = int(prompt.split("number ")[1].split()[0])
    if number == 0:
        return error(400, "content filter: no")
    if number == 1:
        message = {"content": None, "reasoning_content": "and on and on"}
        return Step(body=json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}).encode())
    message = {"content": f"So \\boxed{{{number % 4 + 1}}}.", "reasoning_content": "wait, \\boxed{9}?"}
    usage = {"prompt_tokens": 9, "completion_tokens": 20}
    return Step(
        body=json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()
    )


def test_a_servers_thinking_is_joined_and_its_failures_are_counted_and_no_zeros(
    aha: Aha, items: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_KEY", "very-secret-key")
    folder = tmp_path / "e"
    with EndpointServer(thinking_reply) as server:
        words = (
            "eval",
            "--endpoint",
            server.url,
            "--model",
            "fake",
            "--api-key-env",
            "EVAL_KEY",
            "--parallel",
            1,
        )
        words += ("--suite", "gsm8k", "--file", items, "--k", 2, "--max-new-tokens", 99, "--output", folder)
        ok(aha(*words))
        asked = len(server.bodies)
        assert asked == 80
        ok(aha(*words))
        assert len(server.bodies) == asked  # nothing is paid for twice
        body = server.bodies[0]
        assert server.headers[0]["authorization"] == "Bearer very-secret-key"
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.6, 0.95, 99)
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    figures = summary(folder)["suites"]["gsm8k"]
    assert figures["pass@1"]["value"] == pytest.approx(38 / 39)  # one item refused, one cut off
    assert figures["errors"] == {"endpoint": 2}
    assert figures["truncated"] == pytest.approx(2 / 78)
    assert figures["no_answer"] == 2
    rows = rows_of(folder, "gsm8k")
    good = next(row for row in rows if row["correct"] == 1.0)
    assert good["text"].startswith("<think>\nwait, \\boxed{9}?\n</think>\nSo \\boxed{")
    assert good["thinking"] == "wait, \\boxed{9}?"
    assert good["tokens"] == 20
    refused = next(row for row in rows if row["answerer_error"])
    assert refused["correct"] is None
    assert "very-secret-key" not in "".join(map(str, contents(folder).values()))
    before = contents(folder)
    assert "0 verdicts changed" in ok(aha("eval", "--regrade", folder)).out
    assert contents(folder) == before


def test_hostile_text_is_shown_and_not_run(aha: Aha, items: Path, tmp_path: Path) -> None:
    evil = "\x1b[31m[bold]<script>alert(1)</script>\u202e \\boxed{1}"
    with EndpointServer(lambda _: evil) as server:
        done = ok(
            aha(
                "eval", "--endpoint", server.url, "--model", "m\x1b[0m", "--suite", "gsm8k", "--file", items,
                "--k", 1, "--n", 3, "--output", tmp_path / "e", "--show", 2,
            )
        )  # fmt: skip
    assert "\x1b" not in done.out + done.err
    assert "\u202e" not in done.out
    assert "[bold]<script>" in done.out
    assert "\\u{202E}" in done.out


@pytest.mark.usefixtures("bare")
def test_two_models_are_compared_item_by_item(
    aha: Aha, trained_base: Path, random_base: Path, items: Path, tmp_path: Path
) -> None:
    ok(run_digits(aha, trained_base, items, tmp_path / "a"))
    ok(run_digits(aha, random_base, items, tmp_path / "b", "--n", 30))
    done = ok(aha("eval", "--compare", tmp_path / "a", tmp_path / "b"))
    assert " 30 " in done.out
    assert "10 of A, 0 of B" in done.out
    a, b = (summary(tmp_path / name)["suites"]["gsm8k"] for name in "ab")
    assert a["pass@1"]["value"] > b["pass@1"]["value"]
    same = ok(aha("eval", "--compare", tmp_path / "a", tmp_path / "a"))
    assert "0/0/40" in same.out
    ok(
        aha(
            "eval",
            random_base,
            "--suite",
            "world:math",
            "--n",
            2,
            "--k",
            1,
            "--output",
            tmp_path / "c",
            *SHORT,
        )
    )
    done = aha("eval", "--compare", tmp_path / "a", tmp_path / "c")
    assert done.code == 2
    assert "no suite is in both" in done.err


def test_preference_is_judged_in_both_orders_and_lengths_are_controlled(aha: Aha, tmp_path: Path) -> None:
    rows = [{"instruction": f"Describe number {i}.", "output": "short" * (1 + i % 3)} for i in range(12)]
    file = write(tmp_path / "p.jsonl", rows)

    def answers(prompt: str) -> str:
        return "a much longer description than that" if int(prompt.split("number ")[1][:-1]) % 2 else "x"

    with EndpointServer(answers) as server, EndpointServer(obliging) as judge:
        words = ("eval", "--endpoint", server.url, "--model", "fake", "--suite", "preference", "--file", file)
        words += ("--judge-endpoint", judge.url, "--judge-model", "prefers-long", "--k", 1)
        ok(aha(*words, "--output", tmp_path / "e"))
        assert len(judge.bodies) == 48  # four calls a pair
        ok(aha(*words, "--output", tmp_path / "e"))
        assert len(judge.bodies) == 48
        words = (*words[:9], "--k", 1, "--output", tmp_path / "f")
        done = aha(*words, "--judge", tmp_path / "nowhere")
        assert done.code == 2
        assert "expected `rules`, or the folder of a reward model" in done.err
    figures = summary(tmp_path / "e")["suites"]["preference"]
    assert figures["win_rate"]["value"] == pytest.approx(0.5)  # the longer of each pair
    assert figures["win_rate"]["n"] == 12
    assert figures["judge_errors"] == 0
    assert 0.0 < figures["win_rate_equal_length"]["value"] < 1.0


def test_preference_against_another_models_answers_by_the_worlds_rules(aha: Aha, tmp_path: Path) -> None:
    words = ("--suite", "preference:world", "--n", 6, "--k", 1, *SHORT)
    with EndpointServer(lambda _: "<think> x </think> <answer> hello </answer>") as server:
        first = ("eval", "--endpoint", server.url, "--model", "fake", *words)
        ok(aha(*first, "--output", tmp_path / "a"))
        ok(aha(*first, "--reference", tmp_path / "a", "--output", tmp_path / "b"))
        done = aha(*first, "--n", 7, "--reference", tmp_path / "a", "--output", tmp_path / "c")
    assert summary(tmp_path / "b")["suites"]["preference:world"]["win_rate"]["value"] == 0.5  # against itself
    assert done.code == 2
    assert "1 of 7 items have no reference answer" in " ".join(done.err.split())


def test_items_that_the_training_data_hold_are_reported(aha: Aha, tmp_path: Path) -> None:
    words = "one two three four five six seven eight nine ten eleven twelve"
    asked = [{"question": f"{words} and {i}", "answer": "#### 1"} for i in range(3)]
    asked += [{"question": f"Quite another question, number {i}", "answer": "#### 1"} for i in range(3)]
    file = write(tmp_path / "test.jsonl", asked)
    training = write(tmp_path / "train.jsonl", [{"messages": [{"role": "user", "content": f"Hm, {words}!"}]}])
    done = ok(
        aha(
            "eval",
            "--suite",
            "gsm8k",
            "--file",
            file,
            "--decontaminate",
            training,
            "--output",
            tmp_path / "e",
        )
    )
    report = json.loads((tmp_path / "e" / "gsm8k" / "decontamination.json").read_text())
    assert report["suite"] == "gsm8k"
    assert "3" in done.out
    clean = write(tmp_path / "clean.jsonl", [{"text": "nothing of the kind"}])
    ok(aha("eval", "--suite", "gsm8k", "--file", file, "--decontaminate", clean, "--output", tmp_path / "f"))
    other = json.loads((tmp_path / "f" / "gsm8k" / "decontamination.json").read_text())
    assert other != report
    done = aha("eval", "--suite", "gsm8k", "--file", file, "--decontaminate", tmp_path)
    assert done.code == 2
    assert "expected a run folder" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("x",), "name at least one --suite"),
        (("x", "--suite", "gsm9k"), "did you mean `gsm8k`?"),
        (("--suite", "world"), "give either a MODEL"),
        (("x", "--suite", "world", "--endpoint", "http://127.0.0.1:1/v1"), "give either a MODEL"),
        (("--suite", "world", "--endpoint", "http://127.0.0.1:1/v1"), "needs --model NAME"),
        (("x", "--suite", "world", "--model", "y"), "without --endpoint URL"),
        (("--suite", "world", "--endpoint", "nowhere", "--model", "y"), "expected an address"),
        (("x", "--suite", "world", "--k", "2", "--pass-at", "4"), "pass@4 needs at least 4 samples per item"),
        (("x", "--suite", "world", "--temperature", "0"), "temperature 0 gives k equal samples"),
        (("x", "--suite", "world", "--temperature", "3"), "at most 2"),
        (("x", "--suite", "world", "--n", "0"), "at least 1"),
        (("x", "--suite", "world", "--template", "chatml"), "expected"),
        (("x", "--suite", "world", "--suite", "world"), "given twice"),
        (("x", "--suite", "mmlu", "--suite", "gsm8k", "--file", "a.jsonl"), "say whose it is"),
        (("--regrade", "nowhere"), "no folder that `aha eval` filled"),
        (("--compare", "nowhere", "nowhere"), "no folder that `aha eval` filled"),
        (("./nowhere/at/all", "--suite", "world"), "no such folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_leaves_nothing(
    aha: Aha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = aha("eval", *words)
    assert done.code == 2, done.err
    assert told in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not list(tmp_path.rglob("shard-*.jsonl"))


def test_a_server_that_is_down_stops_the_evaluation_which_then_goes_on(
    aha: Aha, items: Path, tmp_path: Path
) -> None:
    words = ("--model", "fake", "--suite", "gsm8k", "--file", items, "--k", 2, "--output", tmp_path / "e")
    replies = [say("\\boxed{1}")] * 70 + [error(401, "who are you?")]
    with EndpointServer(replies) as server:
        done = aha("eval", "--endpoint", server.url, "--parallel", 1, *words)
        assert done.code == 2
        assert "refuses access" in done.err
        assert len(list((tmp_path / "e").rglob("shard-*.jsonl"))) == 1
        server.script = [say("\\boxed{1}")]
        ok(aha("eval", "--endpoint", server.url, "--parallel", 1, *words))
        assert len(server.bodies) == 81
