"""What an operator sets for a gateway. Figures without a source are our choice."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ahalab.validation import StrictModel


class GatewaySettings(StrictModel):
    """Limits and places of a gateway."""

    host: str = Field("127.0.0.1", description="Address of the public side; beyond loopback only with keys")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="0 takes any that is free")
    admin_host: str = Field("127.0.0.1", description="Address of the admin side")
    admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8001, description="Port of /metrics and the admin calls; 0 takes any that is free"
    )
    host_names: list[str] = Field([], description="Further names that the Host header may have")
    origins: list[str] = Field(
        [], description="Further origins of pages that may call, such as https://a.example"
    )
    insecure: bool = Field(
        False, description="Answer also what cannot be filtered or recorded: logged and counted each time"
    )
    body_bytes: Annotated[int, Field(ge=1_000, le=100_000_000)] = Field(
        1_000_000, description="Largest body of a request"
    )
    body_seconds: Annotated[float, Field(gt=0, le=600)] = Field(20.0, description="For a body to arrive")
    characters: Annotated[int, Field(ge=100)] = Field(
        400_000, description="Of all texts of a request together"
    )
    messages: Annotated[int, Field(ge=1)] = Field(1_000, description="Most messages of a request")
    max_tokens: Annotated[int, Field(ge=1)] = Field(32_768, description="Longest reply that may be asked for")
    parallel: Annotated[int, Field(ge=1)] = Field(
        1_000, description="Requests under way; more are refused with 429"
    )
    parallel_per_key: Annotated[int, Field(ge=1)] = Field(
        600, description="Requests under way of one key that has no limit of its own"
    )
    requests_per_minute: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of one key that has no limit of its own; null for none"
    )
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Prompt and reply, of one key that has no limit of its own; null for none"
    )
    conclude_first: Literal["flagged", "always"] = Field(
        "flagged",
        description="Which conclusions are on the disk before a reply's last byte: of all that was flagged, sampled, "
        "withheld, let through or cut short; or of every reply. The others outlive a kill of the gateway by then, and "
        "reach the disk within 20 ms or so. The intent is on the disk before the first byte",
    )
    reply_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600.0, description="For a model's reply, from the request to its last piece"
    )
    keep_alive_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        10.0, description="A stream that waits (for the model, a review, a queue) sends a comment so often"
    )
    send_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        30.0, description="A client that takes nothing for so long is treated as gone"
    )
    shutdown_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        20.0,
        description="Replies under way may take so long to end when the gateway stops; then they are ended",
    )
