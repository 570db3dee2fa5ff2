"""A checkpoint on this machine as the gateway's `Model`: any number of clients, one running batch."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from ahalab.counter import row_key
from ahalab.errors import UserError
from ahalab.guard.records import Delta, Exchange
from ahalab.pipeline.threads import probe_threads
from ahalab.policy.forward import Decoder, Precision
from ahalab.policy.load import Policy, load_policy
from ahalab.rollout.continuous import ContinuousBatch, Row
from ahalab.rollout.engine import Sampling
from ahalab.serving.errors import bad
from ahalab.serving.local_engine import EngineLimits, LocalEngine
from ahalab.serving.local_prompt import Prompts
from ahalab.serving.local_text import ReplyText
from ahalab.stages.converse import find_speaker
from ahalab.text.renderer import Renderer
from ahalab.text.template import SYSTEM_PROMPT
from ahalab.validation import StrictModel

NO_CONTROL = Path(__file__).with_name("no_control.yaml")
"""The policy under which nothing is matched or reviewed."""
TOYS = ("builtin:",)
"""Bases that are toys: sums in a made-up world."""


class LocalSettings(StrictModel):
    """How a local model serves. Figures without a source are our choice."""

    name: str = Field(
        "", max_length=200, description="Name that clients ask for; the run's or model's own when empty"
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        0.6, description="Of requests that give none (the paper's for evaluation)"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="Of requests that give none (the paper's for evaluation)"
    )
    max_tokens: Annotated[int, Field(ge=1)] = Field(
        1_024, description="Longest reply of requests that give none, where the context has room"
    )
    context: Annotated[int, Field(ge=16)] | None = Field(
        None, description="Most tokens of prompt and reply; what the model was made for when left out"
    )
    rows: Annotated[int, Field(ge=1, le=1_024)] = Field(16, description="Replies under way at one time")
    waiting: Annotated[int, Field(ge=1)] = Field(
        64, description="Requests that may wait; more are refused with 429"
    )
    cache_mb: Annotated[int, Field(ge=1)] = Field(
        1_024, description="Memory for keys and values; growing in blocks may take half as much again"
    )
    weights: Precision = Field("fp32", description="Precision to sample in")
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="CPU threads; the quicker of one and all is tried out when left out"
    )
    format_prompt: bool | None = Field(
        None,
        description="Ask chat models for <think> and <answer>, as in training; left out: runs are asked, others not",
    )


@dataclass(frozen=True, slots=True)
class _Request:
    row: Row
    stops: tuple[str, ...]


class LocalModel:
    """Implements `guard.protocols.Model`. Loads at once; `aclose` ends its thread.

    The same seed and messages give the same reply, whatever else is under way, as far as promise 2 on sameness goes.

    Raises:
        UserError: there is no such model or run, it cannot be loaded, or the context is more than it can read.
    """

    def __init__(self, model: str, settings: LocalSettings | None = None) -> None:
        self.settings = settings = settings or LocalSettings()
        speaker = find_speaker(model)
        trained = speaker.model != model
        self.toy = speaker.model.startswith(TOYS)
        self._names = (settings.name or (Path(model).resolve().name if Path(model).exists() else model),)
        policy = load_policy(speaker.model)
        asks = trained if settings.format_prompt is None else settings.format_prompt
        self._renderer = Renderer(
            policy.tokenizer,
            template=speaker.template,
            system_prompt=SYSTEM_PROMPT if asks else None,
            think_prefill=speaker.think_prefill,
            extra_stop_ids=policy.stop_ids,
        )
        self.notice = self._renderer.notice
        self.context = _context(policy, settings.context, model)
        self._prompts = Prompts(self._renderer, policy.tokenizer, self.context)
        # Of its own, because prompts are encoded in other threads.
        self._tokenizer = copy.deepcopy(policy.tokenizer)
        decoder = policy.decoder.for_sampling(settings.weights, [self._renderer.prompt_ids("1 + 1 = ?")])
        self._vocabulary = decoder.vocab_size
        self.limits = EngineLimits(
            rows=settings.rows,
            cache_tokens=max(self.context, settings.cache_mb * 2**20 // _bytes_per_token(policy)),
            waiting=settings.waiting,
        )
        parameters = sum(one.numel() for one in policy.model.parameters())
        self.threads = settings.threads or (probe_threads(parameters) if decoder.device.type == "cpu" else 1)
        self.engine = LocalEngine(
            lambda: _batch(decoder, self.limits.rows, self.context),
            self.limits,
            lambda: torch.set_num_threads(self.threads),
        )
        self.engine.start()

    @property
    def names(self) -> tuple[str, ...]:
        """One: the run's, or the model's."""
        return self._names

    def ready(self) -> str:
        """Why nothing is answered now; "" when it is. For /healthz."""
        return self.engine.ready()

    def status(self) -> dict[str, Any]:
        """Figures of the engine."""
        return self.engine.status()

    async def aclose(self, seconds: float = 0.0) -> None:
        """End replies under way after so many seconds, and the thread."""
        await self.engine.close(seconds)

    async def answer(self, exchange: Exchange, options: Mapping[str, Any]) -> AsyncIterator[Delta]:
        """See `Model`. Refusal: 400 for what cannot be asked, 429 without room, 5xx when the engine failed."""
        request = await asyncio.to_thread(self._request, exchange, options)
        text = ReplyText(self._tokenizer, thinking=self._renderer.prefilled, stops=request.stops)
        read, written = len(request.row.prompt), 0
        reply = self.engine.submit(request.row, exchange.key)
        try:
            finish = ""
            while not finish:
                tokens, finish = await reply.take()
                written += len(tokens)
                piece = text.feed(tokens[:-1] if finish == "stop" else tokens)
                if text.stopped:
                    finish = "stop"
                if piece:
                    yield Delta(piece.content, piece.thinking, tokens_in=read, tokens_out=written)
            rest = text.finish()
            yield Delta(rest.content, rest.thinking, finish, tokens_in=read, tokens_out=written)
        finally:
            reply.cancel()

    def _request(self, exchange: Exchange, options: Mapping[str, Any]) -> _Request:
        """Everything that can be wrong with a request is found here, before it meets the others."""
        for name in ("presence_penalty", "frequency_penalty"):
            if options.get(name):
                raise bad(f"`{name}` is not offered by this model.", name, "unsupported_parameter")
        ids = self._prompts.ids(exchange.turns)
        if max(ids) >= self._vocabulary:
            raise bad("The messages have tokens that the model does not know.", "messages")
        room = self.context - len(ids)
        wanted = options.get("max_tokens")
        if wanted is not None and wanted > room:
            raise bad(
                f"The messages are {len(ids)} tokens and `max_tokens` is {wanted}; this model reads {self.context} "
                f"together. Ask for at most {room}.",
                "max_tokens",
                "context_length_exceeded",
            )
        sampling = Sampling(
            max_new_tokens=wanted or min(self.settings.max_tokens, room),
            temperature=float(options.get("temperature", self.settings.temperature)),
            top_p=float(options.get("top_p", self.settings.top_p)),
            stop_ids=self._renderer.stop_ids,
        )
        seed = options.get("seed")
        return _Request(Row(ids, sampling, reply_key(seed, ids)), tuple(options.get("stop") or ()))


def reply_key(seed: int | None, prompt: tuple[int, ...]) -> int:
    """What names a reply's random numbers: the seed, a random one when left out, and the prompt."""
    seed = secrets.randbits(63) if seed is None else seed
    return row_key(
        seed, "serve", 0, hashlib.sha256(np.array(prompt, dtype=np.int64).tobytes()).hexdigest(), 0
    )


def _batch(decoder: Decoder, rows: int, context: int) -> ContinuousBatch:
    return ContinuousBatch(decoder, rows, context)


def _context(policy: Policy, wanted: int | None, name: str) -> int:
    """Tokens that the model was made to read. UserError: more are asked for, or it does not say."""
    stated = getattr(policy.model.config, "max_position_embeddings", None)
    limits = [int(one) for one in (stated, policy.decoder.max_positions) if one is not None]
    if wanted is None and not limits:
        raise UserError(f"{name}: its config.json does not say how many tokens it reads. Give --context.")
    if wanted is not None and limits and wanted > min(limits):
        raise UserError(f"--context {wanted}: {name} was made to read {min(limits)} tokens")
    return min([*limits, *([wanted] if wanted else [])])


def _bytes_per_token(policy: Policy) -> int:
    """Keys and values of one token in all layers."""
    config = policy.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    parameter = next(policy.model.parameters())
    return int(2 * policy.decoder.n_layers * heads * width * parameter.element_size())
