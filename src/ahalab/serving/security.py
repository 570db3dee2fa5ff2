"""In front of everything: Host and Origin are checked, and every answer carries headers that trust nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ahalab.endpoints.addresses import allowed_hosts, host_is_allowed
from ahalab.serving.errors import Refusal, encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For what is no page. A page of ours sends its own, stricter in what matters to it."""
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Gate:
    """The outermost layer of an app. No CORS header is ever sent: pages elsewhere cannot read an answer."""

    def __init__(
        self, app: ASGIApp, host: str, names: Sequence[str] = (), origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._allowed = allowed_hosts(host)
        self._names = frozenset(one.lower() for one in names)
        self._origins = frozenset(one.lower().rstrip("/") for one in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                sent = {name for name, _ in headers}
                message["headers"] = [*headers, *(one for one in _HEADERS if one[0] not in sent)]
            await send(message)

        host = origin = site = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").strip().lower()
            elif name == b"origin":
                origin = value.decode("latin-1").strip().lower()
            elif name == b"sec-fetch-site":
                site = value.decode("latin-1").strip().lower()
        error = self._wrong(host, origin, site if scope["method"] not in ("GET", "HEAD") else "")
        if error is None:
            await self._app(scope, receive, send_with_headers)
            return
        body = encoded(error.body())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send_with_headers({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _wrong(self, host: str, origin: str, site: str) -> Refusal | None:
        if not host_is_allowed(host, self._allowed) and _name(host) not in self._names:
            return Refusal(421, "The Host header names another server.", "wrong_host")
        if origin:
            if origin not in self._origins and urlsplit(origin).netloc != host:
                return Refusal(
                    403, "Pages of that origin may not call.", "wrong_origin", kind="permission_error"
                )
        elif site == "cross-site":
            return Refusal(403, "Pages elsewhere may not call.", "wrong_origin", kind="permission_error")
        return None


def _name(host: str) -> str:
    return host.partition(":")[0]
