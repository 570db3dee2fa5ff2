"""Weights laid out or rounded for sampling: fp32 changes nothing, rounded ones stay close, and are always present's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ahalab.errors import UserError
from ahalab.policy.forward import LeanDecoder, make_decoder
from ahalab.policy.forward.prepared import OUTLIERS, maker, rounded_to_int8
from ahalab.policy.forward.weights import Linear
from ahalab.rollout.embedded import EmbeddedEngine
from forward_models import GENERIC, LEAN, build
from test_rollout_engine import KEY, SAMPLING, by_name, prompts

CALIBRATION = [(5, 6, 7, 8, 9, 10, 11, 12)]


def built(name: str) -> Any:
    kind, changes = {**LEAN, **GENERIC}[name]
    return build(kind, **changes)


def decoded_logits(decoder: Any, tokens: list[int]) -> torch.Tensor:
    """Logits after each token but the first three, one decoding step at a time, for two equal rows."""
    cache = decoder.new_cache(2, 64)
    states = [decoder.prefill([tokens[:3]], cache, [[0, 1]])]
    states += [decoder.decode(torch.tensor([t, t]), None, cache)[:1] for t in tokens[3:]]
    return decoder.logits(torch.cat(states))


@pytest.mark.parametrize("name", LEAN)
def test_the_fp32_layout_gives_the_logits_of_the_plain_weights(name: str) -> None:
    decoder = make_decoder(built(name))
    sampler = decoder.for_sampling("fp32", CALIBRATION)
    assert sampler is not decoder
    tokens = list(range(3, 23))
    plain, laid_out = (torch.log_softmax(decoded_logits(one, tokens), -1) for one in (decoder, sampler))
    assert (plain - laid_out).abs().max() < 1e-5


@pytest.mark.parametrize("name", LEAN)
@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.1), ("int8", 0.1)])
def test_rounded_weights_stay_close(name: str, precision: Any, tolerance: float) -> None:
    decoder = make_decoder(built(name))
    tokens = list(range(3, 23))
    plain = torch.log_softmax(decoded_logits(decoder, tokens), -1)
    rounded = torch.log_softmax(decoded_logits(decoder.for_sampling(precision, CALIBRATION), tokens), -1)
    difference = (plain - rounded).abs()
    assert 0 < difference.mean() < tolerance / 4
    assert difference.max() < tolerance


def test_codes_and_scales_give_the_rows_back() -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [127.0, 1.0, -63.6]])
    codes, scales = rounded_to_int8(rows)
    assert codes.tolist() == [[64, -127, 32], [0, 0, 0], [127, 1, -64]]
    assert scales[0].item() == pytest.approx(2.0 / 127)
    assert ((codes * scales - rows).abs() <= scales / 2).all()


def test_int8_keeps_the_columns_of_large_activations_exact() -> None:
    torch.manual_seed(0)
    part = Linear(torch.randn(40, 100), None)
    x = torch.randn(6, 100)
    loud = [3, 50, 99]
    x[:, loud] *= 1000.0

    class Seen:
        largest = x.abs().amax(0)

    product = maker("int8", [Seen()])([part])  # type: ignore[list-item]
    assert len(product.outliers) == OUTLIERS  # type: ignore[attr-defined]
    assert set(loud) <= set(product.outliers.tolist())  # type: ignore[attr-defined]
    exact = x @ part.weight.t()
    codes, scales = rounded_to_int8(x)
    weight_codes, weight_scales = rounded_to_int8(part.weight)
    naive = (codes.float() @ weight_codes.float().t()) * scales * weight_scales.t()
    assert (product(x) - exact).abs().mean() < (naive - exact).abs().mean() / 50


def test_int8_products_do_not_depend_on_the_other_rows() -> None:
    torch.manual_seed(0)
    part = Linear(torch.randn(48, 64), None)
    codes, _ = rounded_to_int8(torch.randn(33, 64))
    weight, _ = rounded_to_int8(part.weight)
    whole = torch._int_mm(codes, weight.t())
    assert torch.equal(whole, torch.cat([torch._int_mm(row, weight.t()) for row in codes.split(1)]))
    assert torch.equal(whole, (codes.double() @ weight.t().double()).to(torch.int32))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_every_rollout_samples_from_the_weights_as_they_are_now(precision: Any) -> None:
    model = build("Llama")
    engine = EmbeddedEngine(make_decoder(model), weights=precision)
    before = list(engine.generate(prompts(2), 2, SAMPLING, KEY))
    assert by_name(before) == by_name(list(engine.generate(prompts(2), 2, SAMPLING, KEY)))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(-1)
    assert by_name(before) != by_name(list(engine.generate(prompts(2), 2, SAMPLING, KEY)))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_the_logprobs_kept_are_those_of_the_rounded_weights(precision: Any) -> None:
    decoder = make_decoder(build("Qwen3"))
    asked = prompts(3)
    sampler = decoder.for_sampling(precision, [prompt.token_ids for prompt in asked])
    for sample in EmbeddedEngine(decoder, weights=precision).generate(asked, 2, SAMPLING, KEY):
        prompt = next(one.token_ids for one in asked if one.prompt_id == sample.prompt_id)
        tokens = torch.tensor([*prompt, *sample.token_ids])
        with torch.inference_mode():
            hidden = sampler.packed_hidden(tokens, [len(tokens)])[len(prompt) - 1 : -1]
            taught = torch.log_softmax(sampler.logits(hidden), -1)
        found = taught.gather(1, torch.tensor(sample.token_ids)[:, None]).squeeze(1)
        # Rounding activations turns differences of the last bit into whole codes.
        assert torch.allclose(found, torch.tensor(sample.logprobs), atol=2e-2)


def test_a_model_without_the_lean_forward_refuses_rounded_weights() -> None:
    decoder = make_decoder(built(next(iter(GENERIC))))
    assert not isinstance(decoder, LeanDecoder)
    assert decoder.for_sampling("fp32", CALIBRATION) is decoder
    with pytest.raises(UserError, match="rollout_weights int8 needs the lean forward"):
        decoder.for_sampling("int8", CALIBRATION)
