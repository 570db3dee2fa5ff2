"""The whole of R1 on the tiny base: three seeds' stage tables at proof size, and kills that change nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from proof_tools import finish, kill_after, moments, start, write_result
from r1_graph import write_small_r1
from small_runs import hashes

SEEDS = (0, 1, 2)
EVALUATIONS = ("base", "zero", "dev1", "dev2", "dev3", "r1", "distilled")
ABLATIONS = ("language", "hacking", "start", "distillation", "ppo")
PROOF_SIZE = ["--set", "stages.eval_base.evaluate.n=1500", "--set", "stages.eval_base.evaluate.k=2"]
"""1,000 reasoning prompts and 500 general ones; the other rows are like the first."""


@pytest.mark.proof
@pytest.mark.parametrize(("kills", "steps"), [(5, None), (20, 90)])
def test_a_whole_graph_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path: Path, kills: int, steps: int | None
) -> None:
    recipe = write_small_r1(tmp_path / "r1.yaml")
    command = ["run", str(recipe), "--runs", str(tmp_path), "--no-reuse"]
    for stage in ("zero", "dev2", "r1") if steps else ():
        command += ["--set", f"stages.{stage}.rl.steps={steps}"]
    started = time.monotonic()
    finish([*command, "--name", "calm"])
    seconds = time.monotonic() - started
    expected = hashes(tmp_path / "calm")
    stages = len(list((tmp_path / "calm" / "stages").glob("*/manifest.json")))
    assert any("data/rows" in name for name in expected)
    killed, met = [*command, "--name", "killed"], []
    for moment in moments(kills, 3.0, 4.0 + seconds / kills, seed=11):
        if kill_after(start(killed), moment):
            met.append(moment)
    finish(killed)
    assert hashes(tmp_path / "killed") == expected
    assert len(met) == kills, f"only {len(met)} of {kills} kills met a running process"
    lines = [
        f"- undisturbed: {seconds:.0f} s, {stages} stages, {len(expected)} files hashed",
        f"- killed {len(met)} times, each so many seconds after its start: {', '.join(f'{m:.0f}' for m in met)}",
        f"- all {len(expected)} hashes (weights, optimizers, metrics, samples, data) equal the undisturbed run's",
    ]
    write_result(f"r1-kill-{kills}", "make proof", lines)
    print("\n".join(lines))


@pytest.mark.proof
def test_three_seeds_make_the_stage_table(tmp_path: Path) -> None:
    for seed in SEEDS:
        finish(
            [
                "run",
                "r1-quickstart",
                "--seed",
                str(seed),
                "--runs",
                str(tmp_path),
                "--name",
                f"seed-{seed}",
                *PROOF_SIZE,
            ]
        )
    runs = [str(tmp_path / f"seed-{seed}") for seed in SEEDS]
    text = finish(["table", *runs, "--output", str(tmp_path / "table.md")])
    write_result("r1-three-seeds", "make proof", [(tmp_path / "table.md").read_text()])
    print(text)
    for run in map(Path, runs):
        for model, least in (("helpful_rm", 0.85), ("safety_rm", 0.95)):
            manifest = json.loads((run / "stages" / model / "manifest.json").read_text())
            assert manifest["figures"]["accuracy"]["value"] >= least, (run, model)


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs for all ablations, which share the quickstart's finished stages."""
    return tmp_path_factory.mktemp("ablations")


@pytest.mark.proof
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_every_ablation_runs_at_full_size(shared_runs: Path, ablation: str) -> None:
    finish(["run", f"ablation-{ablation}", "--runs", str(shared_runs), *PROOF_SIZE])
    stages = shared_runs / f"ablation-{ablation}" / "stages"
    lines = [(stages / "table" / "table.md").read_text()]
    if ablation == "hacking":
        watched = json.loads((stages / "r1_unbounded" / "manifest.json").read_text())["figures"][
            "reward_hacking"
        ]
        lines += ["What the reward-hacking watch saw, on held-out prompts of its own:", ""]
        lines += ["```json", json.dumps(watched, indent=1), "```"]
    write_result(f"ablation-{ablation}", "make proof", lines)
    print("\n".join(lines))
