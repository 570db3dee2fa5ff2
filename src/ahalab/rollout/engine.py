"""What an engine takes and gives. The embedded torch engine is one; others can follow the same protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ahalab.policy.forward import Decoder
from ahalab.records import Sample


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Raises:
        ValueError: a value out of range.
    """

    max_new_tokens: int
    temperature: float = 1.0
    """0 takes the most likely token, for evaluation; its log-probs are those at temperature 1."""
    top_p: float = 1.0
    """Draw from the most likely tokens that together have this probability. For evaluation only."""
    top_k: int = 0
    """Draw from this many most likely tokens; 0 is all. For evaluation only."""
    stop_ids: tuple[int, ...] = ()
    forbidden_first: tuple[int, ...] = ()
    """Tokens that are never drawn as a completion's first, as if their probability were 0. For experiments only."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 or above, not {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 or above, not {self.top_k}")

    @property
    def truncated(self) -> bool:
        """Whether some tokens can never be drawn: the log-probs are then not the policy's, and RL refuses it."""
        return self.top_p < 1.0 or self.top_k > 0


@dataclass(frozen=True)
class RolloutKey:
    """Where in a run a rollout stands; with the prompt id and sample index it names every random number."""

    seed: int
    stage: str
    rollout: int


@dataclass(frozen=True)
class PromptTokens:
    """A rendered prompt."""

    prompt_id: str
    token_ids: tuple[int, ...]


class DecoderHolder(Protocol):
    """A policy, as far as an engine needs it."""

    @property
    def decoder(self) -> Decoder: ...


class Engine(Protocol):
    def generate(
        self, prompts: Sequence[PromptTokens], samples_per_prompt: int, sampling: Sampling, key: RolloutKey
    ) -> Iterator[Sample]:
        """Yield samples_per_prompt samples of every prompt, each as soon as it is finished.

        What is yielded, and in which order, depends on the arguments and weights only.
        """

    def load_weights(self, policy: DecoderHolder) -> None:
        """Sample from this policy from now on. Free of cost where engine and learner share the module."""
