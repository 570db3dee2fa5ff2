"""The stage graph: what is made, made again, kept and refused when a recipe or what it reads changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, UserError
from ahalab.pipeline.execute import dry_run
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.graph import ancestors, children, dependants, root
from ahalab.pipeline.kinds import KINDS
from ahalab.runs.folder import PARTIAL
from ahalab.runs.hashing import folder_hash
from small_runs import events
from stub_stages import Graph, make_graph

STAGES: dict[str, dict[str, Any]] = {
    "a": {"text": "a"},
    "b": {"from": "a", "text": "b"},
    "c": {"from": "b", "text": "c", "makes": "dataset"},
    "d": {"from": "a", "text": "d", "makes": "dataset"},
    "e": {"from": "a", "reads": ["c", "d"], "text": "e"},
    "f": {"text": "f"},
}
"""a → b → c → e, a → d → e, and f on its own."""


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return make_graph(tmp_path, monkeypatch)


def changed(name: str, **config: Any) -> dict[str, dict[str, Any]]:
    return {**STAGES, name: {**STAGES[name], **config}}


def test_a_graph_is_made_in_order_and_an_unchanged_one_makes_nothing(graph: Graph) -> None:
    recipe = graph.recipe(STAGES)
    assert graph.run(recipe) == ["a", "b", "c", "d", "e", "f"]
    assert graph.out("e") == "a+a+b+c+a+d+e"
    assert [line for line in graph.notes.lines if line.startswith("stage ")][
        2
    ] == "stage 3 of 6: c (make_dataset)"
    before = folder_hash(graph.folder / "graph", ["stages", "recipe.resolved.yaml", "events.jsonl"])
    assert graph.run(recipe) == []
    assert graph.notes.lines == []
    assert folder_hash(graph.folder / "graph", ["stages", "recipe.resolved.yaml", "events.jsonl"]) == before
    assert not (graph.folder / "graph" / "attempts").exists()


def test_stages_may_be_declared_in_any_order(graph: Graph) -> None:
    assert graph.run(graph.recipe(dict(reversed(STAGES.items())))) == ["f", "a", "d", "b", "c", "e"]
    assert graph.out("e") == "a+a+b+c+a+d+e"


def test_changing_one_stage_makes_it_and_its_dependants_again_and_nothing_else(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    kept = {name: folder_hash(graph.folder / "graph" / "stages" / name) for name in ("a", "d", "f")}
    old = {name: folder_hash(graph.folder / "graph" / "stages" / name) for name in ("b", "c", "e")}
    assert graph.run(graph.recipe(changed("b", text="B2"))) == ["b", "c", "e"]
    assert graph.out("e") == "a+a+b2+c+a+d+e"
    run = graph.folder / "graph"
    assert {name: folder_hash(run / "stages" / name) for name in kept} == kept
    assert {name: folder_hash(run / "attempts" / f"{name}.1") for name in old} == old
    assert (run / "attempts" / "recipe.resolved.1.yaml").is_file()
    assert graph.open().recipe()["stages"]["b"]["make_model"]["text"] == "B2"
    assert (
        'made again: b (text: "b" before, "B2" now); and where their inputs come out different: c, e.'
        in (graph.notes.lines[0])
    )
    assert "c is made again: b came out different. The old one: attempts/c.1" in graph.notes.lines
    assert [event["stage"] for event in events(run, "stage_set_aside")] == ["b", "c", "e"]
    assert graph.run(graph.recipe(changed("b", text="B2"))) == []


def test_a_result_that_comes_out_the_same_stops_what_would_follow(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    assert graph.run(graph.recipe(changed("b", text="B"))) == ["b"]
    assert "c stays: what it reads came out the same." in graph.notes.lines
    assert graph.run(graph.recipe(changed("b", text="B"))) == []


def test_a_recipe_changed_back_takes_back_what_was_made(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    graph.run(graph.recipe(changed("b", text="other")))
    assert graph.run(graph.recipe(STAGES)) == []
    assert graph.out("e") == "a+a+b+c+a+d+e"
    assert "made before with the same settings, taken from attempts/b.1" in graph.notes.text
    run = graph.folder / "graph"
    assert sorted(path.name for path in (run / "attempts").glob("[a-f].*")) == ["b.2", "c.2", "e.2"]
    assert graph.run(graph.recipe(changed("b", text="other")), reuse=False) == ["b", "c", "e"]


def test_stages_may_join_leave_and_change_their_kind(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    more = {**STAGES, "g": {"from": "e", "text": "g"}}
    assert graph.run(graph.recipe(more)) == ["g"]
    fewer = {name: STAGES[name] for name in ("a", "b", "c", "d")}
    assert graph.run(graph.recipe(fewer)) == []
    assert "no longer in the recipe" in graph.notes.text
    run = graph.folder / "graph"
    assert sorted(path.name for path in (run / "stages").iterdir()) == ["a", "b", "c", "d"]
    assert sorted(path.name for path in (run / "attempts").glob("[a-g].*")) == ["e.1", "f.1", "g.1"]
    assert graph.run(graph.recipe({**fewer, "c": {"from": "b", "text": "c"}})) == ["c"]
    assert "c (kind: make_dataset before, make_model now)" in graph.notes.text


@pytest.mark.parametrize("head", [{"seed": 3}, {"name": "other"}, {"base": "other"}, {"threads": 2}])
def test_another_seed_base_or_name_is_another_run(graph: Graph, head: dict[str, Any]) -> None:
    graph.run(graph.recipe(STAGES))
    before = folder_hash(graph.folder / "graph", ["stages", "recipe.resolved.yaml"])
    with pytest.raises(
        UserError, match=f"holds another recipe; it differs in\n  {next(iter(head))}: .*there"
    ):
        graph.run(graph.recipe(STAGES, **head), name="graph")
    assert folder_hash(graph.folder / "graph", ["stages", "recipe.resolved.yaml"]) == before


def test_an_unfinished_stage_goes_on_and_one_whose_config_changed_is_set_aside(graph: Graph) -> None:
    graph.stop_at = "b"
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(STAGES))
    run = graph.folder / "graph"
    graph.stop_at = None
    assert graph.run(graph.recipe(STAGES), until="b") == ["b"]
    assert len(events(run, "stage_continued")) == 1
    graph.stop_at = "c"
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(STAGES))
    assert (run / "stages" / f"c{PARTIAL}" / "begun.txt").is_file()
    graph.stop_at = None
    assert graph.run(graph.recipe(changed("c", text="c2"))) == ["c", "d", "e", "f"]
    assert (run / "attempts" / "c.1" / "begun.txt").is_file()
    assert len(events(run, "stage_continued")) == 1


def test_an_unfinished_stage_whose_input_changed_is_set_aside(graph: Graph) -> None:
    graph.stop_at = "c"
    with pytest.raises(Interrupted):
        graph.run(graph.recipe(STAGES))
    graph.stop_at = None
    assert graph.run(graph.recipe(changed("a", text="a2"))) == ["a", "b", "c", "d", "e", "f"]
    assert (graph.folder / "graph" / "attempts" / "c.1" / "begun.txt").is_file()
    assert graph.out("c") == "a2+b+c"


def test_until_makes_what_a_stage_needs_and_the_same_recipe_goes_on(graph: Graph) -> None:
    recipe = graph.recipe(STAGES)
    assert graph.run(recipe, until="c") == ["a", "b", "c"]
    assert graph.run(recipe, until="c") == []
    assert graph.run(recipe, until="d") == ["d"]
    assert graph.run(recipe) == ["e", "f"]
    # A change outside what is asked for is made when its turn comes.
    assert graph.run(graph.recipe(changed("a", text="a2")), until="b") == ["a", "b"]
    assert graph.out("e") == "a+a+b+c+a+d+e"
    assert graph.run(graph.recipe(changed("a", text="a2"))) == ["c", "d", "e"]


def test_from_makes_a_stage_and_its_dependants_again_and_keeps_the_old(graph: Graph) -> None:
    recipe = graph.recipe(STAGES)
    graph.run(recipe)
    assert graph.run(recipe, start="b") == ["b", "c", "e"]
    run = graph.folder / "graph"
    assert sorted(path.name for path in (run / "attempts").iterdir()) == ["b.1", "c.1", "e.1"]
    assert "as asked with --from b, made again: b, c, e." in graph.notes.text
    assert not (run / "remake.json").exists()
    assert graph.run(recipe) == []
    assert graph.run(recipe, start="b", until="c") == ["b", "c"]
    assert graph.run(recipe) == []


def test_an_interrupted_from_goes_on_with_the_same_command_and_without_the_option(graph: Graph) -> None:
    recipe = graph.recipe(STAGES)
    graph.run(recipe)
    graph.stop_at = "c"
    with pytest.raises(Interrupted):
        graph.run(recipe, start="b")
    with pytest.raises(Interrupted):
        graph.run(recipe, start="b")
    assert graph.made == ["c"]
    assert "going on with --from b, still to be made again: c, e." in graph.notes.text
    graph.stop_at = None
    assert graph.run(recipe) == ["c", "e"]
    assert not (graph.folder / "graph" / "remake.json").exists()


def test_a_second_from_joins_what_is_left_of_the_first(graph: Graph) -> None:
    recipe = graph.recipe(STAGES)
    graph.run(recipe)
    graph.stop_at = "b"
    with pytest.raises(Interrupted):
        graph.run(recipe, start="b")
    graph.stop_at = None
    assert graph.run(recipe, start="f") == ["b", "c", "e", "f"]
    assert len(events(graph.folder / "graph", "stage_continued")) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"start": "bb"},
            "--from bb: no such stage; did you mean|--from bb: no such stage; the nearest known is `b`",
        ),
        ({"until": "x"}, "--until x: no such stage; "),
        ({"start": "f", "until": "c"}, "leave nothing to make again: c does not depend on f"),
    ],
)
def test_an_unknown_stage_in_an_option_is_named(graph: Graph, options: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        graph.run(graph.recipe(STAGES), **options)
    assert not (graph.folder / "graph").exists()


def test_a_kind_of_another_version_is_refused_until_it_is_asked_for(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = graph.recipe(STAGES)
    graph.run(recipe)
    monkeypatch.setitem(KINDS, "make_dataset", graph.stub("dataset", version=2))
    recipe = graph.recipe(STAGES)
    with pytest.raises(
        UserError, match=r"c was made by another version of the make_dataset stage .* `--from c`"
    ):
        graph.run(recipe)
    assert graph.made == []
    with pytest.raises(UserError, match="d was made by another version"):
        graph.run(recipe, start="c")
    assert not (graph.folder / "graph" / "attempts").exists(), "refused before anything was moved"
    assert graph.run(recipe, start="a") == ["a", "b", "c", "d", "e"]


def test_data_that_changed_behind_the_recipe_is_refused_until_it_is_asked_for(graph: Graph) -> None:
    (graph.folder / "rows.txt").write_text("one")
    stages = changed("c", file="rows.txt")
    graph.run(graph.recipe(stages))
    (graph.folder / "rows.txt").write_text("two")
    with pytest.raises(
        UserError, match=r"c was made from something else: the data in rows.txt changed since"
    ):
        graph.run(graph.recipe(stages))
    assert graph.run(graph.recipe(stages), start="c") == ["c", "e"]
    assert graph.out("c") == "a+b+two+c"
    (graph.folder / "rows.txt").unlink()
    assert graph.run(graph.recipe(stages)) == [], "a finished stage needs its data no more"


def test_files_of_a_finished_stage_that_changed_are_refused(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    path = graph.folder / "graph" / "stages" / "b" / "checkpoint" / "out.txt"
    path.write_text("edited")
    with pytest.raises(UserError, match=r"checkpoint/out.txt changed or vanished .* `--from b`"):
        graph.run(graph.recipe(STAGES))
    assert graph.run(graph.recipe(STAGES), start="b") == ["b", "c", "e"]


def test_what_an_endpoint_is_counts_and_how_it_is_asked_does_not(graph: Graph) -> None:
    def recipe(**settings: Any) -> Any:
        endpoint = {"url": "http://127.0.0.1:9/v1", "model": "m", **settings}
        return graph.recipe(changed("c", endpoint="judge"), endpoints={"judge": endpoint})

    graph.run(recipe())
    assert graph.run(recipe(parallel=9, retries=1)) == []
    assert graph.run(recipe(model="other")) == ["c"]
    assert "c (endpoint judge: another model or other settings)" in graph.notes.text


def test_a_dry_run_says_what_would_be_made_again_and_writes_nothing(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    before = folder_hash(graph.folder / "graph")
    graph.notes.lines.clear()
    dry_run(graph.recipe(changed("b", text="B2")), Execution(graph.folder / "graph", progress=graph.notes))
    assert "made again: b" in graph.notes.text
    assert folder_hash(graph.folder / "graph") == before


def test_a_check_of_a_stage_comes_before_anything_is_made_or_moved(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.run(graph.recipe(STAGES))
    seen: list[dict[str, str]] = []

    def check(_config: Any, context: Any) -> None:
        seen.append(dict(context.inputs))
        raise UserError(f"{context.name} is wrong")

    kind = KINDS["make_dataset"]
    refusing = dataclasses.replace(kind, check=check)
    monkeypatch.setitem(KINDS, "make_dataset", refusing)
    with pytest.raises(UserError, match="c is wrong"):
        graph.run(graph.recipe(changed("c", text="c2")))
    assert graph.made == []
    assert seen == [{"from": str(graph.folder / "graph" / "stages" / "b" / "checkpoint")}]
    assert not (graph.folder / "graph" / "attempts").exists()
    with pytest.raises(UserError, match="c is wrong"):
        graph.run(graph.recipe(STAGES), name="new")
    assert seen[-1] == {}, "what is not made yet is left out"
    assert not (graph.folder / "new").exists()


@pytest.mark.parametrize("name", ["rules", "self"])
def test_no_endpoint_takes_the_name_of_a_built_in_teacher(graph: Graph, name: str) -> None:
    with pytest.raises(UserError, match=f"endpoints.{name}: `{name}` is a teacher of its own"):
        graph.recipe(STAGES, endpoints={name: {"url": "http://127.0.0.1:9/v1", "model": "m"}})


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (
            changed("b", **{"from": "aa"}),
            "stages.b: from: 'aa' is neither `base` nor a stage; did you mean `a`",
        ),
        (changed("e", reads=["cc", "d"]), "stages.e: reads[0]: 'cc' is not a stage of this recipe; "),
        (
            changed("e", reads=["c", "base"]),
            "reads[1]: a data set is needed there, and 'base' leaves a model. Here",
        ),
        (changed("b", **{"from": "c"}), "circle: b → c → b (each reads the one after it)"),
        (changed("a", **{"from": "a"}), "circle: a → a"),
        (changed("c", endpoint="judge"), "unknown endpoint 'judge'; the recipe has no `endpoints:`"),
        ({"small_base": {"text": "x"}}, "`small_base` is the name of the recipe's small base; call"),
        ({"teacher": {"text": "x"}}, "`teacher` stands for a teacher"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_with_the_reason(
    graph: Graph, stages: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        graph.recipe(stages)
    assert words in str(caught.value).replace("the nearest known is", "did you mean")
    assert caught.value.exit_code == 2


def test_a_circle_is_named_without_the_stages_that_only_wait_for_it(graph: Graph) -> None:
    stages = {"x": {"from": "y"}, "y": {"from": "z"}, "z": {"from": "w"}, "w": {"from": "y"}}
    with pytest.raises(UserError, match="circle: y → z → w → y "):
        graph.recipe(stages)


def test_ancestors_dependants_roots_and_the_tree(graph: Graph) -> None:
    stages = {
        "zero": {"from": "base"},
        "data": {"from": "zero", "makes": "dataset"},
        "dev": {"from": "base", "reads": ["data"]},
        "small": {"from": "small_base", "reads": ["data"]},
        "judged": {"reads": ["data"], "makes": "evaluation"},
    }
    nodes = graph.recipe(stages).stages
    assert ancestors(nodes, "dev") == {"zero", "data"}
    assert dependants(nodes, ["zero"]) == {"data", "dev", "small", "judged"}
    assert dependants(nodes, ["small_base"]) == {"small"}
    assert [root(nodes, name) for name in ("dev", "small", "data", "judged")] == [
        "base",
        "small_base",
        "base",
        "base",
    ]
    assert children(nodes) == {
        None: ["base", "small_base"],
        "base": ["zero", "dev"],
        "zero": ["data"],
        "small_base": ["small"],
        "data": ["judged"],
    }


def test_manifests_record_what_was_read(graph: Graph) -> None:
    graph.run(graph.recipe(STAGES))
    manifest = json.loads((graph.folder / "graph" / "stages" / "e" / "manifest.json").read_text())
    assert sorted(manifest["inputs"]) == ["from", "reads[0]", "reads[1]"]
    made = json.loads((graph.folder / "graph" / "stages" / "d" / "manifest.json").read_text())
    assert sorted(made["files"]) == ["data/out.txt", "data/weights.safetensors"]
