"""The embedded rollout engine: continuous batching over the learner's own weights, on CPU or GPU.

Rows (prompt, sample) enter in order, as many as `max_rows`. Each prompt runs once for all its samples. A row
that finishes leaves at once, the next one enters in its place, and when none is left the batch shrinks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ahalab.counter import row_key, uniforms
from ahalab.errors import UserError
from ahalab.policy.forward import Decoder, KVCache, Precision
from ahalab.records import Sample
from ahalab.rollout.engine import DecoderHolder, PromptTokens, RolloutKey, Sampling
from ahalab.rollout.sampling import draw, forbid_first

_PREFETCHED_PROMPTS = 4
"""Prompts run together once rows trickle in one by one (our choice: few enough not to fill the cache)."""
_PREFILL_TOKENS = 8192
"""Tokens of one prefill pass at most, unless a single prompt is longer: bounds the memory of activations."""

_ROW_ARRAYS = ("_row", "_count", "_keys", "_buffer")
"""What `_Run` keeps for each active row."""


class EmbeddedEngine:
    """`Engine` over a `Decoder`. Between rollouts it holds no weights: what the learner updates is sampled from."""

    def __init__(self, policy_decoder: Decoder, *, max_rows: int = 128, weights: Precision = "fp32") -> None:
        """`weights`: the precision to sample in; each call of `generate` makes its own copy of them.

        Raises:
            UserError: see `Decoder.for_sampling`.
        """
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, not {max_rows}")
        self.decoder = policy_decoder
        self.max_rows = max_rows
        self.weights = weights

    def load_weights(self, policy: DecoderHolder) -> None:
        """Sample from this policy; nothing is copied."""
        self.decoder = policy.decoder

    def generate(
        self, prompts: Sequence[PromptTokens], samples_per_prompt: int, sampling: Sampling, key: RolloutKey
    ) -> Iterator[Sample]:
        """See `Engine`.

        Raises:
            UserError: an empty prompt, a prompt id that occurs twice, a token id outside the vocabulary, or a
                prompt that leaves no room for an answer in a model with a fixed number of positions.
        """
        if samples_per_prompt < 1:
            raise ValueError(f"samples_per_prompt must be at least 1, not {samples_per_prompt}")
        _check(prompts, sampling, self.decoder)
        if prompts:
            decoder = self.decoder.for_sampling(self.weights, [prompt.token_ids for prompt in prompts])
            run = _Run(decoder, self.max_rows, prompts, samples_per_prompt, sampling, key)
            while run.unfinished:
                yield from run.step()


def compaction(done: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Slots that rows leave, and the slots at the end whose rows move there, so that the others are 0 … n-1 again."""
    left = len(done) - int(done.sum())
    return np.flatnonzero(done[:left]), left + np.flatnonzero(~done[left:])


def _check(prompts: Sequence[PromptTokens], sampling: Sampling, decoder: Decoder) -> None:
    seen: set[str] = set()
    limit = decoder.max_positions
    for prompt in prompts:
        name = f"prompt {prompt.prompt_id}"
        if prompt.prompt_id in seen:
            raise UserError(
                f"{name} occurs twice in one rollout, so its samples would be the same twice. "
                "Give more prompts, or ask for fewer per rollout."
            )
        seen.add(prompt.prompt_id)
        if not prompt.token_ids:
            raise UserError(f"{name} has no tokens: its text or the template is empty")
        if min(prompt.token_ids) < 0 or max(prompt.token_ids) >= decoder.vocab_size:
            raise UserError(
                f"{name} has token ids outside the model's vocabulary of {decoder.vocab_size}: "
                "the tokenizer and the model do not belong together"
            )
        longest = len(prompt.token_ids) + sampling.max_new_tokens
        if limit is not None and longest > limit:
            raise UserError(
                f"{name} of {len(prompt.token_ids)} tokens and max_new_tokens {sampling.max_new_tokens} make "
                f"{longest}, but the model reads at most {limit}: use at most "
                f"{max(limit - len(prompt.token_ids), 0)} new tokens or shorter prompts"
            )


class _Run:
    """One call of `generate`. Row r of the whole job is sample r % G of prompt r // G.

    The arrays below describe the active rows, which are always slots 0 … n-1 of the cache.
    """

    def __init__(
        self,
        decoder: Decoder,
        max_rows: int,
        prompts: Sequence[PromptTokens],
        samples_per_prompt: int,
        sampling: Sampling,
        key: RolloutKey,
    ) -> None:
        self._decoder = decoder
        self._prompts = prompts
        self._per_prompt = samples_per_prompt
        self._sampling = sampling
        self._key = key
        self._total = len(prompts) * samples_per_prompt
        self._slots = min(max_rows, self._total)
        longest = max(len(prompt.token_ids) for prompt in prompts)
        self._cache: KVCache = decoder.new_cache(self._slots, longest + sampling.max_new_tokens)
        self._stops = np.zeros(decoder.vocab_size, dtype=bool)
        self._stops[[stop for stop in sampling.stop_ids if 0 <= stop < decoder.vocab_size]] = True

        self._next_row = 0
        self._prefilled = 0
        self._first_hidden: dict[int, Tensor] = {}
        self._unfinished_of = np.full(len(prompts), samples_per_prompt)
        self._row = np.zeros(0, dtype=np.int64)
        self._count = np.zeros(0, dtype=np.int64)
        self._keys = np.zeros(0, dtype=np.uint64)
        self._buffer = np.zeros(0, dtype=np.int64)
        """Line of the two token tables below that belongs to each active row."""
        self._free_buffers = list(range(self._slots))[::-1]
        room = min(sampling.max_new_tokens, 64)
        self._tokens = np.zeros((self._slots, room), dtype=np.int64)
        self._logprobs = np.zeros((self._slots, room), dtype=np.float32)
        self._hidden: Tensor | None = None

    @property
    def unfinished(self) -> bool:
        return len(self._row) > 0 or self._next_row < self._total

    @torch.inference_mode()
    def step(self) -> list[Sample]:
        """Let rows enter, draw one token for every active row; returns the samples that this finished."""
        if len(self._row) < self._slots and self._next_row < self._total:
            self._enter()
        assert self._hidden is not None
        logits = self._decoder.logits(self._hidden)
        if self._sampling.forbidden_first:
            first = torch.from_numpy(self._count == 0).to(logits.device)
            logits = forbid_first(logits, first, self._sampling)
        numbers = torch.from_numpy(uniforms(self._keys, self._count)).to(logits.device)
        drawn, logprobs = draw(logits, numbers, self._sampling)
        tokens = drawn.cpu().numpy()
        self._record(tokens, logprobs.cpu().numpy())

        done = self._stops[tokens] | (self._count >= self._sampling.max_new_tokens)
        finished: list[Sample] = []
        if done.any():
            finished = self._finish(np.flatnonzero(done), tokens)
            tokens = self._leave(done, tokens)
            drawn = torch.from_numpy(tokens).to(drawn.device)
        order = self._cache.tidy(len(tokens)) if len(tokens) else None
        if order is not None:
            for name in _ROW_ARRAYS:
                setattr(self, name, getattr(self, name)[order])
            drawn = drawn[torch.from_numpy(order).to(drawn.device)]
        self._hidden = self._decoder.decode(drawn, None, self._cache) if len(tokens) else None
        return finished

    def _record(self, tokens: npt.NDArray[np.int64], logprobs: npt.NDArray[np.float32]) -> None:
        room = self._tokens.shape[1]
        if int(self._count.max()) >= room:
            wider = min(2 * room, self._sampling.max_new_tokens)
            for name in ("_tokens", "_logprobs"):
                old = getattr(self, name)
                new = np.zeros((self._slots, wider), dtype=old.dtype)
                new[:, :room] = old
                setattr(self, name, new)
        self._tokens[self._buffer, self._count] = tokens
        self._logprobs[self._buffer, self._count] = logprobs
        self._count += 1

    def _finish(self, done: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64]) -> list[Sample]:
        samples = []
        for slot in done[np.argsort(self._row[done])].tolist():
            prompt, index = divmod(int(self._row[slot]), self._per_prompt)
            buffer, count = self._buffer[slot], self._count[slot]
            samples.append(
                Sample(
                    prompt_id=self._prompts[prompt].prompt_id,
                    index=index,
                    token_ids=tuple(self._tokens[buffer, :count].tolist()),
                    logprobs=tuple(self._logprobs[buffer, :count].tolist()),
                    finish="stop" if self._stops[tokens[slot]] else "length",
                )
            )
        return samples

    def _leave(self, done: npt.NDArray[np.bool_], tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Take the finished rows out; the last rows move into their slots. Returns the others' tokens."""
        self._free_buffers.extend(self._buffer[done].tolist())
        prompts, counts = np.unique(self._row[done] // self._per_prompt, return_counts=True)
        left = len(done) - int(done.sum())
        holes, movers = compaction(done)
        self._cache.free(np.flatnonzero(done).tolist())
        self._cache.move(movers.tolist(), holes.tolist())
        for name in _ROW_ARRAYS:
            values = getattr(self, name)
            values[holes] = values[movers]
            setattr(self, name, values[:left].copy())
        tokens = tokens.copy()
        tokens[holes] = tokens[movers]
        self._unfinished_of[prompts] -= counts
        for prompt in prompts[self._unfinished_of[prompts] == 0].tolist():
            self._cache.forget(prompt)
            self._first_hidden.pop(prompt, None)
        return tokens[:left]

    def _enter(self) -> None:
        """Fill the free slots with the next rows, running prompts that have not been run."""
        active, first = len(self._row), self._next_row
        last = min(first + self._slots - active, self._total)
        rows = np.arange(first, last)
        prompts = rows // self._per_prompt
        slots = active + np.arange(len(rows))
        self._prefill(int(prompts[-1]) + 1)
        hidden = []
        for prompt in np.unique(prompts).tolist():
            inside = slots[prompts == prompt].tolist()
            self._cache.enter(prompt, inside)
            hidden.append(self._first_hidden[prompt].expand(len(inside), -1))
        keys = [
            row_key(
                self._key.seed, self._key.stage, self._key.rollout, self._prompts[row // self._per_prompt].prompt_id,
                row % self._per_prompt,
            )
            for row in rows.tolist()
        ]  # fmt: skip
        buffers = [self._free_buffers.pop() for _ in rows]
        self._row = np.concatenate((self._row, rows))
        self._count = np.concatenate((self._count, np.zeros(len(rows), dtype=np.int64)))
        self._keys = np.concatenate((self._keys, np.array(keys, dtype=np.uint64)))
        self._buffer = np.concatenate((self._buffer, np.array(buffers, dtype=np.int64)))
        self._hidden = torch.cat(hidden if self._hidden is None else [self._hidden, *hidden])
        self._next_row = last

    def _prefill(self, needed: int) -> None:
        """Run prompts in order until `needed` of them have been run, with some of the next where it is one pass."""
        while self._prefilled < needed:
            first = self._prefilled
            last, tokens = first, 0
            while last < min(max(needed, first + _PREFETCHED_PROMPTS), len(self._prompts)):
                tokens += len(self._prompts[last].token_ids)
                if last > first and tokens > _PREFILL_TOKENS:
                    break
                last += 1
            batch = [self._prompts[i].token_ids for i in range(first, last)]
            hidden = self._decoder.prefill(batch, self._cache, [()] * len(batch))
            for offset in range(len(batch)):
                self._first_hidden[first + offset] = hidden[offset : offset + 1]
            self._prefilled = last
