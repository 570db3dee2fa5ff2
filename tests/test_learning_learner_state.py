"""The learner's state: kept over updates, continued bit by bit, and unchanged by what is refused."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from ahalab.errors import AhaError, EnvironmentFailure, UserError
from ahalab.learning import TrainingOutput, group_advantages
from learner_tools import MODERN, PAPER, learner_of, outputs_of
from learning_tools import TEMPERATURE, counts, sequences, tiny_model, weights


def test_sixteen_updates_of_one_rollout_keep_old_and_reference_logprobs() -> None:
    """Paper preset: group advantages before the split of outputs, 16 updates, a single inner epoch."""
    model = tiny_model()
    learner = learner_of(model, learning_rate=3e-3)
    reference = learner_of(tiny_model(seed=1))
    pairs = sequences(count=32)
    old = learner.logprobs(pairs, TEMPERATURE)
    ref = reference.logprobs(pairs, TEMPERATURE)
    advantages: list[float | None] = []
    for group in range(0, 32, 4):
        totals = [float(len(completion) % 3) for _, completion in pairs[group : group + 4]]
        advantages += group_advantages(totals, scale="std", ddof=0, epsilon=1e-4)
    outputs = [
        TrainingOutput(prompt, completion, advantage or 0.0, old[i], ref[i])
        for i, ((prompt, completion), advantage) in enumerate(zip(pairs, advantages, strict=True))
    ]
    kept_old, kept_ref = [t.clone() for t in old], [t.clone() for t in ref]

    order = [(7 * i) % 32 for i in range(32)]  # outputs, not groups, are split
    history = []
    for update in range(16):
        minibatch = [outputs[i] for i in order[2 * update : 2 * update + 2]]
        history.append(learner.update(minibatch, PAPER, TEMPERATURE, **counts(minibatch)))

    assert all(torch.equal(a, b) for a, b in zip(kept_old, old, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept_ref, ref, strict=True))
    assert history[0]["sampler_mismatch_max"] < 1e-5
    assert history[0]["ratio"] == pytest.approx(1.0, abs=1e-5)
    # the ratio of the last updates is against the policy that sampled, which is by now 15 updates old
    last = [outputs[i] for i in order[30:]]
    assert history[-1]["sampler_mismatch_mean"] > 1e-2
    assert all(m["clip_low"] == 0.0 for m in history)
    now = torch.cat(learner.logprobs([(o.prompt_ids, o.token_ids) for o in last], TEMPERATURE))
    assert (now - torch.cat([o.old_logprobs for o in last])).abs().mean().item() > 1e-2


def test_loading_continues_bit_by_bit(tmp_path: Path) -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=True)
    straight, early = copy.deepcopy(model), copy.deepcopy(model)
    settings = {"weight_decay": 0.01, "learning_rate": 1e-3}

    learner = learner_of(straight, **settings)
    for _ in range(3):
        learner.update(outputs, PAPER, TEMPERATURE, **counts(outputs))
    learner.save(tmp_path)
    expected = (tmp_path / "optimizer.safetensors").read_bytes()

    learner = learner_of(early, **settings)
    learner.update(outputs, PAPER, TEMPERATURE, **counts(outputs))
    learner.save(tmp_path)
    early.save_pretrained(tmp_path)
    resumed = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    learner = learner_of(resumed, **settings)
    learner.load(tmp_path)
    for _ in range(2):
        learner.update(outputs, PAPER, TEMPERATURE, **counts(outputs))
    learner.save(tmp_path)

    assert (tmp_path / "optimizer.safetensors").read_bytes() == expected
    final = weights(resumed)
    assert all(torch.equal(tensor, final[name]) for name, tensor in weights(straight).items())


def test_a_fresh_optimizer_is_saved_and_loaded_too(tmp_path: Path) -> None:
    model = tiny_model()
    learner_of(model).save(tmp_path)
    outputs = outputs_of(model, reference=False)
    learner = learner_of(model)
    learner.update(outputs, MODERN, TEMPERATURE, **counts(outputs))
    learner.load(tmp_path)
    assert not learner.optimization.adamw.state


def test_state_of_another_model_or_a_broken_file_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=False)
    learner = learner_of(model)
    learner.update(outputs, MODERN, TEMPERATURE, **counts(outputs))
    learner.save(tmp_path)
    state = (tmp_path / "optimizer.safetensors").read_bytes()

    untied = learner_of(tiny_model(tied=False))
    with pytest.raises(UserError, match=r"only the model has 'exp_avg/lm_head.weight'"):
        untied.load(tmp_path)
    assert not untied.optimization.adamw.state
    with pytest.raises(EnvironmentFailure, match="missing or broken"):
        learner.load(tmp_path / "nowhere")
    (tmp_path / "optimizer.safetensors").write_bytes(state[: len(state) // 2])
    with pytest.raises(EnvironmentFailure, match=r"optimizer\.safetensors"):
        learner.load(tmp_path)
    learner.save(tmp_path)
    assert (tmp_path / "optimizer.safetensors").read_bytes() == state
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        learner.save(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (float("nan"), r"the loss of chunk 1 of 1 is nan"),
        # An overflowing ratio is clipped, so the loss is finite, but its gradient is 0 * inf.
        (-200.0, r"the gradient norm is nan \(first in model"),
    ],
)
def test_an_update_that_is_not_finite_is_refused_and_changes_nothing(
    old: float, message: str, tmp_path: Path
) -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=False)
    learner = learner_of(model, tokens_per_chunk=10**9)
    learner.update(outputs, MODERN, TEMPERATURE, **counts(outputs))
    learner.save(tmp_path)
    before, state = weights(model), (tmp_path / "optimizer.safetensors").read_bytes()

    where = 2  # the best of its group: advantage above 0
    assert outputs[where].advantage > 0
    spoilt = dataclasses.replace(
        outputs[where], old_logprobs=torch.full_like(outputs[where].old_logprobs, old)
    )
    broken = [*outputs[:where], spoilt, *outputs[where + 1 :]]
    with pytest.raises(AhaError, match=message) as caught:
        learner.update(broken, MODERN, TEMPERATURE, **counts(broken))
    assert "ratio_max" in str(caught.value)
    assert "learning rate" in str(caught.value)

    learner.save(tmp_path)
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())
    assert (tmp_path / "optimizer.safetensors").read_bytes() == state
    assert all(p.grad is None for p in model.parameters())  # nothing is left over for the next update


def test_counts_that_miss_outputs_are_refused() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=True)
    learner = learner_of(model)
    right = counts(outputs)
    for wrong in ({"n_outputs": len(outputs) - 1}, {"n_tokens": right["n_tokens"] - 1}):
        with pytest.raises(ValueError, match="must be at least 1 and count"):
            learner.update(outputs, MODERN, TEMPERATURE, **{**right, **wrong})
    with pytest.raises(ValueError, match="must be at least 1"):
        learner.update([], MODERN, TEMPERATURE, n_outputs=0, n_tokens=0)
    mixed = [dataclasses.replace(outputs[0], reference_logprobs=None), *outputs[1:]]
    with pytest.raises(ValueError, match="all outputs or none"):
        learner.update(mixed, MODERN, TEMPERATURE, **right)


def test_master_weights_must_be_fp32() -> None:
    with pytest.raises(ValueError, match="float32"):
        learner_of(tiny_model().to(torch.bfloat16))


def test_outputs_whose_parts_do_not_fit_are_refused() -> None:
    logprobs = torch.zeros(2)
    with pytest.raises(ValueError, match="at least one"):
        TrainingOutput((), (1, 2), 0.0, logprobs, None)
    with pytest.raises(ValueError, match="old log-probs"):
        TrainingOutput((1,), (1, 2, 3), 0.0, logprobs, None)
    with pytest.raises(ValueError, match="reference log-probs"):
        TrainingOutput((1,), (1, 2), 0.0, logprobs, torch.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        TrainingOutput((1,), (1, 2), float("nan"), logprobs, None)
