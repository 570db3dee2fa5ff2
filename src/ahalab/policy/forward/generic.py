"""The forward through transformers' own modules, for every architecture without a lean one. Slow, and right.

Nothing is padded and no mask is made: only sequences of equal length share a batch, so what a model does with
padding, positions or windows never matters.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ahalab.errors import UserError
from ahalab.policy.forward.decoder import KVCache
from ahalab.policy.forward.layout import plan_rectangles
from ahalab.policy.forward.logprobs import head_logits
from ahalab.policy.forward.prepared import Precision


@dataclass(eq=False)
class _Lane:
    """Rows that advance together: they began at the same prompt in the same step."""

    past: Any
    slots: list[int]


class LaneCache:
    """transformers' own cache objects, one for each lane of rows. See `KVCache` for the contract."""

    def __init__(self, rows: int, capacity: int) -> None:
        self.rows = rows
        self.capacity = capacity
        self._prompts: dict[int, Any] = {}
        self._next_number = 0
        self._lanes: list[_Lane] = []

    def add_prompt(self, past: Any) -> int:
        """Keep the cache of one prompt (batch of one); returns its number."""
        number, self._next_number = self._next_number, self._next_number + 1
        self._prompts[number] = past
        return number

    @torch.inference_mode()
    def enter(self, prompt: int, slots: Sequence[int]) -> None:
        """Begin one row after `prompt` in each of these free slots."""
        past = copy.deepcopy(self._prompts[prompt])
        self._lanes.append(_Lane(_selected(past, [0] * len(slots)), list(slots)))

    def forget(self, prompt: int) -> None:
        """Drop a prompt that no further row will enter."""
        del self._prompts[prompt]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move row sources[i] to slot targets[i]; no slot may occur twice."""
        names = dict(zip(sources, targets, strict=True))
        for lane in self._lanes:
            lane.slots = [names.get(slot, slot) for slot in lane.slots]

    def tidy(self, n: int) -> None:
        """Lanes have no order that matters."""

    def shrink(self, n: int) -> None:
        """A lane's memory goes with its last row."""

    @torch.inference_mode()
    def free(self, slots: Sequence[int]) -> None:
        """Forget what these slots hold."""
        gone = set(slots)
        self._lanes = [kept for lane in self._lanes if (kept := _kept(lane, lambda slot: slot not in gone))]

    def lanes(self, slots: Sequence[int]) -> list[_Lane]:
        """The lanes that hold exactly these slots; a lane of which only a part is asked for is split."""
        wanted, asked = set(slots), []
        for lane in list(self._lanes):
            inside = [slot for slot in lane.slots if slot in wanted]
            if inside and len(inside) < len(lane.slots):
                other = _kept(_Lane(copy.deepcopy(lane.past), lane.slots), lambda slot: slot not in wanted)
                assert other is not None
                self._lanes.append(other)
                kept = _kept(lane, lambda slot: slot in wanted)
                assert kept is not None
                self._lanes[self._lanes.index(lane)] = lane = kept
            if inside:
                asked.append(lane)
        if sum(len(lane.slots) for lane in asked) != len(wanted):
            raise ValueError("decode was asked for a slot that holds no sequence")
        return asked


def _kept(lane: _Lane, keep: Any) -> _Lane | None:
    rows = [row for row, slot in enumerate(lane.slots) if keep(slot)]
    if len(rows) == len(lane.slots):
        return lane
    if not rows:
        return None
    return _Lane(_selected(lane.past, rows), [lane.slots[row] for row in rows])


def _selected(past: Any, rows: list[int]) -> Any:
    # Meant for beam search, so every kind of cache layer has it, and it may repeat rows and drop them.
    past.reorder_cache(torch.tensor(rows))
    return past


class GenericDecoder:
    """`Decoder` through the transformers module.

    Heads with a bias, a logit scale (Cohere, Granite) or a soft-cap (Gemma 2) are put in the form of
    `Decoder`'s contract, and a probe at the start holds the result to the model's own logits.

    Raises:
        UserError: the model changes its logits in a way this class does not know, or keeps no cache.
    """

    def __init__(self, model: Any, reason: str) -> None:
        self.model = model
        self.description = f"through transformers ({model.config.model_type}): {reason}"
        config = model.config
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        scaling = getattr(config, "logits_scaling", None)
        self._logit_scale: float = getattr(config, "logit_scale", None) or (1.0 / scaling if scaling else 1.0)
        self.max_positions = _learned_positions(config)
        self._check_head()

    @property
    def hidden_size(self) -> int:
        return int(self.head_weight.shape[1])

    @property
    def vocab_size(self) -> int:
        return int(self._head.weight.shape[0])

    @property
    def n_layers(self) -> int:
        return int(self.model.config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        device: torch.device = self._head.weight.device
        return device

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder`."""
        return head_logits(hidden, self.head_weight, self.softcap)

    def for_sampling(self, precision: Precision, prompts: Sequence[Sequence[int]]) -> GenericDecoder:  # noqa: ARG002
        """See `Decoder`: transformers' own modules hold the weights, so there is nothing to lay out anew."""
        if precision != "fp32":
            raise UserError(
                f"rollout_weights {precision} needs the lean forward, but this model runs {self.description}. "
                "Use rollout_weights: fp32."
            )
        return self

    @property
    def _head(self) -> Any:
        return self.model.get_output_embeddings()

    @property
    def head_weight(self) -> Tensor:
        """[V, H], or [V, H + 1] with the bias as its last column (the hidden states then end in a 1)."""
        weight: Tensor = self._head.weight
        bias: Tensor | None = getattr(self._head, "bias", None)
        return weight if bias is None else torch.cat((weight, bias[:, None]), dim=1)

    def _finished(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., H] in the form that `head_weight` expects."""
        if self._logit_scale != 1.0:
            hidden = hidden * self._logit_scale
        if getattr(self._head, "bias", None) is not None:
            hidden = torch.cat((hidden, torch.ones_like(hidden[..., :1])), dim=-1)
        return hidden

    def _check_head(self) -> None:
        tokens = torch.arange(4, device=self.device)[None] % self.vocab_size
        with torch.no_grad(), _evaluating(self.model):
            own = self.model(input_ids=tokens, use_cache=False).logits[0].float()
            hidden = self._finished(
                self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state[0]
            )
            ours = head_logits(hidden, self.head_weight, self.softcap)
        tolerance = 1e-3 if own.dtype == self._head.weight.dtype else 0.05
        if not torch.allclose(own, ours, rtol=tolerance, atol=tolerance * float(own.abs().max())):
            raise UserError(
                f"the model's architecture ({type(self.model).__name__}) changes its logits in a way that ahalab "
                "does not reproduce: training it would be wrong. Use another base model."
            )

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """See `Decoder`. Segments of equal length share a batch; dropout follows the model's own mode."""
        tokens = tokens.to(self.device)
        segments = torch.split(tokens, list(lengths))
        order = sorted(range(len(segments)), key=lambda i: len(segments[i]))
        hidden: list[Tensor] = [tokens] * len(segments)
        first = 0
        for count, _ in plan_rectangles([len(segments[i]) for i in order], overhead=0):
            members = order[first : first + count]
            first += count
            batch = torch.stack([segments[i] for i in members])
            states = self.model.base_model(input_ids=batch, use_cache=False).last_hidden_state
            for i, state in zip(members, states.unbind(0), strict=True):
                hidden[i] = state
        return self._finished(torch.cat(hidden))

    def new_cache(self, rows: int, capacity: int) -> LaneCache:
        return LaneCache(rows, capacity)

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Sequence[int]], cache: KVCache, slots: Sequence[Sequence[int]]
    ) -> Tensor:
        """See `Decoder`. One prompt at a time."""
        assert isinstance(cache, LaneCache)
        last = []
        for prompt, where in zip(prompts, slots, strict=True):
            state, past = self._run(torch.tensor(prompt, device=self.device)[None], None)
            number = cache.add_prompt(past)
            if len(where):
                cache.enter(number, where)
            last.append(state[0, -1])
        return self._finished(torch.stack(last))

    @torch.inference_mode()
    def decode(self, tokens: Tensor, slots: Tensor | None, cache: KVCache) -> Tensor:
        """See `Decoder`. One forward for each lane of rows that began together."""
        assert isinstance(cache, LaneCache)
        chosen = list(range(len(tokens))) if slots is None else slots.tolist()
        row = {slot: i for i, slot in enumerate(chosen)}
        order, states = [], []
        for lane in cache.lanes(chosen):
            rows = [row[slot] for slot in lane.slots]
            state, lane.past = self._run(tokens[rows][:, None], lane.past)
            order.extend(rows)
            states.append(state[:, -1])
        hidden = torch.cat(states)
        result = torch.empty_like(hidden)
        result[order] = hidden
        return self._finished(result)

    def _run(self, tokens: Tensor, past: Any) -> tuple[Tensor, Any]:
        with _evaluating(self.model):
            output = self.model.base_model(input_ids=tokens, past_key_values=past, use_cache=True)
        if getattr(output, "past_key_values", None) is None:
            raise UserError(
                f"the model's architecture ({type(self.model).__name__}) offers no key/value cache through "
                "transformers, so it cannot be sampled from. Use another base model."
            )
        return output.last_hidden_state, output.past_key_values


def _learned_positions(config: Any) -> int | None:
    """The hard limit of models with a table of positions; rotary and ALiBi models have none."""
    if getattr(config, "rope_parameters", None) is not None:
        return None
    limit = getattr(config, "max_position_embeddings", None)
    return None if limit is None else int(limit)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, whatever mode the learner left the model in."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
