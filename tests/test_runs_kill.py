"""A run killed with SIGKILL at any moment is readable and ends with the bytes of an undisturbed one.

The run is a small one of our own with the life of a stage: sample rows, grade, metrics, checkpoint, manifest.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.runs.checkpoints import CheckpointStore
from ahalab.runs.folder import RunFolder
from ahalab.runs.hashing import folder_hash
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.readers import list_stages, read_metrics, read_samples

PROMISED = ["metrics.jsonl", "samples", "checkpoint", "manifest.json"]
SAMPLES = 3

RUN = """
import hashlib, sys, time
from pathlib import Path
from ahalab.runs.checkpoints import CheckpointStore
from ahalab.runs.faults import fault_point
from ahalab.runs.folder import RunFolder
from ahalab.runs.jsonl import JsonlWriter, cut_to
from ahalab.runs.manifest import Manifest

SAMPLES = 3

def main(path, steps, pause=0.0):
    run = RunFolder.create_or_open(Path(path), {"steps": steps, "name": "等等"}, "0.1.0")
    with run.lock():
        if run.finished_stage("zero") is None:
            stage(run, steps, pause)

def stage(run, steps, pause):
    work = run.begin_stage("zero")
    run.event("begun")
    store = CheckpointStore(work / "checkpoint", keep=1)
    found = store.latest()
    done, weights, offsets = 0, b"base", {}
    if found is not None:
        done, offsets = found.step, found.state["offsets"]
        weights = (found.path / "weights.bin").read_bytes()
    for file in [work / "metrics.jsonl", *sorted((work / "samples").glob("*.jsonl"))]:
        cut_to(file, offsets.get(str(file.relative_to(work)), 0), work / "attempts")
    with JsonlWriter(work / "metrics.jsonl") as metrics:
        for step in range(done + 1, steps + 1):
            name = f"samples/rollout-{step:06d}.jsonl"
            with JsonlWriter(work / name) as samples:
                for sample in range(SAMPLES):
                    text = "等等，我检查一下 🤔 " + hashlib.sha256(weights + bytes([sample])).hexdigest()
                    samples.append({"step": step, "sample": sample, "text": text})
                    weights = hashlib.sha256(text.encode()).digest()
                    time.sleep(pause)
                    if sample == 1:
                        fault_point("rollout")
                fault_point("grading")
                offsets[name] = samples.offset
            metrics.append({"step": step, "reward": weights[0] / 7})
            metrics.flush()
            offsets["metrics.jsonl"] = metrics.offset
            write = lambda folder: (folder / "weights.bin").write_bytes(weights)
            store.save(step, write, {"offsets": offsets})
    Manifest("zero", "rl", 1, "ab", figures={"last": weights.hex()}).write(work)
    run.finish_stage("zero")
"""


def start(path: Path, steps: int, pause: float = 0.0, kill_at: str = "") -> subprocess.Popen[bytes]:
    script = RUN + f"\nmain(sys.argv[1], {steps}, {pause})\n"
    environment = {**os.environ, "AHALAB_KILL_AT": kill_at}
    return subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment)


def check_readable(path: Path) -> int:
    """Read all there is; the step of the last complete checkpoint, -1 for a finished stage."""
    try:
        run = RunFolder.open(path)
    except UserError:
        # Killed before the folder was whole: nothing had been learnt yet.
        assert not (path / "stages" / "zero.partial").exists()
        return 0
    with run.lock():
        pass
    stages = list_stages(run)
    if not stages:
        return 0
    [entry] = stages
    rows = list(read_metrics(entry.path))
    samples = list(read_samples(entry.path))
    found = CheckpointStore(entry.path / "checkpoint").peek()
    step = found.step if found else 0
    # The rows that the checkpoint counts on are all there, and at most one step's more.
    assert [row["step"] for row in rows][:step] == list(range(1, step + 1))
    assert len(rows) <= step + 1
    assert SAMPLES * step <= len(samples) <= SAMPLES * (step + 1)
    return -1 if entry.finished else step


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("undisturbed")
    assert start(path, steps=3).wait() == 0
    return folder_hash(path / "stages" / "zero", PROMISED)


@pytest.mark.parametrize(
    ("kill_at", "step"),
    [
        ("rollout:1", 0),
        ("rollout:3", 2),
        ("grading:2", 1),
        ("checkpoint.before_rename:1", 0),
        ("checkpoint.before_rename:3", 2),
        ("checkpoint.after_rename:1", 1),
        ("checkpoint.after_rename:3", 3),
        ("stage.before_rename:1", 3),
        ("stage.after_rename:1", -1),
    ],
)
def test_a_run_killed_at_each_named_point_is_readable_and_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: str, kill_at: str, step: int
) -> None:
    assert start(tmp_path, steps=3, kill_at=kill_at).wait() == -signal.SIGKILL
    assert check_readable(tmp_path) == step
    assert start(tmp_path, steps=3).wait() == 0
    assert check_readable(tmp_path) == -1
    assert folder_hash(tmp_path / "stages" / "zero", PROMISED) == undisturbed


def test_rows_of_an_unfinished_rollout_move_to_attempts(tmp_path: Path) -> None:
    assert start(tmp_path, steps=3, kill_at="rollout:2").wait() == -signal.SIGKILL
    before = list(read_samples(tmp_path / "stages" / "zero.partial"))
    assert start(tmp_path, steps=3).wait() == 0
    [moved] = (tmp_path / "stages" / "zero" / "attempts").iterdir()
    assert moved.name == "rollout-000002.jsonl.1"
    assert list(read_jsonl(moved)) == before[SAMPLES:]
    assert len(before) == SAMPLES + 2


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: Path) -> None:
    steps, pause = 25, 0.005
    assert start(tmp_path / "calm", steps, pause).wait() == 0
    chance = random.Random(0)
    events, killed = tmp_path / "killed" / "events.jsonl", 0
    for begun in range(6):
        process = start(tmp_path / "killed", steps, pause)
        while process.poll() is None and (not events.exists() or events.read_bytes().count(b"\n") == begun):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        check_readable(tmp_path / "killed")
    assert killed >= 1
    assert start(tmp_path / "killed", steps, pause).wait() == 0
    hashes = {folder_hash(tmp_path / name / "stages" / "zero", PROMISED) for name in ("calm", "killed")}
    assert len(hashes) == 1


EVERY = '''
import os, shutil, signal

def kill_before(number):
    """Kill this process before its file operation `number`; if that is a write, in the middle of it."""
    seen = 0
    def count():
        nonlocal seen
        seen += 1
        return seen == number
    def watch(event, arguments):
        inside = event in {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
        if inside and count():
            os.kill(os.getpid(), signal.SIGKILL)
    write = os.write
    def half(descriptor, data):
        if count():
            write(descriptor, bytes(data[:len(data) // 2]))
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, data)
    os.write = half
    sys.addaudithook(watch)

# The kernel keeps what a killed process wrote; only a power cut needs the sync, which takes time.
os.fsync = lambda descriptor: None

def forked(action):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def attempt(path, number):
    kill_before(number)
    main(path, 2)

def check(path):
    found = CheckpointStore(Path(path) / "stages" / "zero.partial" / "checkpoint").peek()
    return -1 if (Path(path) / "stages" / "zero").exists() else found.step if found else 0

def everywhere(root, promised):
    from ahalab.runs.hashing import folder_hash
    main(root / "calm", 2)
    expected = folder_hash(root / "calm" / "stages" / "zero", promised)
    number, steps = 0, [0]
    while True:
        number += 1
        path = root / "run"
        outcome = forked(lambda: attempt(path, number))
        assert outcome in (0, -signal.SIGKILL), (number, outcome)
        # What was once complete stays complete: later kills never show an older checkpoint.
        step = check(path)
        assert step == -1 or step >= steps[-1] >= 0, (number, step, steps[-1])
        steps.append(step)
        # The second process is killed as well, at a moment of its own, before a third may finish.
        forked(lambda: attempt(path, 3 + number * 7 % 40))
        assert forked(lambda: main(path, 2)) == 0, number
        found = folder_hash(path / "stages" / "zero", promised)
        assert found == expected, number
        left = [str(file) for file in path.rglob(".tmp-*") if "stages" in str(file)]
        assert not left, (number, left)
        shutil.rmtree(path)
        if outcome == 0:
            return number, sorted(set(steps))
'''


def test_a_run_killed_before_every_single_file_operation_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = RUN + EVERY + f"\nprint(*everywhere(Path(sys.argv[1]), {PROMISED}))\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    operations, steps = done.stdout.split(maxsplit=1)
    assert int(operations) > 100
    assert steps.strip() == "[-1, 0, 1, 2]"


REPLACE = """
def save(store, content):
    store.save(5, lambda folder: (folder / "weights.bin").write_text(content), {"content": content})

def replaced(root):
    number = 0
    while True:
        number += 1
        store = CheckpointStore(root / str(number), keep=1)
        save(store, "old")
        outcome = forked(lambda: (kill_before(number), save(store, "new")))
        found = store.latest()
        assert found is not None, number
        assert (found.path / "weights.bin").read_text() == found.state["content"], number
        assert found.state["content"] == "new" or outcome != 0, number
        assert sorted(path.name for path in store.folder.iterdir()) == ["step-000005"], number
        if outcome == 0:
            return number
"""


def test_replacing_the_only_checkpoint_is_safe_before_every_single_file_operation(tmp_path: Path) -> None:
    script = RUN + EVERY + REPLACE + "\nprint(replaced(Path(sys.argv[1])))\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 10
