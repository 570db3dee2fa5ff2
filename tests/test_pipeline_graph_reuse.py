"""A stage that another run of the same folder has made already is taken from there, and only if it is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted
from ahalab.pipeline import reuse
from ahalab.runs.hashing import folder_hash
from small_runs import events, manifests
from stub_stages import Graph, make_graph

STAGES: dict[str, dict[str, Any]] = {
    "a": {"text": "a"},
    "b": {"from": "a", "text": "b"},
    "c": {"from": "b", "text": "c", "makes": "dataset"},
}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return make_graph(tmp_path, monkeypatch)


@pytest.fixture
def first(graph: Graph) -> Path:
    """A finished run."""
    graph.run(graph.recipe(STAGES), name="first")
    return graph.folder / "first"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_another_run_takes_the_stages_that_are_the_same_and_makes_the_rest(graph: Graph, first: Path) -> None:
    before = folder_hash(first)
    assert graph.run(graph.recipe({**STAGES, "c": {**STAGES["c"], "text": "c2"}}), name="second") == ["c"]
    second = graph.folder / "second"
    assert graph.out("c", "second") == "a+b+c2"
    assert "stage 1 of 3: a (make_model): made before with the same settings, taken from first/stages/a" in (
        graph.notes.lines
    )
    assert [(one["stage"], one["source"]) for one in events(second, "stage_reused")] == [
        ("a", "first/stages/a"),
        ("b", "first/stages/b"),
    ]
    assert {name: manifests(second)[name] for name in "ab"} == {name: manifests(first)[name] for name in "ab"}
    assert folder_hash(first) == before
    assert graph.run(graph.recipe({**STAGES, "c": {**STAGES["c"], "text": "c2"}}), name="second") == []


def test_weights_are_linked_and_what_a_person_might_edit_is_copied(graph: Graph, first: Path) -> None:
    graph.run(graph.recipe(STAGES), name="second")
    for name, links in (("weights.safetensors", 2), ("out.txt", 1)):
        assert (first / "stages" / "a" / "checkpoint" / name).stat().st_nlink == links
    (graph.folder / "second" / "stages" / "a" / "checkpoint" / "out.txt").write_text("edited")
    assert graph.out("a", "first") == "a"


def test_no_reuse_makes_everything(graph: Graph, first: Path) -> None:
    assert first.is_dir()
    assert graph.run(graph.recipe(STAGES), name="second", reuse=False) == ["a", "b", "c"]


def test_another_name_of_the_stage_or_another_seed_is_another_result(graph: Graph, first: Path) -> None:
    assert first.is_dir()
    assert graph.run(graph.recipe({"a2": {"text": "a"}}), name="second") == ["a2"]
    assert graph.run(graph.recipe(STAGES, seed=1), name="third") == ["a", "b", "c"]


@pytest.mark.parametrize("key", reuse.DECIDING)
def test_another_machine_is_another_result(graph: Graph, first: Path, key: str) -> None:
    manifest = first / "stages" / "a" / "manifest.json"
    environment = json.loads(manifest.read_text())["environment"]
    edit(manifest, environment={**environment, key: "another"})
    assert graph.run(graph.recipe(STAGES), name="second") == ["a"]


def test_what_the_clock_decided_is_made_again(graph: Graph, first: Path) -> None:
    manifest = first / "stages" / "a" / "manifest.json"
    edit(manifest, environment={**json.loads(manifest.read_text())["environment"], "reproducible": False})
    assert graph.run(graph.recipe(STAGES), name="second") == ["a"]


def test_what_edited_code_made_is_made_again(
    graph: Graph, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first.is_dir()
    monkeypatch.setattr(reuse, "code_hash", lambda: "edited")
    assert graph.run(graph.recipe(STAGES), name="second") == ["a", "b", "c"]


def test_other_data_under_the_same_name_is_another_result(graph: Graph) -> None:
    stages = {"a": {"text": "a", "file": "rows.txt"}}
    (graph.folder / "rows.txt").write_text("one")
    graph.run(graph.recipe(stages), name="first")
    assert graph.run(graph.recipe(stages), name="same") == []
    (graph.folder / "rows.txt").write_text("two")
    assert graph.run(graph.recipe(stages), name="second") == ["a"]


@pytest.mark.parametrize("damage", ["file", "manifest", "missing", "unfinished", "run"])
def test_a_damaged_stage_of_another_run_is_passed_over(graph: Graph, first: Path, damage: str) -> None:
    stage = first / "stages" / "a"
    if damage == "file":
        (stage / "checkpoint" / "out.txt").write_text("edited")
    elif damage == "manifest":
        (stage / "manifest.json").write_text("{")
    elif damage == "missing":
        (stage / "checkpoint" / "out.txt").unlink()
    elif damage == "unfinished":
        stage.rename(stage.with_name("a.partial"))
    else:
        (first / "run.json").write_text("[]")
    made = graph.run(graph.recipe(STAGES), name="second")
    assert made == (["a", "b", "c"] if damage == "run" else ["a"])
    assert graph.out("c", "second") == "a+b+c"


def test_a_run_that_vanishes_while_it_is_copied_is_passed_over(
    graph: Graph, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = reuse._link_or_copy
    copied: list[str] = []

    def vanish(source: str, target: str) -> str:
        copied.append(source)
        if len(copied) == 3:
            shutil.rmtree(first / "stages" / "a")
        return copy(source, target)

    monkeypatch.setattr(reuse, "_link_or_copy", vanish)
    assert graph.run(graph.recipe(STAGES), name="second") == ["a"]
    assert not list((graph.folder / "second" / "stages").glob(".tmp-*"))


def test_attempts_of_another_run_count_too(graph: Graph, first: Path) -> None:
    graph.run(graph.recipe({**STAGES, "b": {"from": "a", "text": "b2"}}), name="first")
    assert (first / "attempts" / "b.1").is_dir()
    assert graph.run(graph.recipe(STAGES), name="second") == []
    assert "taken from first/attempts/b.1" in graph.notes.text


def test_what_was_asked_for_with_from_is_taken_from_nowhere(graph: Graph, first: Path) -> None:
    graph.run(graph.recipe(STAGES), name="second")
    graph.stop_at = "c"
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(STAGES), name="second", start="b")
    graph.stop_at = None
    assert graph.made == ["b", "c"]
    assert graph.run(graph.recipe(STAGES), name="second") == ["c"]
    assert first.is_dir()


def test_a_stage_that_was_begun_goes_on_and_is_not_taken(graph: Graph) -> None:
    graph.stop_at = "b"
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(STAGES), name="second")
    graph.stop_at = None
    graph.run(graph.recipe(STAGES), name="first")
    assert graph.run(graph.recipe(STAGES), name="second") == ["b"]
    assert "taken from first/stages/c" in graph.notes.text
