"""The run folder: never another run's, one process at a time, stages that are done or are not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs import faults
from ahalab.runs.atomic import write_json
from ahalab.runs.faults import fault_point
from ahalab.runs.folder import RunFolder
from ahalab.runs.jsonl import JsonlWriter, read_jsonl
from ahalab.runs.lock import RunLock
from ahalab.runs.manifest import Manifest
from ahalab.runs.readers import list_stages, read_metrics, read_samples

RECIPE: dict[str, Any] = {
    "name": "等等",
    "seed": 7,
    "stages": {
        "zero": {"rl": {"learning_rate": 1e-6, "rewards": ["accuracy", "format"], "window": None}},
        "after": {"evaluate": {"from": "zero"}},
    },
}


@pytest.fixture(scope="module", autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    # Only a power cut needs the sync, and no test here cuts the power.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda _: None)
        yield


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(recipe: dict[str, Any], **rl: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(recipe))
    copy["stages"]["zero"]["rl"].update(rl)
    return copy


def test_a_folder_is_made_once_and_opened_again_for_the_same_recipe(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first"
    made = RunFolder.create_or_open(path, RECIPE, "0.1.0")
    before = contents(path)
    again = RunFolder.create_or_open(path, json.loads(json.dumps(RECIPE)), "0.2.0")
    assert made == again == RunFolder.open(path)
    assert again.code_version == "0.1.0"
    assert again.recipe() == RECIPE
    assert "等等" in made.recipe_path.read_text(encoding="utf-8")
    assert contents(path) == before
    assert not [name for name in before if ".tmp-" in name]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), PLAIN, min_size=1, max_size=4))
@example(
    {
        "template": "next\x85line",
        "emoji": "cut \ud83d",
        "no": "no",
        "1e3": "1e3",
        "float": 1e-06,
        "date": "2026-01-01",
    }
)
def test_any_recipe_is_recognised_as_itself(recipe: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        RunFolder.create_or_open(Path(folder) / "run", recipe, "0.1.0")
        assert RunFolder.create_or_open(Path(folder) / "run", recipe, "0.1.0").recipe() == recipe


def test_another_recipe_is_refused_with_every_key_that_differs(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path / "run", RECIPE, "0.1.0")
    before = contents(run.path)
    other = changed(RECIPE, learning_rate=3e-6, rewards=["accuracy", "language"], clip_high=0.28)
    del other["stages"]["after"]
    with pytest.raises(UserError) as caught:
        RunFolder.create_or_open(run.path, other, "0.1.0")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{run.recipe_path} holds another recipe; it differs in"
    assert lines[1:-1] == [
        "  stages.zero.rl.learning_rate: 1e-06 there, 3e-06 here",
        '  stages.zero.rl.rewards.1: "format" there, "language" here',
        "  stages.zero.rl.clip_high: not set there, 0.28 here",
        '  stages.after: {"evaluate":{"from":"zero"}} there, not set here',
    ]
    assert "choose another folder" in lines[-1]
    assert caught.value.exit_code == 2
    assert contents(run.path) == before


def test_many_differences_are_counted_and_long_ones_shortened(tmp_path: Path) -> None:
    RunFolder.create_or_open(tmp_path, RECIPE | {"text": "a" * 500}, "0.1.0")
    other = RECIPE | {"text": "b" * 500} | {f"key{number}": number for number in range(20)}
    with pytest.raises(UserError, match="… and 9 more") as caught:
        RunFolder.create_or_open(tmp_path, other, "0.1.0")
    assert max(map(len, str(caught.value).splitlines())) < 220


def test_true_and_one_are_different_settings(tmp_path: Path) -> None:
    RunFolder.create_or_open(tmp_path, changed(RECIPE, window=True), "0.1.0")
    with pytest.raises(UserError, match=r"window: true there, 1 here"):
        RunFolder.create_or_open(tmp_path, changed(RECIPE, window=1), "0.1.0")


def test_another_format_is_refused_and_names_the_version_that_wrote_it(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    write_json(run.path / "run.json", {"format": 99, "ahalab": "9.9"})
    for attempt in (
        lambda: RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0"),
        lambda: RunFolder.open(tmp_path),
    ):
        with pytest.raises(
            UserError, match=r"written by ahalab 9\.9 in run format 99; this version reads format 1"
        ):
            attempt()


@pytest.mark.parametrize("content", ['{"format": 1', "[]", '{"ahalab": "0.1.0"}'])
def test_a_broken_run_file_is_named(tmp_path: Path, content: str) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    (run.path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json is not"):
        RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")


@pytest.mark.parametrize("content", [b"a: [1", b"- 1", b"\xff\xfe"])
def test_a_broken_recipe_in_the_folder_is_named(tmp_path: Path, content: bytes) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    run.recipe_path.write_bytes(content)
    with pytest.raises(UserError, match=r"recipe\.resolved\.yaml is not"):
        RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    run.recipe_path.unlink()
    with pytest.raises(UserError, match=r"recipe\.resolved\.yaml is missing"):
        RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")


@pytest.mark.parametrize("foreign", ["thesis.tex", "recipe.resolved.yaml", "stages/zero/metrics.jsonl"])
def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "docs" / foreign
    path.parent.mkdir(parents=True)
    path.write_text("mine: 1\n")
    with pytest.raises(UserError, match=re.escape(f"run.json but holds {foreign.split('/')[0]}")):
        RunFolder.create_or_open(tmp_path / "docs", RECIPE, "0.1.0")
    assert contents(tmp_path / "docs") == {foreign: b"mine: 1\n"}


def test_no_folder_a_file_and_a_foreign_folder_are_no_run_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="there is no such folder"):
        RunFolder.open(tmp_path / "gone")
    with pytest.raises(UserError, match=r"it has no run\.json"):
        RunFolder.open(tmp_path)
    with pytest.raises(UserError, match="cannot be a run folder"):
        RunFolder.create_or_open(tmp_path / "file", RECIPE, "0.1.0")
    with pytest.raises(UserError, match=r"cannot be a run folder: Not a directory"):
        RunFolder.create_or_open(tmp_path / "file" / "run", RECIPE, "0.1.0")


def test_a_creation_cut_short_is_finished_for_the_same_recipe_only(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path / "run", RECIPE, "0.1.0")
    (run.path / "run.json").unlink()
    (run.path / ".tmp-4711-run.json").write_text('{"for')
    with pytest.raises(UserError, match=r"holds recipe\.resolved\.yaml"):
        RunFolder.create_or_open(run.path, changed(RECIPE, clip_high=0.3), "0.1.0")
    assert RunFolder.create_or_open(run.path, RECIPE, "0.1.0").recipe() == RECIPE
    assert not (run.path / ".tmp-4711-run.json").exists()


def test_events_carry_their_time_and_follow_a_half_written_one(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    run.event("started", pid=1)
    with run.events_path.open("ab") as file:
        file.write(b'{"time": "2026-01-01T00:00:00", "kind": "st')
    run.event("stopped", reason="没有有效的组")
    events = list(read_jsonl(run.events_path))
    assert [event["kind"] for event in events] == ["started", "stopped"]
    assert events[1]["reason"] == "没有有效的组"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", events[0]["time"])
    with pytest.raises(ValueError, match="time"):
        run.event("started", time=3)


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from ahalab.runs.lock import RunLock
with RunLock(Path(sys.argv[1])):
    # A child that outlives its parent, as a grader worker may.
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(sleep, stdout=subprocess.DEVNULL, close_fds=False)
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_held_lock_names_its_holder_and_a_killed_holder_frees_it(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(
                UserError, match=f"in use by process {holder.pid} on {re.escape(socket.gethostname())}"
            ):
                run.lock().__enter__()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with run.lock():
                os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)
            holder.kill()


def test_a_lock_is_free_after_its_block_and_not_taken_twice(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    for _ in range(2):
        with lock, pytest.raises(UserError, match=f"process {os.getpid()}"):
            RunLock(tmp_path).__enter__()
    with lock, pytest.raises(RuntimeError, match="already held"):
        lock.__enter__()


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def fail(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(EnvironmentFailure, match="this file system has no locks"):
        RunLock(tmp_path).__enter__()


def manifest(stage: str) -> Manifest:
    return Manifest(stage=stage, kind="rl", version=1, config_hash="ab")


def test_a_stage_is_done_once_renamed_with_its_manifest(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    assert run.finished_stage("zero") is None
    work = run.begin_stage("zero")
    assert work == run.work_dir("zero") == tmp_path / "stages" / "zero.partial"
    assert list(read_metrics(work)) == list(read_samples(work)) == []
    with JsonlWriter(work / "metrics.jsonl") as metrics:
        metrics.append({"step": 1})
    for rollout in (2, 1):
        with JsonlWriter(work / "samples" / f"rollout-{rollout:06d}.jsonl") as samples:
            samples.append({"rollout": rollout})
    with pytest.raises(ValueError, match=r"write manifest\.json before"):
        run.finish_stage("zero")
    assert run.finished_stage("zero") is None

    manifest("zero").write(work)
    assert run.finished_stage("zero") is None
    done = run.finish_stage("zero")
    assert done == run.stage_dir("zero")
    assert not work.exists()
    assert run.finished_stage("zero") == manifest("zero")
    assert list(read_metrics(done)) == [{"step": 1}]
    assert list(read_samples(done)) == [{"rollout": 1}, {"rollout": 2}]
    with pytest.raises(ValueError, match="is finished"):
        run.begin_stage("zero")
    with pytest.raises(UserError, match="a stage's folder was expected"):
        read_metrics(work)


def test_beginning_again_tidies_leftovers_and_keeps_the_rest(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    work = run.begin_stage("zero")
    (work / "attempts").mkdir()
    (work / "attempts" / ".tmp-metrics.jsonl").write_text("half")
    (work / "attempts" / "metrics.jsonl.1").write_text("{}\n")
    (work / ".tmp-99-manifest.json").write_text("half")
    assert run.begin_stage("zero") == work
    assert contents(work) == {"attempts/metrics.jsonl.1": b"{}\n"}


def test_a_stage_renamed_without_its_manifest_is_taken_up_again(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    (run.stage_dir("zero") / "checkpoint").mkdir(parents=True)
    assert run.finished_stage("zero") is None
    assert [(entry.name, entry.finished) for entry in list_stages(run)] == [("zero", False)]
    assert (run.begin_stage("zero") / "checkpoint").is_dir()
    assert not run.stage_dir("zero").exists()
    run.stage_dir("zero").mkdir()
    with pytest.raises(UserError, match="Move one of the two away"):
        run.begin_stage("zero")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "zero.partial", "-x", "a b"])
def test_a_stage_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    with pytest.raises(UserError, match="stage name"):
        run.begin_stage(name)


def test_stages_are_listed_in_the_recipes_order(tmp_path: Path) -> None:
    run = RunFolder.create_or_open(tmp_path, RECIPE, "0.1.0")
    assert list_stages(run) == []
    manifest("zero").write(run.begin_stage("zero"))
    run.finish_stage("zero")
    run.begin_stage("after")
    run.begin_stage("extra")
    found = list_stages(tmp_path)
    assert [(entry.name, entry.finished, entry.path.name) for entry in found] == [
        ("zero", True, "zero"),
        ("after", False, "after.partial"),
        ("extra", False, "extra.partial"),
    ]
    assert found[0].manifest == manifest("zero")
    with pytest.raises(UserError, match="not a run folder"):
        list_stages(tmp_path / "stages")


def test_fault_points_kill_at_the_pass_asked_for_only(monkeypatch: pytest.MonkeyPatch) -> None:
    kills: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, sent: kills.append(sent))
    monkeypatch.setattr(faults, "_passes", type(faults._passes)())
    fault_point("rollout")
    monkeypatch.setenv("AHALAB_KILL_AT", "rollout:2, grading:1,rollout:4")
    seen = []
    for _ in range(5):
        fault_point("rollout")
        seen.append(len(kills))
    assert seen == [0, 1, 1, 2, 2]
    assert kills == [signal.SIGKILL] * 2
    with pytest.raises(ValueError, match="unknown fault point 'lunch'"):
        fault_point("lunch")


@pytest.mark.parametrize(
    "request_", ["rollout", "rollout:0", "rollout:x", "lunch:1", "rollout:1,,", "rollout:²"]
)
def test_a_malformed_kill_request_is_refused(monkeypatch: pytest.MonkeyPatch, request_: str) -> None:
    monkeypatch.setenv("AHALAB_KILL_AT", request_)
    with pytest.raises(UserError, match="AHALAB_KILL_AT"):
        fault_point("grading")
