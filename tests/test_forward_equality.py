"""The packed forward is transformers' own forward, segment by segment, gradients included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ahalab.errors import UserError
from ahalab.policy.forward import GenericDecoder, LeanDecoder, lean_refusal, make_decoder
from forward_models import GENERIC, LEAN, build, logits_of, segments

ALL = {**LEAN, **GENERIC}


def plain_logits(model: Any, parts: list[Tensor]) -> Tensor:
    return torch.cat([model(input_ids=part[None], use_cache=False).logits[0] for part in parts])


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ALL)
def test_packed_logits_and_gradients_equal_one_by_one(name: str) -> None:
    kind, changes = ALL[name]
    model = build(kind, **changes)
    decoder = make_decoder(model)
    assert isinstance(decoder, LeanDecoder if name in LEAN else GenericDecoder)
    parts = segments()
    plain = plain_logits(model, parts)
    packed = logits_of(decoder, decoder.packed_hidden(torch.cat(parts), [len(part) for part in parts]))
    assert plain.std() > 0.05
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-5)

    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    expected = gradients(model, (plain * weights).sum())
    got = gradients(model, (packed * weights).sum())
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(got[key], value, rtol=1e-5, atol=1e-5 * max(scale, 1.0), msg=key)


@pytest.mark.parametrize("name", ["llama, grouped heads", "gpt2"])
def test_a_segment_does_not_see_its_neighbours(name: str) -> None:
    kind, changes = ALL[name]
    decoder = make_decoder(build(kind, **changes))
    parts = segments()
    together = decoder.packed_hidden(torch.cat(parts), [len(part) for part in parts])
    changed = [part if i == 3 else (part + 1) % 97 for i, part in enumerate(parts)]
    among_others = decoder.packed_hidden(torch.cat(changed), [len(part) for part in changed])
    start = sum(len(part) for part in parts[:3])
    mine = slice(start, start + len(parts[3]))
    torch.testing.assert_close(together[mine], among_others[mine], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(together[:start], among_others[:start])


def test_the_same_call_twice_gives_the_same_bytes() -> None:
    model = build("Llama")
    decoder = make_decoder(model)
    parts = segments()
    runs = []
    for _ in range(2):
        hidden = decoder.packed_hidden(torch.cat(parts), [len(part) for part in parts])
        runs.append((hidden.detach().clone(), gradients(model, hidden.square().sum())))
    assert torch.equal(runs[0][0], runs[1][0])
    assert all(torch.equal(runs[0][1][key], runs[1][1][key]) for key in runs[0][1])


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("Mistral", {"sliding_window": 8}, "sliding-window"),
        (
            "Qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "sliding-window",
        ),
        ("Llama", {"attention_dropout": 0.1}, "dropout"),
        ("Llama", {"hidden_act": "gelu"}, "activation gelu"),
        ("Llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        ("GPT2", GENERIC["gpt2"][1], "GPT2LMHeadModel"),
    ],
)
def test_what_the_lean_forward_would_get_wrong_goes_through_transformers(
    kind: str, changes: dict[str, Any], reason: str
) -> None:
    model = build(kind, **changes)
    assert reason in str(lean_refusal(model))
    assert isinstance(make_decoder(model), GenericDecoder)
    with pytest.raises(ValueError, match="no lean forward"):
        LeanDecoder(model)


def test_a_replaced_or_hooked_layer_goes_through_transformers() -> None:
    class Adapted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    model = build("Llama")
    old = model.model.layers[1].mlp.up_proj
    model.model.layers[1].mlp.up_proj = Adapted(old.in_features, old.out_features, bias=False)
    assert "Adapted" in str(lean_refusal(model))
    parts = segments()
    decoder = make_decoder(model)
    hidden = decoder.packed_hidden(torch.cat(parts), [len(part) for part in parts])
    torch.testing.assert_close(logits_of(decoder, hidden), plain_logits(model, parts), rtol=1e-5, atol=1e-5)

    model = build("Llama")
    model.model.layers[0].register_forward_hook(lambda *_: None)
    assert "hook" in str(lean_refusal(model))


def test_an_unknown_change_of_the_logits_is_refused() -> None:
    model = build("Gemma")
    inner = model.lm_head.forward
    model.lm_head.forward = lambda x: inner(x) ** 3
    with pytest.raises(UserError, match="changes its logits"):
        make_decoder(model)


def test_lengths_that_do_not_fit_are_refused() -> None:
    decoder = make_decoder(build("Llama"))
    for lengths in ([3, 3], [7, 0], []):
        with pytest.raises(ValueError, match="add up to T"):
            decoder.packed_hidden(torch.arange(7), lengths)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", ["llama, grouped heads", "qwen3, norms, wide heads", "gpt2"])
def test_the_gpu_gives_what_the_cpu_gives(name: str) -> None:
    kind, changes = ALL[name]
    model = build(kind, **changes)
    parts = segments()
    plain = plain_logits(model, parts)
    decoder = make_decoder(model.cuda())
    packed = logits_of(decoder, decoder.packed_hidden(torch.cat(parts).cuda(), [len(part) for part in parts]))
    torch.testing.assert_close(packed.cpu(), plain, rtol=1e-3, atol=1e-3)
