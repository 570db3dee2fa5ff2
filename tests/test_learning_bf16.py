"""bf16 products in the learner: close to fp32 within stated bounds, master weights and gradients fp32."""

from __future__ import annotations

import copy
import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager
from torch.nn.functional import cosine_similarity

from ahalab.learning import GRPOLoss, Learner, TrainingOutput
from ahalab.policy.forward import fusion, make_decoder
from ahalab.policy.forward.logprobs import token_logprobs
from ahalab.policy.forward.mixed import MixedDecoder, mixed_forward
from ahalab.policy.forward.mixed_head import mixed_token_logprobs
from ahalab.policy.load import load_policy
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.text.renderer import Renderer
from forward_models import GENERIC, LEAN, build, segments
from learning_tools import TEMPERATURE, counts, policy_of, sequences, tiny_model, weights

LOSS = GRPOLoss(clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, aggregate="token")
MEAN, WORST = 0.005, 0.2
"""How far bf16 log-probs of the bundled tiny base's own samples may lie from fp32 ones, in nats: on the mean and at
most. Measured on 628 tokens: 0.0018 and 0.061."""


def learners(model: Any, **settings: Any) -> dict[str, Learner]:
    """An fp32 and a bf16 learner, each of a model of its own."""
    return {
        dtype: Learner(
            policy_of(copy.deepcopy(model)),
            learning_rate=1e-3,
            tokens_per_chunk=256,
            compute_dtype=dtype,
            **settings,
        )
        for dtype in ("fp32", "bf16")
    }


def outputs_of(learner: Learner) -> list[TrainingOutput]:
    pairs = sequences()
    old = learner.logprobs(pairs, TEMPERATURE)
    return [
        TrainingOutput(prompt, completion, (-1.0) ** i * (1 + i % 3), logprobs)
        for i, ((prompt, completion), logprobs) in enumerate(zip(pairs, old, strict=True))
    ]


def flat_gradient(learner: Learner, outputs: list[TrainingOutput]) -> Tensor:
    learner._accumulate(outputs, LOSS, TEMPERATURE, **counts(outputs))
    parts = [p.grad for p in learner.policy.model.parameters() if p.grad is not None]
    assert all(part.dtype == torch.float32 for part in parts)
    learner.optimization.clear()
    return torch.cat([part.flatten() for part in parts])


def test_bf16_logprobs_of_the_tiny_base_lie_near_those_in_fp32() -> None:
    policy = load_policy("builtin:tiny")
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    prompts = [
        PromptTokens(str(i), tuple(renderer.prompt_ids(f"what is {12 + i}+{34 + i}?"))) for i in range(4)
    ]
    sampling = Sampling(80, stop_ids=renderer.stop_ids)
    samples = EmbeddedEngine(policy.decoder).generate(prompts, 4, sampling, RolloutKey(0, "bf16", 1))
    pairs = [(prompts[int(sample.prompt_id)].token_ids, sample.token_ids) for sample in samples]
    exact, rounded = (
        torch.cat(
            Learner(policy, learning_rate=1e-5, tokens_per_chunk=512, compute_dtype=dtype).logprobs(
                pairs, 1.0
            )
        )
        for dtype in ("fp32", "bf16")
    )
    difference = (exact - rounded).abs()
    assert 0 < float(difference.mean()) < MEAN
    assert float(difference.max()) < WORST


@pytest.mark.parametrize("tied", [True, False])
def test_the_bf16_gradient_points_where_the_fp32_gradient_points(tied: bool) -> None:
    pair = learners(tiny_model(tied=tied))
    outputs = outputs_of(pair["fp32"])
    exact, rounded = (flat_gradient(learner, outputs) for learner in pair.values())
    assert float(cosine_similarity(exact, rounded, dim=0)) > 0.999
    assert float(rounded.norm() / exact.norm()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", LEAN)
def test_every_lean_model_has_a_bf16_forward_with_gradients(name: str) -> None:
    kind, changes = LEAN[name]
    model = build(kind, **changes)
    parts = segments()
    lengths = [len(part) for part in parts]
    mixed = mixed_forward(make_decoder(model))
    assert isinstance(mixed, MixedDecoder)
    results = []
    for decoder in (make_decoder(model), mixed):
        model.zero_grad()
        hidden = decoder.packed_hidden(torch.cat(parts), lengths)
        assert hidden.dtype == torch.float32
        direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
        (hidden * direction).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((hidden.detach(), gradient))
    (exact, exact_gradient), (rounded, rounded_gradient) = results
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).norm() / exact.norm()) < 0.02
    assert float(cosine_similarity(exact_gradient, rounded_gradient, dim=0)) > 0.999


@pytest.mark.parametrize("name", ["gpt2", "gemma2, soft-cap and window"])
def test_other_architectures_run_under_autocast(name: str) -> None:
    kind, changes = GENERIC[name]
    model = build(kind, **changes)
    decoder = make_decoder(model)
    rows = [((1, 2, 3), (4, 5, 6, 7)), ((9, 8), (7, 6, 5))]
    exact, rounded = (
        torch.cat(
            Learner(
                SimpleNamespace(model=model, decoder=decoder),
                learning_rate=1e-3,
                tokens_per_chunk=64,
                compute_dtype=dtype,
            ).logprobs(rows, 1.0)
        )
        for dtype in ("fp32", "bf16")
    )
    assert 0 < float((exact - rounded).abs().max()) < 0.3


def test_a_bf16_update_moves_fp32_weights_by_less_than_bf16_could_show() -> None:
    learner = learners(tiny_model())["bf16"]
    outputs = outputs_of(learner)
    before = weights(learner.policy.model)
    learner.update(outputs, LOSS, TEMPERATURE, learning_rate=1e-6, **counts(outputs))
    after = weights(learner.policy.model)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())
    state = learner.optimization.adamw.state
    assert all(s["exp_avg"].dtype == s["exp_avg_sq"].dtype == torch.float32 for s in state.values())
    moved = sum(int((after[name] != before[name]).sum()) for name in before)
    visible = sum(int((after[name].bfloat16() != before[name].bfloat16()).sum()) for name in before)
    assert moved > 0.9 * sum(tensor.numel() for tensor in before.values())
    assert visible < 0.2 * moved


def test_first_ratios_are_one_although_products_are_rounded() -> None:
    learner = learners(tiny_model())["bf16"]
    outputs = outputs_of(learner)
    metrics = learner.update(outputs, LOSS, TEMPERATURE, **counts(outputs))
    assert metrics["ratio"] == 1.0
    assert metrics["sampler_mismatch_max"] == 0.0


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("chunk", [7, 1024])
def test_the_bf16_head_is_the_fp32_head_of_rounded_operands(chunk: int, softcap: float | None) -> None:
    random = torch.Generator().manual_seed(3)
    hidden = torch.randn(40, 16, generator=random).bfloat16().float().requires_grad_()
    weight = torch.randn(60, 16, generator=random).bfloat16().float().requires_grad_()
    targets = torch.randint(0, 60, (40,), generator=random)
    direction = torch.randn(40, generator=random)
    results = []
    for head in (token_logprobs, mixed_token_logprobs):
        hidden.grad = weight.grad = None
        logprobs, entropy = head(hidden, weight, targets, 0.7, chunk, softcap)
        assert not entropy.requires_grad
        (logprobs * direction).sum().backward()
        results.append((logprobs.detach(), entropy, hidden.grad, weight.grad))
    for index, tolerance in ((0, 1e-5), (1, 1e-5), (2, 0.02), (3, 0.02)):
        expected, got = results[0][index], results[1][index]
        scale = float(expected.abs().max())
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * scale)


def test_an_unknown_compute_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="fp32 or bf16"):
        Learner(policy_of(tiny_model()), learning_rate=1e-3, tokens_per_chunk=64, compute_dtype="fp16")  # type: ignore[arg-type]


def test_the_compiled_form_takes_any_number_of_rows_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Traced and differentiated as on a GPU, but run without generated code, which takes minutes to build here."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return aot_eager(graph, inputs)

    monkeypatch.setattr(
        fusion, "_compiled", functools.cache(lambda f: torch.compile(f, fullgraph=True, backend=backend))
    )
    torch._dynamo.reset()
    base = build("Qwen3", head_dim=16)
    results: dict[bool, list[Tensor]] = {False: [], True: []}
    for fused in results:
        learner = Learner(
            policy_of(copy.deepcopy(base)),
            learning_rate=1e-3,
            tokens_per_chunk=10**6,
            logprob_chunk=50,
            compute_dtype="bf16",
            fused=fused,
        )
        for count in (24, 16, 9):
            outputs = [TrainingOutput(*pair, advantage=1.0) for pair in sequences(count)]
            results[fused].append(flat_gradient(learner, outputs))
    assert len(graphs) == 4
    for plain, compiled in zip(results[False], results[True], strict=True):
        assert float(cosine_similarity(plain, compiled, dim=0)) > 0.999
