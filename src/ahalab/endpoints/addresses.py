"""Addresses that a server of ours listens at: which are this machine's own, and which Host headers are answered."""

from __future__ import annotations

import ipaddress
import socket

from ahalab.errors import EnvironmentFailure, UserError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str) -> frozenset[str] | None:
    """Names that the Host header may have; None: also every bare IP address, and this machine's names.

    A page elsewhere could point its own name at 127.0.0.1 and read on (DNS rebinding): such a name is refused.
    """
    return LOOPBACK_NAMES | {host.strip("[]").lower()} if is_loopback(host) else None


def host_is_allowed(header: str, allowed: frozenset[str] | None) -> bool:
    """Whether a request with that Host header is answered."""
    name = header.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if allowed is not None:
        return name in allowed
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return name in LOOPBACK_NAMES | {socket.gethostname().lower(), socket.getfqdn().lower()}


def bind(host: str, port: int, command: str, option: str = "--port") -> socket.socket:
    """A socket at that address; port 0 takes any that is free. `command` and its `option` are named where it is taken.

    UserError when this machine has no such address, EnvironmentFailure when the port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(f"--host {host}: no address of this machine ({error}).") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise EnvironmentFailure(
            f"{address_of(host, port)} cannot be had ({error.strerror}). Another `{command}` may be there already; "
            f"choose another one with {option}, or {option} 0 for any that is free."
        ) from error
    return bound


def address_of(host: str, port: int) -> str:
    """As a browser takes it."""
    name = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{name}:{port}/"
