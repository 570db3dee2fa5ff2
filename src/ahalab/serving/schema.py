"""The gateway's own OpenAPI: bodies are read by hand, with limits, and described from the models that check them.

Answers are written by hand too, and described in `answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

_MESSAGES = {
    400: "The request is wrong: `error.param` names the field.",
    401: "No key, or not a good one.",
    403: "The key may not do this, or the page may not ask.",
    404: "There is no such model or address.",
    408: "The body came too slowly.",
    409: "The changed files are not taken up; what served before still does.",
    413: "The request is too large.",
    415: "The body is not declared as JSON.",
    421: "The Host header names another server.",
    429: "Too many requests or tokens; `Retry-After` says when to try again.",
    502: "The model failed.",
    503: "Nothing is answered that cannot be controlled and recorded.",
    504: "The model took too long.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_WITHOUT_BODY = (401, 403, 404, 421, 503)
_READING = (*_WITHOUT_BODY, 400, 408, 413, 415, 429, 502, 504)
Responses = dict[int | str, dict[str, Any]]
_EVENT = {
    "description": "One of the events of a reply with `stream: true`: a chunk as OpenAI sends them, or `[DONE]`.",
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string"}},
}


def answered(
    model: type[BaseModel] | None, *, reads: bool, streams: bool = False, also: Sequence[int] = ()
) -> Responses:
    """What a route answers, for `responses`: the model's form, and the errors.

    Args:
        model: None for plain text.
        reads: whether the route reads a body, and so refuses wrong ones.
        streams: whether the answer may be a stream of events.
        also: statuses with the same form as a good answer, such as the 503 of a health check.
    """
    content: dict[str, Any] = {"application/json": {"schema": _schema(model)}} if model else {}
    errors = refused(*(_READING if reads else _WITHOUT_BODY))
    same: Responses = {status: {"description": _MESSAGES[status], "content": content} for status in also}
    shown = content | {"text/event-stream": {"schema": _EVENT}} if streams else content
    return {
        200: {"description": ((model.__doc__ if model else "") or "Text.").strip(), "content": shown},
        **errors,
        **same,
    }


def refused(*statuses: int) -> Responses:
    """Errors that a route answers with, for `responses`."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": _MESSAGES[status], "content": content} for status in statuses}


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The request body of a route, for `openapi_extra`."""
    content = {"application/json": {"schema": _schema(model)}}
    return {"requestBody": {"required": True, "content": content}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    made: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return made


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Without references: FastAPI keeps only components of its own making."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(one, definitions) for key, one in schema.items() if key != "$defs"}
