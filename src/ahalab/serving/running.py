"""Running the two sides of a gateway in one event loop, from binding to a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from ahalab.endpoints.addresses import address_of, bind, is_loopback
from ahalab.errors import UserError
from ahalab.serving.admin import make_admin_app
from ahalab.serving.connection import Connection
from ahalab.serving.gateway import Gateway
from ahalab.serving.keys import Keys
from ahalab.serving.settings import GatewaySettings

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

_LOG = logging.getLogger(__name__)
_AFTER_DRAIN = 15.0
"""Seconds more than `shutdown_seconds` until connections are cut off."""
Ready = Callable[[str, str], None]
"""Gets the addresses of the public and of the admin side."""


_SWITCH_SECONDS = 0.0005
"""Threads change places ten times as often as by default: the audit writer must not keep the event loop waiting."""


_YOUNG_OBJECTS = 20_000
"""New objects before Python looks for cycles among them; by default 700, which a hundred streams make in no time."""


def check_places(settings: GatewaySettings, keys: Keys | None) -> None:
    """UserError for a gateway that others could reach without a key."""
    beyond = [one for one in (settings.host, settings.admin_host) if not is_loopback(one)]
    known = keys.all() if keys else ()
    if beyond and not known:
        raise UserError(
            f"--host {beyond[0]}: others can reach that address, and there are no keys. Make one with "
            "`aha guard keys add`, or listen at 127.0.0.1."
        )
    if not is_loopback(settings.admin_host) and not any(one.may("admin") for one in known):
        raise UserError(
            "--admin-host: no key has the scope `admin`. Make one with `aha guard keys add --scope admin`."
        )


class _Server(uvicorn.Server):
    """A uvicorn server among several: signals are the gateway's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of its own."""
        yield


def serve(
    app: FastAPI,
    ready: Ready,
    *,
    command: str,
    beside: Sequence[Callable[[], Any]] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C, then end gracefully.

    Args:
        app: of `make_app`.
        command: named where a port is taken.
        beside: coroutine functions that run for as long, such as `controls.follow`.
    """
    gateway: Gateway = app.state.gateway
    settings = gateway.settings
    check_places(settings, gateway.keys)
    sys.setswitchinterval(_SWITCH_SECONDS)
    public = bind(settings.host, settings.port, command)
    try:
        admin = bind(settings.admin_host, settings.admin_port, command, "--admin-port")
    except BaseException:
        public.close()
        raise
    with (
        contextlib.closing(public),
        contextlib.closing(admin),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(app, gateway, public, admin, ready, beside))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which is quicker; asyncio's own on systems that uvloop is not made for."""
    if sys.platform == "win32":
        return None
    from uvloop import new_event_loop

    return new_event_loop


async def _serve(
    app: FastAPI,
    gateway: Gateway,
    public: socket.socket,
    admin: socket.socket,
    ready: Ready,
    beside: Sequence[Callable[[], Any]],
) -> None:
    settings = gateway.settings
    servers = [(_server(app, settings), public), (_server(make_admin_app(gateway), settings), admin)]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = [asyncio.ensure_future(server.serve(sockets=[bound])) for server, bound in servers]
    others = [asyncio.ensure_future(one()) for one in beside]
    try:
        while not all(server.started for server, _ in servers):
            for one in running:
                if one.done():
                    one.result()
            await asyncio.sleep(0.01)
        _settle_garbage()
        ready(
            address_of(settings.host, public.getsockname()[1]),
            address_of(settings.admin_host, admin.getsockname()[1]),
        )
        watching = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([watching, *running, *others], return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        for one in others:
            if one.done():
                _LOG.error("what runs beside the gateway has ended: %s", one.exception())
        (main, _), (side, _) = servers
        main.should_exit = True
        await gateway.drain()
        side.should_exit = True
        await asyncio.gather(*running)
        await gateway.aclose()
    finally:
        for one in [*running, *others]:
            one.cancel()
        await asyncio.gather(*running, *others, return_exceptions=True)


def _settle_garbage() -> None:
    """What is loaded now stays until the end: Python need not look through it again and again for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


def _server(app: FastAPI, settings: GatewaySettings) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(settings.shutdown_seconds + _AFTER_DRAIN),
            http=Connection,
        )
    )


@asynccontextmanager
async def on_loopback(app: FastAPI) -> AsyncIterator[str]:
    """The public side alone on a free port of this machine while the block lasts; its address with `/v1`. For tests."""
    bound = bind("127.0.0.1", 0, "a test")
    server = _server(app, app.state.gateway.settings)
    running = asyncio.ensure_future(server.serve(sockets=[bound]))
    while not server.started and not running.done():
        await asyncio.sleep(0.005)
    try:
        yield f"{address_of('127.0.0.1', bound.getsockname()[1])}v1"
    finally:
        server.should_exit = True
        await app.state.gateway.drain()
        await running
        await app.state.gateway.aclose()
        bound.close()
