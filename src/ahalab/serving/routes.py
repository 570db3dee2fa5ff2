"""What the public side answers: chat, text completions, models, checks, health."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ahalab.serving import answers, fields
from ahalab.serving.completions import Answer
from ahalab.serving.errors import INVALID, Refusal, bad, encoded, unavailable
from ahalab.serving.exchanges import estimated_tokens, new_exchange
from ahalab.serving.fields import Asked
from ahalab.serving.flow import Flow
from ahalab.serving.gateway import Gateway
from ahalab.serving.guardrail import GuardrailBody, guardrail
from ahalab.serving.keys import NOBODY, Key, Scope
from ahalab.serving.limits import Ticket
from ahalab.serving.moderations import moderate
from ahalab.serving.reading import read_body, read_json
from ahalab.serving.schema import answered, described
from ahalab.serving.settings import GatewaySettings
from ahalab.serving.sse import Kind

Read = Callable[[Mapping[str, Any], GatewaySettings], Asked]
_RESERVED = 256
"""Tokens set aside for a reply whose length was not given."""
_UNAUTHORISED = {"WWW-Authenticate": "Bearer"}
_NAMED = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}
router = APIRouter()


def gateway_of(request: Request) -> Gateway:
    """The gateway of the app that got the request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def authenticated(request: Request, scope: Scope, *, also: str = "") -> Key:
    """The key that asks. Refusal 401 without a good one, 403 where it lacks the scope.

    Args:
        also: a header that may hold the key instead of `Authorization: Bearer`.
    """
    gateway = gateway_of(request)
    if gateway.keys is None:
        return NOBODY
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    token = token or (request.headers.get(also, "").strip() if also else "")
    if not token:
        raise Refusal(
            401,
            "No API key: send it as `Authorization: Bearer aha-…`.",
            "missing_api_key",
            kind="authentication_error",
            headers=_UNAUTHORISED,
        )
    key = gateway.keys.find(token)
    if key is None:
        raise Refusal(
            401,
            "This API key is not known, or was revoked.",
            "invalid_api_key",
            kind="authentication_error",
            headers=_UNAUTHORISED,
        )
    if not key.may(scope):
        raise Refusal(403, f"This key lacks the scope `{scope}`.", "missing_scope", kind="permission_error")
    return key


def entered(gateway: Gateway, key: Key) -> Ticket:
    """A place for the request. Refusal where there is none."""
    if gateway.draining:
        raise unavailable("The gateway is shutting down.", "shutting_down")
    return gateway.limits.enter(key)


@router.post(
    "/v1/chat/completions",
    responses=answered(answers.ChatReply, reads=True, streams=True),
    openapi_extra=described(fields.ChatBody),
)
async def chat_completions(request: Request) -> Response:
    """A reply to a dialogue."""
    return await _generation(request, "chat", fields.read_chat)


@router.post(
    "/v1/completions",
    responses=answered(answers.TextReply, reads=True, streams=True),
    openapi_extra=described(fields.CompletionBody),
)
async def completions(request: Request) -> Response:
    """A reply to one prompt, which the model gets as the user turn of a dialogue."""
    return await _generation(request, "text", fields.read_completion)


@router.get("/v1/models", responses=answered(answers.ModelList, reads=False))
async def models(request: Request) -> Response:
    """The models that may be asked."""
    authenticated(request, "chat")
    gateway = gateway_of(request)
    listed = [_model(gateway, name) for name in gateway.model.names]
    return Response(encoded({"object": "list", "data": listed}), media_type="application/json")


@router.get(
    "/v1/models/{name:path}", responses=answered(answers.ModelEntry, reads=False), openapi_extra=_NAMED
)
async def model(request: Request) -> Response:
    """One of them."""
    authenticated(request, "chat")
    gateway, name = gateway_of(request), request.path_params["name"]
    _check_model(gateway, name)
    return Response(encoded(_model(gateway, name)), media_type="application/json")


@router.post(
    "/v1/moderations",
    responses=answered(answers.ModerationReply, reads=True),
    openapi_extra=described(fields.ModerationBody),
)
async def moderations(request: Request) -> Response:
    """What the control says of texts. The model is never asked."""
    gateway, began = gateway_of(request), time.monotonic()
    key = authenticated(request, "moderate")
    ticket = entered(gateway, key)
    try:
        data = await read_request(request, gateway)
        texts = fields.read_moderation(data, gateway.settings)
        return _json(await moderate(gateway, key, texts, began))
    finally:
        ticket.settle(0)


@router.post(
    "/beta/litellm_basic_guardrail_api",
    responses=answered(answers.GuardrailReply, reads=True),
    openapi_extra=described(GuardrailBody),
)
async def litellm_guardrail(request: Request) -> Response:
    """LiteLLM's generic guardrail: `NONE` or `BLOCKED`. The model is never asked."""
    gateway, began = gateway_of(request), time.monotonic()
    key = authenticated(request, "moderate", also="x-api-key")
    ticket = entered(gateway, key)
    try:
        return _json(await guardrail(gateway, key, await read_request(request, gateway), began))
    finally:
        ticket.settle(0)


@router.head("/healthz", include_in_schema=False)  # balancers ask so
@router.get("/healthz", responses=answered(answers.Health, reads=False, also=(503,)))
async def health(request: Request) -> Response:
    """Whether requests are answered. Without a key, so it says little."""
    gateway = gateway_of(request)
    why = await health_of(gateway)
    state = {"status": "unavailable" if why else "ok", "insecure": gateway.settings.insecure}
    return Response(
        encoded(state), 503 if why and not gateway.settings.insecure else 200, media_type="application/json"
    )


async def health_of(gateway: Gateway) -> str:
    """Why requests are refused now; "" when they are not."""
    if gateway.draining:
        return "shutting down"
    ready = getattr(gateway.model, "ready", None)  # a local model knows whether its engine runs
    return (ready() if ready else "") or await gateway.controls.get().unavailable()


async def read_request(request: Request, gateway: Gateway) -> dict[str, Any]:
    """The JSON object of the body, within the limits."""
    settings = gateway.settings
    try:
        body = await read_body(request, settings.body_bytes, settings.body_seconds)
    except ClientDisconnect:  # nobody hears this; it is a fault of the client's, not of the gateway's
        raise bad("The connection ended before the body was whole.", code="incomplete_body") from None
    return read_json(body)


async def _generation(request: Request, kind: Kind, read: Read) -> Response:
    gateway, began = gateway_of(request), time.monotonic()
    key = authenticated(request, "chat")
    ticket = entered(gateway, key)
    try:
        asked = read(await read_request(request, gateway), gateway.settings)
        _check_model(gateway, asked.model)
        reserved = estimated_tokens(asked.turns) + asked.options.get("max_tokens", _RESERVED)
        gateway.limits.reserve(ticket, key, reserved)
        exchange = new_exchange(key, asked.turns, asked.model, asked.stream)
        flow = Flow(gateway, gateway.control_of(key), exchange, asked, kind, began)
    except BaseException:
        ticket.settle(0)
        raise
    return Answer(flow, key, ticket, kind)


def _check_model(gateway: Gateway, name: str) -> None:
    if name not in gateway.model.names:
        raise Refusal(
            404,
            "There is no such model; GET /v1/models lists those that there are.",
            "model_not_found",
            kind=INVALID,
            param="model",
        )


def _model(gateway: Gateway, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": gateway.started, "owned_by": "aha"}


def _json(value: Any) -> Response:
    return Response(encoded(value), media_type="application/json")
