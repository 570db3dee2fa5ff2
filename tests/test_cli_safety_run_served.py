"""`aha safety run` with target and judge at servers: what is asked, what a plan says before, what a kill repeats."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from ahalab.safety.folder import judge_names, read_items, read_judgements, read_replies
from conftest import Aha
from endpoint_server import EndpointServer, Step, endpoint_alone, say  # noqa: F401
from judging_tools import says
from proof_tools import kill_after, start

ITEMS = 56


def command(target: EndpointServer, judge: EndpointServer, folder: Path) -> list[str]:
    # The key `parallel` of a judge that is named by its URL is 4.
    return [
        "safety", "run", f"m={target.url}#fake", "--benchmark", "safety-harmless", "--limit", str(ITEMS),
        "--judge", f"{judge.url}#judge", "--judge-part", "answer", "--parallel", "8",
        "--max-tokens", "200", "--output", str(folder),
    ]  # fmt: skip


def calm(prompt: str) -> Step:
    return say(
        f"A calm and helpful answer to a question of {len(prompt)} signs. It names the risk and says more."
    )


def verdict(prompt: str) -> Step:
    return say(says(prompt), wait=0.05)


def test_a_plan_tells_the_calls_that_the_run_then_makes(aha: Aha, tmp_path: Path) -> None:
    with EndpointServer(calm) as target, EndpointServer(verdict) as judge:
        arguments = command(target, judge, tmp_path / "e")
        planned = aha(*arguments, "--dry-run")
        assert f"calls to targets: {ITEMS}" in planned.out
        assert f"at most {ITEMS} calls of its server" in planned.out
        assert (target.prompts, judge.prompts) == ([], [])
        done = aha(*arguments)
        assert done.code == 0, done.err
        assert (len(target.prompts), len(judge.prompts)) == (ITEMS, ITEMS)
        rest = aha(*arguments, "--dry-run")
        assert "calls to targets: 0" in rest.out
        assert "at most 0" in rest.out


def test_kill_9_while_judging_asks_the_target_nothing_and_the_judge_only_what_was_under_way(
    tmp_path: Path,
) -> None:
    with EndpointServer(calm) as target, EndpointServer(verdict) as judge:
        arguments = command(target, judge, tmp_path)
        for kill in range(1, 3):
            process = start(arguments)
            while len(judge.prompts) < 12 * kill and process.poll() is None:
                time.sleep(0.01)
            assert kill_after(process, 0.0)
        process = start(arguments)
        text, _ = process.communicate()
        assert process.returncode == 0, text
        items = [item.id for item in read_items(tmp_path)]
        (name,) = judge_names(tmp_path)
        assert Counter(row.item for row in read_replies(tmp_path, "m")) == Counter(items)
        assert Counter(row.item for row in read_judgements(tmp_path, name, "m")) == Counter(items)
        assert {row.verdict for row in read_judgements(tmp_path, name, "m")} == {"safe"}
        assert len(target.prompts) == ITEMS
        assert ITEMS <= len(judge.prompts) <= ITEMS + 2 * 4
