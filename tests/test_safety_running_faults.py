"""200 calls at a time against a server that fails in every way, and `kill -9`: one state an item, none paid twice."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from ahalab.endpoints import client as client_module
from ahalab.safety.folder import read_items, read_replies
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.running.run import SafetyRun
from ahalab.safety.running.served import Served
from ahalab.safety.running.targets import ServedTarget
from endpoint_server import endpoint_alone  # noqa: F401
from faulty_endpoint import CONTROLS, EVERY_TIME, PAID, FaultyEndpoint, kinds
from proof_tools import kill_after, start
from safety_runs import made, made_set


def expected_state(kind: str) -> str:
    """In words: "error: …", "control: …", "empty" or "reply"."""
    if kind in EVERY_TIME:
        return f"error: {EVERY_TIME[kind]}"
    if kind in CONTROLS:
        return f"control: {CONTROLS[kind]}"
    return "empty" if kind == "empty" else "reply"


def state(row: TargetReply) -> str:
    if row.error:
        return f"error: {row.error}"
    if row.control:
        return f"control: {row.control}"
    return "reply" if row.answer else "empty"


def check_states(
    rows: list[TargetReply], items: tuple[SafetyItem, ...], server: FaultyEndpoint
) -> Counter[str]:
    """Every item once, in the state that it has to end in, and paid for at most once; the states, counted."""
    assert Counter(row.item for row in rows) == Counter(item.id for item in items)
    prompts = {item.id: item.prompt for item in items}
    wrong = {
        row.item: (server.kinds[prompts[row.item]], state(row))
        for row in rows
        if state(row) != expected_state(server.kinds[prompts[row.item]])
    }
    assert wrong == {}
    assert set(server.paid.values()) <= {1}, "a reply was paid for twice"
    assert set(server.paid) == {prompt for prompt, kind in server.kinds.items() if kind in PAID}
    return Counter(state(row) for row in rows)


def test_every_item_of_200_calls_at_a_time_ends_in_one_state_and_none_is_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LARGEST_REPLY", 1_000_000)
    asked = made(made_set(400))
    with FaultyEndpoint(kinds([item.prompt for item in asked.items], 0.5, slow=2), wait=0.2) as server:
        config = ServedTarget(
            url=server.url, model="fake", parallel=200, retries=1, timeout_seconds=3.0, give_up_after=1000
        )

        def target() -> Served:
            return Served("t", config, tmp_path, 0, lambda: False)

        run = SafetyRun(tmp_path, None, ())
        run.ask(asked, [target()])
        states = check_states(read_replies(tmp_path, "t"), asked.items, server)
        assert server.most_under_way > 150
        assert len(states) == 9, "every kind of state was met"
        before = sum(server.asked.values())
        run.ask(asked, [target()])
        assert sum(server.asked.values()) == before, "a second run asks nothing"


@pytest.mark.parametrize("seed", [1])
def test_kill_9_repeats_only_what_was_under_way(tmp_path: Path, seed: int) -> None:
    parallel, kills = 8, 2
    with FaultyEndpoint(wait=0.15) as server:
        command = [
            "safety", "run", f"t={server.url}#fake", "--benchmark", "safety-harmless", "--limit", "168", "--no-judge",
            "--parallel", str(parallel), "--output", str(tmp_path),
        ]  # fmt: skip
        repeated = kill_and_go_on(command, tmp_path, server, parallel, kills, random.Random(seed))
        items = read_items(tmp_path)
        rows = read_replies(tmp_path, "t")
    assert Counter(row.item for row in rows) == Counter(item.id for item in items)
    assert not any(row.error for row in rows)
    assert sum(server.paid.values()) - len(items) == repeated <= kills * parallel


def test_ctrl_c_awaits_what_is_under_way_and_repeats_nothing(tmp_path: Path) -> None:
    with FaultyEndpoint(wait=0.15) as server:
        command = [
            "safety", "run", f"t={server.url}#fake", "--benchmark", "safety-harmless", "--limit", "84", "--no-judge",
            "--output", str(tmp_path),
        ]  # fmt: skip
        process = start(command)
        while sum(server.paid.values()) < 8 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate()
        assert process.returncode == 130, text
        assert "The same command goes on from here" in " ".join(text.split())
        kept = kept_replies(tmp_path)
        assert len(read_replies(tmp_path, "t")) == kept == sum(server.paid.values()) < 84
        assert "84 replies are kept" in " ".join(text.split())
        process = start(command)
        text, _ = process.communicate()
        assert process.returncode == 0, text
        assert sum(server.paid.values()) == 84


def kill_and_go_on(
    command: list[str], folder: Path, server: FaultyEndpoint, parallel: int, kills: int, rng: random.Random
) -> int:
    """Kill the command again and again while it is at work, then let it end; how many replies were paid for again.

    After each kill, whatever is in the file of paid replies is never asked for again; what was answered and is not in
    it was under way, so there are at most `parallel` of these.
    """
    repeated = done = 0
    while done < kills:
        process = start(command)
        before = sum(server.asked.values())
        while sum(server.asked.values()) == before and process.poll() is None:
            time.sleep(0.02)
        met = kill_after(process, rng.uniform(0.1, 0.9))
        while server.under_way:  # a real server goes on too, and sends its bill
            time.sleep(0.02)
        kept = kept_replies(folder)
        lost = sum(server.paid.values()) - repeated - kept
        assert 0 <= lost <= parallel
        repeated += lost
        if not met:
            break
        done += 1
    process = start(command)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert done == kills, "the command had ended before the last kill"
    assert kept_replies(folder) == sum(server.paid.values()) - repeated
    return repeated


def kept_replies(folder: Path) -> int:
    """Whole rows in the file of paid replies; no reply is in it twice."""
    path = folder / "targets/t/paid/t.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    keys = [json.loads(line)["key"] for line in lines if line.endswith(b"\n")]
    assert len(set(keys)) == len(keys)
    return len(keys)
