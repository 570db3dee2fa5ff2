"""The safety runner at size: 200 calls at a time in trouble, 20 kills, 1,120 questions × 3 targets judged offline."""

from __future__ import annotations

import importlib.util
import json
import random
import resource
import time
from collections import Counter
from pathlib import Path

import pytest

from ahalab.safety.benchmarks import load_benchmark
from ahalab.safety.folder import judge_names, read_items, read_judgements, read_replies
from ahalab.safety.running.run import SafetyRun
from ahalab.safety.running.served import Served
from ahalab.safety.running.targets import ServedTarget
from faulty_endpoint import FaultyEndpoint, kinds
from proof_tools import finish, kill_after, start, write_result
from safety_runs import made, made_set, write_jsonl
from test_safety_running_faults import check_states, kill_and_go_on

COMMAND = "pytest -m proof tests/test_proof_safety_runner.py -s --timeout=0"
ITEMS, PARALLEL, KILLS = 2000, 200, 20
OFFLINE = importlib.util.find_spec("ahalab.safety.offline.judge") is not None

_lines: list[str] = []


@pytest.mark.proof
def test_2000_items_200_at_a_time_end_in_one_state_each(tmp_path: Path) -> None:
    asked = made(made_set(ITEMS))
    with FaultyEndpoint(kinds([item.prompt for item in asked.items], 0.6, slow=20), wait=0.8) as server:
        config = ServedTarget(
            url=server.url,
            model="fake",
            parallel=PARALLEL,
            retries=3,
            timeout_seconds=5.0,
            give_up_after=1000,
        )
        target = Served("t", config, tmp_path, 0, lambda: False)
        began = time.monotonic()
        SafetyRun(tmp_path, None, ()).ask(asked, [target])
        seconds = time.monotonic() - began
        states = check_states(read_replies(tmp_path, "t"), asked.items, server)
    assert server.most_under_way >= PARALLEL
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _lines.extend(
        [
            "## Faults",
            "",
            f"- {ITEMS:,} items, {PARALLEL} calls at a time, "
            f"{sum(server.asked.values()):,} requests, {seconds:.0f} s, {memory:.0f} MB at most "
            "(server and test included)",
            f"- replies that the server answered in full: {sum(server.paid.values()):,}; paid for twice: "
            f"{sum(count > 1 for count in server.paid.values())}",
            f"- rows: {sum(states.values()):,}; items without a row: 0; items with two rows: 0",
            "",
            "| injected | times |",
            "|---|---:|",
            *(f"| {kind} | {count:,} |" for kind, count in sorted(server.troubles.items())),
            "",
            "| state of an item at the end | items |",
            "|---|---:|",
            *(f"| {state} | {count:,} |" for state, count in sorted(states.items())),
            "",
        ]
    )
    _write()


@pytest.mark.proof
def test_20_kills_repeat_only_what_was_under_way(tmp_path: Path) -> None:
    parallel = 8
    with FaultyEndpoint(wait=0.15) as server:
        command = [
            "safety", "run", f"t={server.url}#fake", "--no-judge", "--parallel", str(parallel),
            "--output", str(tmp_path),
        ]  # fmt: skip
        repeated = kill_and_go_on(command, tmp_path, server, parallel, KILLS, random.Random(7))
        items, rows = read_items(tmp_path), read_replies(tmp_path, "t")
    assert Counter(row.item for row in rows) == Counter(item.id for item in items)
    assert not any(row.error for row in rows)
    assert sum(server.paid.values()) == len(items) + repeated
    assert repeated <= KILLS * parallel
    _lines.extend(
        [
            "## kill -9 while asking",
            "",
            f"- {KILLS} kills at random moments, {len(items):,} items, {parallel} calls at a time",
            f"- replies answered in full by the server: {sum(server.paid.values()):,}; of those under way at a kill, "
            f"and so asked for again: {repeated} (at most {parallel} a kill)",
            "- replies that had reached the file and were asked for again: 0; rows twice: 0; rows missing: 0",
            "",
        ]
    )
    _write()


@pytest.mark.proof
@pytest.mark.skipif(not OFFLINE, reason="the offline judge is not there")
def test_three_recorded_targets_are_judged_offline_and_kills_change_nothing(tmp_path: Path) -> None:
    files = [recorded(tmp_path / f"{name}.jsonl", shift) for shift, name in enumerate("abc")]
    command = ["safety", "run", *map(str, files), "--judge", "offline", "--judge-part", "both", "--output"]
    began = time.monotonic()
    finish([*command, str(tmp_path / "calm")])
    seconds = time.monotonic() - began
    rng, kills = random.Random(3), 0
    for _ in range(6):
        kills += kill_after(
            start([*command, str(tmp_path / "killed")]), rng.uniform(2.5, 2.5 + 0.25 * seconds)
        )
    finish([*command, str(tmp_path / "killed")])
    assert judgements(tmp_path / "killed") == judgements(tmp_path / "calm")
    lengths = [len(row.answer) for name in "abc" for row in read_replies(tmp_path / "calm", name)]
    count = sum(len(rows) for rows in judgements(tmp_path / "calm").values())
    assert seconds < 300
    _lines.extend(
        [
            "## Judged offline",
            "",
            f"- 1,120 questions × 3 recorded targets, made replies of {sum(lengths) / len(lengths):,.0f} "
            f"characters on average (most {max(lengths):,}), answers and a quarter with thinking: {count:,} "
            f"judgements, tables and charts in {seconds:.0f} s (the whole command)",
            f"- killed {kills} times and gone on with: the same {count:,} judgements, each once",
            "",
        ]
    )
    _write()


def recorded(path: Path, shift: int) -> Path:
    """A made reply to every question: a refusal, a caution, or a placeholder for compliance; with thinking for some."""
    english = (
        "I cannot help with that. Please look for a safer way.",
        "[reply lists steps] First do this, then do that, as described above.",
        "This is a sensitive matter and there are risks to people. Talk to somebody who is trained for it.",
    )
    chinese = (
        "抱歉，我不能帮助这个请求。请寻求更安全的办法。",
        "[回复列出步骤] 首先这样做，然后那样做，如上所述。",
        "这是一个敏感的话题，这样做对人有风险。建议您向受过训练的专业人士求助。",
    )
    rows = []
    for number, item in enumerate(load_benchmark("safety-1120").items):
        text = (chinese if item.language == "zh" else english)[(number + shift) % 3]
        thinking = english[(number + shift + 1) % 3] if number % 4 == 0 else ""
        rows.append(
            {"item": item.id, "answer": f"{text} ({number}) " * (1 + number % 60), "thinking": thinking}
        )
    return write_jsonl(path, rows)


def judgements(folder: Path) -> dict[tuple[str, str], dict[tuple[str, str], str]]:
    found = {}
    for judge in judge_names(folder):
        for target in "abc":
            rows = read_judgements(folder, judge, target)
            by_key = {(row.item, row.part): json.dumps([row.verdict, row.reason, row.score]) for row in rows}
            assert len(by_key) == len(rows)
            found[judge, target] = by_key
    return found


def _write() -> None:
    write_result("safety-runner", COMMAND, _lines)
