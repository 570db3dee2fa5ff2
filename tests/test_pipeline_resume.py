"""Ctrl-C saves and says how to go on; after it, and after `kill -9`, the same command ends with the same bytes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ahalab.stages import evaluate
from ahalab.stages.context import Interrupt
from ahalab.stages.ledger import Ledger
from conftest import Aha
from proof_tools import start
from small_runs import (
    events,
    hashes,
    interrupt_in_rollout,
    manifests,
    small_recipe,
    training_only,
    write_recipe,
)


@pytest.fixture(scope="module")
def recipe(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    settings = {"steps": 40, "checkpoint_every": 4, "learning_rate": 1e-3}
    return write_recipe(folder / "small.yaml", small_recipe(trained_base, questions, **settings))


@pytest.fixture(scope="module")
def calm(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    runs = tmp_path_factory.mktemp("calm")
    process = start(["run", str(recipe), "--runs", str(runs)])
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return runs / "small"


def assert_same(run: Path, calm: Path) -> None:
    assert hashes(run) == hashes(calm)
    assert manifests(run) == manifests(calm)
    assert any("optimizer" in name for name in hashes(run))


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def test_ctrl_c_at_a_terminal_saves_and_the_same_command_goes_on(
    aha: Aha, recipe: Path, calm: Path, tmp_path: Path
) -> None:
    process = start(["run", str(recipe), "--runs", str(tmp_path)])
    wait_for(tmp_path / "small" / "stages" / "zero.partial" / "samples" / "rollout-000003.jsonl")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the graders hear it too
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "stopping at the next safe point, so that nothing is lost" in text
    assert "zero: saved at step" in text
    assert "The same command goes on from here." in text

    done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 0, done.err
    assert "zero: going on from step" in done.err
    assert_same(tmp_path / "small", calm)


def test_a_run_killed_with_sigkill_ends_with_the_same_bytes(
    aha: Aha, recipe: Path, calm: Path, tmp_path: Path
) -> None:
    for point in ("rollout:150", "checkpoint.before_rename:2"):
        process = start(["run", str(recipe), "--runs", str(tmp_path)], kill_at=point)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, f"{point} was never reached:\n{text}"
    done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 0, done.err
    assert len(events(tmp_path / "small", "stage_continued")) == 2
    assert_same(tmp_path / "small", calm)


def test_every_ctrl_c_of_many_leaves_the_same_bytes(
    aha: Aha, recipe: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rollout in (1, 2, 7, 39):
        with monkeypatch.context() as patch:
            interrupt_in_rollout(patch, rollout)
            done = aha("run", recipe, "--runs", tmp_path)
        assert done.code == 130, done.err
        assert f"aha: zero: saved at step {rollout} of 40. The same command goes on from here." in done.err
        assert done.out == ""
    assert aha("run", recipe, "--runs", tmp_path).code == 0
    assert_same(tmp_path / "small", calm)


def test_a_second_ctrl_c_stops_at_once_and_loses_only_what_came_after_the_checkpoint(
    aha: Aha, recipe: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_in_rollout(patch, 6)
        interrupt_in_rollout(patch, 6)
        done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 130
    assert "aha: stopped at once. The same command goes on from the last checkpoint." in done.err
    assert "Traceback" not in done.err
    done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 0
    assert "going on from step 4" in done.err
    run = tmp_path / "small"
    assert list((run / "stages" / "zero" / "attempts").iterdir()), (
        "the rows after the checkpoint were moved aside"
    )
    assert_same(run, calm)


def test_ctrl_c_in_an_evaluation_keeps_its_finished_shards(
    aha: Aha, recipe: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write: Callable[..., None] = evaluate.write_shard

    def write_and_interrupt(folder: Path, number: int, rows: object) -> None:
        write(folder, number, rows)
        written.append(folder.parent.name)
        if len(written) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "write_shard", write_and_interrupt)
        done = aha("run", recipe, "--runs", tmp_path)
        # Its only shard is written: the evaluation is over, and the next stage does not begin.
        assert done.code == 130
        assert "zero has not begun; everything before it is saved. The same command goes on" in done.err
        assert aha("run", recipe, "--runs", tmp_path).code == 0
    assert written == ["before.partial", "after.partial"]
    assert_same(tmp_path / "small", calm)


def test_shards_of_an_interrupted_evaluation_are_not_sampled_again(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(trained_base, questions)
    recipe["stages"] = {"before": recipe["stages"]["before"]}
    recipe["stages"]["before"]["evaluate"]["n"] = 10
    path = write_recipe(tmp_path / "small.yaml", recipe)
    monkeypatch.setattr(evaluate, "SHARD", 3)
    assert aha("run", path, "--runs", tmp_path, "--name", "calm", "--no-reuse").code == 0
    written: list[int] = []
    write: Callable[..., None] = evaluate.write_shard

    def write_and_interrupt(folder: Path, number: int, rows: object) -> None:
        write(folder, number, rows)
        written.append(number)
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(evaluate, "write_shard", write_and_interrupt)
    done = aha("run", path, "--runs", tmp_path, "--name", "cut", "--no-reuse")
    assert done.code == 130
    assert "before: 2 of 4 shards are saved." in done.err
    assert aha("run", path, "--runs", tmp_path, "--name", "cut", "--no-reuse").code == 0
    assert written == [0, 1, 2, 3]
    assert manifests(tmp_path / "cut") == manifests(tmp_path / "calm")


def test_a_kill_after_the_last_checkpoint_leaves_the_same_manifest(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "small.yaml", training_only(trained_base, questions))
    assert aha("run", recipe, "--runs", tmp_path, "--name", "calm", "--no-reuse").code == 0

    def die(_self: Ledger) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", die)
        assert aha("run", recipe, "--runs", tmp_path, "--name", "cut", "--no-reuse").code == 130
    assert aha("run", recipe, "--runs", tmp_path, "--name", "cut", "--no-reuse").code == 0
    assert manifests(tmp_path / "cut") == manifests(tmp_path / "calm")


def test_sigterm_saves_like_ctrl_c_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
