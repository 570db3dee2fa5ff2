"""Errors as OpenAI's API gives them: a status, and `error: {message, type, param, code}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

INVALID = "invalid_request_error"


class Refusal(Exception):
    """A request that is not answered. The message is for the client: no text of the request or of a model in it."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.kind, self.param = status, message, code, kind, param
        self.headers = dict(headers or {})

    def body(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON of the reply."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": {**error, **(extra or {})}}


def encoded(value: Any) -> bytes:
    """JSON in ASCII: safe also for clients that split lines at U+2028."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def bad(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """400: the request itself is wrong."""
    return Refusal(400, message, code, param=param)


def too_large(message: str) -> Refusal:
    """413, and the connection is closed: the rest of the body is not read."""
    return Refusal(413, message, "request_too_large", headers={"Connection": "close"})


def unavailable(message: str, code: str = "unavailable", retry_after: int = 5) -> Refusal:
    """503: nothing is answered that cannot be controlled and recorded."""
    return Refusal(
        503, message, code, kind="service_unavailable_error", headers={"Retry-After": str(retry_after)}
    )


def too_many(message: str, code: str, seconds: float) -> Refusal:
    """429 with the seconds to wait, rounded up."""
    wait = max(1, min(3600, int(seconds) + (seconds > int(seconds))))
    return Refusal(429, message, code, kind="rate_limit_error", headers={"Retry-After": str(wait)})
