"""Who answers: a model on this machine, or a server that speaks the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.policy.load import Policy, load_policy
from ahalab.policy.locate import fingerprint
from ahalab.records import FinishReason, Prompt
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.runs.faults import fault_point
from ahalab.stages.context import Interrupt
from ahalab.stages.converse import Speaker, find_speaker
from ahalab.stages.suites.config import EvalConfig
from ahalab.stages.suites.folder import REPLIES_NAME
from ahalab.text.parse import parse_response
from ahalab.text.renderer import Renderer
from ahalab.text.template import SYSTEM_PROMPT, THINK_CLOSE, THINK_OPEN

OnSample = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One completion, before anybody reads it."""

    text: str
    """Whole, the thinking included, a prefilled `<think>` put back."""
    finish: FinishReason
    tokens: int
    thinking_tokens: int | None = None
    """None where a server does not tell."""
    error: str | None = None
    """Why there is no completion: such a sample is counted and leaves the figures."""


class Answerer(Protocol):
    """Gives the same completions for the same arguments; "answers" are in item and sample order."""

    def identity(self) -> dict[str, Any]:
        """What decides the completions, JSON-able."""
        ...

    def answers(
        self, prompts: Sequence[Prompt], suite: str, shard: int, on_sample: OnSample
    ) -> list[list[RawAnswer]]:
        """[P][k] completions. `on_sample` hears how many are there."""
        ...


class LocalModel:
    """A model folder, a bundled base or a Hugging Face id. Loaded when something is to be sampled, not before."""

    def __init__(self, speaker: Speaker, config: EvalConfig) -> None:
        self._speaker, self._config = speaker, config
        self._template = config.template or speaker.template
        self._policy: Policy | None = None
        self._renderer: Renderer | None = None

    def identity(self) -> dict[str, Any]:
        """See `Answerer`."""
        return {
            "kind": "local",
            "model": self._speaker.model,
            "fingerprint": fingerprint(self._speaker.model),
            "template": self._template,
            "think_prefill": self._speaker.think_prefill,
            "system_prompt": self._config.system_prompt is not False,
            "max_rows": self._config.max_rows,
            "dtype": "float32",
        }

    def answers(
        self, prompts: Sequence[Prompt], suite: str, shard: int, on_sample: OnSample
    ) -> list[list[RawAnswer]]:
        """See `Answerer`. UserError for a prompt that leaves no room in the model."""
        policy, renderer = self._loaded()
        k = self._config.k
        sampling = Sampling(
            max_new_tokens=self._config.max_new_tokens,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            stop_ids=renderer.stop_ids,
        )
        tokens = [
            PromptTokens(one.id, tuple(renderer.prompt_ids(one.question, one.messages))) for one in prompts
        ]
        engine = EmbeddedEngine(policy.decoder, max_rows=self._config.max_rows)
        place = {prompt.id: number for number, prompt in enumerate(prompts)}
        found: dict[int, RawAnswer] = {}
        key = RolloutKey(self._config.seed, f"eval/{suite}", shard)
        for sample in engine.generate(tokens, k, sampling, key):
            fault_point("rollout")
            text = renderer.parse(renderer.decode(sample.token_ids), sample.finish).text
            thinking = parse_response(text, sample.finish).thinking or ""
            counted = len(renderer.completion_ids(thinking)) if thinking else 0
            number = place[sample.prompt_id] * k + sample.index
            found[number] = RawAnswer(text, sample.finish, len(sample.token_ids), counted)
            on_sample(len(found))
        return [[found[p * k + index] for index in range(k)] for p in range(len(prompts))]

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt as the model is given it."""
        _, renderer = self._loaded()
        return len(renderer.prompt_ids(prompt.question, prompt.messages))

    @property
    def longest_prompt(self) -> int | None:
        """Most tokens of a prompt that leave room for a whole completion in the context that the model was made for;
        None where it states none. A decoder with rotary positions would go on beyond it, into nonsense."""
        limit = getattr(self._loaded()[0].model.config, "max_position_embeddings", None)
        return None if limit is None else int(limit) - self._config.max_new_tokens

    def _loaded(self) -> tuple[Policy, Renderer]:
        policy = self._policy = self._policy or load_policy(self._speaker.model)
        renderer = self._renderer = self._renderer or Renderer(
            policy.tokenizer,
            template=self._template,
            system_prompt=SYSTEM_PROMPT if self._config.system_prompt is not False else None,
            think_prefill=self._speaker.think_prefill,
            extra_stop_ids=policy.stop_ids,
        )
        return policy, renderer


EMPTY_REPLIES = ("empty reply", "reply cut off")
"""A server's failures that are an answer all the same: nothing was said, which is wrong."""


class Endpoint:
    """A server. Every reply is kept in `folder`: a resumed evaluation pays for none twice."""

    def __init__(
        self, endpoint: EndpointConfig, config: EvalConfig, folder: Path, stopping: Callable[[], bool]
    ) -> None:
        self._settings = endpoint.model_copy(
            update={
                "temperature": config.temperature,
                "max_tokens": config.max_new_tokens,
                "extra": {**endpoint.extra, "top_p": config.top_p},
            }
        )
        self._config = config
        self._client = ChatClient("endpoint", self._settings, folder, stopping)

    def identity(self) -> dict[str, Any]:
        """See `Answerer`. The seed is not sent: with it, a server would say the same k times."""
        return {
            "kind": "endpoint",
            **self._settings.identity(),
            "system_prompt": bool(self._config.system_prompt),
        }

    def answers(
        self,
        prompts: Sequence[Prompt],
        suite: str,  # noqa: ARG002 - the text decides
        shard: int,  # noqa: ARG002
        on_sample: OnSample,
    ) -> list[list[RawAnswer]]:
        """See `Answerer`. Errors as `ChatClient.complete`."""
        k = self._config.k
        before = (("system", SYSTEM_PROMPT),) if self._config.system_prompt else ()
        requests = [
            ChatRequest(
                (*before, *(prompt.messages or (("user", prompt.question),))),
                self._config.seed * 1_000_000 + index,
            )
            for prompt in prompts
            for index in range(k)
        ]
        raw = [self._raw(outcome) for outcome in self._client.complete(requests)]
        on_sample(len(raw))
        return [raw[start : start + k] for start in range(0, len(raw), k)]

    def _raw(self, outcome: Reply | Failed) -> RawAnswer:
        if isinstance(outcome, Failed):
            if outcome.reason in EMPTY_REPLIES:
                cut = outcome.reason == "reply cut off"
                # An empty reply is its end token.
                return RawAnswer("", "length" if cut else "stop", self._config.max_new_tokens if cut else 1)
            return RawAnswer("", "stop", 0, error=f"endpoint: {outcome.reason}")
        text = joined(outcome)
        return RawAnswer(text, "length" if outcome.finish == "length" else "stop", outcome.tokens_out)


def joined(reply: Reply) -> str:
    """A reply's text with the thinking that its server tells apart put before it, as the model wrote it."""
    if not reply.thinking.strip():
        return reply.text
    end = f"{THINK_CLOSE}\n" if reply.text.strip() else ""
    return f"{THINK_OPEN}\n{reply.thinking}\n{end}{reply.text}"


def make_answerer(
    model: str | None, server: EndpointConfig | None, config: EvalConfig, folder: Path, interrupt: Interrupt
) -> Answerer:
    """The model called `model` (see `find_speaker`), or the server, whose replies are kept in the evaluation's folder.

    Raises:
        UserError: neither or both are given, no such model, an unset key variable.
    """
    if server is not None and model is None:
        return Endpoint(server, config, folder / REPLIES_NAME, lambda: interrupt.asked)
    if model is None or server is not None:
        raise UserError("aha eval: give either a MODEL (or run folder), or --endpoint URL with --model NAME")
    return LocalModel(find_speaker(model), config)


def settle_threads(threads: int | None) -> int:
    """Use so many CPU threads, or torch's own number; part of what decides the bytes of a sample."""
    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads {threads}: expected at least 1")
        torch.set_num_threads(threads)
    return torch.get_num_threads()
