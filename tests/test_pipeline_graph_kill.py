"""`kill -9` between stages, while stages move to `attempts/`, and in `--from`: the same command ends the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ahalab.runs.hashing import folder_hash
from small_runs import hashes
from stub_stages import Graph, make_graph

BEFORE: dict[str, dict[str, Any]] = {
    "a": {"text": "a"},
    "b": {"from": "a", "text": "b"},
    "c": {"from": "b", "text": "c", "makes": "dataset"},
    "d": {"from": "a", "text": "d"},
}
AFTER = {**BEFORE, "b": {"from": "a", "text": "b2"}, "d": {"from": "a", "text": "d2"}}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return make_graph(tmp_path, monkeypatch)


def run_and_die(graph: Graph, stages: dict[str, Any], kill_at: str, **options: Any) -> None:
    """Run in a process of its own that is killed at a fault point."""
    child = os.fork()
    if child == 0:
        try:
            os.environ["AHALAB_KILL_AT"] = kill_at
            graph.run(graph.recipe(stages), **options)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{kill_at} was never reached"
    assert os.WTERMSIG(status) == signal.SIGKILL


def kept(run: Path) -> set[str]:
    """Contents of every stage folder that is anywhere in the run."""
    folders = [*(run / "stages").iterdir(), *(run / "attempts").glob("[a-d].*")]
    return {
        folder_hash(folder, ["manifest.json"]) for folder in folders if (folder / "manifest.json").exists()
    }


POINTS = [
    "attempts.before_rename:1",
    "attempts.after_rename:1",
    "attempts.after_rename:2",
    "attempts.after_rename:3",
]
MORE = ["stage.before_rename:1", "stage.after_rename:1", "stage.after_rename:3"]


@pytest.mark.parametrize("point", [*POINTS, *MORE])
def test_a_kill_while_a_changed_recipe_is_made_loses_nothing(graph: Graph, point: str) -> None:
    graph.run(graph.recipe(BEFORE))
    graph.run(graph.recipe(AFTER), name="calm", reuse=False)
    run = graph.folder / "graph"
    before = kept(run)
    run_and_die(graph, AFTER, point, reuse=False)
    assert before <= kept(run), "nothing that was made is gone"
    graph.run(graph.recipe(AFTER), reuse=False)
    assert before <= kept(run)
    assert hashes(run) == hashes(graph.folder / "calm")
    assert sorted(path.name for path in (run / "attempts").glob("[a-d].*")) == ["b.1", "c.1", "d.1"]
    assert len(list((run / "attempts").glob("recipe.resolved.*.yaml"))) == 1
    assert graph.run(graph.recipe(AFTER)) == []


@pytest.mark.parametrize("point", [*POINTS, *MORE[:2]])
def test_a_kill_in_from_makes_everything_asked_for_again_exactly_once(graph: Graph, point: str) -> None:
    graph.run(graph.recipe(BEFORE))
    run = graph.folder / "graph"
    before, expected = kept(run), hashes(run)
    run_and_die(graph, BEFORE, point, start="b" if "3" not in point else "a")
    assert before <= kept(run)
    graph.run(graph.recipe(BEFORE))
    assert before <= kept(run)
    assert hashes(run) == expected
    assert not (run / "remake.json").exists()
    names = sorted(path.name for path in (run / "attempts").glob("[a-d].*"))
    assert names == (["b.1", "c.1"] if "3" not in point else ["a.1", "b.1", "c.1", "d.1"])


def test_a_kill_while_a_stage_is_taken_back_or_copied_leaves_a_whole_one(graph: Graph) -> None:
    graph.run(graph.recipe(BEFORE))
    expected = hashes(graph.folder / "graph")
    leftover = graph.folder / "other" / "stages" / ".tmp-reused-a"
    graph.run(graph.recipe({"d": BEFORE["a"]}, name="graph"), name="other")
    leftover.mkdir()
    (leftover / "half").write_text("x")
    graph.run(graph.recipe(BEFORE), name="other")
    assert not leftover.exists()
    assert hashes(graph.folder / "other") == expected
