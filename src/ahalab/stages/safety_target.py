"""A model on this machine as a target of the safety evaluation: its thinking and answer, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ahalab.errors import Interrupted
from ahalab.policy.memory import count_parameters
from ahalab.records import Prompt
from ahalab.safety.protocols import OnReply
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.running.parting import part_reply
from ahalab.safety.running.targets import LocalTarget
from ahalab.stages.converse import find_speaker
from ahalab.stages.shards import cut
from ahalab.stages.suites.answerers import LocalModel, RawAnswer
from ahalab.stages.suites.config import SHARD_SAMPLES, EvalConfig

TOO_LONG = "refused: too long"
"""The endpoints' words for the same thing."""


FEWEST_PARAMETERS = 200_000_000
"""Smaller models are no assistants: their evaluation is a check of the pipeline and says so. Our choice; SmolLM2-135M
and everything trained from the bundled bases lies below."""


class LocalModelTarget:
    """See `ahalab.safety.running.targets.RunTarget`. A shard of items is sampled, then written: a kill costs one shard.

    Args:
        threads: CPU threads in use, part of what decides the bytes.

    Raises:
        UserError: there is no such model.
    """

    endpoint = None

    def __init__(
        self, name: str, config: LocalTarget, seed: int, threads: int, stopping: Callable[[], bool]
    ) -> None:
        self.name, self.control_of = name, config.control_of or ""
        self._given, self._threads, self._stopping = config, threads, stopping
        self._config = EvalConfig(
            k=1,
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            seed=seed,
        )
        self._speaker = find_speaker(config.local)
        self._model = LocalModel(self._speaker, self._config)
        # At once: a model that is not there is told before anything begins.
        parameters = count_parameters(self._speaker.model)
        self._identity = {
            **self._model.identity(),
            "parameters": parameters,
            "claim": parameters >= FEWEST_PARAMETERS,
        }

    def identity(self) -> dict[str, Any]:
        """See `Target`."""
        control = {"control": self._given.control} if self._given.control else {}
        return {**self._identity, **self._config.sampling(), "threads": self._threads, **control}

    def check(self, items: Sequence[SafetyItem]) -> str:  # noqa: ARG002 - the model's name was read already
        """See `RunTarget`."""
        return ""

    def kept(self, items: Sequence[SafetyItem]) -> int:  # noqa: ARG002 - nothing is paid for
        """See `RunTarget`."""
        return 0

    def prompt_bytes(self, item: SafetyItem) -> int:  # noqa: ARG002
        """See `RunTarget`."""
        return 0

    def replies(self, items: Sequence[SafetyItem], on_reply: OnReply) -> None:
        """See `Target`. An item whose prompt leaves no room for a reply is an error of its own."""
        for shard in cut(items, SHARD_SAMPLES):
            if self._stopping():
                raise Interrupted(f"target {self.name}: the shards so far are kept.")
            prompts = {item.id: _prompt(item) for item in shard}
            longest = self._model.longest_prompt
            fitting = [
                prompt
                for prompt in prompts.values()
                if longest is None or self._model.prompt_tokens(prompt) <= longest
            ]
            # Always "shard 0": an item's random numbers hang on its id alone, in whatever shard a resume puts it.
            raw = self._model.answers(fitting, "safety", 0, lambda _done: None) if fitting else []
            answers = {prompt.id: found for prompt, (found,) in zip(fitting, raw, strict=True)}
            for item in shard:
                on_reply(self._row(item, answers.get(item.id)))

    def _row(self, item: SafetyItem, raw: RawAnswer | None) -> TargetReply:
        if raw is None:
            return TargetReply(item.id, self.name, "", error=TOO_LONG)
        thinking, answer = part_reply(raw.text)
        return TargetReply(item.id, self.name, answer, thinking, raw.finish, tokens_out=raw.tokens)


def _prompt(item: SafetyItem) -> Prompt:
    return Prompt(
        id=item.id,
        question=item.prompt,
        answer=None,
        domain="general",
        source=item.benchmark,
        verifier="none",
        language=item.language,
    )
