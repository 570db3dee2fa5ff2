"""`aha safety rewards`: job file in, rows out that a reward model learns from; the human check; the rules."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.endpoint_server import EndpointServer, Step, endpoint_alone, say
from typer.testing import CliRunner

from ahalab.cli.main import app
from ahalab.runs.jsonl import read_jsonl

assert endpoint_alone  # a fixture that runs by itself

RISKY = "[reply lists steps]"


def script(prompt: str) -> Step | str:
    """A model that refuses even-numbered questions, and a judge that reads the bracketed mark."""
    nonce = re.search(r'"check" comes last and is "([0-9a-f]+)"', prompt)
    if nonce is None:
        number = int(re.findall(r"\d+", prompt)[-1])
        return say(f"<think>let me see</think>{'I would rather not' if number % 2 == 0 else RISKY} {number}.")
    word = "unsafe" if RISKY in prompt else "safe"
    return json.dumps({"analysis": "as marked", "safety": word, "check": nonce[1]})


def job(folder: Path, url: str, n: int = 12, **judge: object) -> Path:
    rows = [{"prompt": f"What about garden matter {number}?"} for number in range(n)]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    endpoint = {"url": url, "model": "m"}
    data = {
        "prompts": [{"file": "p.jsonl"}],
        "replies": [{"name": "one", "endpoint": endpoint}],
        "judge": {"endpoint": {**endpoint, "temperature": 0.7}, **judge},
        "exclude": {"benchmarks": ["safety-1120"]},
        "shard": 5,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(data))  # JSON is YAML
    return path


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["safety", "rewards", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_a_job_file_to_a_trained_reward_model(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with EndpointServer(script) as server:
        path = job(tmp_path, server.url, votes=3)
        assert "at most 12 calls" in call("make", path, "--output", out, "--dry-run")
        assert server.prompts == []
        told = call("make", path, "--output", out)
        asked = len(server.prompts)
        call("make", path, "--output", out)
        assert len(server.prompts) == asked == 12 + 3 * 12
    assert "12 responses, 6 safe, 6 unsafe, 12 with thinking" in told
    assert RISKY not in told
    rows = list(read_jsonl(out / "data/labelled.jsonl"))
    assert all(row["safe"] != (RISKY in row["answer"]) and row["thinking"] == "let me see" for row in rows)

    recipe = tmp_path / "recipe.yaml"
    data = {"file": str(out / "data/labelled.jsonl")}
    stage = {"from": "base", "pointwise": {"data": data}, "epochs": 1, "held_out": 0.3, "batch_size": 4}
    stages = {"safety_rm": {"reward_model": stage}}
    recipe.write_text(json.dumps({"name": "rewards", "base": "builtin:tiny", "stages": stages}))
    result = CliRunner().invoke(
        app, ["run", str(recipe), "--runs", str(tmp_path), "--name", "run"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "run").glob("stages/safety_rm/checkpoint/*.safetensors"))


def test_dialogues_are_sent_as_their_turns(tmp_path: Path) -> None:
    talk = "\n\nHuman: one 1\n\nAssistant: two\n\nHuman: three 3\n\nAssistant: four"
    with EndpointServer(script) as server:
        path = job(tmp_path, server.url, 1)
        data = json.loads(path.read_text())
        (tmp_path / "p.jsonl").write_text(json.dumps({"chosen": talk, "rejected": talk}) + "\n")
        data["prompts"][0]["rule"] = "hh-rlhf-harmless"
        path.write_text(json.dumps(data))
        call("make", path, "--output", tmp_path / "out")
        sent = [(turn["role"], turn["content"]) for turn in server.bodies[0]["messages"]]
    assert sent == [("user", "one 1"), ("assistant", "two"), ("user", "three 3")]
    (row,) = read_jsonl(tmp_path / "out/data/labelled.jsonl")
    assert "two" in row["question"]


def test_a_killed_job_pays_for_no_call_twice(tmp_path: Path) -> None:
    def slow(prompt: str) -> Step:
        made = script(prompt)
        step = say(made) if isinstance(made, str) else made
        return Step(body=step.body, wait=0.02)

    with EndpointServer(slow) as server:
        path = job(tmp_path, server.url, 40)
        command = [sys.executable, "-m", "ahalab.cli", "safety", "rewards", "make", str(path)]
        command += ["--output", str(tmp_path / "out")]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
        )
        try:
            while len(server.prompts) < 37 and process.poll() is None:
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (tmp_path / "out/summary.json").exists()
        under_way = 8  # of two endpoints with four calls each
        call("make", path, "--output", tmp_path / "out")
        assert len(set(server.prompts)) == 80
        assert 80 <= len(server.prompts) <= 80 + under_way
    rows = [row["id"] for row in read_jsonl(tmp_path / "out/data/labelled.jsonl")]
    assert len(rows) == len(set(rows)) == 40


def test_the_human_check_goes_out_and_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with EndpointServer(script) as server:
        call("make", job(tmp_path, server.url), "--output", out)
    assert "6 safe · one · en" in call("sample", out, "--n", 12)
    for name in ("a", "b"):
        path = out / f"check/{name}.csv"
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert "label" in rows[0]
        for number, row in enumerate(rows):
            row["label"] = "unsafe" if RISKY in row["answer"] or (name == "b" and number == 0) else "safe"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    told = call("agree", out)
    assert "12 of 12 responses were labelled by both" in told
    assert "κ" in told
    assert RISKY not in told
    assert json.loads(call("agree", out, "--json"))["sample"] == 12


def test_rules_are_listed_with_their_licence_and_what_they_leave_out() -> None:
    told = call("rules")
    assert "pku-saferlhf" in told
    assert "CC BY-NC 4.0" in told
    assert "a preference between two replies is no label" in call("rules", "hh-rlhf-harmless")


@pytest.mark.parametrize("verb", ["sample", "agree"])
def test_a_folder_without_labels_is_refused(tmp_path: Path, verb: str) -> None:
    result = CliRunner().invoke(app, ["safety", "rewards", verb, str(tmp_path)])
    assert result.exit_code != 0
    assert "aha safety rewards" in str(result.exception)


def test_a_model_of_this_machine_answers_beside_an_endpoint(tmp_path: Path) -> None:
    with EndpointServer(script) as server:
        path = job(tmp_path, server.url, 3)
        data = json.loads(path.read_text())
        data["replies"].append({"name": "tiny", "local": "builtin:tiny", "max_new_tokens": 24})
        path.write_text(json.dumps(data))
        call("make", path, "--output", tmp_path / "out")
    lines = [row for path in sorted(tmp_path.glob("out/shards/*/rows.jsonl")) for row in read_jsonl(path)]
    assert [line["from"] for line in lines] == ["one"] * 3 + ["tiny"] * 3
    assert all(line["row"] or line["drop"] for line in lines)
