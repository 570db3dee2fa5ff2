"""Trackers: one recipe line copies every figure, exactly once, and never costs a run anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import Field

from ahalab.errors import Interrupted, UserError
from ahalab.pipeline import trackers
from ahalab.pipeline.execute import dry_run, execute
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.kinds import KINDS, StageKind
from ahalab.pipeline.recipe import Recipe, parse_recipe
from ahalab.pipeline.trackers import TRACKERS, TrackedStage, Trackio, WeightsAndBiases, flat_figures
from ahalab.runs.jsonl import JsonlWriter, cut_to, read_jsonl
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import InputRef, StageConfig
from stub_stages import Notes

ROWS = [
    {"step": step, "rollout": step, "accuracy": step / 8, "words": {"wait": 0.5 * step}, "window": step > 2}
    for step in range(1, 7)
]
STOP_AFTER: list[int] = []
"""Steps after which the counting stage is interrupted; its last checkpoint is a step behind."""


class CountConfig(StageConfig):
    """Writes the rows above, one a step."""

    scale: float = Field(1.0)

    def input_refs(self) -> dict[str, InputRef]:
        """Nothing is read."""
        return {}


def count(config: CountConfig, context: StageContext) -> StageResult:
    """A stage as RL is one: after an interruption it goes on from a checkpoint before the last rows."""
    path = context.folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    done = max(0, len(lines) - 1)
    cut_to(path, sum(map(len, lines[:done])), context.folder / "attempts")
    context.progress.begin(context.name, len(ROWS), "step", done)
    with JsonlWriter(path) as writer:
        for row in ROWS[done:]:
            writer.append({**row, "accuracy": config.scale * float(row["accuracy"])})  # type: ignore[arg-type]
            context.progress.advance(int(row["step"]), {"accuracy": 0.1})  # type: ignore[call-overload]
            if STOP_AFTER and STOP_AFTER[0] == row["step"]:
                STOP_AFTER.pop(0)
                raise Interrupted("stopped as asked.")
    context.progress.end()
    return StageResult({"pass@1": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}, "settings": {"top_p": 1}})


class Recorder:
    """A tracker that keeps what it is told."""

    remembers: ClassVar = True
    told: ClassVar[list[tuple[str, Any]]] = []
    fails_at: ClassVar[int | None] = None

    def __init__(self, stage: TrackedStage) -> None:
        self.told.append(("open", stage.id))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One step."""
        if step == self.fails_at:
            raise ConnectionError("server gone")
        self.told.append(("step", (step, dict(figures))))

    def finish(self, results: Mapping[str, float]) -> None:
        """The end."""
        self.told.append(("results", dict(results)))

    def close(self) -> None:
        """Let go."""
        self.told.append(("close", None))


@pytest.fixture(autouse=True)
def stage_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "count", StageKind("count", CountConfig, count, 1, "evaluation"))
    STOP_AFTER.clear()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    Recorder.told.clear()
    Recorder.fails_at = None
    monkeypatch.setitem(TRACKERS, "wandb", Recorder)
    for module in ("pipeline.execute", "pipeline.trackers"):
        monkeypatch.setattr(f"ahalab.{module}.check_trackers", lambda _names: None)
    return Recorder


def recipe(names: list[str], scale: float = 1.0) -> Recipe:
    data = {
        "name": "r",
        "base": "none",
        "threads": 1,
        "trackers": names,
        "stages": {"a": {"count": {"scale": scale}}},
    }
    return parse_recipe(data, "r.yaml")


def steps_of(recorder: type[Recorder]) -> list[int]:
    return [what[0] for kind, what in recorder.told if kind == "step"]


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value) of every event that TensorBoard would show."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "trackers" / "tensorboard" / "a"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_one_recipe_line_sends_every_figure_to_tensorboard(tmp_path: Path) -> None:
    run = tmp_path / "r"
    execute(recipe(["tensorboard"]), Execution(run))
    found = scalars(run)
    rows = list(read_jsonl(run / "stages" / "a" / "metrics.jsonl"))
    assert found["accuracy"] == [(row["step"], pytest.approx(row["accuracy"])) for row in rows]
    assert found["words/wait"] == [(row["step"], pytest.approx(row["words"]["wait"])) for row in rows]
    assert [value for _, value in found["window"]] == [0, 0, 1, 1, 1, 1]
    assert found["result/pass@1"] == [(0, 0.5)]
    assert {tag for tag in found if tag.startswith("result/pass@1/")} == {
        "result/pass@1/low",
        "result/pass@1/high",
        "result/pass@1/n",
    }


def test_no_step_is_sent_twice_after_an_interruption(tmp_path: Path, recorder: type[Recorder]) -> None:
    run = tmp_path / "r"
    plan = recipe(["tensorboard", "wandb"])
    STOP_AFTER[:] = [3, 5]
    for _ in range(2):
        with pytest.raises(Interrupted):
            execute(plan, Execution(run))
    execute(plan, Execution(run))
    assert steps_of(recorder) == [1, 2, 3, 4, 5, 6]
    assert len({stage_id for kind, stage_id in recorder.told if kind == "open"}) == 1
    assert [kind for kind, _ in recorder.told].count("open") == [kind for kind, _ in recorder.told].count(
        "close"
    )
    assert [step for step, _ in scalars(run)["accuracy"]] == [1, 2, 3, 4, 5, 6]


def test_a_stage_with_other_settings_is_another_run_at_the_tracker(
    tmp_path: Path, recorder: type[Recorder]
) -> None:
    for scale in (1.0, 0.5):
        execute(recipe(["wandb"], scale), Execution(tmp_path / "r"))
    ids = [stage_id for kind, stage_id in recorder.told if kind == "open"]
    assert len(set(ids)) == 2
    assert steps_of(recorder) == 2 * [1, 2, 3, 4, 5, 6]


def test_a_tracker_that_fails_ends_no_run_and_is_said(tmp_path: Path, recorder: type[Recorder]) -> None:
    recorder.fails_at = 4
    notes = Notes()
    run = tmp_path / "r"
    execute(recipe(["wandb", "tensorboard"]), Execution(run, progress=notes))
    assert "wandb failed after step 3" in notes.text
    assert "ConnectionError: server gone" in notes.text
    (event,) = (row for row in read_jsonl(run / "events.jsonl") if row["kind"] == "tracker_failed")
    assert (event["stage"], event["tracker"], event["after_step"]) == ("a", "wandb", 3)
    assert [step for step, _ in scalars(run)["accuracy"]] == [1, 2, 3, 4, 5, 6]
    assert (run / "stages" / "a" / "manifest.json").is_file()


def test_trackers_change_no_byte_of_a_stage_and_remake_none(tmp_path: Path) -> None:
    plain, tracked = tmp_path / "plain", tmp_path / "tracked"
    execute(recipe([]), Execution(plain, reuse=False))
    execute(recipe(["tensorboard"]), Execution(tracked, reuse=False))
    manifests = [json.loads((run / "stages/a/manifest.json").read_text()) for run in (plain, tracked)]
    assert manifests[0]["files"] == manifests[1]["files"]
    assert manifests[0]["config_hash"] == manifests[1]["config_hash"]
    assert not (plain / "trackers").exists()
    before = (plain / "stages/a/manifest.json").stat().st_mtime_ns
    execute(recipe(["tensorboard"]), Execution(plain))
    assert (plain / "stages/a/manifest.json").stat().st_mtime_ns == before


def test_a_stage_taken_from_another_run_is_sent_too(tmp_path: Path, recorder: type[Recorder]) -> None:
    execute(recipe([]), Execution(tmp_path / "first"))
    execute(recipe(["wandb"]), Execution(tmp_path / "second"))
    assert steps_of(recorder) == [1, 2, 3, 4, 5, 6]
    assert (
        "results",
        {"pass@1": 0.5, "pass@1/low": 0.4, "pass@1/high": 0.6, "pass@1/n": 9.0},
    ) in recorder.told


@pytest.mark.parametrize("verb", [execute, dry_run])
def test_a_missing_library_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Any
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UserError, match=r"trackers: trackio is not installed.*pip install trackio"):
        verb(recipe(["trackio"]), Execution(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


def login_of_2026(*, verify: bool = True, prompt: bool = True) -> bool:
    """Says whether there is a key, without a question and without a server."""
    assert not prompt
    assert not verify
    return False


def login_before(key: str | None = None) -> bool:
    """Would ask a person."""
    raise AssertionError(f"asked for a key, {key}")


@pytest.mark.parametrize("login", [login_of_2026, login_before])
def test_weights_and_biases_without_a_key_is_refused_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, login: Any
) -> None:
    library = SimpleNamespace(login=login, api=SimpleNamespace(api_key=None))
    monkeypatch.setitem(sys.modules, "wandb", library)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(UserError, match="WANDB_MODE=offline"):
        trackers.check_trackers(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    trackers.check_trackers(["wandb"])


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(UserError, match="tensorboard"):
        recipe(["tensorbord"])


@pytest.mark.parametrize(("name", "make"), [("wandb", WeightsAndBiases), ("trackio", Trackio)])
def test_a_service_gets_a_resumable_run_per_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Any
) -> None:
    told: list[Any] = []
    opened = SimpleNamespace(
        log=lambda figures, step: told.append((step, figures)),
        summary=SimpleNamespace(update=lambda figures: told.append(figures)),
        finish=lambda: told.append("closed"),
    )

    def init(**options: Any) -> Any:
        told.append(options)
        return opened

    monkeypatch.setitem(sys.modules, name, SimpleNamespace(init=init, Settings=lambda **options: options))
    stage = TrackedStage("run", "zero", "rl", "0123456789abcdef", {"steps": 3}, tmp_path / "trackers")
    tracker = make(stage)
    tracker.log(1, {"accuracy": 0.5})
    tracker.finish({"pass@1": 0.7})
    tracker.close()
    options = told[0]
    assert (options["project"], options["group"], options["resume"]) == ("ahalab", "run", "allow")
    assert options["config"] == {"steps": 3}
    assert "01234567" in f"{options.get('id')} {options['name']}"
    assert told[1] == (1, {"accuracy": 0.5})
    assert {"result/pass@1": 0.7} in (told[2], told[2][1] if isinstance(told[2], tuple) else None)
    assert told[-1] == "closed"


def test_figures_are_flat_numbers() -> None:
    row = {
        "step": 3,
        "rollout": 3,
        "loss": 1,
        "kl": None,
        "note": "text",
        "flag": True,
        "bad": float("nan"),
        "by_level": {"1": {"pass@1": {"value": 0.5, "low": 0.4}}},
        "start": {"step": 2},
    }
    assert flat_figures(row) == {
        "loss": 1.0,
        "flag": 1.0,
        "by_level/1/pass@1": 0.5,
        "by_level/1/pass@1/low": 0.4,
        "start/step": 2.0,
    }
