"""The engine gives what a plain loop gives, whatever the batch, and keeps the log-probs it drew with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from ahalab.counter import row_key, uniform
from ahalab.errors import UserError
from ahalab.policy.forward import LeanDecoder, make_decoder, token_logprobs
from ahalab.policy.forward.cache import SlotCache
from ahalab.records import Sample
from ahalab.rollout.differences import explain_difference
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from forward_models import GENERIC, LEAN, VOCABULARY, build, logits_of

ALL = {**LEAN, **GENERIC}
KEY = RolloutKey(seed=11, stage="zero", rollout=2)
STOPS = (5, 60, 61)
SAMPLING = Sampling(max_new_tokens=24, stop_ids=STOPS)


def prompts(n: int, seed: int = 0) -> list[PromptTokens]:
    random = np.random.default_rng(seed)
    return [
        PromptTokens(f"p{i}", tuple(random.integers(0, VOCABULARY, random.integers(2, 14)).tolist()))
        for i in range(n)
    ]


def plain_sample(
    model: Any, prompt: PromptTokens, index: int, sampling: Sampling
) -> tuple[list[int], list[float]]:
    """One row by the whole forward of transformers at every token, in plain Python."""
    key = row_key(KEY.seed, KEY.stage, KEY.rollout, prompt.prompt_id, index)
    tokens: list[int] = []
    logprobs: list[float] = []
    while len(tokens) < sampling.max_new_tokens and (not tokens or tokens[-1] not in sampling.stop_ids):
        with torch.no_grad():
            ids = torch.tensor([[*prompt.token_ids, *tokens]])
            logits = (
                model(input_ids=ids, use_cache=False).logits[0, -1].double().numpy() / sampling.temperature
            )
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        token = int(np.searchsorted(np.cumsum(probabilities), uniform(key, len(tokens)), side="right"))
        tokens.append(token)
        logprobs.append(float(np.log(probabilities[token])))
    return tokens, logprobs


def by_name(samples: list[Sample]) -> dict[tuple[str, int], Sample]:
    named = {(sample.prompt_id, sample.index): sample for sample in samples}
    assert len(named) == len(samples)
    return named


def assert_same_or_explained(
    decoder: Any, asked: list[PromptTokens], first: list[Sample], second: list[Sample], sampling: Sampling
) -> None:
    """Promise 2: at least 99 % of the samples identical, each first difference next to a boundary."""
    one, other = by_name(first), by_name(second)
    assert one.keys() == other.keys()
    different = [name for name in one if one[name].token_ids != other[name].token_ids]
    assert len(different) <= max(1, len(one) // 100)
    texts = {prompt.prompt_id: prompt for prompt in asked}
    for name in different:
        difference = explain_difference(decoder, texts[name[0]], one[name], other[name], sampling, KEY)
        assert difference is not None
        assert difference.explained
    for name in one.keys() - set(different):
        np.testing.assert_allclose(one[name].logprobs, other[name].logprobs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", ALL)
def test_samples_equal_a_plain_loop(name: str, temperature: float) -> None:
    kind, changes = ALL[name]
    model = build(kind, **changes)
    decoder = make_decoder(model)
    sampling = Sampling(12, temperature, stop_ids=STOPS)
    asked = prompts(4)
    samples = list(EmbeddedEngine(decoder, max_rows=5).generate(asked, 3, sampling, KEY))
    expected = []
    for prompt in asked:
        for index in range(3):
            tokens, logprobs = plain_sample(model, prompt, index, sampling)
            finish = "stop" if tokens[-1] in STOPS else "length"
            expected.append(Sample(prompt.prompt_id, index, tuple(tokens), tuple(logprobs), finish))
    assert_same_or_explained(decoder, asked, samples, expected, sampling)
    if all(a.token_ids == by_name(expected)[a.prompt_id, a.index].token_ids for a in samples):
        assert [(s.prompt_id, s.index, s.finish) for s in samples] == [
            (s.prompt_id, s.index, by_name(expected)[s.prompt_id, s.index].finish) for s in samples
        ]


@pytest.mark.parametrize("name", ["llama, grouped heads", "gpt2"])
def test_samples_do_not_depend_on_the_batch(name: str) -> None:
    kind, changes = ALL[name]
    decoder = make_decoder(build(kind, **changes))
    asked = prompts(9)
    full = list(EmbeddedEngine(decoder, max_rows=128).generate(asked, 6, SAMPLING, KEY))
    for rows in (1, 3, 16):
        other = list(EmbeddedEngine(decoder, max_rows=rows).generate(asked, 6, SAMPLING, KEY))
        assert_same_or_explained(decoder, asked, full, other, SAMPLING)
    # Another mix: half of the prompts, turned round, and fewer samples of each.
    part = asked[::-2]
    other = list(EmbeddedEngine(decoder, max_rows=7).generate(part, 4, SAMPLING, KEY))
    names = {prompt.prompt_id for prompt in part}
    kept = [sample for sample in full if sample.prompt_id in names and sample.index < 4]
    assert_same_or_explained(decoder, asked, kept, other, SAMPLING)


def test_samples_do_not_depend_on_sorting_rows_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make_decoder(build("Llama"))
    asked = prompts(25)
    full = list(EmbeddedEngine(decoder, max_rows=150).generate(asked, 6, SAMPLING, KEY))
    sorted_steps: list[bool] = []
    tidy = SlotCache.tidy

    def counting_tidy(cache: SlotCache, n: int) -> Any:
        order = tidy(cache, n)
        sorted_steps.append(order is not None)
        return order

    monkeypatch.setattr(SlotCache, "tidy", counting_tidy)
    monkeypatch.setattr("ahalab.policy.forward.cache._SORT_AFTER", 0)
    other = list(EmbeddedEngine(decoder, max_rows=40).generate(asked, 6, SAMPLING, KEY))
    assert sum(sorted_steps) > 3
    assert_same_or_explained(decoder, asked, full, other, SAMPLING)


@pytest.mark.parametrize("max_rows", [1, 2, 3])
def test_rows_that_end_with_their_first_token_leave_room_for_the_next(max_rows: int) -> None:
    engine = EmbeddedEngine(make_decoder(build("Llama")), max_rows=max_rows)
    half = Sampling(6, stop_ids=tuple(range(0, VOCABULARY, 2)))
    samples = list(engine.generate(prompts(9), 5, half, KEY))
    assert {len(sample.token_ids) for sample in samples} >= {1, 2, 3}
    one_by_one = list(EmbeddedEngine(engine.decoder, max_rows=45).generate(prompts(9), 5, half, KEY))
    assert_same_or_explained(engine.decoder, prompts(9), samples, one_by_one, half)


@pytest.mark.parametrize("max_rows", [4, 128])
def test_the_same_call_twice_gives_the_same_samples_in_the_same_order(max_rows: int) -> None:
    engine = EmbeddedEngine(make_decoder(build("Llama")), max_rows=max_rows)
    runs = [list(engine.generate(prompts(6), 4, SAMPLING, KEY)) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "changed", [RolloutKey(12, "zero", 2), RolloutKey(11, "one", 2), RolloutKey(11, "zero", 3)]
)
def test_every_part_of_the_key_changes_the_samples(changed: RolloutKey) -> None:
    engine = EmbeddedEngine(make_decoder(build("Llama")))
    first, second = (by_name(list(engine.generate(prompts(2), 4, SAMPLING, key))) for key in (KEY, changed))
    assert all(first[name].token_ids != second[name].token_ids for name in first)
    assert len({sample.token_ids for sample in first.values()}) == 8


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("name", ["qwen3, norms, wide heads", "gemma2, soft-cap and window"])
def test_the_samplers_logprobs_equal_the_learners(name: str, temperature: float) -> None:
    kind, changes = ALL[name]
    decoder = make_decoder(build(kind, **changes))
    asked = {prompt.prompt_id: prompt for prompt in prompts(5)}
    sampling = Sampling(20, temperature, stop_ids=STOPS)
    samples = list(EmbeddedEngine(decoder, max_rows=6).generate(list(asked.values()), 4, sampling, KEY))
    rows = [torch.tensor(asked[s.prompt_id].token_ids + s.token_ids) for s in samples]
    hidden = decoder.packed_hidden(torch.cat(rows), [len(row) for row in rows])
    states, targets = [], []
    for row, sample, states_of_row in zip(
        rows, samples, hidden.split([len(row) for row in rows]), strict=True
    ):
        n = len(sample.token_ids)
        states.append(states_of_row[-n - 1 : -1])
        targets.append(row[-n:])
    logprobs, _ = token_logprobs(
        torch.cat(states), decoder.head_weight, torch.cat(targets), temperature, softcap=decoder.softcap
    )
    drawn = torch.tensor([logprob for sample in samples for logprob in sample.logprobs])
    torch.testing.assert_close(drawn, logprobs, rtol=0, atol=1e-5)


def test_samples_end_at_a_stop_token_or_at_the_limit() -> None:
    engine = EmbeddedEngine(make_decoder(build("Llama")), max_rows=8)
    samples = list(engine.generate(prompts(12), 4, SAMPLING, KEY))
    assert {sample.finish for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert not set(sample.token_ids[:-1]) & set(STOPS)
        assert len(sample.logprobs) == len(sample.token_ids)
        if sample.finish == "stop":
            assert sample.token_ids[-1] in STOPS
        else:
            assert len(sample.token_ids) == SAMPLING.max_new_tokens
            assert sample.token_ids[-1] not in STOPS
    longer = list(engine.generate(prompts(12), 4, Sampling(100, stop_ids=()), KEY))
    assert all(len(sample.token_ids) == 100 and sample.finish == "length" for sample in longer)
    one = list(engine.generate(prompts(12), 4, Sampling(1, stop_ids=STOPS), KEY))
    assert all(len(sample.token_ids) == 1 for sample in one)


def test_a_short_limit_gives_the_beginning_of_the_same_sample() -> None:
    engine = EmbeddedEngine(make_decoder(build("Llama")))
    short, long = (
        by_name(list(engine.generate(prompts(3), 2, Sampling(n, stop_ids=STOPS), KEY))) for n in (5, 90)
    )
    for name, sample in short.items():
        assert long[name].token_ids[: len(sample.token_ids)] == sample.token_ids


def test_temperature_zero_is_greedy() -> None:
    model = build("Llama")
    sample, again = EmbeddedEngine(make_decoder(model)).generate(
        prompts(1), 2, Sampling(8, temperature=0.0), KEY
    )
    assert sample.token_ids == again.token_ids
    tokens = list(prompts(1)[0].token_ids)
    for token in sample.token_ids:
        logits = model(input_ids=torch.tensor([tokens])).logits[0, -1]
        assert token == int(logits.argmax())
        tokens.append(token)


def test_each_prompt_is_run_once_and_only_active_rows_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make_decoder(build("Llama"))
    run: list[tuple[int, ...]] = []
    decoded: list[int] = []
    prefill, decode = LeanDecoder.prefill, LeanDecoder.decode

    def counting_prefill(self: Any, asked: Any, cache: Any, slots: Any) -> Any:
        run.extend(tuple(prompt) for prompt in asked)
        return prefill(self, asked, cache, slots)

    def counting_decode(self: Any, tokens: Any, slots: Any, cache: Any) -> Any:
        decoded.append(len(tokens))
        return decode(self, tokens, slots, cache)

    # On the class: a rollout works with a decoder of its own, over a copy of the weights.
    monkeypatch.setattr(LeanDecoder, "prefill", counting_prefill)
    monkeypatch.setattr(LeanDecoder, "decode", counting_decode)
    asked = prompts(10)
    samples = list(EmbeddedEngine(decoder, max_rows=8).generate(asked, 4, SAMPLING, KEY))
    assert run == [prompt.token_ids for prompt in asked]
    # A sample's last token is drawn, never decoded.
    assert sum(decoded) == sum(len(sample.token_ids) - 1 for sample in samples)
    assert max(decoded) <= 8


def test_the_engine_samples_from_the_weights_as_they_are_now() -> None:
    model, other = build("Llama"), build("Qwen3")
    engine = EmbeddedEngine(make_decoder(model))
    before = list(engine.generate(prompts(2), 2, SAMPLING, KEY))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(-1)
    after = list(engine.generate(prompts(2), 2, SAMPLING, KEY))
    assert before != after

    class Holder:
        decoder = make_decoder(other)

    engine.load_weights(Holder())
    assert list(engine.generate(prompts(2), 2, SAMPLING, KEY)) == list(
        EmbeddedEngine(Holder.decoder).generate(prompts(2), 2, SAMPLING, KEY)
    )


def test_between_samples_the_caller_is_not_in_inference_mode() -> None:
    model = build("Llama")
    engine = EmbeddedEngine(make_decoder(model), max_rows=2)
    for _ in engine.generate(prompts(3), 1, SAMPLING, KEY):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    engine.decoder.packed_hidden(torch.arange(200) % 97, [100, 100]).sum().backward()


def test_bad_prompts_are_refused_with_a_clear_message() -> None:
    engine = EmbeddedEngine(make_decoder(build("GPT2", **GENERIC["gpt2"][1])))

    def refusal(*asked: PromptTokens, limit: int = 5) -> str:
        with pytest.raises(UserError) as caught:
            list(engine.generate(asked, 1, Sampling(limit), KEY))
        return str(caught.value)

    assert "p has no tokens" in refusal(PromptTokens("p", ()))
    assert "p occurs twice" in refusal(PromptTokens("p", (1,)), PromptTokens("p", (2,)))
    assert "vocabulary of 97" in refusal(PromptTokens("p", (1, 97)))
    assert "at most 126 new tokens" in refusal(PromptTokens("p", (1, 2)), limit=127)
    assert list(engine.generate([], 4, SAMPLING, KEY)) == []
    with pytest.raises(ValueError, match="samples_per_prompt"):
        list(engine.generate(prompts(1), 0, SAMPLING, KEY))
    with pytest.raises(ValueError, match="max_rows"):
        EmbeddedEngine(engine.decoder, max_rows=0)


def test_a_difference_is_explained_by_its_uniform_only_next_to_a_boundary() -> None:
    decoder = make_decoder(build("Llama"))
    prompt = prompts(1)[0]
    (sample,) = EmbeddedEngine(decoder).generate([prompt], 1, Sampling(6), KEY)
    assert explain_difference(decoder, prompt, sample, sample, Sampling(6), KEY) is None

    def changed(at: int, token: int) -> Sample:
        tokens = (*sample.token_ids[:at], token, *sample.token_ids[at + 1 :])
        return Sample(sample.prompt_id, sample.index, tokens, sample.logprobs, sample.finish)

    hidden = decoder.packed_hidden(
        torch.tensor([*prompt.token_ids, *sample.token_ids[:3]]), [len(prompt.token_ids) + 3]
    )
    edges = torch.softmax(logits_of(decoder, hidden[-1].detach()).detach().double(), -1).cumsum(0)
    number = uniform(row_key(KEY.seed, KEY.stage, KEY.rollout, prompt.prompt_id, 0), 3)
    for token in (sample.token_ids[3] - 1, sample.token_ids[3] + 1, (sample.token_ids[3] + 40) % 97):
        difference = explain_difference(decoder, prompt, sample, changed(3, token), Sampling(6), KEY)
        assert difference is not None
        assert difference.token_index == 3
        assert difference.tokens == (sample.token_ids[3], token)
        assert difference.uniform == number
        gap = (
            float(edges[token - 1]) - number if token > sample.token_ids[3] else number - float(edges[token])
        )
        assert difference.distance == pytest.approx(gap, abs=1e-6)
        assert difference.explained == (gap <= 1e-4)
    shorter = Sample(sample.prompt_id, sample.index, sample.token_ids[:3], sample.logprobs[:3], "length")
    with pytest.raises(ValueError, match="goes on"):
        explain_difference(decoder, prompt, sample, shorter, Sampling(6), KEY)
    other = Sample("q", sample.index, sample.token_ids, sample.logprobs, "length")
    with pytest.raises(ValueError, match="cannot be compared"):
        explain_difference(decoder, prompt, sample, other, Sampling(6), KEY)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_the_gpu_draws_what_the_cpu_draws() -> None:
    model = build("Llama")
    asked = prompts(9)
    expected = by_name(
        list(EmbeddedEngine(make_decoder(model), max_rows=16).generate(asked, 6, SAMPLING, KEY))
    )
    got = by_name(
        list(EmbeddedEngine(make_decoder(model.cuda()), max_rows=16).generate(asked, 6, SAMPLING, KEY))
    )
    same = sum(expected[name].token_ids == got[name].token_ids for name in expected)
    assert same >= 0.9 * len(expected)


def test_forbidden_tokens_are_never_first_and_nothing_else_changes() -> None:
    """Promise 2 with `forbidden_first`: plain masking of the first draw only, whatever the batch."""
    model = build("Llama")
    decoder = make_decoder(model)
    asked = prompts(6)
    free = list(EmbeddedEngine(decoder, max_rows=4).generate(asked, 4, SAMPLING, KEY))
    forbidden = tuple(sorted({sample.token_ids[0] for sample in free[:12]}))
    masked = dataclasses.replace(SAMPLING, forbidden_first=forbidden)
    held = list(EmbeddedEngine(decoder, max_rows=4).generate(asked, 4, masked, KEY))
    assert not {sample.token_ids[0] for sample in held} & set(forbidden)
    assert any(set(sample.token_ids[1:]) & set(forbidden) for sample in held)
    wide = list(EmbeddedEngine(decoder, max_rows=24).generate(asked, 4, masked, KEY))
    assert_same_or_explained(decoder, asked, held, wide, masked)
    without = dataclasses.replace(SAMPLING, forbidden_first=())
    assert list(EmbeddedEngine(decoder, max_rows=4).generate(asked, 4, without, KEY)) == free
    kept = by_name(held)
    for sample in free:
        if sample.token_ids[0] not in forbidden:
            prompt = torch.tensor([asked[int(sample.prompt_id[1:])].token_ids])
            with torch.no_grad():
                logits = model(input_ids=prompt, use_cache=False).logits[0, -1].double()
            logits[list(forbidden)] = -torch.inf
            cumulative = torch.softmax(logits, -1).cumsum(0)
            number = uniform(row_key(KEY.seed, KEY.stage, KEY.rollout, sample.prompt_id, sample.index), 0)
            assert kept[sample.prompt_id, sample.index].token_ids[0] == int(
                (cumulative > number).nonzero()[0]
            )
