"""The gateway's own OpenAPI: bodies are read by hand, with limits, and described from the models that check them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

_MESSAGES = {
    400: "The request is wrong: `error.param` names the field.",
    401: "No key, or not a good one.",
    403: "The key may not do this, or the page may not ask.",
    404: "There is no such model or address.",
    408: "The body came too slowly.",
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
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    for status, text in _MESSAGES.items()
}

_TEXTS = {"type": ["array", "null"], "items": {"type": "string"}}
_OBJECTS = {"type": ["array", "null"], "items": {"type": "object"}}
GUARDRAIL: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "input_type": {"enum": ["request", "response"]},
                        "texts": _TEXTS,
                        "images": _TEXTS,
                        "structured_messages": _OBJECTS,
                        "tools": _OBJECTS,
                        "tool_calls": _OBJECTS,
                    },
                }
            }
        },
    }
}
"""The body of LiteLLM's guardrail: what is read of it."""


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The request body of a route, for `openapi_extra`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, schema.get("$defs", {}))}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Without references: FastAPI keeps only components of its own making."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(one, definitions) for key, one in schema.items() if key != "$defs"}
