"""What the routes answer, for the gateway's own OpenAPI. Answers are written by hand; tests hold them to this."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Finish = Literal["stop", "length", "content_filter", "error"]
"""`error`: an upstream said so itself; every other word of its own becomes `stop`."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Retraction(_Answer):
    """The one extension of a reply. What the control cost is told only to keys with the scope `audit-read`."""

    retracted: bool = True
    verdict_id: str = ""
    category: str = ""
    reason: str = ""
    text: str = ""
    control: str = ""
    reviewer_calls: int = 0


class Usage(_Answer):
    """Tokens, as the model counted them or as they were estimated."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ReplyMessage(_Answer):
    """The turn of the assistant."""

    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning_content: str = ""


class _Choice(_Answer):
    index: Literal[0]
    logprobs: None
    finish_reason: Finish


class _Reply(_Answer):
    id: str
    created: int
    model: str
    usage: Usage
    ahalab: Retraction | None = None


class ChatChoice(_Choice):
    """The one reply."""

    message: ReplyMessage


class ChatReply(_Reply):
    """Of POST /v1/chat/completions."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(min_length=1, max_length=1)


class TextChoice(_Choice):
    """The one reply."""

    text: str


class TextReply(_Reply):
    """Of POST /v1/completions."""

    object: Literal["text_completion"]
    choices: list[TextChoice] = Field(min_length=1, max_length=1)


class ModelEntry(_Answer):
    """A model that may be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(_Answer):
    """Of GET /v1/models."""

    object: Literal["list"]
    data: list[ModelEntry]


class Verdict(_Answer):
    """What the control says of one text."""

    verdict_id: str
    action: str
    would: str
    keywords: bool
    rules: list[int]


class ModerationResult(_Answer):
    """Of one text: OpenAI's thirteen categories, and ours beside them."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]
    ahalab: Verdict


class ModerationReply(_Answer):
    """Of POST /v1/moderations."""

    id: str
    model: str
    results: list[ModerationResult] = Field(min_length=1)


class GuardrailVerdict(_Answer):
    """Which audit row says more."""

    verdict_id: str
    category: str


class GuardrailReply(_Answer):
    """Of LiteLLM's guardrail."""

    action: Literal["NONE", "BLOCKED"]
    blocked_reason: str = ""
    ahalab: GuardrailVerdict | None = None


class Health(_Answer):
    """Of GET /healthz, which needs no key and therefore says little."""

    status: Literal["ok", "unavailable"]
    insecure: bool


class AdminHealth(Health):
    """Of GET /healthz on the admin side."""

    why: str
    models: list[str]
    engine: dict[str, Any]
    under_way: int
    keys: int
    keys_error: str
    guard: dict[str, Any]


class Reloaded(BaseModel):
    """Of POST /admin/reload: what serves now."""

    model_config = ConfigDict(extra="allow")

    error: str
    reloads: int
    failed_reloads: int
    policies: dict[str, Any]
