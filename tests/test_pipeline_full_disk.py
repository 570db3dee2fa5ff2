"""A full disk under the real command: one clear message, nothing already written lost, the same command goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ahalab.runs import atomic, jsonl
from ahalab.runs.jsonl import read_jsonl
from conftest import Aha
from small_runs import hashes, training_only, write_recipe

NAMESPACE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]

# $0 mount point, $1 Python, $2 recipe, $3 where the finished run is copied to
SCRIPT = """
mount -t tmpfs -o size=3m none "$0" || exit 99
head -c 2400000 /dev/zero > "$0/filler"
"$1" -m ahalab.cli run "$2" --runs "$0" --name disk
echo "first exit code: $?"
find "$0/disk" -name metrics.jsonl | xargs wc -l | tail -1
rm "$0/filler"
"$1" -m ahalab.cli run "$2" --runs "$0" --name disk
echo "second exit code: $?"
cp -r "$0/disk" "$3"
"""


@pytest.fixture(scope="module")
def recipe(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    settings = {"steps": 8, "checkpoint_every": 2, "learning_rate": 1e-3}
    return write_recipe(folder / "small.yaml", training_only(trained_base, questions, **settings))


def test_a_real_full_disk_is_one_message_and_the_same_command_goes_on(
    aha: Aha, recipe: Path, tmp_path: Path
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no `unshare`: a small disk of our own cannot be made (the simulated one is tested)")
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", SCRIPT, mount, sys.executable, recipe, tmp_path / "copy"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(
            f"a tmpfs cannot be mounted here ({done.stderr.strip()}); the simulated full disk is tested"
        )
    assert "first exit code: 1\n" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count("aha: disk full while writing") == 1
    assert "nothing already written was lost. Free at least" in done.stderr
    assert "run the same command; it goes on where it stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert "second exit code: 0\n" in done.stdout, done.stderr

    assert aha("run", recipe, "--runs", tmp_path, "--name", "calm", "--no-reuse").code == 0
    assert hashes(tmp_path / "copy") == hashes(tmp_path / "calm")


@pytest.mark.parametrize("place", ["checkpoint", "samples", "recipe", "manifest"])
def test_a_full_disk_at_each_kind_of_write_loses_nothing(
    aha: Aha, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Simulated: the system refuses the fifth row of samples, the second checkpoint, the recipe or the manifest."""
    passes = {"checkpoint": 2, "samples": 5, "recipe": 1, "manifest": 1}[place]
    marks = {
        "checkpoint": b'"saved_step"',
        "samples": b'"advantage"',
        "recipe": b"stages:",
        "manifest": b'"figures"',
    }
    seen = 0

    def write_all(descriptor: int, data: bytes) -> None:
        nonlocal seen
        seen += marks[place] in data
        if seen >= passes and marks[place] in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor, data)

    write = atomic.write_all
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_all", write_all)
        patch.setattr(jsonl, "write_all", write_all)
        done = aha("run", recipe, "--runs", tmp_path, "--name", "disk")
    assert done.code == 1, done.err
    assert done.err.count("aha: disk full while writing") == 1
    assert "Traceback" not in done.err
    if place == "checkpoint":
        kept = tmp_path / "disk" / "stages" / "zero.partial"
        assert [row["step"] for row in read_jsonl(kept / "metrics.jsonl")] == [1, 2, 3, 4]
        assert [path.name for path in (kept / "checkpoints").iterdir()] == ["step-000002"]
    done = aha("run", recipe, "--runs", tmp_path, "--name", "disk")
    assert done.code == 0, done.err
    assert aha("run", recipe, "--runs", tmp_path, "--name", "calm", "--no-reuse").code == 0
    assert hashes(tmp_path / "disk") == hashes(tmp_path / "calm")
