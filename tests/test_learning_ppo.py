"""PPO's parts: GAE on hand-made numbers, the value loss and the value model against plain autograd."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ahalab.errors import AhaError, EnvironmentFailure, UserError
from ahalab.learning import Critic, Learner, TrainingOutput, ValueLoss, ppo_loss, ppo_outputs
from ahalab.learning.advantages import generalised_advantages, normalised, token_rewards
from learning_tools import TEMPERATURE, counts, policy_of, sequences, tiny_model, weights


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def critic_of(model: torch.nn.Module, **settings: object) -> Critic:
    return Critic(policy_of(model), **{"learning_rate": 1e-2, "tokens_per_chunk": 64, **settings})  # type: ignore[arg-type]


def test_gae_with_lambda_1_is_the_reward_to_come_less_the_value() -> None:
    advantages, returns = generalised_advantages(tensor(0, 0.5, 1), tensor(0.25, 0.5, 0.75), lam=1.0)
    assert advantages.tolist() == [1.25, 1.0, 0.25]
    assert returns.tolist() == [1.5, 1.5, 1.0]


def test_gae_with_lambda_0_is_the_step_of_the_value() -> None:
    advantages, returns = generalised_advantages(tensor(0, 0, 1), tensor(0.25, 0.5, 0.75), lam=0.0)
    assert advantages.tolist() == [0.25, 0.25, 0.25]
    assert returns.tolist() == [0.5, 0.75, 1.0]


def test_gae_in_between_discounts_later_steps_by_lambda_and_gamma() -> None:
    # deltas: 0 + 0.5 - 0.2 = 0.3, 0 + 0.8 - 0.5 = 0.3, 1 - 0.8 = 0.2
    advantages, _ = generalised_advantages(tensor(0, 0, 1), tensor(0.2, 0.5, 0.8), lam=0.95)
    expected = [0.3 + 0.95 * (0.3 + 0.95 * 0.2), 0.3 + 0.95 * 0.2, 0.2]
    assert advantages.tolist() == pytest.approx(expected, abs=1e-6)
    # gamma 0.5: deltas 0.25 - 0.2, 0.4 - 0.5, 0.2; decay 0.5 * 0.5
    advantages, returns = generalised_advantages(tensor(0, 0, 1), tensor(0.2, 0.5, 0.8), lam=0.5, gamma=0.5)
    expected = [0.05 + 0.25 * (-0.1 + 0.25 * 0.2), -0.1 + 0.25 * 0.2, 0.2]
    assert advantages.tolist() == pytest.approx(expected, abs=1e-6)
    assert returns.tolist() == pytest.approx([a + v for a, v in zip(expected, (0.2, 0.5, 0.8), strict=True)])


def test_a_right_value_model_leaves_no_advantage() -> None:
    advantages, returns = generalised_advantages(tensor(0, 0, 1), tensor(1, 1, 1), lam=0.95)
    assert advantages.tolist() == [0, 0, 0]
    assert returns.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("rewards", "values", "lam"),
    [(tensor(1), tensor(1, 2), 1.0), (tensor(1), tensor(1), 1.1), (tensor(1), tensor(1), -0.1)],
)
def test_gae_refuses_what_does_not_fit(rewards: torch.Tensor, values: torch.Tensor, lam: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        generalised_advantages(rewards, values, lam=lam)


def test_the_reward_is_on_the_last_token_and_the_kl_on_each() -> None:
    assert token_rewards(2.0, 3).tolist() == [0, 0, 2]
    old, reference = tensor(-1, -2, -3), tensor(-1.5, -2, -2)
    found = token_rewards(2.0, 3, kl_coefficient=0.1, old_logprobs=old, reference_logprobs=reference)
    assert found.tolist() == pytest.approx([-0.05, 0.0, 2.1])


def test_a_longer_output_pays_more_kl() -> None:
    short, long = (
        token_rewards(
            1.0, n, kl_coefficient=0.1, old_logprobs=torch.zeros(n), reference_logprobs=torch.full((n,), -1.0)
        )
        for n in (2, 20)
    )
    assert short.sum().item() == pytest.approx(0.8)
    assert long.sum().item() == pytest.approx(-1.0)


def test_a_kl_in_the_reward_without_log_probs_is_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        token_rewards(1.0, 2, kl_coefficient=0.1)
    with pytest.raises(ValueError, match="finite"):
        token_rewards(math.nan, 2)


def test_normalised_advantages_have_mean_0_and_deviation_1_over_all_tokens() -> None:
    first, second = normalised([tensor(1, 2), tensor(3, 6)])
    # mean 3, deviations -2 -1 0 3, variance 14 / 4
    deviation = math.sqrt(3.5)
    assert [*first.tolist(), *second.tolist()] == pytest.approx([v / deviation for v in (-2, -1, 0, 3)])
    assert normalised([tensor(2, 2)])[0].tolist() == [0, 0]


def test_the_value_loss_takes_the_worse_of_free_and_held_values() -> None:
    # old 1, clip 0.2: 1.1 is inside; 2 is held at 1.2, once farther from its return and once nearer
    values = torch.tensor([1.1, 2.0, 2.0], dtype=torch.float64, requires_grad=True)
    old, returns = (torch.tensor(v, dtype=torch.float64) for v in ([1.0] * 3, [3.0, 3.0, 1.0]))
    value, metrics = ValueLoss(0.2)(values, old, returns, torch.full((3,), 1 / 3, dtype=torch.float64))
    value.backward()
    assert value.item() == pytest.approx(0.5 * (1.9**2 + 1.8**2 + 1.0**2) / 3)
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([-1.9 / 3, 0.0, 1.0 / 3])
    assert metrics == {"value_error": pytest.approx(1.9**2 + 1 + 1), "value_clipped": 1.0}


def test_without_a_clip_it_is_half_the_squared_error() -> None:
    value, metrics = ValueLoss(None)(tensor(2, 0), tensor(0, 0), tensor(0, 1), tensor(0.5, 0.5))
    assert value.item() == pytest.approx(0.5 * (4 + 1) / 2)
    assert metrics["value_clipped"] == 0.0
    with pytest.raises(ValueError, match="clip"):
        ValueLoss(0.0)


def graded(model: torch.nn.Module, count: int = 12, *, reference: bool = False) -> list[TrainingOutput]:
    learner = Learner(policy_of(model), learning_rate=1e-3, tokens_per_chunk=64)  # type: ignore[arg-type]
    pairs = sequences(count)
    old = learner.logprobs(pairs, TEMPERATURE)
    other = learner.logprobs(pairs, 2.0)
    return [
        TrainingOutput(prompt, completion, 0.0, old[i], other[i] if reference else None)
        for i, (prompt, completion) in enumerate(pairs)
    ]


def totals_of(outputs: list[TrainingOutput]) -> list[float]:
    return [float(len(output.token_ids) % 3) for output in outputs]


def test_values_are_those_of_each_output_alone_before_each_of_its_tokens() -> None:
    model = tiny_model()
    critic = critic_of(model, tokens_per_chunk=70)
    torch.manual_seed(1)
    torch.nn.init.normal_(critic.head.weight)
    torch.nn.init.normal_(critic.head.bias)
    for (prompt, completion), found in zip(sequences(), critic.values(sequences()), strict=True):
        ids = torch.tensor([[*prompt, *completion]])
        hidden = model.model(input_ids=ids).last_hidden_state[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(found, critic.head(hidden).squeeze(-1).detach(), rtol=0, atol=1e-5)


def test_a_fresh_value_model_says_0_everywhere() -> None:
    assert all(not values.any() for values in critic_of(tiny_model()).values(sequences(4)))


def test_a_value_update_is_that_of_plain_autograd_in_any_packing() -> None:
    results = []
    for budget in (50, 10**6):
        model = tiny_model(tied=False)
        critic = critic_of(model, tokens_per_chunk=budget)
        torch.manual_seed(1)
        torch.nn.init.normal_(critic.head.weight, std=0.1)
        outputs = graded(model)
        valued = ppo_outputs(outputs, totals_of(outputs), critic.values(sequences(12)), lam=0.95)
        plain, head = copy.deepcopy(model), copy.deepcopy(critic.head)
        metrics = critic.update(valued)
        results.append((metrics, critic, plain, head, valued))
    (metrics, critic, plain, head, valued), (other, *_) = results
    optimizer = torch.optim.AdamW(
        [*plain.model.parameters(), *head.parameters()], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0
    )
    tokens = sum(len(one.returns) for one in valued)
    loss = torch.zeros(())
    for one in valued:
        ids = torch.tensor([[*one.output.prompt_ids, *one.output.token_ids]])
        hidden = plain.model(input_ids=ids).last_hidden_state[0, len(one.output.prompt_ids) - 1 : -1]
        loss = loss + 0.5 * (head(hidden).squeeze(-1) - one.returns).square().sum() / tokens
    loss.backward()
    parameters = [*plain.model.parameters(), *head.parameters()]
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    assert metrics["value_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["value_grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert other["value_loss"] == pytest.approx(metrics["value_loss"], rel=1e-5)
    torch.testing.assert_close(critic.head.weight, head.weight, rtol=0, atol=1e-4)


def test_the_output_head_of_the_value_model_is_left_alone() -> None:
    tied, untied = critic_of(tiny_model()), critic_of(tiny_model(tied=False))
    assert "backbone.lm_head.weight" not in untied.optimization.parameters
    assert "backbone.model.embed_tokens.weight" in tied.optimization.parameters


def test_the_value_model_learns_what_is_to_come() -> None:
    model = tiny_model()
    outputs = graded(model, 6)
    critic = critic_of(model, loss=ValueLoss(None), tokens_per_chunk=10**6)
    first = last = {}
    for _ in range(40):
        values = critic.values([(o.prompt_ids, o.token_ids) for o in outputs])
        last = critic.update(ppo_outputs(outputs, totals_of(outputs), values, lam=1.0))
        first = first or last
    assert first["explained_variance"] == pytest.approx(0.0, abs=1e-6)
    assert last["explained_variance"] > 0.9
    assert last["value_error"] < 0.1 * first["value_error"]
    assert last["return_mean"] == pytest.approx(first["return_mean"], abs=1e-5)


def test_equal_returns_have_no_variance_to_explain() -> None:
    outputs = graded(tiny_model())
    critic = critic_of(tiny_model())
    values = critic.values([(o.prompt_ids, o.token_ids) for o in outputs])
    valued = ppo_outputs(outputs, [1.0] * len(outputs), values, lam=1.0)
    assert critic.update(valued)["explained_variance"] == 0.0


def test_outputs_get_an_advantage_a_token_and_keep_the_rest() -> None:
    outputs = graded(tiny_model(), reference=True)
    values = [torch.full((len(o.token_ids),), 0.5) for o in outputs]
    plain = ppo_outputs(outputs, totals_of(outputs), values, lam=0.95, normalise=False)
    for output, total, one in zip(outputs, totals_of(outputs), plain, strict=True):
        n = len(output.token_ids)
        advantages, returns = generalised_advantages(token_rewards(total, n), torch.full((n,), 0.5), lam=0.95)
        assert torch.equal(one.output.advantage, advantages)  # type: ignore[arg-type]
        assert torch.equal(one.returns, returns)
        assert one.output.old_logprobs is output.old_logprobs
    scaled = ppo_outputs(outputs, totals_of(outputs), values, lam=0.95)
    every = torch.cat([one.output.advantage for one in scaled])  # type: ignore[misc]
    assert every.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert every.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)
    taxed = ppo_outputs(outputs, totals_of(outputs), values, lam=1.0, kl_coefficient=0.1, normalise=False)
    first = outputs[0]
    assert first.old_logprobs is not None
    assert first.reference_logprobs is not None
    total = totals_of(outputs)[0] - 0.1 * (first.old_logprobs - first.reference_logprobs).sum().item()
    assert taxed[0].returns[0].item() == pytest.approx(total, abs=1e-4)


def test_the_same_advantage_for_every_token_is_bit_by_bit_that_of_the_output() -> None:
    after = []
    for per_token in (False, True):
        model = tiny_model()
        outputs = [
            TrainingOutput(
                o.prompt_ids,
                o.token_ids,
                torch.full((len(o.token_ids),), value) if per_token else value,
                o.old_logprobs,
            )
            for o, value in zip(graded(model), (0.3, -1.7, 0.0) * 4, strict=True)
        ]
        learner = Learner(policy_of(model), learning_rate=1e-3, tokens_per_chunk=64)  # type: ignore[arg-type]
        learner.update(outputs, ppo_loss(0.2, 0.2), TEMPERATURE, **counts(outputs))
        after.append(weights(model))
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])


def test_advantages_of_another_length_or_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"advantages have shape \(3,\), expected \(2,\)"):
        TrainingOutput((1,), (2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        TrainingOutput((1,), (2, 3), tensor(0.0, math.inf))


def test_ppo_teaches_the_rewarded_token() -> None:
    """A bandit: of two tokens after the same prompt one is worth 1."""
    model = tiny_model()
    policy = policy_of(model)
    learner = Learner(policy, learning_rate=3e-3, tokens_per_chunk=10**6)  # type: ignore[arg-type]
    critic = Critic(policy_of(tiny_model()), learning_rate=1e-2, tokens_per_chunk=10**6)  # type: ignore[arg-type]
    pairs = [((1, 2, 3), (4,)), ((1, 2, 3), (5,))] * 4

    def preference() -> float:
        good, bad = learner.logprobs(pairs[:2], 1.0)
        return (good - bad).item()

    before = preference()
    for _ in range(20):
        outputs = [
            TrainingOutput(*pair, 0.0, old)
            for pair, old in zip(pairs, learner.logprobs(pairs, 1.0), strict=True)
        ]
        valued = ppo_outputs(outputs, [1.0, 0.0] * 4, critic.values(pairs), lam=0.95)
        critic.update(valued)
        chosen = [one.output for one in valued]
        learner.update(chosen, ppo_loss(0.2, 0.2), 1.0, **counts(chosen))
    assert preference() > before + 2.0
    value = critic.values(pairs[:1])[0].item()
    assert 0.2 < value < 0.8


def test_loading_continues_bit_by_bit(tmp_path: Path) -> None:
    model = tiny_model()
    outputs = graded(model)
    straight = critic_of(copy.deepcopy(model))

    def step(critic: Critic) -> None:
        values = critic.values([(o.prompt_ids, o.token_ids) for o in outputs])
        critic.update(ppo_outputs(outputs, totals_of(outputs), values, lam=0.95), learning_rate=5e-3)

    for _ in range(3):
        step(straight)
    straight.save(tmp_path / "straight")
    early = critic_of(copy.deepcopy(model))
    step(early)
    early.save(tmp_path / "early")
    resumed = critic_of(tiny_model(seed=5))
    resumed.load(tmp_path / "early")
    for _ in range(2):
        step(resumed)
    resumed.save(tmp_path / "resumed")
    for name in ("critic.safetensors", "optimizer.safetensors"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_another_models_critic_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    critic_of(tiny_model()).save(tmp_path / "critic")
    with pytest.raises(EnvironmentFailure, match="missing or broken"):
        critic_of(tiny_model()).load(tmp_path / "nowhere")
    other = SimpleNamespace(model=torch.nn.Linear(8, 50, bias=False), decoder=None)
    other.decoder = SimpleNamespace(head_weight=other.model.weight, device=torch.device("cpu"))
    with pytest.raises(UserError, match="another model"):
        Critic(other, learning_rate=1e-3, tokens_per_chunk=64).load(tmp_path / "critic")


def test_a_value_update_that_is_not_finite_is_refused_and_changes_nothing() -> None:
    model = tiny_model()
    outputs = graded(model)
    critic = critic_of(model)
    values = critic.values([(o.prompt_ids, o.token_ids) for o in outputs])
    valued = ppo_outputs(outputs, totals_of(outputs), values, lam=1.0)
    valued[0].returns[0] = math.inf
    before = weights(model)
    with pytest.raises(AhaError, match="value model's loss is inf"):
        critic.update(valued)
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())
    assert all(p.grad is None for p in critic.optimization.parameters.values())
    with pytest.raises(ValueError, match="at least one"):
        critic.update([])
