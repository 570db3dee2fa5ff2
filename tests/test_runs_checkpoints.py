"""The newest complete checkpoint wins, whatever a killed or failing process left beside it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ahalab.errors import EnvironmentFailure
from ahalab.runs.checkpoints import STATE_NAME, CheckpointStore


def weights(content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "weights.bin").write_text(content)
        (folder / "optimizer.bin").write_text(content * 2)

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved(tmp_path: Path, *steps: int, keep: int = 2) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "checkpoint", keep=keep)
    for step in steps:
        store.save(step, weights(f"step {step}"), {"step": step, "offsets": {"metrics.jsonl": 10 * step}})
    return store


def test_what_was_saved_is_what_is_found(tmp_path: Path) -> None:
    assert saved(tmp_path).latest() is None
    store = saved(tmp_path, 0, 1, 2, 12)
    found = store.latest()
    assert found is not None
    assert (found.step, found.path.name) == (12, "step-000012")
    assert found.state == {"step": 12, "offsets": {"metrics.jsonl": 120}}
    assert (found.path / "model" / "weights.bin").read_text() == "step 12"
    assert names(store.folder) == ["step-000002", "step-000012"]


def test_the_same_save_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "one", 1).latest(), saved(tmp_path / "two", 1).latest()
    assert one
    assert two
    assert (one.path / STATE_NAME).read_bytes() == (two.path / STATE_NAME).read_bytes()


def test_a_million_steps_still_sort_by_number(tmp_path: Path) -> None:
    found = saved(tmp_path, 999_999, 1_000_000).latest()
    assert found is not None
    assert found.step == 1_000_000


def damage_missing_file(path: Path) -> None:
    (path / "optimizer.bin").unlink()


def damage_short_file(path: Path) -> None:
    (path / "model" / "weights.bin").write_text("st")


def damage_no_state(path: Path) -> None:
    (path / STATE_NAME).unlink()


def damage_half_state(path: Path) -> None:
    (path / STATE_NAME).write_bytes((path / STATE_NAME).read_bytes()[:-20])


def damage_strange_state(path: Path) -> None:
    (path / STATE_NAME).write_text("[1, 2]")


def damage_other_step(path: Path) -> None:
    content = json.loads((path / STATE_NAME).read_text())
    (path / STATE_NAME).write_text(json.dumps({**content, "step": 7}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_missing_file,
        damage_short_file,
        damage_no_state,
        damage_half_state,
        damage_strange_state,
        damage_other_step,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_named_and_replaced(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    store = saved(tmp_path, 1, 2, 3)
    damage(store.folder / "step-000003")
    found = store.latest()
    assert found is not None
    assert found.step == 2
    assert len(store.skipped) == 1
    assert "step-000003" in store.skipped[0]

    store.save(3, weights("again"), {"step": 3})
    found = store.latest()
    assert found is not None
    assert (found.path / "model" / "weights.bin").read_text() == "again"
    assert store.skipped == []
    assert names(store.folder) == ["step-000002", "step-000003"]


def test_only_damaged_checkpoints_are_no_checkpoint_and_are_named(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    for name in names(store.folder):
        damage_no_state(store.folder / name)
    assert store.latest() is None
    assert len(store.skipped) == 2


def test_a_damaged_checkpoint_does_not_count_among_those_kept(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2, 3)
    damage_short_file(store.folder / "step-000003")
    saved(tmp_path, 4)
    assert names(store.folder) == ["step-000002", "step-000003", "step-000004"]
    saved(tmp_path, 5)
    assert names(store.folder) == ["step-000004", "step-000005"]


def test_leftovers_are_ignored_by_peek_and_removed_by_latest(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    (store.folder / ".tmp-step-000003").mkdir()
    weights("half")(store.folder / ".tmp-step-000003")
    (store.folder / "step-000009").write_text("a file")
    (store.folder / "notes.txt").write_text("somebody's")
    before = names(store.folder)
    found = store.peek()
    assert found is not None
    assert found.step == 2
    assert names(store.folder) == before
    assert store.latest() == found
    assert names(store.folder) == ["notes.txt", "step-000001", "step-000002", "step-000009"]


def test_a_prune_cut_short_is_finished_by_the_next_process(tmp_path: Path) -> None:
    damage_missing_file(saved(tmp_path, 1, 2, 3, keep=9).folder / "step-000001")
    store = CheckpointStore(tmp_path / "checkpoint", keep=1)
    assert store.latest()
    assert names(store.folder) == ["step-000003"]


def test_replacing_the_only_checkpoint_never_leaves_none(tmp_path: Path) -> None:
    store = saved(tmp_path, 5, keep=1)
    # As a kill between the two renames of a replacement leaves it.
    (store.folder / "step-000005").rename(store.folder / ".tmp-replaced-step-000005")
    found = store.latest()
    assert found is not None
    assert found.step == 5
    store.save(5, weights("new"), {})
    found = store.latest()
    assert found is not None
    assert (found.path / "model" / "weights.bin").read_text() == "new"
    assert names(store.folder) == ["step-000005"]


def wrapped_disk_full(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"x" * 4_000_000)
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def plain_disk_full(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"x" * 4_000_000)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", [wrapped_disk_full, plain_disk_full])
def test_a_full_disk_costs_only_the_checkpoint_being_written(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    store = saved(tmp_path, 1, 2)
    with pytest.raises(EnvironmentFailure, match=r"step-000003: nothing already .* at least 4 MB"):
        store.save(3, write, {})
    assert names(store.folder) == ["step-000001", "step-000002"]


def test_a_disk_full_at_the_sync_costs_only_the_checkpoint_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saved(tmp_path, 1)

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EnvironmentFailure, match=r"step-000002: nothing already"):
        store.save(2, weights("x"), {})
    assert names(store.folder) == ["step-000001"]


def test_a_writer_that_fails_passes_its_own_error_on_and_leaves_nothing(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)

    def write(folder: Path) -> None:
        weights("half")(folder)
        raise KeyError("exp_avg")

    with pytest.raises(KeyError, match="exp_avg"):
        store.save(2, write, {})
    with pytest.raises(ValueError, match=r"state\.json is the store's own"):
        store.save(2, lambda folder: (folder / STATE_NAME).touch(), {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save(2, weights("x"), {"reward": float("nan")})
    assert names(store.folder) == ["step-000001"]


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep"):
        CheckpointStore(tmp_path, keep=0)
    with pytest.raises(ValueError, match="negative"):
        saved(tmp_path, -1)
