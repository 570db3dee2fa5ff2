"""The page and its data over HTTP: reading only, for this machine only unless told, nothing from elsewhere.

Starlette and uvicorn come with the extra `ui` and are imported in here only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from ahalab.dashboard.api import Dashboard, NotThere
from ahalab.endpoints.addresses import address_of, allowed_hosts, bind, host_is_allowed
from ahalab.errors import AhaError, UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
RAW_KEYS = frozenset({"id", "prompt_id", "key"})
"""Keys of answers that the page puts into addresses: kept as they are. All other texts have nothing hidden."""
THREADS = 4
"""Answers made at once: each may hold a page of texts in memory."""
_LOG = logging.getLogger(__name__)


def make_app(dashboard: Dashboard, host: str = "127.0.0.1") -> Starlette:
    """The application; its indexer runs while it does. UserError when the extra is not installed."""
    try:
        import anyio.to_thread
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError as error:
        raise _not_installed(error) from error

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        dashboard.indexer.start()
        try:
            yield
        finally:
            dashboard.indexer.stop()

    answers: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
        "runs": dashboard.runs,
        "run": dashboard.run,
        "curves": dashboard.curves,
        "tables": dashboard.tables,
        "facets": dashboard.facets,
        "samples": dashboard.samples,
        "count": dashboard.count,
        "sample": dashboard.sample,
        "prompt": dashboard.prompt,
        "safety": dashboard.safety.evaluation,
        "safety-items": dashboard.safety.items,
        "safety-item": dashboard.safety.item,
        "safety-texts": dashboard.safety.texts,
    }
    routes = [Route("/", partial(_asset, name="index.html")), Route("/assets/{name}", _asset)]
    routes += [Route(f"/api/{name}", partial(_answer, make=make)) for name, make in answers.items()]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(Guard, allowed=allowed_hosts(host))
    return app


def serve(dashboard: Dashboard, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `ready` gets the address once the port is ours.

    UserError when the extra is not installed or the address cannot be had.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise _not_installed(error) from error

    app = make_app(dashboard, host)
    bound = bind(host, port, "aha ui")
    # Indexing and answering share one interpreter: answers must not wait 5 ms for each of many small steps.
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    ready(address_of(host, bound.getsockname()[1]))
    try:
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        bound.close()


class Guard:
    """In front of everything: refuses foreign Host headers and what is not GET or HEAD; adds the headers."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str] | None) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        answer: ASGIApp = self._app
        if not host_is_allowed(host, self._allowed):
            answer = PlainTextResponse("This page answers only under its own address.\n", 421)
        elif scope["method"] not in ("GET", "HEAD"):
            answer = PlainTextResponse("This page can only be read.\n", 405, {"Allow": "GET, HEAD"})
        await answer(scope, receive, send_with_headers)


def encode(value: Any) -> bytes:
    """JSON in which no text holds hidden characters, but for the keys that addresses need."""
    return json.dumps(_visible(value), allow_nan=False, separators=(",", ":")).encode("ascii")


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return make_visible(value)
    if isinstance(value, Mapping):
        return {
            make_visible(str(key)): one if key in RAW_KEYS else _visible(one) for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [one if isinstance(one, int | float) else _visible(one) for one in value]
    return value


async def _answer(request: Request, make: Callable[[Mapping[str, str]], dict[str, Any]]) -> Response:
    from starlette.concurrency import run_in_threadpool

    status = 200
    try:
        body = await run_in_threadpool(lambda: encode(make(request.query_params)))
    except AhaError as error:
        status, body = 404 if isinstance(error, NotThere) else 400, encode({"error": str(error)})
    except Exception:
        # One broken file must not take the page away from the others; the terminal has the whole story.
        _LOG.exception("%s failed", request.url.path)
        status, body = 500, encode({"error": "This could not be read; the terminal of aha ui says why."})
    return _tagged(request, body, "application/json", status)


async def _asset(request: Request, name: str | None = None) -> Response:
    from starlette.responses import PlainTextResponse

    name = name or str(request.path_params["name"])
    if name not in asset_names():
        return PlainTextResponse("There is no such page.\n", 404)
    return _tagged(request, _read_asset(name), TYPES[name[name.rindex(".") :]], 200)


@cache
def asset_names() -> frozenset[str]:
    """The files of the page."""
    folder = resources.files("ahalab.dashboard").joinpath("assets")
    return frozenset(file.name for file in folder.iterdir() if file.name.endswith(tuple(TYPES)))


def _read_asset(name: str) -> bytes:
    return resources.files("ahalab.dashboard").joinpath("assets", name).read_bytes()


def _tagged(request: Request, body: bytes, kind: str, status: int) -> Response:
    """The answer with its ETag; 304 where the page has it already."""
    from starlette.responses import Response

    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    if status == 200 and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, status, {"ETag": tag, "Content-Type": kind})


def _not_installed(error: ImportError) -> UserError:
    return UserError(f"the dashboard needs {error.name}: pip install 'ahalab[ui]'")
