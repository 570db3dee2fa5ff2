"""The stage graph with real stages: what a changed recipe makes again, on a small base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Aha
from small_runs import events, hashes, small_recipe, write_recipe


def begun(run: Path) -> list[str]:
    """Stages that worked so far, in order."""
    return [event["stage"] for event in events(run, "stage_started")]


@pytest.fixture
def recipe(trained_base: Path, questions: Path) -> dict[str, Any]:
    return small_recipe(trained_base, questions, steps=2, checkpoint_every=1)


def test_a_changed_recipe_makes_again_what_it_changes_and_nothing_else(
    aha: Aha, recipe: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "small"

    def perform(*options: object) -> str:
        path = write_recipe(tmp_path / "small.yaml", recipe)
        done = aha("run", path, "--runs", tmp_path / "runs", *options)
        assert done.code == 0, done.err
        return done.err

    said = perform("--until", "zero")
    assert "stage 1 of 1: zero (rl)" in said
    assert begun(run) == ["zero"]
    said = perform()
    assert "1 of 3 stages are done already." in said
    assert begun(run) == ["zero", "before", "after"]
    first = hashes(run)

    # The last stage alone.
    recipe["stages"]["after"]["evaluate"]["n"] = 3
    assert "made again: after (n: 4 before, 3 now)" in perform()
    assert begun(run)[3:] == ["after"]

    # The same weights by another way: what was measured on them stays.
    recipe["stages"]["zero"]["rl"]["checkpoint_every"] = 2
    assert "after stays: what it reads came out the same." in perform()
    assert begun(run)[4:] == ["zero"]
    assert {name: one for name, one in hashes(run).items() if "zero" in name} == {
        name: one for name, one in first.items() if "zero" in name
    }

    # Other weights: measured again; the base is not.
    recipe["stages"]["zero"]["rl"]["learning_rate"] = 1e-3
    assert "after is made again: zero came out different." in perform()
    assert begun(run)[5:] == ["zero", "after"]

    # Back to the first: everything is there already.
    recipe["stages"]["zero"]["rl"].update(learning_rate=3e-3, checkpoint_every=1)
    recipe["stages"]["after"]["evaluate"]["n"] = 4
    perform()
    assert begun(run)[7:] == []
    assert hashes(run) == first

    # Another run of the same folder takes them all, and one that may not makes the same bytes itself.
    assert "taken from small/stages/zero" in perform("--name", "second")
    assert begun(tmp_path / "runs" / "second") == []
    assert hashes(tmp_path / "runs" / "second") == first
    perform("--name", "third", "--no-reuse")
    assert hashes(tmp_path / "runs" / "third") == first
    assert "as asked with --from zero, made again: zero, after." in perform("--from", "zero")
    assert begun(run)[7:] == ["zero", "after"]
    assert hashes(run) == first
