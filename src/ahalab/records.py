"""The shared nouns: plain typed data that every room may pass to another. No behaviour, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Language = Literal["en", "zh"]
FinishReason = Literal["stop", "length"]
Messages = tuple[tuple[str, str], ...]
"""A dialogue: (role, text) of each turn, the role system, user or assistant; the last is the user's."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question and what is needed to grade an answer to it."""

    id: str
    """Stable name `<source>/<16 hex>`: a hash of the content, independent of row order and batch."""
    question: str
    answer: str | None
    """Gold answer, or None where no rule can check the domain."""
    domain: str
    """"math", "logic", "choice", "code", "general" …: rewards are composed per domain."""
    source: str
    verifier: str
    """Name in `ahalab.grading.verifiers.VERIFIERS`: "math", "exact", "choice", "code", "reasoning_gym" …; or "none"."""
    language: str = "en"
    level: int | None = None
    """Difficulty, 1 upwards, where the source knows it."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able data for the verifier (options of a choice question, a reasoning-gym entry, the tests of a program).
    Tests can be megabytes: logs of samples do not repeat it."""
    messages: Messages = ()
    """The dialogue that `question` writes out in plain words, for models with a chat template; () for a single turn."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled completion. `token_ids` includes the stop token when `finish == "stop"`."""

    prompt_id: str
    index: int
    """0 … G-1 within the prompt's group."""
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """The sampler's own log-probability of each token, natural log, of the tempered distribution it drew from."""
    finish: FinishReason


@dataclass(frozen=True, slots=True)
class Response:
    """A completion's text, parsed. Made only by `ahalab.text.Renderer.parse`."""

    text: str
    """Decoded completion without the stop token; with the prefilled `<think>` put back where one was used."""
    thinking: str | None
    answer: str | None
    well_formed: bool
    fault: str | None
    """The first format rule that failed, in words (None when well formed)."""


@dataclass(frozen=True, slots=True)
class GradeRequest:
    """What a grader worker gets: strings only, JSON-able, never code to run."""

    verifier: str
    answer: str | None
    """The answer extracted from the response; None when there is none (graded 0 without work)."""
    gold: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one grading: exactly one of `score` and `error` is set, or neither (does not apply)."""

    score: float | None
    error: str | None = None
    """Why the grader itself failed ("cpu time-out", "crash", …). A failure is counted, never a 0."""
    wall_timeout: bool = False
    """The distant wall-clock backstop fired: the run is then marked not reproducible."""
    note: str | None = None
    """What the verifier calls the outcome, where it has names for it ("accepted", "time limit"); counted in logs."""


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward parts of one sample, kept apart; `total` is made in one place (`ahalab.rewards.compose`)."""

    parts: Mapping[str, float | None]
    """None = does not apply to this sample."""
    total: float | None
    """None when a grader failed: the sample leaves its group's mean, std and the loss."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SupervisedRow:
    """One worked answer to learn from: what `sample` stages leave in `data/rows.jsonl` and `sft` stages read."""

    id: str
    """Unique within its data set."""
    question: str
    thinking: str
    """"" where the answer needs none (trivial queries)."""
    answer: str
    """The final summary."""
    domain: str
    language: str
    source: str
    """Which stage and teacher made it."""
    rounds: int = 1
    """Turns of the user in the dialogue."""
    prompt_id: str | None = None
    messages: Messages = ()
    """As `Prompt.messages`."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one question of which one was preferred: what the pairwise loss learns from."""

    id: str
    question: str
    chosen: str
    """The final summary alone: the helpful reward model sees nothing else (paper §3.1)."""
    rejected: str
    domain: str
    language: str
    source: str
    margin: float = 0.0
    """Mean difference of the judge's verdicts, on the scale -2 to 2; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class LabelledResponse:
    """A whole response, thinking included, labelled safe or unsafe: what the point-wise loss learns from."""

    id: str
    question: str
    thinking: str
    answer: str
    safe: bool
    domain: str
    language: str
    source: str
