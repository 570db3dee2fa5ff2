"""The body of a request: bounded, UTF-8, and JSON in which every key stands once; read before anything else."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import TYPE_CHECKING, Any

from ahalab.serving.errors import Refusal, bad, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

DEEPEST = 16
"""Objects and lists inside each other; the deepest field that is taken has 5."""
MOST_VALUES = 50_000
"""Objects and lists in one body."""
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_ODD_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")


class _Twice(ValueError):
    """A key that stands twice in one object."""


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The bytes of the body. Refusal where it is too large, too slow, compressed, or not declared as JSON."""
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Also what keeps a page elsewhere from sending one without asking first (CORS).
        raise Refusal(415, "Send the body as `Content-Type: application/json`.", "unsupported_media_type")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refusal(415, "The body must not be compressed.", "unsupported_content_encoding")
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told[:19]) > most:
        raise too_large(f"The body has {told[:19]} bytes; {most} are taken.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large(f"The body has more than the {most} bytes that are taken.")
                parts.append(part)
    except TimeoutError:
        raise Refusal(
            408,
            f"The body did not arrive within {seconds:g} seconds.",
            "request_timeout",
            headers={"Connection": "close"},
        ) from None
    return b"".join(parts)


def read_json(body: bytes) -> dict[str, Any]:
    """The object of a body. Refusal 400 says what is wrong with it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad(f"The body is no UTF-8: byte {error.start}.", code="invalid_utf8") from None
    _check_depth(text)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite)
    except _Twice as error:
        raise bad(f"A key stands twice in one object: {error}.", code="duplicate_key") from None
    except json.JSONDecodeError as error:
        raise bad(
            f"The body is no JSON: {error.msg} at character {error.pos}.", code="invalid_json"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # NaN, infinities, and whole numbers of thousands of digits
        raise bad(
            f"The body is no JSON that is taken: {_number_words(error)}.", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise bad("The body must be a JSON object.", code="invalid_json")
    if _ODD_ESCAPE.search(text):
        _check_characters(value)
    return value


def _check_depth(text: str) -> None:
    opened = text.count("{") + text.count("[")
    if opened <= DEEPEST:
        return
    if opened > MOST_VALUES:
        raise bad(f"The body has more than {MOST_VALUES} objects and lists.", code="too_many_values")
    depth = 0
    for found in _STRUCTURE.finditer(text):
        first = text[found.start()]
        if first in "[{":
            depth += 1
            if depth > DEEPEST:
                raise _too_deep()
        elif first in "]}":
            depth -= 1


def _too_deep() -> Refusal:
    return bad(f"The body is nested more than {DEEPEST} levels deep.", code="nested_too_deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twice(json.dumps(next(key for key in keys if keys.count(key) > 1)[:64]))
    return made


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:32]} is no number")
    return value


def _number_words(error: ValueError) -> str:
    words = str(error)
    return words if words.endswith("is no number") else "a number has too many digits"


def _check_characters(value: Any) -> None:
    """Half a surrogate pair has no UTF-8 form, and NUL is no text: neither could be kept or sent on."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.keys()
            todo += one.values()
        elif isinstance(one, list):
            todo += one
        elif isinstance(one, str) and _NUL_OR_SURROGATE.search(one):
            raise bad("A text holds NUL or half of a surrogate pair.", code="invalid_characters")
