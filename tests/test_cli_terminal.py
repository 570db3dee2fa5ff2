"""What a person sees: tables and progress that fit the terminal, plain lines in a log."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from ahalab.cli import progress as progress_room
from ahalab.cli.console import PLAIN_WIDTH
from ahalab.cli.progress import PlainProgress, RichProgress, describe, make_progress
from ahalab.cli.tables import print_preflight, shorten
from ahalab.stages.gold import CheckedRow
from ahalab.stages.preflight import PreflightReport
from conftest import Aha
from small_runs import small_recipe, write_recipe

FIGURES = {
    "reward": 1.5234,
    "accuracy": 0.6123,
    "format": 0.9112,
    "thinking_tokens": 138.25,
    "reflective_per_answer": 1.7216,
    "effective_groups": 16,
    "reward/accuracy": 0.6122,
    "reward/format": 0.9112,
    "tokens_per_second": 12345.6,
}
"""The figures of an RL step, each at its widest in the quickstart."""


def screen(columns: int) -> Console:
    return Console(file=io.StringIO(), width=columns, force_terminal=True, soft_wrap=True)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def report(rows: int = 10) -> PreflightReport:
    text = (
        "<think> 看起来是313。\n\nWait, let me check: 72+90=162, 162+65=227. </think> <answer> 313 </answer>"
    )
    parts = {"accuracy": 0.0, "format": 1.0}
    made = [
        CheckedRow(f"sample {n}", "72+90+65+22+53+11+89是多少？" * 2, text, parts, 1.0, None)
        for n in range(rows - 1)
    ]
    bad = CheckedRow(
        "sample 9", "How much?", "[bold]raw", {"accuracy": None, "format": 0.0}, None, "text after </answer>"
    )
    return PreflightReport(rows=[*made, bad], batch={"updates per rollout": 1}, gold_graded=32)


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 140, 200])
def test_the_preflight_table_has_one_line_a_sample_and_fits(columns: int) -> None:
    console = screen(columns)
    print_preflight(console, "zero", report())
    lines = written(console).splitlines()
    table = [line for line in lines if line.startswith("│")]
    assert len(table) == 10
    if columns >= 80:
        assert max(map(cell_len, [line for line in lines if line[:1] in "┏┡│└"])) <= columns
        # The answer stays visible, and so does the rule.
        assert all(line.count("</answer>") == 1 for line in table[:-1])
        assert "text after </answer>" in table[-1] or "…" in table[-1]
        assert "[bold]raw" in table[-1]
    assert "gold answers: 32 of 32 score full marks" in lines


def test_a_cut_text_keeps_its_start_and_its_end_within_the_width() -> None:
    text = "<think> 把这些数合在一起得444。 </think> <answer> 444 </answer>"
    for width in range(8, 70):
        cut = shorten(text, width)
        assert cell_len(cut) <= width
        assert cut == text or (cut[0] == "<" and cut[-1] == ">" and "…" in cut)
    assert shorten("short", 5) == "short"


def test_the_figures_of_a_step_fit_120_columns_and_parts_stand_behind_their_sum() -> None:
    line = describe(FIGURES)
    assert len(line) <= 116
    assert line.split("  ") == [
        "reward 1.52 (accuracy 0.61, format 0.91)",
        "accuracy 0.61",
        "thinking 138.2",
        "reflective 1.72",
        "groups 16",
        "12,346 tok/s",
    ]
    assert (
        describe({"accuracy": 0.0, "tokens_per_second": None, "loss": 0.00123}) == "accuracy 0.00  loss 0.001"
    )
    assert describe({"accuracy": 1, "format": 0.5}) == "accuracy 1  format 0.50"


@pytest.mark.parametrize("columns", [80, 120])
def test_the_live_lines_fit_the_terminal(columns: int) -> None:
    console = screen(columns)
    progress = make_progress(console)
    assert isinstance(progress, RichProgress)
    progress.begin("zero", 10400, "step", 3)
    progress.advance(10399, FIGURES)
    progress.note("[a note]")
    progress.end()
    lines = written(console).splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert "[a note]" in lines
    assert any("10399/10400 steps" in line and "left" in line for line in lines)
    [*_, last] = [line for line in lines if "reward" in line]
    assert last.endswith("tok/s" if columns == 120 else "…")


def test_plain_lines_come_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH, soft_wrap=True)
    progress = make_progress(console)
    assert isinstance(progress, PlainProgress)
    now = 1000.0
    monkeypatch.setattr(progress_room.time, "monotonic", lambda: now)
    progress.begin("zero", 40, "step", 10)
    for step in range(11, 41):
        now += 3.0
        progress.advance(step, FIGURES)
    progress.end()
    lines = written(console).splitlines()
    assert lines[0] == "zero: 10/40 steps"
    assert lines[1].startswith("zero: 11/40 steps, 0:03 so far, 1:27 left  reward 1.52 (accuracy 0.61")
    steps = [int(line.split()[1].removesuffix("/40")) for line in lines[2:]]
    assert steps == [15, 19, 23, 27, 31, 35, 39, 40]
    assert lines[-1].startswith("zero: 40/40 steps, 1:30 so far, 0:00 left")


def test_a_log_is_plain_and_wide(aha: Aha, trained_base: Path, questions: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "small.yaml", small_recipe(trained_base, questions))
    done = aha("run", path, "--runs", tmp_path)
    for text in (done.out, done.err):
        assert "\x1b" not in text
        assert "\r" not in text
    table = [line for line in done.err.splitlines() if line.startswith("│")]
    assert len(table) == 10
    assert all(cell_len(line) <= PLAIN_WIDTH for line in table)
    assert re.search(r"^zero: 6/6 steps, 0:0\d so far, 0:00 left  reward ", done.err, re.MULTILINE)
    assert re.search(r"^after: 4/4 prompts, ", done.err, re.MULTILINE)


def test_on_a_real_terminal_no_line_is_wider_than_it(
    trained_base: Path, questions: Path, tmp_path: Path
) -> None:
    # Long enough for the display to be drawn again: it is, five times a second.
    path = write_recipe(tmp_path / "small.yaml", small_recipe(trained_base, questions, steps=60))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ahalab.cli", "run", str(path), "--runs", str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[2K" in seen, "nothing was redrawn in place"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line for line in re.split(r"[\r\n]+", plain) if line]
    drawn = [line for line in lines if line[:1] in "┏┡│└" or "━" in line or "reward" in line]
    wide = [line for line in drawn if cell_len(line) > 120 and not line.startswith("warning")]
    assert wide == []
    assert any("60/60 steps" in line for line in lines)
    assert any("held-out pass@1" in line for line in lines)
