"""The chat page at `/`: static files, and the headers that keep them harmless. Nothing on it comes from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script or style, nothing from another server, and no way at all from a string to markup: a reply that found
a hole in the page's code would still meet the browser's refusal (Trusted Types, where the browser has them)."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_PAGE = "index.html"


def mount_page(app: Starlette) -> None:
    """Add the page at `/` and its files at `/page/NAME` to a Starlette or FastAPI application.

    The files are public, as a login page is: they hold no data, and the page asks for the API key itself. The routes
    stay out of the application's OpenAPI.
    """
    app.add_route("/", _answer, methods=["GET"], include_in_schema=False)
    app.add_route("/page/{name}", _answer, methods=["GET"], include_in_schema=False)


@cache
def page_files() -> dict[str, bytes]:
    """Name → content of every file of the page."""
    folder = resources.files(__package__).joinpath("assets")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(tuple(TYPES))}


async def _answer(request: Request) -> Response:
    from starlette.responses import PlainTextResponse, Response

    name = request.path_params.get("name", _PAGE)
    body = page_files().get(name)
    if body is None:
        return PlainTextResponse("There is no such file.\n", 404, HEADERS)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, {**headers, "Content-Type": TYPES[name[name.rindex(".") :]]})
