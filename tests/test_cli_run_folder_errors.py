"""A run folder that belongs to something else is refused and left as it was; the same command goes on with its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ahalab.runs.hashing import folder_hash
from ahalab.runs.lock import RunLock
from ahalab.stages import rl
from conftest import Aha
from small_bases import make_random_base
from small_runs import hashes, interrupt_in_rollout, small_recipe, training_only, write_recipe


@pytest.fixture(scope="module")
def recipe(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    return write_recipe(folder / "small.yaml", small_recipe(trained_base, questions, steps=2))


@pytest.fixture
def run(aha: Aha, recipe: Path, tmp_path: Path) -> Path:
    """A finished run."""
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    return tmp_path / "runs" / "small"


def content(run: Path) -> str:
    """Everything in the folder; the lock file may be touched."""
    (run / ".lock").unlink(missing_ok=True)
    return folder_hash(run)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_what_does_not_belong_to_the_recipe_is_refused(aha: Aha, recipe: Path, run: Path) -> None:
    def refused(*options: object) -> str:
        before = content(run)
        done = aha("run", recipe, "--runs", run.parent, *options)
        assert done.code == 2, done.err
        assert "Traceback" not in done.err
        assert content(run) == before
        return done.err

    # Another seed: another run, even where a stage was changed too, which alone would be made again.
    said = refused("--seed", 5, "--set", "stages.zero.rl.learning_rate=1e-5")
    assert "holds another recipe; it differs in" in said
    assert "  seed: 0 there, 5 here" in said
    assert "learning_rate" not in said
    assert "holds another recipe" in refused("--seed", 5, "--dry-run")

    # Another format, another version of a stage.
    edit(run / "run.json", format=99, ahalab="9.0")
    assert "was written by ahalab 9.0 in run format 99; this version reads format 1" in refused()
    edit(run / "run.json", format=1, ahalab="0.1.0")
    manifest = run / "stages" / "zero" / "manifest.json"
    edit(manifest, version=rl.VERSION + 1)
    assert "was made by another version of the rl stage" in refused()
    edit(manifest, version=rl.VERSION)

    # Files changed by hand.
    metrics = run / "stages" / "zero" / "metrics.jsonl"
    kept = metrics.read_bytes()
    metrics.write_bytes(kept.replace(b"1", b"2", 1))
    assert "metrics.jsonl changed or vanished since the stage finished" in refused()
    metrics.write_bytes(kept)

    # Another process at work.
    with RunLock(run):
        done = aha("run", recipe, "--runs", run.parent)
        assert done.code == 2
        assert "is in use by process" in done.err

    # Nothing of this has hurt: the same command finds everything done.
    done = aha("run", recipe, "--runs", run.parent)
    assert done.code == 0, done.err
    assert "steps" not in done.err


def test_a_folder_that_is_no_run_folder_is_left_alone(aha: Aha, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "thesis.txt").write_text("precious")
    done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 2
    assert "is not a run folder: it has no run.json but holds thesis.txt" in done.err
    assert [path.name for path in (tmp_path / "small").iterdir() if path.name != ".lock"] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    done = aha("run", recipe, "--runs", tmp_path, "--name", "file")
    assert done.code == 2
    assert "cannot be a run folder" in done.err


def test_a_deleted_stage_is_made_again_with_the_same_bytes(aha: Aha, recipe: Path, run: Path) -> None:
    expected = hashes(run)
    for name in ("zero", "after"):
        shutil.rmtree(run / "stages" / name)
    assert aha("run", recipe, "--runs", run.parent).code == 0
    assert hashes(run) == expected


def test_a_stage_made_from_another_model_is_not_trusted(aha: Aha, recipe: Path, run: Path) -> None:
    edit(run / "stages" / "after" / "manifest.json", inputs={"from": "sha256:another"})
    done = aha("run", recipe, "--runs", run.parent)
    assert done.code == 0, done.err
    assert "after is made again: zero came out different. The old one: attempts/after.1" in done.err
    assert (run / "attempts" / "after.1" / "manifest.json").is_file()


def test_another_base_or_version_under_an_unfinished_stage_is_refused(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    shutil.copytree(trained_base, base)
    recipe = write_recipe(tmp_path / "small.yaml", training_only(base, questions, steps=4))
    with monkeypatch.context() as patch:
        interrupt_in_rollout(patch, 2)
        assert aha("run", recipe, "--runs", tmp_path / "runs").code == 130

    begun = tmp_path / "runs" / "small" / "stages" / "zero.partial" / "begun.json"
    kept = begun.read_bytes()
    edit(begun, version=rl.VERSION + 1)
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "another version of the rl stage" in done.err
    begun.write_bytes(kept)

    shutil.rmtree(base)
    make_random_base(base)
    done = aha("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert "zero.partial was begun from something else: the files of `base` changed since" in done.err
    assert "make the stage again with `--from zero`" in done.err

    shutil.rmtree(base)
    shutil.copytree(trained_base, base)
    assert aha("run", recipe, "--runs", tmp_path / "runs").code == 0
