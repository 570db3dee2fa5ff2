"""The lean forward: Llama-like models straight from their own parameters, packed and cached.

It reproduces transformers' forward for the plain forms of Llama, Mistral, Qwen2 and Qwen3 (equality tests hold
it to 1e-5 in fp32, gradients included) and refuses everything else: see `lean_refusal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from ahalab.errors import UserError
from ahalab.policy.forward.attention import decode_attention, packed_attention
from ahalab.policy.forward.cache import SlotCache
from ahalab.policy.forward.decoder import KVCache
from ahalab.policy.forward.elementwise import rms_norm, rotate
from ahalab.policy.forward.layout import Layout, plan_layout
from ahalab.policy.forward.logprobs import head_logits
from ahalab.policy.forward.prepared import Make, Precision, maker, prepared_weights, watching
from ahalab.policy.forward.weights import Layer, Linear, Weights, shared_weights

_ARCHITECTURES = {
    f"transformers.models.{name}.modeling_{name}.{title}ForCausalLM"
    for name, title in (("llama", "Llama"), ("mistral", "Mistral"), ("qwen2", "Qwen2"), ("qwen3", "Qwen3"))
}
_STATIC_ROPE = {"default", "linear", "llama3", "yarn"}
"""Rope types whose frequencies do not depend on the length of the sequence being read."""


def lean_refusal(model: Any) -> str | None:
    """Why this model must go through transformers' own forward, or None when the lean one reproduces it."""
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if kind not in _ARCHITECTURES:
        return f"the architecture {type(model).__name__} has no lean forward"
    config = model.config
    if config.hidden_act != "silu":
        return f"the activation {config.hidden_act}"
    if config.attention_dropout:
        return "attention dropout"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "sliding-window attention"
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None) is not None:
        return "sliding-window attention"
    rope = config.rope_parameters.get("rope_type", "default")
    if rope not in _STATIC_ROPE:
        return f"rope scaling {rope}"
    if model.lm_head.bias is not None:
        return "a bias on the output head"
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return f"a hook or replaced forward on {name or 'the model'}"
        if name.rpartition(".")[2] in _LINEARS and type(module) is not nn.Linear:
            return f"{name} is a {type(module).__name__}, not a plain linear layer"
    types = {parameter.dtype for parameter in model.parameters()}
    if len(types) != 1 or not next(iter(types)).is_floating_point:
        return f"parameters of types {', '.join(sorted(map(str, types)))}"
    head_dim = model.model.layers[0].self_attn.head_dim
    if _rope_table(model, 1)[0].shape[-1] != head_dim:
        return "rotary embedding of a part of each head"
    return None


_LINEARS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"}


def _rope_table(model: Any, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, D] from the model's own rotary embedding, scaling included."""
    parameter = model.model.embed_tokens.weight
    # Outside inference mode: the backward pass of the learner keeps these tensors too.
    with torch.inference_mode(False), torch.no_grad():
        positions = torch.arange(length, device=parameter.device)[None]
        like = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
        cos, sin = model.model.rotary_emb(like, position_ids=positions)
    return cos[0], sin[0]


class LeanDecoder:
    """`Decoder` for the models that `lean_refusal` lets pass. Holds no weights of its own.

    Gradient checkpointing flags of the model are not looked at; dropout does not occur.
    """

    softcap: float | None = None
    max_positions: int | None = None

    def __init__(self, model: Any) -> None:
        refusal = lean_refusal(model)
        if refusal is not None:
            raise ValueError(f"no lean forward: {refusal}")
        self.model = model
        self.description = f"lean ({model.config.model_type})"
        attention = model.model.layers[0].self_attn
        self._head_dim: int = attention.head_dim
        self._kv_heads: int = model.config.num_key_value_heads
        self._scale: float = attention.scaling
        self._epsilon: float = model.model.norm.variance_epsilon
        self._table: tuple[Tensor, Tensor] | None = None
        self._recorded: LeanDecoder | None = None

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        return int(self.head_weight.shape[0])

    @property
    def n_layers(self) -> int:
        return int(self.model.config.num_hidden_layers)

    @property
    def head_weight(self) -> Tensor:
        weight: Tensor = self.model.lm_head.weight
        return weight

    @property
    def device(self) -> torch.device:
        return self.head_weight.device

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder`."""
        return head_logits(hidden, self.head_weight, self.softcap)

    def for_sampling(self, precision: Precision, prompts: Sequence[Sequence[int]]) -> LeanDecoder:
        """See `Decoder`. In half precision, and on a GPU, "fp32" is the decoder itself: nothing is gained there.

        On a GPU "bf16" is a `GraphDecoder` that stays, with its recordings and its memory, from rollout to rollout.
        """
        if precision == "fp32" and (self.device.type != "cpu" or self.head_weight.dtype != torch.float32):
            return self
        if precision == "int8" and self.device.type != "cpu":
            raise UserError("rollout_weights int8 is for CPUs; on a GPU use bf16")
        if self.device.type == "cuda":
            from ahalab.policy.forward.graphs import GraphDecoder  # it is a LeanDecoder itself

            if self._recorded is None:
                self._recorded = GraphDecoder(self.model, precision)
            return self._recorded.for_sampling(precision, prompts)
        return LeanSampler(self.model, precision, prompts)

    def _weights(self) -> Weights:
        return shared_weights(self.model)

    # --- packed --------------------------------------------------------------------------------------------

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """See `Decoder`. Tokens that segments have in common at their beginning are computed once."""
        layout = self._layout(tokens, lengths)
        weights = self._weights()
        hidden = self._packed(weights, layout, None)
        hidden = rms_norm(hidden, weights.norm, self._epsilon)
        return hidden.index_select(0, self._indices(layout.output))

    def _layout(self, tokens: Tensor, lengths: Sequence[int]) -> Layout:
        if tokens.dim() != 1 or sum(lengths) != len(tokens) or min(lengths, default=0) < 1:
            raise ValueError(
                f"tokens [T] and positive lengths that add up to T expected, not {tuple(tokens.shape)} and "
                f"lengths from {min(lengths, default=0)} adding up to {sum(lengths)}"
            )
        # On one core a rectangle costs 60 µs a layer, forward and backward, and a token's attention 3 to 13 µs.
        # On a GPU a launch is worth thousands of tokens.
        on_cpu = self.device.type == "cpu"
        return plan_layout(tokens.cpu().numpy(), lengths, overhead=8 if on_cpu else 4096, skip_queries=on_cpu)

    def _packed(
        self, weights: Weights, layout: Layout, cache: tuple[SlotCache, list[int], Tensor] | None
    ) -> Tensor:
        """Hidden states [U, H] before the final norm; leaves keys and values in the cache where one is given."""
        hidden = embedding(self._indices(layout.tokens), weights.embedding)
        cos, sin = self._rope(self._indices(layout.positions), int(layout.positions.max()) + 1)
        gather = None if layout.gather is None else self._indices(layout.gather)
        queries = None if layout.queries is None else self._indices(layout.queries)
        scatter = None if layout.scatter is None else self._indices(layout.scatter)
        for number, layer in enumerate(weights.layers):
            normed = rms_norm(hidden, layer.norm, self._epsilon)
            query, key, value = self._heads(normed, layer, cos, sin)
            if cache is not None:
                store, prompts, rows = cache
                # [prompts, P] rows → [prompts, kv_heads, P, D]
                store.store_prompts(number, prompts, key[rows].transpose(1, 2), value[rows].transpose(1, 2))
            if gather is not None and queries is not None:
                query = query.index_select(0, queries)
                key, value = (t.index_select(0, gather) for t in (key, value))
            attended = packed_attention(query, key, value, layout.rectangles, self._scale)
            if scatter is not None:
                attended = attended.index_select(0, scatter)
            hidden = self._after_attention(hidden, attended, layer)
        return hidden

    # --- cached --------------------------------------------------------------------------------------------

    def new_cache(self, rows: int, capacity: int) -> SlotCache:
        return SlotCache(
            layers=self.n_layers,
            kv_heads=self._kv_heads,
            head_dim=self._head_dim,
            rows=rows,
            capacity=capacity,
            dtype=self.head_weight.dtype,
            device=self.device,
        )

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Sequence[int]], cache: KVCache, slots: Sequence[Sequence[int]]
    ) -> Tensor:
        """See `Decoder`. All prompts run in one packed pass."""
        assert isinstance(cache, SlotCache)
        lengths = [len(prompt) for prompt in prompts]
        tokens = torch.from_numpy(np.concatenate([np.asarray(p, dtype=np.int64) for p in prompts]))
        layout = self._layout(tokens, lengths)
        numbers = cache.add_prompts(lengths)
        ends = np.cumsum(lengths)
        # Right padding repeats each prompt's last token: finite, and masked.
        places = np.minimum((ends - lengths)[:, None] + np.arange(max(lengths)), ends[:, None] - 1)
        weights = self._weights()
        hidden = self._packed(weights, layout, (cache, numbers, self._indices(layout.output[places])))
        for number, where in zip(numbers, slots, strict=True):
            if len(where):
                cache.enter(number, where)
        last = hidden.index_select(0, self._indices(layout.output[ends - 1]))
        return rms_norm(last, weights.norm, self._epsilon)

    @torch.inference_mode()
    def decode(self, tokens: Tensor, slots: Tensor | None, cache: KVCache) -> Tensor:
        """See `Decoder`."""
        assert isinstance(cache, SlotCache)
        n = tokens.shape[0]
        step = cache.begin_step(n, slots)
        weights = self._weights()
        hidden = embedding(tokens, weights.embedding)
        cos, sin = self._rope(step.positions, cache.capacity)
        for number, layer in enumerate(weights.layers):
            normed = rms_norm(hidden, layer.norm, self._epsilon)
            query, key, value = self._heads(normed, layer, cos, sin)
            cached = cache.append(number, key, value, step)
            query = query.mul_(self._scale).view(n * self._kv_heads, -1, self._head_dim)
            attended = decode_attention(query, cached, step).view(n, -1)
            hidden = self._after_attention(hidden, attended, layer)
        return rms_norm(hidden, weights.norm, self._epsilon)

    # --- parts ---------------------------------------------------------------------------------------------

    def _heads(self, normed: Tensor, layer: Layer, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries [N, heads, D] and keys [N, kv_heads, D], and values."""
        shape = (normed.shape[0], -1, self._head_dim)
        query, key, value = (part.view(shape) for part in layer.heads(normed))
        if layer.query_norm is not None and layer.key_norm is not None:
            query = rms_norm(query, layer.query_norm, self._epsilon)
            key = rms_norm(key, layer.key_norm, self._epsilon)
        return rotate(query, cos, sin), rotate(key, cos, sin), value

    def _after_attention(self, hidden: Tensor, attended: Tensor, layer: Layer) -> Tensor:
        hidden = layer.attended(hidden, attended)
        return layer.mlp(hidden, rms_norm(hidden, layer.mlp_norm, self._epsilon))

    def _rope(self, positions: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Cosines [N, 1, D] and half-width sines [N, 1, D/2] of these positions, all below `length`."""
        table = self._table
        dtype = self.head_weight.dtype
        if (
            table is None
            or len(table[0]) < length
            or table[0].device != positions.device
            or table[0].dtype != dtype
        ):
            length = max(length, 256, 0 if table is None else 2 * len(table[0]))
            cos, sin = _rope_table(self.model, length)
            table = self._table = (cos[:, None], sin[:, None, : self._head_dim // 2].contiguous())
        return table[0].index_select(0, positions), table[1].index_select(0, positions)

    def _indices(self, indices: Any) -> Tensor:
        return torch.from_numpy(indices).to(self.device)


_WATCHED_TOKENS = 64
"""Prompt tokens on which the outlier columns of int8 are found (our choice)."""


class LeanSampler(LeanDecoder):
    """A `LeanDecoder` over a copy of the weights made for sampling (`prepared.py`); for inference only."""

    def __init__(self, model: Any, precision: Precision, prompts: Sequence[Sequence[int]]) -> None:
        super().__init__(model)
        self.description = f"{self.description}, {precision} weights for sampling"
        with torch.inference_mode():
            make = maker(precision)
            if precision == "int8":
                make, watched = watching()
                self._prepare(make)
                tokens = _first_tokens(prompts, _WATCHED_TOKENS)
                self.logits(self.packed_hidden(torch.tensor(tokens), [len(tokens)]))
                make = maker(precision, watched)
            self._prepare(make)

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder`."""
        return self._head(hidden)

    def _prepare(self, make: Make) -> None:
        self._prepared = prepared_weights(shared_weights(self.model), make)
        self._head = make([Linear(self.head_weight, None)])

    def _weights(self) -> Weights:
        return self._prepared


def _first_tokens(prompts: Sequence[Sequence[int]], limit: int) -> list[int]:
    tokens: list[int] = []
    for prompt in prompts:
        tokens.extend(prompt)
        if len(tokens) >= limit:
            break
    return tokens[:limit]
