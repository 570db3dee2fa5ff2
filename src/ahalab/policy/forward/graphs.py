"""Decoding on a GPU by recorded graphs: one launch a step instead of some four hundred.

A step of a small model takes about a millisecond on a GPU, and launching its kernels one by one takes several. A CUDA
graph launches them all at once, but only at the sizes and addresses it was recorded with. So rows are filled up to
the next size of a short list (`bucket`), keys and values lie in memory that does not move (`static_cache.py`), and
what changes from step to step (tokens, lengths, who reads which prompt) is written into fixed tensors before.

The weights are a copy in the precision asked for, kept for good and renewed at the start of each rollout. Residual
stream and norms are fp32, as in the learner's bf16 forward.

On a CPU nothing is recorded: the same function runs on the same fixed tensors (`record=False`). That is how the
tests hold it to the plain decoder.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from ahalab.errors import UserError
from ahalab.policy.forward.decoder import KVCache
from ahalab.policy.forward.fusion import worth_fusing
from ahalab.policy.forward.lean import LeanDecoder
from ahalab.policy.forward.prepared import (
    HalfLinear,
    Precision,
    PreparedLayer,
    Product,
    maker,
    prepared_weights,
)
from ahalab.policy.forward.static_cache import Rows, StaticCache, Storage, bucket, company_of, multiple
from ahalab.policy.forward.step_ops import Geometry, PlainOps, Seats, StepOps, StepRows
from ahalab.policy.forward.weights import Linear, Weights, shared_weights

ROWS, TOKENS, PLACES = 32, 64, 32
"""Sizes recorded: multiples of these; of rows and of prompts, powers of two below."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Size(NamedTuple):
    """What a recorded step is made for. The last four are 0 where the parts look at lengths themselves."""

    rows: int
    prompts: int
    seats: int
    prompt_length: int
    own_length: int


@dataclass(eq=False)
class _Recorded:
    """One step at one size: its inputs, and how to run it."""

    tokens: Tensor
    """[R] int64"""
    rows: StepRows
    numbers: Tensor
    """[4, R] int64: the tensors of `rows`, in one piece so that one copy fills them."""
    run: Callable[[], Tensor]
    """Hidden states [R, H], at the same address each time."""

    def fill(self, tokens: Tensor, rows: Rows, spare: int) -> None:
        n, size = len(tokens), len(self.tokens)
        numbers = np.zeros((4, size), dtype=np.int64)
        numbers[0, n:] = spare
        numbers[:, :n] = rows
        # From pageable memory: it is copied aside before the call returns, so that it may be overwritten.
        self.numbers.copy_(torch.from_numpy(numbers), non_blocking=True)
        self.tokens[:n].copy_(tokens)
        seats = self.rows.seats
        if seats is not None:
            heads = len(seats.back) // size
            arrays = company_of(
                rows.places, size, seats.prompts, len(seats.grid) // (seats.prompts * heads), heads
            )
            for tensor, array in zip((seats.grid, seats.back), arrays, strict=True):
                tensor.copy_(torch.from_numpy(array), non_blocking=True)


class GraphDecoder(LeanDecoder):
    """`Decoder` for sampling from a lean model; for inference only, and for one rollout at a time.

    It has one cache, in memory it keeps: `new_cache` takes the memory of the cache before it.
    """

    def __init__(
        self,
        model: Any,
        precision: Precision = "bf16",
        *,
        ops: StepOps | None = None,
        record: bool | None = None,
        branches: int = 1,
        max_graphs: int = 64,
    ) -> None:
        """`ops`: the parts of a step; None: Triton's on a GPU, plain ones elsewhere. `record`: None is "on a GPU".

        `branches` cuts the rows into so many parts that run side by side on streams of their own, so that one part's
        products overlap with another's reading of keys; needs parts that look at lengths themselves. `max_graphs`
        bounds what is kept; the size used longest ago goes first.

        Raises:
            UserError: weights in another precision than fp32 or bf16.
        """
        super().__init__(model)
        if precision not in _DTYPES:
            raise UserError(f"recorded decoding has weights in fp32 or bf16, not {precision}")
        self.precision = precision
        self._dtype = _DTYPES[precision]
        self._record = self.device.type == "cuda" if record is None else record
        self._branches = branches
        self._max_graphs = max_graphs
        heads = model.config.num_attention_heads
        self._geometry = Geometry(heads, self._kv_heads, self._head_dim, self._scale, self._epsilon)
        self._ops = default_ops(self._geometry, self.device) if ops is None else ops
        if branches > 1 and self._ops.seated:
            raise ValueError("branches need parts that look at lengths themselves")
        self.description = (
            f"{self.description}, {precision} weights, {'recorded' if self._record else 'fixed'} steps"
        )
        self._storage = Storage(
            layers=self.n_layers,
            kv_heads=self._kv_heads,
            head_dim=self._head_dim,
            dtype=self._dtype,
            device=self.device,
        )
        self._cache: StaticCache | None = None
        self._angles: tuple[Tensor, Tensor] | None = None
        self._steps: OrderedDict[Size, _Recorded] = OrderedDict()
        self._valid_for: tuple[int, int] = (-1, -1)
        self._pool = torch.cuda.graph_pool_handle() if self._record else None
        with torch.inference_mode():
            self._make = maker(precision)
            self._prepared = prepared_weights(shared_weights(model), self._make)
            self._head = self._make([Linear(self.head_weight, None)])

    @property
    def sizes(self) -> list[Size]:
        """The sizes kept, the one used longest ago first."""
        return list(self._steps)

    # --- weights -------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def refresh(self) -> None:
        """Copy the model's present weights to where the recorded steps read them."""
        shared = shared_weights(self.model)
        for old, layer in zip(self._prepared.layers, shared.layers, strict=True):
            (new,) = prepared_weights(Weights(shared.embedding, [layer], shared.norm), self._make).layers
            assert isinstance(old, PreparedLayer)
            assert isinstance(new, PreparedLayer)
            for name in ("inputs", "output", "gate_up", "down"):
                _overwrite(getattr(old, name), getattr(new, name))
        _overwrite(self._head, self._make([Linear(self.head_weight, None)]))

    def for_sampling(self, precision: Precision, prompts: Sequence[Sequence[int]]) -> LeanDecoder:
        """See `Decoder`. In its own precision this decoder itself, with renewed weights."""
        if precision != self.precision:
            return super().for_sampling(precision, prompts)
        self.refresh()
        return self

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder`. The sums stay fp32 on a GPU whatever the weights are."""
        if isinstance(self._head, HalfLinear) and hidden.is_cuda:
            return torch.mm(hidden.to(self._dtype), self._head.weight.t(), out_dtype=torch.float32)
        return self._head(hidden.float())

    def _weights(self) -> Weights:
        return self._prepared

    # --- decoding ------------------------------------------------------------------------------------------

    def new_cache(self, rows: int, capacity: int) -> StaticCache:
        """See `Decoder`. The cache made before can no longer be used."""
        self._cache = StaticCache(self._storage, rows=rows, capacity=capacity)
        if self._angles is None or len(self._angles[0]) < capacity:
            self._angles = _angles(self.model, multiple(capacity, 1024), self._head_dim)
        return self._cache

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Sequence[int]], cache: KVCache, slots: Sequence[Sequence[int]]
    ) -> Tensor:
        """See `Decoder`."""
        self._check(cache)
        return super().prefill(prompts, cache, slots)

    @torch.inference_mode()
    def decode(self, tokens: Tensor, slots: Tensor | None, cache: KVCache) -> Tensor:
        """See `Decoder`. Named slots are run without a recording."""
        own_cache = self._check(cache)
        n = len(tokens)
        rows = own_cache.next_rows(np.arange(n) if slots is None else slots.cpu().numpy())
        size = self._size(rows, own_cache)
        step = self._step_at(size) if slots is None else self._prepare(size, dense=False)
        step.fill(tokens, rows, spare=self._storage.rows)
        return step.run()[:n].clone()

    def _check(self, cache: KVCache) -> StaticCache:
        if cache is not self._cache or self._cache is None:
            raise ValueError("the memory of this cache now belongs to one made later, or to another decoder")
        return self._cache

    def _size(self, rows: Rows, cache: StaticCache) -> Size:
        n = bucket(len(rows.slots), ROWS)
        if not self._ops.seated:
            return Size(n, 0, 0, 0, 0)
        return Size(
            n,
            min(bucket(cache.prompts, PLACES), self._storage.prompts),
            bucket(int(np.bincount(rows.places).max()), ROWS),
            multiple(cache.longest_prompt, TOKENS),
            min(multiple(int(rows.own.max()) + 1, TOKENS), self._storage.room),
        )

    def _step_at(self, size: Size) -> _Recorded:
        assert self._angles is not None
        valid_for = self._storage.generation, len(self._angles[0])
        if valid_for != self._valid_for:
            self._steps.clear()
            self._valid_for = valid_for
        step = self._steps.get(size)
        if step is None:
            while len(self._steps) >= self._max_graphs:
                self._steps.popitem(last=False)
            step = self._steps[size] = self._prepare(size, dense=True)
            if self._record:
                step.run = _recording(step.run, self._pool)
        self._steps.move_to_end(size)
        return step

    def _prepare(self, size: Size, *, dense: bool) -> _Recorded:
        numbers = torch.zeros(4, size.rows, dtype=torch.int64, device=self.device)
        numbers[0].fill_(self._storage.rows)
        tokens = torch.zeros(size.rows, dtype=torch.int64, device=self.device)
        seats = None
        if self._ops.seated:
            grid, back = (
                torch.zeros(n * self._kv_heads, dtype=torch.int64, device=self.device)
                for n in (size.prompts * size.seats, size.rows)
            )
            seats = Seats(grid, back, size.prompts, size.prompt_length, size.own_length)
        slots, places, prompt_lengths, own = numbers.unbind(0)
        rows = StepRows(slots, places, prompt_lengths, own, dense, seats)
        return _Recorded(tokens, rows, numbers, lambda: self._branched(tokens, rows))

    def _branched(self, tokens: Tensor, rows: StepRows) -> Tensor:
        """The step, in `branches` parts side by side where there are rows enough."""
        width = -(-len(rows) // self._branches)
        if self._branches == 1 or len(rows) < 2 * self._branches:
            return self._step(tokens, rows)
        cuts = [slice(start, start + width) for start in range(0, len(rows), width)]
        parts = [
            StepRows(rows.slots[cut], rows.places[cut], rows.prompt_lengths[cut], rows.own[cut], False, None)
            for cut in cuts
        ]
        if self.device.type != "cuda":
            return torch.cat([self._step(tokens[cut], part) for cut, part in zip(cuts, parts, strict=True)])
        here = torch.cuda.current_stream()
        hidden = torch.empty(len(rows), self.hidden_size, dtype=self._dtype, device=self.device)
        streams = [torch.cuda.Stream() for _ in cuts]  # type: ignore[no-untyped-call]
        for cut, part, stream in zip(cuts, parts, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                hidden[cut] = self._step(tokens[cut], part)
        for stream in streams:
            here.wait_stream(stream)
        return hidden

    def _step(self, tokens: Tensor, rows: StepRows) -> Tensor:
        """One token further for each row: final-norm hidden states [R, H] in the weights' precision."""
        assert self._angles is not None
        ops, weights, dtype = self._ops, self._prepared, self._dtype
        own, prompt = self._storage.own, self._storage.prompt
        rows = ops.begin(rows, dtype)
        residual = embedding(tokens, weights.embedding).float()
        delta: Tensor | None = None
        for number, layer in enumerate(weights.layers):
            assert isinstance(layer, PreparedLayer)
            keys, values = own[2 * number : 2 * number + 2]
            norms = None
            if layer.query_norm is not None and layer.key_norm is not None:
                norms = layer.query_norm, layer.key_norm
            joint = _times(layer.inputs, ops.add_norm(residual, delta, layer.norm, dtype))
            query = ops.place_heads(joint, norms, self._angles, rows, keys, values)
            attended = ops.attend(query, (keys, values), (prompt[2 * number], prompt[2 * number + 1]), rows)
            delta = _times(layer.output, attended)
            gate_up = _times(layer.gate_up, ops.add_norm(residual, delta, layer.mlp_norm, dtype))
            delta = _times(layer.down, ops.gated(gate_up))
        return ops.add_norm(residual, delta, weights.norm, dtype)


def default_ops(geometry: Geometry, device: torch.device) -> StepOps:
    """Triton's parts on a GPU, plain ones elsewhere and for heads whose width is no power of two."""
    powers = geometry.head_dim >= 16 and geometry.head_dim & (geometry.head_dim - 1) == 0
    if not powers or not worth_fusing(device):
        return PlainOps(geometry)
    from ahalab.policy.forward.kernels import TritonOps  # Triton comes with torch's GPU builds only

    return TritonOps(geometry)


def _recording(function: Callable[[], Tensor], pool: Any) -> Callable[[], Tensor]:
    """Record `function` as a CUDA graph; returns what replays it. The result keeps its address."""
    function()  # compiles kernels and sets up libraries, which a recording must not do
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        result = function()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def _times(product: Product, x: Tensor) -> Tensor:
    """x times the weights, in the type of both."""
    return linear(x, product.weight, product.bias) if isinstance(product, HalfLinear) else product(x)


def _overwrite(old: Product, new: Product) -> None:
    assert isinstance(old, tuple)
    assert isinstance(new, tuple)
    for kept, fresh in zip(old, new, strict=True):
        if kept is not None:
            kept.copy_(fresh)


@torch.inference_mode()
def _angles(model: Any, length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, D / 2] float32 from the model's own rotary embedding, scaling included."""
    device = model.model.embed_tokens.weight.device
    like = torch.empty(0, dtype=torch.float32, device=device)
    cos, sin = model.model.rotary_emb(like, position_ids=torch.arange(length, device=device)[None])
    return cos[0, :, : head_dim // 2].contiguous(), sin[0, :, : head_dim // 2].contiguous()
