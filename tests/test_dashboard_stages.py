"""What the dashboard says of runs: graph, states, curves, tables; and clear words for what is missing or broken."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ahalab.analysis.curves import read_curves
from ahalab.dashboard.api import Dashboard
from ahalab.dashboard.catalog import Catalog
from ahalab.dashboard.stages import planned_stages, read_run, stage_references
from ahalab.errors import UserError
from ahalab.pipeline.recipe import bundled_recipes, load_recipe
from ahalab.runs.folder import RunFolder
from dashboard_tools import look_again, one_more_step, small_dashboard, small_run
from synthetic_graph import make_graph
from synthetic_run import RECIPE


def curves_of(dashboard: Dashboard, **query: str) -> dict[str, Any]:
    """The curves, once their file is read."""
    while (answer := dashboard.curves(query))["reading"]:
        pass
    return answer


def states(run: Path) -> dict[str, str]:
    return {stage.name: stage.state for stage in read_run(run).stages}


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_the_graph_read_without_the_schemas_is_the_pipelines_graph(name: str) -> None:
    recipe = load_recipe(name)
    planned = dict(planned_stages(recipe.resolved()))
    for stage in recipe.stages.values():
        found = stage_references(*planned[stage.name], list(recipe.stages))
        assert {ref.source for ref in found.values()} == set(stage.inputs.values()), stage.name
        assert planned[stage.name][0] == stage.kind.name


def test_the_page_needs_no_torch() -> None:
    code = """import sys, ahalab.dashboard.server, ahalab.dashboard.api
print([name for name in sys.modules if name in ("torch", "transformers", "matplotlib")])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_states_of_finished_waiting_interrupted_and_running_stages(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", finished=False)
    # The made-up events say that `zero` ended; a run at work has not written that yet.
    events = run / "events.jsonl"
    lines = events.read_text(encoding="utf-8").splitlines()
    events.write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    assert states(run) == {"before": "done", "zero": "interrupted", "after": "waiting"}
    (run / ".lock").write_text(
        json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8"
    )
    progress = {"done": 12, "total": 120, "unit": "steps", "figures": {"accuracy": 0.5}}
    (run / "stages" / "zero.partial" / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    view = read_run(run)
    zero = view.stage("zero")
    assert zero is not None
    assert view.at_work
    assert (zero.state, zero.done, zero.total, zero.unit) == ("running", 12, 120, "steps")
    assert zero.figures == [{"name": "accuracy", "value": 0.5, "low": None, "high": None}]
    before = view.stage("before")
    assert before is not None
    assert [figure["name"] for figure in before.figures] == ["pass@1", "format"]
    assert before.seconds == pytest.approx(31.5)


def test_a_stage_of_other_settings_and_what_reads_it_are_outdated(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    assert set(states(run).values()) == {"done"}
    recipe = RunFolder.open(run).recipe_path
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace("learning_rate: 0.0001", "learning_rate: 0.5"),
        encoding="utf-8",
    )
    assert states(run) == {"before": "done", "zero": "outdated", "after": "outdated"}


def test_the_tree_hangs_stages_below_what_they_start_from(tmp_path: Path) -> None:
    run = make_graph(tmp_path / "run", prompts=4)
    answer = small_dashboard(run, cache=tmp_path / "cache").run({})

    def names(nodes: list[dict[str, Any]]) -> dict[str, Any]:
        return {node["name"]: names(node["below"]) for node in nodes}

    tree = names(answer["tree"])
    assert list(tree) == ["base", "small_base", "table"]
    assert list(tree["base"]) == ["zero", "dev1", "dev3", "eval_base"]
    assert "eval_r1" in tree["base"]["dev3"]["r1"]
    assert tree["small_base"] == {"distilled": {"eval_distilled": {}}}
    helpful = next(one for one in answer["stages"] if one["name"] == "helpful_rm")
    assert helpful["warnings"] == ["the score follows length: rank correlation +0.41"]
    r1 = next(one for one in answer["stages"] if one["name"] == "r1")
    assert r1["warnings"] == ["reward hacking, seen at step 9"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "run.json").unlink(), "run.json is missing"),
        (lambda run: (run / "recipe.resolved.yaml").unlink(), "recipe.resolved.yaml is missing"),
        (
            lambda run: (run / "recipe.resolved.yaml").write_text("{a: ["),
            "recipe.resolved.yaml could not be read",
        ),
        (
            lambda run: (run / "recipe.resolved.yaml").write_bytes(b"\xff\xfe\x00"),
            "recipe.resolved.yaml could not be",
        ),
        (lambda run: (run / "recipe.resolved.yaml").write_text("- 1"), "is not a recipe"),
        (lambda run: (run / "events.jsonl").write_text("nonsense\n{}\n"), "Events were read only in part"),
        (
            lambda run: (run / "events.jsonl").write_text('{"stage": "zero", "time": "x"}\n'),
            "Events were read only",
        ),
    ],
)
def test_what_is_missing_or_broken_is_said_and_the_rest_is_shown(
    tmp_path: Path, spoil: Any, said: str
) -> None:
    run = small_run(tmp_path / "run")
    spoil(run)
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    answer = dashboard.run({})
    assert said in " ".join(answer["notices"])
    assert {stage["name"] for stage in answer["stages"]} == {"before", "zero", "after"}
    assert curves_of(dashboard, stage="zero", names="accuracy")["curves"]
    assert dashboard.samples({"stage": "zero"})["samples"]
    assert dashboard.runs({})["runs"][0]["training"] == ["zero"]


def test_a_broken_manifest_or_table_does_not_hide_the_others(tmp_path: Path) -> None:
    run = make_graph(tmp_path / "run", prompts=4)
    (run / "stages" / "eval_zero" / "manifest.json").write_text("{", encoding="utf-8")
    (run / "stages" / "table" / "table.json").write_text('{"rows": 3}', encoding="utf-8")
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    found = {stage["name"]: stage["state"] for stage in dashboard.run({})["stages"]}
    assert found["eval_zero"] == "broken"
    assert found["zero"] == "done"
    tables = dashboard.tables({})
    assert tables["tables"] == []
    assert "a stage table was expected" in tables["trouble"][0]
    assert [one["stage"] for one in tables["evaluations"]["columns"]][:2] == ["eval_base", "eval_dev1"]


def test_the_stage_table_is_the_files_numbers(tmp_path: Path) -> None:
    run = make_graph(tmp_path / "run", prompts=4)
    content = json.loads((run / "stages" / "table" / "table.json").read_text(encoding="utf-8"))
    (table,) = small_dashboard(run, cache=tmp_path / "cache").tables({})["tables"]
    assert table["rows"] == list(content["rows"])
    line = next(one for one in table["lines"] if one["label"] == "mathematics")
    expected = [100 * content["rows"][row]["cells"]["math"]["value"] for row in table["rows"]]
    assert [cell["value"] for cell in line["cells"]] == pytest.approx(expected)
    assert len(table["orderings"]) == len(content["orderings"])


def test_an_empty_folder_and_one_without_runs_are_said_not_refused(tmp_path: Path) -> None:
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    (tmp_path / "runs" / "begun" / ".lock").touch()
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "notes.txt").touch()
    dashboard = small_dashboard(tmp_path / "runs", cache=tmp_path / "cache")
    assert [run["id"] for run in dashboard.runs({})["runs"]] == ["begun"]
    answer = dashboard.run({})
    assert "there is nothing to show yet" in answer["notices"][-1]
    assert answer["tree"] == []
    assert small_dashboard(tmp_path / "runs" / "other", cache=tmp_path / "cache").runs({})["runs"] == []
    with pytest.raises(UserError, match="no such folder"):
        Catalog([tmp_path / "gone"])


def test_runs_of_one_name_are_told_apart_and_new_ones_appear(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        small_run(tmp_path / parent / "same", steps=2)
    dashboard = small_dashboard(tmp_path / "a", tmp_path / "b", cache=tmp_path / "cache")
    assert [run["id"] for run in dashboard.runs({})["runs"]] == ["same", "same~2"]
    small_run(tmp_path / "a" / "later", steps=2)
    look_again(dashboard)
    assert [run["id"] for run in dashboard.runs({})["runs"]] == ["later", "same", "same~2"]
    with pytest.raises(UserError, match="later, same, same~2"):
        dashboard.run({"run": "gone"})


def test_curves_are_those_of_the_report_and_follow_the_file(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", finished=False)
    stage = run / "stages" / "zero.partial"
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    answer = curves_of(dashboard, stage="zero", names="accuracy,words/wait,nonsense,effective_share")
    expected = read_curves(stage)
    accuracy = expected.by_name["accuracy"]
    assert [one["name"] for one in answer["curves"]] == ["accuracy", "words/wait", "effective_share"]
    assert answer["curves"][0]["steps"] == list(accuracy.steps) == list(range(12))
    assert answer["curves"][0]["values"] == pytest.approx(list(accuracy.values), rel=1e-5)
    one_more_step(stage, 13)
    assert curves_of(dashboard, stage="zero", names="accuracy")["curves"][0]["steps"] == list(range(13))
    with (stage / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 14, "accu')
    answer = curves_of(dashboard, stage="zero", names="accuracy")
    assert (answer["truncated"], answer["updates"], answer["trouble"]) == (1, 13, None)


def test_a_long_curve_is_thinned_but_keeps_its_ends(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", steps=3_000, samples=0, evaluations=False)
    dashboard = small_dashboard(run, cache=tmp_path / "cache")
    answer = curves_of(dashboard, stage="zero", names="accuracy")
    steps = answer["curves"][0]["steps"]
    assert len(steps) <= 600
    assert (steps[0], steps[-1]) == (0, 2_999)


def test_the_recipe_of_the_made_up_run_is_planned_as_written() -> None:
    assert {name: kind for name, (kind, _) in planned_stages(RECIPE)} == {
        "before": "evaluate",
        "zero": "rl",
        "after": "evaluate",
    }
