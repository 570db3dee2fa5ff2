"""Sections of `gpu`: checks against the plain ways, training's share of the peak, the step against TRL."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ahalab.learning import Learner, SFTLoss, TrainingOutput, best_fit
from ahalab.policy.forward import LeanDecoder, attention, make_decoder
from ahalab.policy.forward.graphs import GraphDecoder
from ahalab.policy.forward.layout import Rectangle
from ahalab.policy.forward.step_ops import PlainOps
from benchmarks.gpu_bench import Bench, OutOfTime, error_of
from benchmarks.gpu_models import (
    PEAK_BF16,
    QWEN3_0_6B,
    SMOLLM2_135M,
    Shape,
    part_number,
    random_model,
    training_flops,
)

ROW, ROWS_PER_STEP = 2048, 16
"""Documents are packed into rows of 2k tokens; 16 rows, 32,768 tokens, are one optimizer step."""

# --- checks --------------------------------------------------------------------------------------------------

MIDDLE = replace(
    QWEN3_0_6B, hidden=256, layers=3, heads=8, kv_heads=4, head_dim=64, inner=512, vocabulary=1000
)


def checks(bench: Bench) -> None:
    """Errors relative to the plain way in fp32, each with the bound it must keep."""
    shape = MIDDLE.toy() if bench.dry else MIDDLE

    def check(name: str, bound: float, error: Callable[[], float]) -> None:
        bench.check_time()
        try:
            found = error()
            bench.put(
                name, {"error": bench.measured(found), "bound": bound, "ok": bench.measured(found <= bound)}
            )
        except OutOfTime:
            raise
        except Exception as failure:
            bench.put(
                name,
                {
                    "failed": f"{type(failure).__name__}: {failure}",
                    "bound": bound,
                    "ok": bench.measured(False),
                },
            )

    model = random_model(shape, torch.float32, bench.device)
    check("varlen attention against rectangles, forward", 0.01, lambda: _varlen_error(bench, 0))
    for index, what in enumerate(("query", "key", "value"), start=1):
        check(
            f"varlen attention against rectangles, gradient of {what}",
            0.02,
            lambda i=index: _varlen_error(bench, i),
        )
    check("bf16 log-probs against fp32 (nats, mean)", 0.05, lambda: _learner_error(model, fused=False)[0])
    check("bf16 gradient against fp32 (1 - cosine)", 0.003, lambda: _learner_error(model, fused=False)[1])
    for precision, bound in (("fp32", 1e-4), ("bf16", 0.03)):
        for record, kind in ((False, "unrecorded"), (True, "recorded")):
            for branches in (1, 2):
                check(
                    f"decoding {precision}, {kind}, {branches} branches, against plain fp32",
                    bound,
                    lambda p=precision, r=record, b=branches: _decode_error(bench, model, p, r, b),
                )


def _varlen_error(bench: Bench, which: int) -> float:
    """Of the result (0) or of one gradient, against the same kernel inputs by rectangles."""
    random = torch.Generator(device=bench.device).manual_seed(0)
    rectangles = [Rectangle(3, 40), Rectangle(2, 170), Rectangle(1, 290)]
    count = sum(one.keys for one in rectangles)
    tensors = [
        torch.randn(
            count, heads, 64, generator=random, device=bench.device, dtype=torch.bfloat16
        ).requires_grad_()
        for heads in (8, 4, 4)
    ]
    weights = torch.randn(count, 8 * 64, generator=random, device=bench.device)
    found = []
    runs = attention.runs_varlen
    for by_rectangles in (False, True):
        attention.runs_varlen = (lambda *_: False) if by_rectangles else runs
        try:
            result = attention.packed_attention(*tensors, rectangles, 0.125)
            found.append((result, *torch.autograd.grad((result.float() * weights).sum(), tensors))[which])
        finally:
            attention.runs_varlen = runs
    return error_of(found[0], found[1])


def _learner_error(model: Any, *, fused: bool) -> tuple[float, float]:
    """Mean difference of log-probs, and 1 - cosine of the gradients, bf16 against fp32."""
    logprobs, gradients = [], []
    documents = random_documents([37, 90, 12, 64, 64], model.config.vocab_size)
    tokens = sum(len(output.token_ids) for output in documents)
    for dtype in ("fp32", "bf16"):
        policy = SimpleNamespace(model=model, decoder=make_decoder(model))
        learner = Learner(
            policy,
            learning_rate=0.0,
            tokens_per_chunk=512,
            logprob_chunk=128,
            compute_dtype=dtype,
            fused=fused,
        )
        pairs = [(output.prompt_ids, output.token_ids) for output in documents]
        logprobs.append(torch.cat(learner.logprobs(pairs, 1.0)))
        learner._accumulate(documents, SFTLoss(), 1.0, len(documents), tokens)
        parts = [p.grad.flatten().double() for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(parts))
        learner.optimization.clear()
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    return float((logprobs[0] - logprobs[1]).abs().mean()), 1.0 - float(cosine)


def _decode_error(bench: Bench, model: Any, precision: Any, record: bool, branches: int) -> float:
    """Of the logits of a few steps with rows of unequal age, against plain parts in fp32."""
    geometry = GraphDecoder(model, "fp32", record=False)._geometry
    plain = GraphDecoder(model, "fp32", ops=PlainOps(geometry), record=False)
    quick = GraphDecoder(model, precision, record=record and not bench.dry)
    if branches > 1 and not quick._ops.seated:
        quick = GraphDecoder(model, precision, record=record and not bench.dry, branches=branches)
    logits = [_some_steps(decoder, bench.device) for decoder in (plain, quick)]
    return error_of(logits[1], logits[0])


@torch.inference_mode()
def _some_steps(decoder: LeanDecoder, device: torch.device) -> Tensor:
    cache = decoder.new_cache(40, 200)
    prompts = [list(range(1, 3 + 7 * i)) for i in range(5)]
    decoder.prefill(prompts, cache, [list(range(7 * i, 7 * i + 7)) for i in range(5)])
    found, rows = [], 35
    for step in range(24):
        if step in (5, 11):  # the last row takes the place of one that leaves
            rows -= 1
            cache.free([step])
            cache.move([rows], [step])
        tokens = (torch.arange(rows, device=device) * 31 + step) % 200
        found.append(decoder.logits(decoder.decode(tokens, None, cache)))
    return torch.cat(found)


# --- training ------------------------------------------------------------------------------------------------


def random_documents(lengths: Sequence[int], vocabulary: int) -> list[TrainingOutput]:
    """Documents of random tokens; all but the first token are learned."""
    random = np.random.default_rng(0)
    return [
        TrainingOutput((int(tokens[0]),), tuple(tokens[1:].tolist()))
        for tokens in (random.integers(0, vocabulary, length) for length in lengths)
    ]


def packed_lengths(rows: int, row: int) -> list[int]:
    """Lengths of documents that fill `rows` rows of `row` tokens: from a sixteenth of a row to a whole one."""
    random = np.random.default_rng(1)
    lengths: list[int] = []
    for _ in range(rows):
        left = row
        while left:
            length = int(row * random.uniform(1 / 16, 1.0))
            length = left if left - length < row // 16 else length
            lengths.append(length)
            left -= length
    assert len(best_fit(lengths, row)) >= rows
    return lengths


def training(bench: Bench) -> None:
    """Model FLOPs utilisation of optimizer steps on Qwen3-0.6B's shape, bf16 products over fp32 masters."""
    shape = QWEN3_0_6B.toy() if bench.dry else QWEN3_0_6B
    lengths = packed_lengths(ROWS_PER_STEP, ROW)
    # The last token of a document predicts nothing and is not fed.
    flops = training_flops(QWEN3_0_6B, [length - 1 for length in lengths])
    bench.put("documents", len(lengths))
    bench.put("tokens_per_step", sum(lengths))
    bench.put("flops_per_step", flops)
    bench.put("counted", training_flops.__doc__)
    name = "" if bench.dry else torch.cuda.get_device_name()
    peak = PEAK_BF16.get(part_number(name) or "")
    bench.put("peak_flops", peak if peak else bench.measured("not known for this device"))
    if bench.dry:
        lengths = packed_lengths(2, 64)
    documents = random_documents(lengths, shape.vocabulary)
    for fused in (True, False):
        for chunk in (16_384, 32_768):
            way = f"{'compiled' if fused else 'uncompiled'}, {chunk} tokens a chunk"
            bench.check_time()
            try:
                bench.put(way, _steps(bench, shape, documents, fused and not bench.dry, chunk, flops, peak))
            except OutOfTime:
                raise
            except Exception as error:
                bench.put(way, {"failed": f"{type(error).__name__}: {error}"})
            bench.free()


def _steps(
    bench: Bench,
    shape: Shape,
    documents: list[TrainingOutput],
    fused: bool,
    chunk: int,
    flops: float,
    peak: float | None,
) -> dict[str, Any]:
    model = random_model(shape, torch.float32, bench.device)
    learner = Learner(
        SimpleNamespace(model=model, decoder=make_decoder(model)),
        learning_rate=1e-4,
        tokens_per_chunk=chunk,
        logprob_chunk=4096,
        compute_dtype="bf16",
        fused=fused,
    )
    tokens = sum(len(output.token_ids) for output in documents)
    losses: list[float] = []

    def step() -> None:
        metrics = learner.update(documents, SFTLoss(), 1.0, n_outputs=len(documents), n_tokens=tokens)
        losses.append(metrics["loss"])

    started = time.perf_counter()
    step()
    first = time.perf_counter() - started
    seconds = bench.seconds(step, repeats=5, warmups=1)
    if not losses[-1] < losses[0] or not math.isfinite(losses[-1]):
        raise RuntimeError(f"the loss on the same documents went from {losses[0]} to {losses[-1]}")
    return {
        "seconds_first_step": bench.measured(first),
        "ms_per_step": bench.measured(1e3 * seconds),
        "tokens_per_s": bench.measured(tokens / seconds),
        "mfu": bench.measured(flops / seconds / peak if peak else "peak not known"),
        "loss_first": bench.measured(losses[0]),
        "loss_last": bench.measured(losses[-1]),
        "peak_gb": bench.peak_gb(),
    }


# --- against TRL ---------------------------------------------------------------------------------------------


def trl_tiny(bench: Bench) -> None:
    """The whole GRPO step against TRL's with `generate`: builtin:tiny, 16 prompts × 8 samples."""
    _against_trl(bench, None, prompts=16, new_tokens=200)


def trl_smollm2(bench: Bench) -> None:
    """The same with SmolLM2-135M's shape and random weights, 4 × 8: answers then run to the limit of 128 tokens."""
    _against_trl(bench, SMOLLM2_135M, prompts=4, new_tokens=128)


def _against_trl(bench: Bench, shape: Shape | None, *, prompts: int, new_tokens: int) -> None:
    """Ours samples with bf16 weights and learns in fp32; TRL in fp32 and under bf16 autocast, all outputs at once."""
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401

        from benchmarks import grpo_setting, grpo_vs_trl
        from benchmarks.harness import Arena, median
    except ImportError as missing:
        bench.put("result", f"not measured: {missing.name} not installed")
        return
    samples, pairs = (2, 1) if bench.dry else (8, 5)
    with tempfile.TemporaryDirectory() as folder:
        setting = grpo_setting.tiny(
            Path(folder), 2 if bench.dry else prompts, samples, 8 if bench.dry else new_tokens
        )
        if shape is not None:
            path = _random_folder(shape.toy() if bench.dry else shape, setting.folder, Path(folder) / "model")
            setting = replace(setting, base=path, folder=path)
        weights = "fp32" if bench.dry else "bf16"
        mine = grpo_vs_trl.ours(setting, f"ahalab, {weights} sampling", {"rollout_weights": weights})
        theirs = [
            grpo_vs_trl.trl(setting, setting.outputs, dtype)
            for dtype in (("fp32",) if bench.dry else ("fp32", "bf16-autocast"))
        ]
        theirs = [replace(t, options={**t.options, "changes": {"use_cpu": bench.dry}}) for t in theirs]
        with Arena([mine, *theirs], threads=torch.get_num_threads()) as arena:
            bench.put("contestants", arena.facts)
            rounds = arena.alternate(pairs)
    for name, each in rounds.items():
        bench.put(f"{name}: s per step", bench.measured(median(each, "seconds")))
        bench.put(f"{name}: tokens per step", bench.measured(median(each, "tokens")))
    for their in theirs:
        pair = zip(rounds[mine.name], rounds[their.name], strict=True)
        quotients = [other["seconds"] / own["seconds"] for own, other in pair]
        found = {"median": statistics.median(quotients), "from": min(quotients), "to": max(quotients)}
        bench.put(
            f"against {their.name}",
            {"times as quick": bench.measured(found["median"]), "spread": bench.measured(found)},
        )


def _random_folder(shape: Shape, tokenizer_folder: str, target: Path) -> str:
    """A model folder of this shape with random weights and the tokenizer of another."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    model = random_model(
        replace(shape, vocabulary=max(shape.vocabulary, len(tokenizer))), torch.float32, torch.device("cpu")
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return str(target)
