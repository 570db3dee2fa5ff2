"""The learner against a plain update: one output at a time through transformers, full logits, plain AdamW."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ahalab.learning import GRPOLoss, Learner, TrainingOutput
from ahalab.learning.packing import pack
from learner_tools import (
    MODERN,
    PAPER,
    assert_close,
    gradients,
    learner_of,
    outputs_of,
    plain_gradient,
    plain_logprobs,
    take_gradients,
)
from learning_tools import TEMPERATURE, VOCAB, counts, policy_of, sequences, tiny_model, weights


def test_packed_logprobs_equal_one_by_one() -> None:
    model = tiny_model()
    pairs = sequences()
    packed = learner_of(model).logprobs(pairs, TEMPERATURE)
    assert [len(logprobs) for logprobs in packed] == [len(completion) for _, completion in pairs]
    for (prompt, completion), logprobs in zip(pairs, packed, strict=True):
        assert logprobs.dtype == torch.float32
        assert not logprobs.requires_grad
        torch.testing.assert_close(
            logprobs, plain_logprobs(model, prompt, completion).detach(), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", [MODERN, PAPER], ids=["modern", "paper"])
def test_packed_update_equals_the_plain_one(loss: GRPOLoss, tied: bool) -> None:
    model = tiny_model(tied=tied)
    plain = copy.deepcopy(model)
    outputs = outputs_of(model, reference=loss.kl_coefficient > 0)

    value = plain_gradient(plain, outputs, loss)
    assert_close(gradients(learner_of(model), outputs, loss), take_gradients(plain), 1e-6)

    plain_gradient(plain, outputs, loss)
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, eps=1e-6).step()
    metrics = learner_of(model, weight_decay=0.1, adam_epsilon=1e-6).update(
        outputs, loss, TEMPERATURE, **counts(outputs)
    )
    assert metrics["loss"] == pytest.approx(value, abs=1e-6)
    assert metrics["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert_close(weights(model), weights(plain), 1e-6)


@pytest.mark.parametrize("loss", [MODERN, PAPER], ids=["modern", "paper"])
def test_chunk_budgets_give_the_same_update(loss: GRPOLoss) -> None:
    base = tiny_model()
    outputs = outputs_of(base, reference=loss.kl_coefficient > 0)
    results = []
    for budget in (1, 64, 256, 10**9):  # 1: every output alone
        model = copy.deepcopy(base)
        learner = learner_of(model, tokens_per_chunk=budget, logprob_chunk=1 + budget % 7, adam_epsilon=1e-6)
        gradient = gradients(learner, outputs, loss)
        metrics = learner.update(outputs, loss, TEMPERATURE, **counts(outputs))
        results.append((metrics.pop("chunks"), gradient, weights(model), metrics))
    assert results[0][0] == len(outputs)
    assert results[0][0] > results[1][0] > results[2][0] > results[3][0] == 1
    for _, gradient, after, metrics in results[1:]:
        assert_close(gradient, results[0][1], 1e-6)
        assert_close(after, results[0][2], 1e-6)
        assert metrics == pytest.approx(results[0][3], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("aggregate", ["token", "output"])
def test_dropping_groups_without_spread_changes_nothing_when_the_counts_include_them(aggregate: Any) -> None:
    base = tiny_model()
    loss = dataclasses.replace(MODERN, aggregate=aggregate)
    outputs = outputs_of(base, reference=False)
    kept = [output for output in outputs if output.advantage != 0.0]
    assert 0 < len(kept) < len(outputs)
    results = []
    for chosen in (outputs, kept):
        model = copy.deepcopy(base)
        learner = learner_of(model, adam_epsilon=1e-6)
        learner._accumulate(chosen, loss, TEMPERATURE, **counts(outputs))
        gradient = take_gradients(model)
        metrics = learner.update(chosen, loss, TEMPERATURE, **counts(outputs))
        results.append((gradient, weights(model), metrics["loss"]))
    assert_close(results[0][0], results[1][0], 1e-6)
    assert_close(results[0][1], results[1][1], 1e-6)
    assert results[0][2] == pytest.approx(results[1][2], abs=1e-6)

    learner._accumulate(
        kept, loss, TEMPERATURE, **counts(kept)
    )  # the test can fail: other counts, other loss
    with pytest.raises(AssertionError):
        assert_close(take_gradients(model), results[0][0], 1e-6)


def test_dropping_every_group_still_makes_the_step_momentum_asks_for() -> None:
    base = tiny_model()
    first = outputs_of(base, reference=False)
    dead = [dataclasses.replace(output, advantage=0.0) for output in first]
    after = []
    for second in (dead, []):
        model = copy.deepcopy(base)
        learner = learner_of(model)
        learner.update(first, MODERN, TEMPERATURE, **counts(first))
        before = weights(model)
        metrics = learner.update(second, MODERN, TEMPERATURE, **counts(dead))
        assert metrics["loss"] == metrics["grad_norm"] == 0.0
        assert ("entropy" in metrics) is bool(second)
        after.append(weights(model))
        assert any((after[-1][name] != before[name]).any() for name in before)
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])


def test_prompt_positions_have_no_gradient_from_the_loss() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=True)
    policy = policy_of(model)
    seen: list[tuple[Tensor, list[int]]] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(decoder, name)

        def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
            hidden = decoder.packed_hidden(tokens, lengths)
            hidden.retain_grad()
            seen.append((hidden, tokens.tolist()))
            return hidden

    decoder = policy.decoder
    policy.decoder = Watched()
    learner = Learner(policy, learning_rate=1e-3, tokens_per_chunk=10**9)
    learner._accumulate(outputs, PAPER, TEMPERATURE, **counts(outputs))
    ((hidden, tokens),) = seen
    assert hidden.grad is not None
    moved = hidden.grad.abs().sum(-1) > 0
    (chunk,) = pack([(o.prompt_ids, o.token_ids) for o in outputs], 10**9, decoder.device)
    expected: list[bool] = []
    for output in (outputs[i] for i in chunk.indices):
        expected += [False] * (len(output.prompt_ids) - 1) + [True] * len(output.token_ids)
    assert len(tokens) == len(expected)
    assert moved.tolist() == expected


def _fed(output: TrainingOutput) -> int:
    return len(output.prompt_ids) + len(output.token_ids) - 1


def test_loss_targets_on_prompt_positions_change_nothing() -> None:
    """Hidden states here do not depend on the tokens: prompt ids could act as targets only, and do not."""
    outputs = outputs_of(tiny_model(), reference=True)
    others = [
        dataclasses.replace(o, prompt_ids=tuple((t + 7) % VOCAB for t in o.prompt_ids)) for o in outputs
    ]
    shifted = [dataclasses.replace(o, token_ids=tuple((t + 7) % VOCAB for t in o.token_ids)) for o in outputs]
    torch.manual_seed(0)
    model = torch.nn.Linear(8, VOCAB, bias=False)
    table = torch.randn(1000, 8)
    decoder = SimpleNamespace(
        packed_hidden=lambda tokens, _: table[: len(tokens)],
        head_weight=model.weight,
        device=torch.device("cpu"),
        softcap=None,
    )
    policy: Any = SimpleNamespace(model=model, decoder=decoder)
    learner = Learner(policy, learning_rate=1e-3, tokens_per_chunk=200)
    plain, same, different = (gradients(learner, chosen, PAPER) for chosen in (outputs, others, shifted))
    assert torch.equal(plain["weight"], same["weight"])
    assert not torch.allclose(plain["weight"], different["weight"])


def test_metrics_are_means_over_the_trained_tokens() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=True)[:8]
    entropy, ratio, k3, mismatch = [], [], [], []
    with torch.no_grad():
        for output in outputs:
            ids = torch.tensor([[*output.prompt_ids, *output.token_ids]])
            logits = model(input_ids=ids).logits[0, len(output.prompt_ids) - 1 : -1] / TEMPERATURE
            entropy.append(torch.distributions.Categorical(logits=logits).entropy())
            new = plain_logprobs(model, output.prompt_ids, output.token_ids)
            mismatch.append((new - output.old_logprobs).abs())
            ratio.append((new - output.old_logprobs).exp())
            assert output.reference_logprobs is not None
            log_ratio = output.reference_logprobs - new
            k3.append(log_ratio.exp() - log_ratio - 1)
    metrics = learner_of(model, tokens_per_chunk=50).update(outputs, PAPER, TEMPERATURE, **counts(outputs))
    assert metrics["chunks"] > 1
    for name, tensors in (("entropy", entropy), ("ratio", ratio), ("kl", k3)):
        assert metrics[name] == pytest.approx(torch.cat(tensors).mean().item(), rel=1e-4), name
    assert metrics["sampler_mismatch_mean"] == pytest.approx(torch.cat(mismatch).mean().item(), rel=1e-4)
    assert metrics["sampler_mismatch_max"] == pytest.approx(torch.cat(mismatch).max().item(), rel=1e-4)
    assert metrics["ratio_max"] == pytest.approx(torch.cat(ratio).max().item(), rel=1e-4)
    assert metrics["trained_outputs"] == 8
    assert metrics["trained_tokens"] == sum(len(output.token_ids) for output in outputs)
    assert metrics["fed_tokens"] == sum(_fed(output) for output in outputs)


def test_the_gradient_is_clipped_by_its_global_norm() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=False)
    learner = learner_of(model, max_grad_norm=1e-3, betas=(0.5, 0.5))
    plain = gradients(learner, outputs, MODERN)
    norm = torch.cat([gradient.flatten() for gradient in plain.values()]).norm().item()
    metrics = learner.update(outputs, MODERN, TEMPERATURE, **counts(outputs))
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-5)
    for name, parameter in model.named_parameters():
        moment = learner.optimization.adamw.state[parameter]["exp_avg"]
        torch.testing.assert_close(moment, 0.5 * plain[name] * 1e-3 / norm, rtol=1e-3, atol=1e-9)


def test_learning_rate_of_an_update_overrides_the_learners() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=False)
    learner = learner_of(model, learning_rate=1e-3)
    before = weights(model)
    assert (
        learner.update(outputs, MODERN, TEMPERATURE, learning_rate=0.0, **counts(outputs))["learning_rate"]
        == 0
    )
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())
    assert learner.update(outputs, MODERN, TEMPERATURE, **counts(outputs))["learning_rate"] == 1e-3
    assert not all(torch.equal(before[name], after) for name, after in weights(model).items())


def test_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    base = tiny_model()
    outputs = outputs_of(base, reference=True)
    results = []
    for _ in range(2):
        model = copy.deepcopy(base)
        learner = learner_of(model)
        metrics = [learner.update(outputs, PAPER, TEMPERATURE, **counts(outputs)) for _ in range(3)]
        learner.save(tmp_path)
        results.append((metrics, weights(model), (tmp_path / "optimizer.safetensors").read_bytes()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(results[0][1][name], results[1][1][name]) for name in results[0][1])
    assert results[0][2] == results[1][2]


def test_the_caller_hears_of_every_chunk() -> None:
    model = tiny_model()
    outputs = outputs_of(model, reference=False)
    heard: list[tuple[int, int]] = []
    learner = learner_of(model)
    metrics = learner.update(
        outputs, MODERN, TEMPERATURE, on_chunk=lambda done, of: heard.append((done, of)), **counts(outputs)
    )
    chunks = int(metrics["chunks"])
    assert heard == [(done, chunks) for done in range(1, chunks + 1)]


def test_dropout_is_off_so_that_sampler_and_learner_see_one_policy() -> None:
    model = tiny_model().train()
    learner_of(model)
    assert not any(module.training for module in model.modules())
