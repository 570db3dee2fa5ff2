"""A checkpoint that ahalab saved is an ordinary model: `transformers` and EleutherAI's `lm-eval` take it as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ahalab.policy.load import load_policy, save_policy

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")

TASK = """
task: digits
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["</answer>"]
  max_gen_toks: 40
  do_sample: false
filter_list:
  - name: answer
    filter:
      - function: regex
        regex_pattern: "<answer> (\\\\d)"
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


@pytest.fixture(scope="module")
def checkpoint(trained_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained base once more through ahalab's own hands, as a stage leaves it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_policy(load_policy(str(trained_base)), folder)
    return folder


def test_a_saved_checkpoint_loads_in_plain_transformers_and_says_the_same(checkpoint: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    policy = load_policy(str(checkpoint))
    ids = torch.tensor([tokenizer("Say a digit, number 3")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, policy.model(ids).logits)


def test_lm_eval_evaluates_a_saved_checkpoint_offline(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from ahalab.text.template import table1_prompt

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    digits = [digit for digit in range(1, 5) for _ in range(4)]
    rows = [
        {"prompt": table1_prompt(f"Say a digit, number {i}"), "answer": str(digit)}
        for i, digit in enumerate(digits)
    ]
    data = tmp_path / "digits.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "digits.yaml").write_text(TASK.format(data=data))

    results: Any = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(checkpoint), "dtype": "float32"},
        tasks=["digits"],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
    )
    assert results is not None
    samples = results["samples"]["digits"]
    assert len(samples) == len(rows)
    said = [sample["filtered_resps"][0] for sample in samples]
    # The base answers with a digit from 1 to 4 nine times in ten, and knows nothing of which.
    assert sum(one in "1234" for one in said) >= 12
    right = sum(one == row["answer"] for one, row in zip(said, rows, strict=True))
    assert results["results"]["digits"]["exact_match,answer"] == pytest.approx(right / len(rows))
