"""The admin side: metrics, what serves, reloading. An app of its own, on a port of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from ahalab import __version__
from ahalab.serving import answers
from ahalab.serving.app import add_errors
from ahalab.serving.errors import Refusal, encoded
from ahalab.serving.gateway import Gateway
from ahalab.serving.metrics import CONTENT_TYPE
from ahalab.serving.routes import authenticated, health_of
from ahalab.serving.schema import answered, refused
from ahalab.serving.security import Gate


def make_admin_app(gateway: Gateway) -> FastAPI:
    """For the scope `admin` where there are keys; for everybody on loopback where there are none."""
    settings = gateway.settings
    app = FastAPI(title="ahalab gateway, admin side", version=__version__, docs_url=None, redoc_url=None)
    app.state.gateway = gateway

    @app.get("/metrics", response_class=PlainTextResponse, responses=answered(None, reads=False))
    async def metrics(request: Request) -> Response:
        """For Prometheus."""
        authenticated(request, "admin")
        gateway.metrics.under_way.set(gateway.limits.under_way)
        return Response(gateway.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/healthz", responses=answered(answers.AdminHealth, reads=False, also=(503,)))
    async def health(request: Request) -> Response:
        """What serves, and what is wrong."""
        authenticated(request, "admin")
        why = await health_of(gateway)
        return _json(_state(gateway, why), 503 if why and not settings.insecure else 200)

    @app.post("/admin/reload", responses=answered(answers.Reloaded, reads=False) | refused(409))
    async def reload(request: Request) -> Response:
        """Take up changed policies and terms now. What is broken changes nothing, and says why."""
        authenticated(request, "admin")
        if not await gateway.controls.reload():
            raise Refusal(409, gateway.controls.status()["error"], "not_reloaded")
        return _json(gateway.controls.status())

    add_errors(app, gateway)
    app.add_middleware(Gate, host=settings.admin_host, names=settings.host_names)
    return app


def _state(gateway: Gateway, why: str) -> dict[str, Any]:
    keys = gateway.keys
    return {
        "status": "unavailable" if why else "ok",
        "why": why,
        "insecure": gateway.settings.insecure,
        "models": list(gateway.model.names),
        "engine": getattr(gateway.model, "status", dict)(),
        "under_way": gateway.limits.under_way,
        "keys": len(keys.all()) if keys else 0,
        "keys_error": keys.error if keys else "",
        "guard": gateway.controls.status(),
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(encoded(value), status, media_type="application/json")
