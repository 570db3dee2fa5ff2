"""`aha status` says of each stage where it stands, what came of it, and what it cost, at any moment of a run."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted
from ahalab.pipeline.status import StageStatus, read_status
from ahalab.runs.hashing import folder_hash
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.lock import LOCK_NAME
from conftest import Aha
from stub_stages import Graph, make_graph

STAGES: dict[str, dict[str, Any]] = {
    "a": {"text": "a"},
    "b": {"from": "a", "text": "b"},
    "c": {"from": "b", "text": "c", "makes": "dataset", "units": 7},
    "d": {"from": "a", "reads": ["c"], "text": "d"},
}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return make_graph(tmp_path, monkeypatch)


def stages(graph: Graph) -> dict[str, StageStatus]:
    status, _ = read_status(graph.folder / "graph")
    return {one.name: one for one in status.stages}


def states(graph: Graph) -> dict[str, str]:
    return {name: one.state for name, one in stages(graph).items()}


def interrupt(graph: Graph, stage: str, **options: Any) -> None:
    graph.stop_at = stage
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(options.pop("stages", STAGES)), **options)
    graph.stop_at = None


def pretend_at_work(run: Path, stage: str, pid: int | None = None, host: str | None = None) -> None:
    """As a process leaves it that is in the middle of a stage: its signature in the lock, no end in the events."""
    signature = {"pid": pid or os.getpid(), "host": host or socket.gethostname()}
    (run / LOCK_NAME).write_text(json.dumps(signature))
    rows = [row for row in read_jsonl(run / "events.jsonl") if row["kind"] != "stage_ended_early"]
    (run / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (run / "stages" / f"{stage}.partial").is_dir()


def test_every_state_of_a_stage(graph: Graph) -> None:
    run = graph.folder / "graph"
    interrupt(graph, "c")
    assert states(graph) == {"a": "done", "b": "done", "c": "interrupted", "d": "waiting"}
    assert (stages(graph)["c"].done, stages(graph)["c"].total, stages(graph)["c"].unit) == (1, 7, "step")
    assert stages(graph)["c"].note == "c: stopped."
    assert stages(graph)["b"].figures == {"length": 3}

    pretend_at_work(run, "c")
    assert states(graph)["c"] == "running"
    assert stages(graph)["c"].figures == {"lines": 1}
    assert stages(graph)["c"].seconds > 0

    pretend_at_work(run, "c", pid=2**22 + 1)
    assert states(graph)["c"] == "interrupted", "its process is gone"
    pretend_at_work(run, "c", host="elsewhere")
    assert states(graph)["c"] == "running", "of another host it cannot be known"

    graph.run(graph.recipe(STAGES))
    assert set(states(graph).values()) == {"done"}


def test_what_is_made_again_upstream_outdates_what_depends_on_it(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    interrupt(graph, "b", stages={**STAGES, "b": {"from": "a", "text": "b2"}})
    assert states(graph) == {"a": "done", "b": "interrupted", "c": "outdated", "d": "outdated"}


def test_a_stage_taken_from_another_run_is_reused(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES), name="first")
    graph.run(graph.recipe(STAGES))
    assert set(states(graph).values()) == {"reused"}
    assert stages(graph)["b"].note == "first/stages/b"
    assert stages(graph)["b"].seconds == 0
    graph.run(graph.recipe(STAGES), start="b")
    assert states(graph) == {"a": "reused", "b": "done", "c": "done", "d": "done"}


def write_events(run: Path, *rows: tuple[str, str, str, dict[str, str]]) -> None:
    lines = [
        {"time": f"2026-01-05T10:{clock}.000+00:00", "kind": kind, "stage": stage, **more}
        for clock, kind, stage, more in rows
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_time_is_the_sum_over_all_attempts_and_cost_follows_from_the_machine(aha: Aha, graph: Graph) -> None:
    graph.run(graph.recipe(STAGES), until="a")
    run = graph.folder / "graph"
    write_events(
        run,
        ("00:00", "stage_started", "a", {}),
        ("01:00", "stage_ended_early", "a", {"reason": "Ctrl-C"}),
        ("05:00", "stage_continued", "a", {"last_sign": "2026-01-05T10:00:55.000+00:00"}),
        ("05:30", "resumed", "a", {}),
        # Killed: the next beginning knows that it was at work a minute longer.
        ("09:00", "stage_continued", "a", {"last_sign": "2026-01-05T10:06:30.000+00:00"}),
        ("09:30", "stage_finished", "a", {}),
        ("20:00", "stage_set_aside", "a", {"reason": "asked"}),
        ("30:00", "stage_started", "a", {}),
        ("30:10", "stage_finished", "a", {}),
    )
    assert stages(graph)["a"].seconds == 60 + 90 + 30 + 10
    machine = json.loads((run / "machine.json").read_text())
    (run / "machine.json").write_text(json.dumps({**machine, "threads": 4}))
    assert stages(graph)["a"].cost == pytest.approx(190 * 4 / 3600)
    done = aha("status", run, "--price", 0.5)
    assert "3:10, 0.21 core-hours = 0.11" in done.out
    (run / "machine.json").write_text(json.dumps({**machine, "threads": 4, "device": "A GPU"}))
    told = json.loads(aha("status", run, "--json", "--price", 2).out)
    assert told["cost_unit"] == "GPU-hours"
    assert told["cost"] == pytest.approx(190 / 3600)
    assert told["price"] == pytest.approx(2 * 190 / 3600)


def test_the_tree_stands_in_plain_lines_where_there_is_no_terminal(aha: Aha, graph: Graph) -> None:
    interrupt(graph, "c")
    done = aha("status", graph.folder / "graph")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("graph  base none, seed 0  2 of 4 stages done, not at work")
    shapes = [line.split("  (")[0].rstrip() for line in lines[1:]]
    assert [line[: len(line) - len(line.lstrip())] for line in shapes] == ["  ", "    ", "      ", "    "]
    assert lines[1].startswith("  ✔ a (make_model)  done  length 1")
    assert "‖ c (make_dataset)  interrupted at step 1 of 7" in lines[3]
    assert lines[4].startswith("    · d (make_model)  waiting  also reads c")


def test_the_twin_for_programs_holds_the_same(aha: Aha, graph: Graph) -> None:
    interrupt(graph, "c")
    told = json.loads(aha("status", graph.folder / "graph", "--json").out)
    assert [(one["stage"], one["state"]) for one in told["stages"]] == list(states(graph).items())
    assert told["stages"][3]["reads"] == ["a", "c"]
    assert told["stages"][2]["done"] == 1
    assert "price" not in told


def test_looking_changes_nothing_and_needs_no_data_files(aha: Aha, graph: Graph) -> None:
    (graph.folder / "rows.txt").write_text("one")
    graph.run(graph.recipe({**STAGES, "a": {"text": "a", "file": "rows.txt"}}))
    (graph.folder / "rows.txt").unlink()
    before = folder_hash(graph.folder / "graph")
    assert aha("status", graph.folder / "graph").code == 0
    assert set(states(graph).values()) == {"done"}
    assert folder_hash(graph.folder / "graph") == before


def test_what_is_no_run_folder_is_refused(aha: Aha, tmp_path: Path) -> None:
    done = aha("status", tmp_path)
    assert done.code == 2
    assert "is not a run folder" in done.err
    assert "Traceback" not in done.err


def test_a_half_written_stage_of_this_very_moment_is_no_trouble(aha: Aha, graph: Graph) -> None:
    interrupt(graph, "c")
    run = graph.folder / "graph"
    (run / "stages" / "c.partial" / "progress.json").write_text("")
    with (run / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    (run / "stages" / "d.partial").mkdir()
    assert aha("status", run).code == 0
    assert states(graph)["d"] == "interrupted"
