"""`aha base build tiny`: a short build works on any CPU, goes on after a kill, and never sees a held-out problem."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ahalab.pipeline.recipe import load_recipe
from ahalab.policy.load import load_policy
from ahalab.policy.locate import builtin_folder
from ahalab.stages.pretrain import PretrainConfig, packed_row
from ahalab.world.domain import split_of
from proof_tools import finish, start
from small_runs import hashes

# Not inside a function of x, which has expressions of another kind.
EXPRESSION = re.compile(r"(?<![A-Za-z0-9)*+-])\d+(?:[+-]\d+){2,}(?![\d*])")


def test_a_build_of_50_steps_makes_a_base_that_loads_and_has_a_card(tmp_path: Path) -> None:
    out = finish(
        [
            "base",
            "build",
            "tiny",
            "--steps",
            "50",
            "--runs",
            str(tmp_path),
            "--output",
            str(tmp_path / "base"),
        ]
    )
    assert "pass@1" in out
    policy = load_policy(str(tmp_path / "base"))
    assert sum(p.numel() for p in policy.model.parameters()) <= 1_500_000
    card = json.loads((tmp_path / "base" / "card.json").read_text())
    assert card["rates"]["pass@1"]["n"] == 10
    losses = [json.loads(row)["loss"] for row in _metrics(tmp_path).read_text().splitlines()]
    assert losses[-1] < losses[0] - 1.0, "50 steps taught it nothing"


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    recipe = tmp_path / "build.yaml"
    recipe.write_text(
        "name: build\nbase: none\nthreads: 1\nstages: {tiny: {pretrain: {steps: 9, rows_per_step: 2, row_tokens: 64, "
        "hidden_size: 32, heads: 2, layers: 2, intermediate_size: 64, tokenizer_documents: 300, "
        "checkpoint_every: 3}}}\n"
    )
    command = ["run", str(recipe), "--runs", str(tmp_path), "--no-reuse"]
    finish([*command, "--name", "calm"])
    process = start([*command, "--name", "killed"], kill_at="checkpoint.after_rename:2")
    process.communicate()
    assert process.returncode == -9
    finish([*command, "--name", "killed"])
    expected = hashes(tmp_path / "calm")
    assert any("muon" in name for name in expected)
    assert hashes(tmp_path / "killed") == expected


def test_the_bundled_base_fits_its_limits() -> None:
    policy = load_policy("builtin:tiny")
    assert policy.model.config.model_type in ("llama", "qwen3")
    assert sum(p.numel() for p in policy.model.parameters()) <= 1_500_000


@pytest.mark.proof
def test_no_document_the_bundled_base_was_trained_on_holds_a_held_out_problem() -> None:
    """Every document of the whole build, read back from its text."""
    config = load_recipe("tiny-base").stages["tiny"].config
    assert isinstance(config, PretrainConfig)
    card = json.loads((builtin_folder("tiny") / "card.json").read_text())
    assert config.model_dump(mode="json") == card["build"]
    tokenizer = load_policy("builtin:tiny").tokenizer
    documents = found = 0
    for row in range(config.steps * config.rows_per_step):
        for text in packed_row(config, 0, row, tokenizer)[1]:
            documents += 1
            for expression in EXPRESSION.findall(text):
                found += 1
                terms = sorted(int(term) for term in re.findall(r"[+-]?\d+", expression))
                assert split_of("math:" + ",".join(map(str, terms))) == "train", expression
    assert documents == card["documents"]
    print(f"{documents:,} documents, {found:,} expressions, none held out")


def _metrics(runs: Path) -> Path:
    return next(runs.glob("tiny-base*/stages/tiny/metrics.jsonl"))
