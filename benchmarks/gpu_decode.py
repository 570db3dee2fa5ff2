"""Sections of `gpu`: the memory's speed, attention's settings, and decoding by several ways."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ahalab.policy.forward import LeanDecoder
from ahalab.policy.forward.graphs import GraphDecoder, default_ops
from ahalab.policy.forward.step_ops import Geometry, PlainOps, StepOps, StepRows
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.rollout.sampling import draw
from benchmarks.gpu_bench import Bench, OutOfTime
from benchmarks.gpu_models import (
    BF16,
    PEAK_BANDWIDTH,
    QWEN2_1_5B,
    SMOLLM2_135M,
    Shape,
    decode_bytes,
    part_number,
    random_model,
)

CONTEXTS = (512, 1024, 2048)
BLOCKS = 5
"""A time is the median of so many blocks of `STEPS` steps."""
STEPS, WARMUPS = 10, 6


def bandwidth(bench: Bench) -> None:
    """Copying 2 GiB, bytes read and written counted, and reading alone."""
    size = (1 << 20) if bench.dry else (1 << 31)
    source = torch.randint(0, 100, (size // 4,), dtype=torch.int32, device=bench.device).view(torch.float32)
    target = torch.empty_like(source)
    copying = 2 * size / bench.seconds(lambda: target.copy_(source))
    reading = size / bench.seconds(lambda: source.sum())
    name = "" if bench.dry else torch.cuda.get_device_name()
    nominal = PEAK_BANDWIDTH.get(part_number(name) or "")
    bench.put("copy_bytes_per_s", bench.measured(copying))
    bench.put("read_bytes_per_s", bench.measured(reading))
    bench.put("nominal_bytes_per_s", nominal if nominal else bench.measured("not known for this device"))


# --- attention ------------------------------------------------------------------------------------------------


def settings_to_try(programs: Iterable[int] = (400, 800, 1600)) -> list[dict[str, int]]:
    """Of `TritonOps`: keys read at a time and how far ahead; how finely the work is cut."""
    reading = ((64, 3), (64, 4), (128, 2), (128, 3))
    return [
        {"programs": count, "block": block, "stages": stages}
        for block, stages in reading
        for count in programs
    ]


def attention(bench: Bench) -> None:
    """Attention alone, settings side by side: the quickest is what the decoding sections use."""
    for name, shape, rows in (("smollm2", SMOLLM2_135M, 256), ("qwen2", QWEN2_1_5B, 64)):
        for context in (512, 2048):
            bench.put(f"{name}, context {context}", _attention(bench, shape, rows, context))


def _attention(bench: Bench, full: Shape, rows: int, context: int) -> dict[str, Any]:
    shape, rows, context = (full.toy(), 4, 32) if bench.dry else (full, rows, context)
    geometry = _geometry(shape)
    layers = 1 if bench.dry else 6  # together several times the GPU's cache

    def noise(*sizes: int) -> Tensor:
        return torch.randn(sizes, dtype=torch.bfloat16, device=bench.device)

    own = [[noise(rows * shape.kv_heads, 64, shape.head_dim) for _ in range(2)] for _ in range(layers)]
    prompts = [
        [noise(rows * shape.kv_heads, context, shape.head_dim) for _ in range(2)] for _ in range(layers)
    ]
    query = noise(rows, shape.heads, shape.head_dim)
    numbers = torch.arange(rows, device=bench.device)
    lengths = torch.full_like(numbers, context - 32)
    place = StepRows(numbers, numbers, lengths, torch.full_like(numbers, 31), dense=True, seats=None)
    read = layers * rows * context * 2 * shape.kv_heads * shape.head_dim * BF16
    found: list[tuple[float, dict[str, int]]] = []
    for settings in settings_to_try()[: 1 if bench.dry else None]:
        ops = _triton(geometry, settings)
        if ops is None:
            continue

        def run(ops: StepOps = ops) -> None:
            for keys, prompt in zip(own, prompts, strict=True):
                ops.attend(query, (keys[0], keys[1]), (prompt[0], prompt[1]), place)

        found.append((bench.seconds(run, repeats=5), settings))
    if not found:
        return {"settings": {}, "bytes_per_s": bench.measured("no Triton here")}
    best, settings = min(found, key=lambda one: one[0])
    return {
        "settings": settings,
        "bytes_per_s": read / best,
        "tried": [{**s, "bytes_per_s": round(read / t)} for t, s in found],
    }


def _geometry(shape: Shape) -> Geometry:
    return Geometry(shape.heads, shape.kv_heads, shape.head_dim, shape.head_dim**-0.5, shape.epsilon)


def _triton(geometry: Geometry, settings: dict[str, int]) -> StepOps | None:
    """The kernels with these settings; None where there are none."""
    if isinstance(default_ops(geometry, torch.device("cuda")), PlainOps) or not torch.cuda.is_available():
        return None
    from ahalab.policy.forward.kernels import TritonOps

    return TritonOps(geometry, **settings)


# --- decoding -------------------------------------------------------------------------------------------------


def decode_smollm2(bench: Bench) -> None:
    """256 rows of SmolLM2-135M's shape."""
    _decode(bench, SMOLLM2_135M, "smollm2", 256)


def decode_qwen2(bench: Bench) -> None:
    """64 rows of Qwen2-1.5B's shape."""
    _decode(bench, QWEN2_1_5B, "qwen2", 64)


def _decode(bench: Bench, full: Shape, name: str, rows: int) -> None:
    shape = full.toy() if bench.dry else full
    bench.put("rows", rows)
    bench.put("step", "embedding to logits and the most likely token, which is the next step's input; bf16")
    for context in CONTEXTS:
        bench.put(f"must_read_bytes, context {context}", decode_bytes(full, rows, context))
    model = random_model(shape, torch.bfloat16, bench.device)
    with torch.inference_mode():
        for context in reversed(CONTEXTS):  # the longest first: memory then never moves
            for way, make in _ways(bench, model, _geometry(shape), name, context).items():
                bench.check_time()
                try:
                    bench.put(f"{way}, context {context}", _timed(bench, make(), full, rows, context))
                except OutOfTime:
                    raise
                except Exception as error:  # one way that fails leaves the others
                    bench.put(f"{way}, context {context}", {"failed": f"{type(error).__name__}: {error}"})
                gc.collect()
                bench.free()
        _put_draw(bench, shape, rows)
    _put_engine(bench, model, shape, rows)
    bench.put("peak_gb", bench.peak_gb())


def _ways(
    bench: Bench, model: Any, geometry: Geometry, name: str, context: int
) -> dict[str, Callable[[], LeanDecoder]]:
    """Decoders by name, the quickest expected first."""
    tuned = bench.earlier.get("attention", {}).get(f"{name}, context {512 if context <= 512 else 2048}", {})

    def graphs(branches: int) -> LeanDecoder:
        ops = _triton(geometry, tuned.get("settings", {}))
        return GraphDecoder(model, "bf16", ops=ops, branches=branches if ops is not None else 1)

    return {
        "graphs": lambda: graphs(1),
        "graphs, 2 branches": lambda: graphs(2),
        "graphs, plain parts": lambda: GraphDecoder(model, "bf16", ops=PlainOps(geometry)),
        "without graphs": lambda: LeanDecoder(model),
    }


def _timed(bench: Bench, decoder: LeanDecoder, full: Shape, rows: int, context: int) -> dict[str, Any]:
    """Seconds a step, and the share of the memory's speed that its bytes make of it."""
    blocks, steps, real_rows, real_context = BLOCKS, STEPS, rows, context
    if bench.dry:
        blocks, steps, rows, context = 1, 2, 3, 16
    total = WARMUPS + blocks * steps
    prompt = context - total // 2 if context > total else 1
    cache = decoder.new_cache(rows, prompt + total + 1)
    fill(cache, rows, prompt)
    tokens = torch.zeros(rows, dtype=torch.int64, device=bench.device)

    def run(count: int) -> None:
        nonlocal tokens
        for _ in range(count):
            tokens = decoder.logits(decoder.decode(tokens, None, cache)).argmax(dim=-1)

    run(WARMUPS)
    seconds = bench.seconds(lambda: run(steps), repeats=blocks, warmups=0) / steps
    mean_context = real_context if bench.dry else prompt + WARMUPS + (blocks * steps + 1) / 2
    read = decode_bytes(full, real_rows, mean_context)
    memory = bench.earlier.get("bandwidth", {})
    result = {"mean_context": mean_context, "must_read_bytes": read}
    result |= {
        "ms_per_step": bench.measured(1e3 * seconds),
        "tokens_per_s": bench.measured(rows / seconds),
        "bytes_per_s": bench.measured(read / seconds),
    }
    for against in ("copy", "nominal"):
        limit = memory.get(f"{against}_bytes_per_s")
        share = read / seconds / limit if isinstance(limit, float) else "limit not known"
        result[f"share_of_{against}"] = bench.measured(share)
    return result


def fill(cache: Any, rows: int, length: int) -> None:
    """One prompt a row with random keys and values: what a prefill of random tokens would leave, in no time."""
    numbers = cache.add_prompts([length] * rows)
    for tensor in cache._prompt:
        tensor.normal_()
    for slot, number in enumerate(numbers):
        cache.enter(number, [slot])


def _put_draw(bench: Bench, shape: Shape, rows: int) -> None:
    """What drawing as the engine does costs beside the step: float64 sums over the vocabulary."""
    logits = torch.randn(3 if bench.dry else rows, shape.vocabulary, device=bench.device)
    numbers = torch.rand(len(logits), dtype=torch.float64, device=bench.device)
    seconds = bench.seconds(lambda: draw(logits, numbers, Sampling(1)))
    bench.put("draw_ms", bench.measured(1e3 * seconds))


def _put_engine(bench: Bench, model: Any, shape: Shape, rows: int) -> None:
    """Tokens per second of whole rollouts through the engine, groups of 8, one of them to warm up."""
    new_tokens, rows = (4, 8) if bench.dry else (192, rows)
    random = torch.Generator().manual_seed(0)
    prompts = [
        PromptTokens(str(i), tuple(torch.randint(0, shape.vocabulary, (64,), generator=random).tolist()))
        for i in range(rows // 8)
    ]
    for way, decoder in (
        ("engine with graphs", GraphDecoder(model, "bf16")),
        ("engine without graphs", LeanDecoder(model)),
    ):
        engine = EmbeddedEngine(
            decoder, max_rows=rows, weights="bf16" if way == "engine with graphs" else "fp32"
        )

        def rollout(engine: EmbeddedEngine = engine) -> None:
            for _ in engine.generate(prompts, 8, Sampling(new_tokens), RolloutKey(0, "gpu", 1)):
                pass

        seconds = bench.seconds(rollout, repeats=1, warmups=1)
        bench.put(way, {"tokens_per_s": bench.measured(rows * new_tokens / seconds)})
