"""What every forward pass offers, whatever the architecture: packed hidden states and cached decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ahalab.policy.forward.prepared import Precision


class KVCache(Protocol):
    """What prompts and rows have written. Slots are numbered 0 … rows-1; a slot holds one row.

    A prompt is kept once, however many rows follow it. Prompts are numbered from 0 in the order they were
    prefilled in this cache.
    """

    @property
    def rows(self) -> int: ...

    @property
    def capacity(self) -> int:
        """Tokens a row may hold at most, its prompt included."""

    def enter(self, prompt: int, slots: Sequence[int]) -> None:
        """Begin one row after `prompt` in each of these free slots."""

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move row sources[i] to slot targets[i]. No slot may occur twice; the sources are free afterwards."""

    def tidy(self, n: int) -> npt.NDArray[np.int64] | None:
        """Put the rows in slots 0 … n-1 in an order that decodes faster, where that pays.

        Returns the order: slot i now holds what slot order[i] held. None when nothing was moved.
        """

    def free(self, slots: Sequence[int]) -> None:
        """Forget what these slots hold."""

    def forget(self, prompt: int) -> None:
        """Drop a prompt that no row reads any more and none will."""

    def shrink(self, n: int) -> None:
        """Only slots 0 … n-1 hold rows: give memory back where most of it is unused. For caches that never end."""


class Decoder(Protocol):
    """A causal language model's forward over its own parameters (never a copy of them), in its own dtype.

    The logits of hidden states `h` are `h @ head_weight.T`, and then `softcap * tanh(logits / softcap)` where
    `softcap` is not None (Gemma 2). Nothing else is done to them.
    """

    @property
    def hidden_size(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def n_layers(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def head_weight(self) -> Tensor:
        """[V, H]; gradients reach the model's parameters through it."""

    @property
    def softcap(self) -> float | None: ...

    @property
    def max_positions(self) -> int | None:
        """The longest sequence the model can read at all, where there is a hard limit (learned positions)."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [N, V] float32 of hidden states [N, H]. Not for autograd."""

    def for_sampling(self, precision: Precision, prompts: Sequence[Sequence[int]]) -> Decoder:
        """A decoder to sample with, over a copy of the present weights: make it anew when they have changed.

        "fp32" changes the layout only: it agrees with this decoder as promise 2 says. "bf16" and "int8" round the
        weights; what that does to the log-probs must be measured. `prompts` are those to be sampled from: int8
        looks at the activations of the first.

        Raises:
            UserError: rounded weights are asked for and this forward or device has none.
        """

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Final-norm hidden states [T, H] of int64 tokens [T], the concatenation of segments of `lengths`.

        Positions restart at 0 in each segment and attention is causal within it: the result is that of running
        each segment alone. Autograd-capable.
        """

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache of `rows` slots, each able to hold `capacity` tokens."""

    def prefill(
        self, prompts: Sequence[Sequence[int]], cache: KVCache, slots: Sequence[Sequence[int]]
    ) -> Tensor:
        """Run each prompt once and begin a row after it in every slot of slots[i] (which may be empty).

        Returns the hidden state of each prompt's last token, [len(prompts), H].
        """

    def decode(self, tokens: Tensor, slots: Tensor | None, cache: KVCache) -> Tensor:
        """Append one token to each of B rows, int64 [B] → hidden states [B, H].

        `slots` [B] int64 on the CPU names the rows; None means slots 0 … B-1, which is the quick way.
        """
