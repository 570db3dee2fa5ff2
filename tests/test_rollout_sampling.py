"""Tokens are drawn by the inverse of the cumulative distribution, with the log-probs they were drawn with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ahalab.counter import uniforms
from ahalab.rollout.engine import Sampling
from ahalab.rollout.sampling import draw, tempered_logprobs


def numbers(n: int) -> Tensor:
    return torch.from_numpy(uniforms(np.full(n, 99, dtype=np.uint64), np.arange(n)))


def test_a_uniform_falls_into_its_tokens_interval() -> None:
    logits = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])).expand(6, 4)
    where = torch.tensor([0.0, 0.0999, 0.1001, 0.3001, 0.5999, 0.9999999], dtype=torch.float64)
    tokens, logprobs = draw(logits, where, Sampling(1))
    assert tokens.tolist() == [0, 0, 1, 2, 2, 3]
    torch.testing.assert_close(logprobs.exp(), torch.tensor([0.1, 0.1, 0.2, 0.3, 0.3, 0.4]))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_tempered_distribution(temperature: float) -> None:
    n = 20_000
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5])
    tokens, logprobs = draw(logits.expand(n, 5), numbers(n), Sampling(1, temperature))
    expected = torch.softmax(logits / temperature, -1)
    counts = torch.bincount(tokens, minlength=5)
    assert (
        float(((counts - n * expected) ** 2 / (n * expected)).sum()) < 23.5
    )  # 4 degrees of freedom, p = 1e-4
    torch.testing.assert_close(logprobs, expected.log()[tokens])


def test_a_token_without_probability_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(4, 5)
    edges = torch.tensor([0.0, 0.5, 0.49999999, 1 - 2.0**-53], dtype=torch.float64)
    tokens, logprobs = draw(logits, edges, Sampling(1))
    assert set(tokens.tolist()) == {1, 3}
    assert torch.isfinite(logprobs).all()


def test_the_largest_uniform_stays_inside_for_every_rounding_of_the_total() -> None:
    torch.manual_seed(0)
    logits = torch.cat((torch.randn(2000, 97) * 4, torch.full((2000, 3), -torch.inf)), dim=1)
    top = torch.full((2000,), 1 - 2.0**-53, dtype=torch.float64)
    tokens, logprobs = draw(logits, top, Sampling(1))
    assert int(tokens.max()) < 97
    assert torch.isfinite(logprobs).all()


def test_temperature_zero_takes_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 2.0]])
    tokens, logprobs = draw(logits, numbers(2), Sampling(1, temperature=0.0))
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logprobs, torch.log_softmax(logits, -1)[[0, 1], tokens])


def test_top_k_keeps_the_k_most_likely() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0, 2.0]])
    kept = tempered_logprobs(logits, Sampling(1, top_k=3)).exp()
    assert (kept[0] > 0).tolist() == [False, True, False, True, True]
    torch.testing.assert_close(kept.sum(), torch.tensor(1.0))


def test_top_p_keeps_the_fewest_tokens_that_reach_p() -> None:
    logits = torch.log(torch.tensor([[0.15, 0.5, 0.05, 0.3]]))
    for p, kept in ((0.4, [1]), (0.5, [1]), (0.51, [1, 3]), (0.81, [0, 1, 3]), (0.96, [0, 1, 2, 3])):
        probabilities = tempered_logprobs(logits, Sampling(1, top_p=p)).exp()[0]
        assert torch.nonzero(probabilities).flatten().tolist() == kept
        torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))


def test_truncation_is_known_to_the_one_who_must_refuse_it() -> None:
    assert not Sampling(1).truncated
    assert not Sampling(1, temperature=0.3).truncated
    assert Sampling(1, top_p=0.99).truncated
    assert Sampling(1, top_k=5).truncated


@pytest.mark.parametrize(
    "wrong",
    [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}],
)
def test_figures_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**{"max_new_tokens": 4, **wrong})  # type: ignore[arg-type]
