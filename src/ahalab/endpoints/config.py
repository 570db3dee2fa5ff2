"""How a recipe names an OpenAI-compatible endpoint; the key itself stays in an environment variable."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ahalab.validation import StrictModel, told

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KEY_LIKE = re.compile(r"(sk|pk|hf|gsk|key|token)[-_][A-Za-z0-9_-]{12,}|[A-Za-z0-9]{32,}")
_OWN_KEYS = ("model", "messages", "stream", "n", "temperature", "max_tokens")


class EndpointConfig(StrictModel):
    """One entry of a recipe's `endpoints:`."""

    url: str = Field(
        description="Base address up to and including the version, such as http://127.0.0.1:8000/v1; "
        "`/chat/completions` is added."
    )
    model: Annotated[str, Field(min_length=1)] = Field(description="The model's name at that endpoint.")
    api_key_env: str | None = Field(
        None,
        description="NAME of the environment variable that holds the key; null where none is needed. "
        "The key itself never stands in a recipe.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0.6, description="Sampling temperature; null sends none. Our choice: the paper does not say."
    )
    max_tokens: Annotated[int, Field(ge=1, le=131072)] | None = Field(
        4096,
        description="Longest reply, in tokens; null sends none. A reply cut off there is a counted failure.",
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keys of the request, for what a server needs, such as {max_completion_tokens: 4096}.",
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        120.0, description="Longest wait for one whole reply, from sending to the last byte."
    )
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        5,
        description="How often one request is tried again after a broken connection, a time-out, 429, 5xx or an "
        "unreadable reply, with exponential back-off.",
    )
    give_up_after: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="The run stops (and can go on later) after so many requests in a row failed for good."
    )
    requests_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Most requests sent in a minute, retries included; null for no limit."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = Field(4, description="Requests under way at one time.")
    budget_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="The run stops (and can go on with a higher figure) when a stage has used so many tokens "
        "here, prompts and replies together; null for no limit.",
    )
    price_in: Annotated[float, Field(ge=0, le=1e6)] | None = Field(
        None,
        description="Price of a million prompt tokens, in any currency; for estimates and `budget_cost`.",
    )
    price_out: Annotated[float, Field(ge=0, le=1e6)] | None = Field(
        None, description="Price of a million reply tokens, thinking included, in the same currency."
    )
    budget_cost: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="The run stops (and can go on with a higher figure) when the replies kept here cost so much at "
        "`price_in` and `price_out`; null for no limit. Requests under way then are still paid for.",
    )

    @model_validator(mode="after")
    def _priced(self) -> EndpointConfig:
        if self.budget_cost is not None and (self.price_in is None or self.price_out is None):
            raise told(
                "budget_cost needs `price_in` and `price_out`, the prices of a million tokens (0 for free)"
            )
        return self

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """What so many tokens cost; None without both prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    @field_validator("url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            sound = False
        if not sound:
            raise told("expected an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise told(
                "expected a plain address, without user, password, ? or #. "
                "Put the key into an environment variable and its name into `api_key_env`"
            )
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("api_key_env")
    @classmethod
    def _name_not_key(cls, name: str | None) -> str | None:
        # The refused text may be a secret: it is not repeated.
        if name is not None and (not _VARIABLE.fullmatch(name) or _KEY_LIKE.fullmatch(name)):
            raise told(
                "expected the NAME of an environment variable, such as TEACHER_KEY, not the key itself. "
                "Set it with `export TEACHER_KEY=…` and write `api_key_env: TEACHER_KEY`"
            )
        return name

    @field_validator("extra")
    @classmethod
    def _no_own_keys(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for name in _OWN_KEYS:
            if name in extra:
                hint = f"use the key `{name}`" if name in cls.model_fields else "the program sets it itself"
                raise told(f"`{name}` is not for `extra`: {hint}")
        return extra

    def identity(self) -> dict[str, Any]:
        """What decides the replies, JSON-able; waiting, retrying, budget and the key's place do not."""
        return {
            "url": self.url,
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "extra": dict(self.extra),
        }
