"""The public application: one FastAPI app in front of one model."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ahalab import __version__
from ahalab.guard.protocols import AuditStore, Model
from ahalab.guard.reload import Controls
from ahalab.serving.errors import Refusal, encoded
from ahalab.serving.gateway import Gateway
from ahalab.serving.keys import Keys
from ahalab.serving.routes import router
from ahalab.serving.security import Gate
from ahalab.serving.settings import GatewaySettings

_LOG = logging.getLogger(__name__)
_ROUTES: Mapping[str, str] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text",
    "/v1/moderations": "moderations",
    "/beta/litellm_basic_guardrail_api": "guardrail",
}


def make_app(
    settings: GatewaySettings, model: Model, controls: Controls, audit: AuditStore, keys: Keys | None
) -> FastAPI:
    """The public side. `app.state.gateway` is the `Gateway`; `admin.make_admin_app` takes it.

    Args:
        keys: None for a gateway that answers everybody; only for loopback (`running.check_places`).
    """
    app = FastAPI(
        title="ahalab gateway",
        version=__version__,
        description="OpenAI-compatible, with risk control and an audit log.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    gateway = app.state.gateway = Gateway(settings, model, controls, audit, keys)
    app.include_router(router)
    add_errors(app, gateway)
    app.add_middleware(Gate, host=settings.host, names=settings.host_names, origins=settings.origins)
    if settings.insecure:
        _LOG.warning("insecure: requests are answered also where they cannot be checked or recorded")
    return app


def add_errors(app: FastAPI, gateway: Gateway) -> None:
    """Every error of an app in OpenAI's form."""

    def answered(request: Request, error: Refusal) -> Response:
        gateway.metrics.refused.labels(error.code).inc()
        gateway.metrics.request(_ROUTES.get(request.url.path, "other"), error.status)
        return Response(encoded(error.body()), error.status, error.headers, "application/json")

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return answered(request, error)

    async def not_there(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "There is no such address.", 405: "This address is not asked that way."}
        message = words.get(error.status_code, "The request is wrong.")
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        return answered(request, Refusal(error.status_code, message, code, headers=error.headers))

    async def failed(request: Request, error: Exception) -> Response:
        _LOG.error("%s failed", request.url.path, exc_info=error)
        message = "This failed inside the gateway; its log has the details."
        return answered(request, Refusal(500, message, "internal_error", kind="api_error"))

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, not_there)
    app.add_exception_handler(Exception, failed)
