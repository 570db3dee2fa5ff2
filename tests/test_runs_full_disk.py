"""A real full disk (a tiny tmpfs in a mount namespace of its own): one clear message, nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMESPACE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
MOUNT = 'mount -t tmpfs -o size=256k none "$0" && '

PROGRAM = """
import sys
from pathlib import Path
import numpy
from safetensors.numpy import load_file, save_file
from ahalab.errors import EnvironmentFailure
from ahalab.runs.atomic import write_text
from ahalab.runs.checkpoints import CheckpointStore
from ahalab.runs.folder import RunFolder
from ahalab.runs.jsonl import JsonlWriter, cut_to, read_jsonl

def refused(action):
    try:
        action()
    except EnvironmentFailure as error:
        assert "disk full while writing" in str(error), error
        assert "nothing already written was lost" in str(error), error
        assert "run the same command" in str(error), error
    else:
        raise AssertionError("the disk was not full")

def save(store, step, size):
    tensors = {"weights": numpy.full(size, step, dtype=numpy.float32)}
    store.save(step, lambda folder: save_file(tensors, folder / "model.safetensors"), {"step": step})

def weights(store):
    found = store.latest()
    return found.step, int(load_file(found.path / "model.safetensors")["weights"][-1])

root = Path(sys.argv[1])
run = RunFolder.create_or_open(root / "run", {"name": "small"}, "0.1.0")
work = run.begin_stage("zero")
store = CheckpointStore(work / "checkpoint")
save(store, 1, 10_000)
run.event("begun")

# A checkpoint that does not fit: 240 kB more on a disk of 256 kB.
refused(lambda: save(store, 2, 60_000))
assert weights(store) == (1, 1)
assert [path.name for path in store.folder.iterdir()] == ["step-000001"]

# Rows until nothing fits any more.
metrics = JsonlWriter(work / "metrics.jsonl")
rows = []
def fill():
    while True:
        row = {"step": len(rows) + 1, "text": "等等，我检查一下" * 200}
        metrics.append(row)
        rows.append(row)
refused(fill)
assert len(rows) > 10
assert list(read_jsonl(work / "metrics.jsonl")) == rows
assert metrics.offset == (work / "metrics.jsonl").stat().st_size

# Everything else fails as clearly and changes nothing.
before = run.recipe_path.read_bytes()
refused(lambda: write_text(run.recipe_path, "x" * 300_000))
refused(lambda: cut_to(work / "metrics.jsonl", 0, work / "attempts"))
assert run.recipe_path.read_bytes() == before
assert list(read_jsonl(work / "metrics.jsonl")) == rows
assert run.begin_stage("zero") == work
assert weights(store) == (1, 1)

# Room again (rows go): the same calls go on.
metrics.close()
(work / "metrics.jsonl").write_bytes(b"")
save(store, 2, 10_000)
assert weights(store) == (2, 2)
with JsonlWriter(work / "metrics.jsonl") as metrics:
    metrics.append(rows[0])
assert list(read_jsonl(work / "metrics.jsonl")) == rows[:1]
print("went through")
"""


def test_a_real_full_disk_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no `unshare`: a small disk of our own cannot be made (the simulated ones are tested)")
    probe = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT + "true", tmp_path], capture_output=True, check=False
    )
    if probe.returncode != 0:
        reason = probe.stderr.decode(errors="replace").strip()
        pytest.skip(f"a tmpfs cannot be mounted here ({reason}); the simulated full disks are tested")
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT + 'exec "$1" -c "$2" "$0"', tmp_path, sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "went through\n"
    assert list(tmp_path.iterdir()) == []
