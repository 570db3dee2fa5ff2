"""API keys: 256 random bits each, kept as SHA-256 only, with what each may do.

A password is hashed slowly because it can be guessed. A key of 256 random bits cannot: a quick hash loses nothing, and
every request can afford it. So keys are made here, never chosen.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ahalab.errors import AhaError, UserError
from ahalab.guard.records import Mode
from ahalab.runs.atomic import read_json, write_json
from ahalab.validation import StrictModel, told, validate

Scope = Literal["chat", "moderate", "audit-read", "admin"]
SCOPES: tuple[Scope, ...] = ("chat", "moderate", "audit-read", "admin")
PREFIX = "aha-"
KEYS = "keys.json"
"""The file, in a gateway's folder."""
_LOOK_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


class Key(StrictModel):
    """One key, without the key itself."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,40}$|^$", description="Its name in audit rows and logs")
    name: str = Field("", max_length=200, description="Whose it is")
    sha256: str = Field("", pattern=r"^[0-9a-f]{64}$|^$", description="Hash of the key")
    scopes: list[Scope] = Field(["chat", "moderate"], description="What it may do")
    policy: str = Field("", description="Name of its policy; the gateway's first one when left out")
    mode: Mode | None = Field(
        None, description="`shadow` or `enforce` for this key; the policy's when left out"
    )
    requests_per_minute: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The gateway's when left out"
    )
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The gateway's when left out"
    )
    parallel: Annotated[int, Field(ge=1)] | None = Field(None, description="Requests under way at one time")
    created: float = Field(0.0, description="Seconds since 1970")
    revoked: bool = Field(False, description="No longer taken")

    @field_validator("scopes")
    @classmethod
    def _some(cls, scopes: list[Scope]) -> list[Scope]:
        if not scopes:
            raise told("a key needs at least one scope")
        return list(dict.fromkeys(scopes))

    def may(self, scope: Scope) -> bool:
        """Whether it has that scope."""
        return scope in self.scopes


NOBODY = Key(id="", scopes=list(SCOPES))
"""Who asks on a gateway without keys, which listens on loopback only."""


class KeyFile(StrictModel):
    """The file of keys."""

    version: Literal[1] = Field(1, description="Of this layout")
    keys: list[Key] = Field([], description="All keys, revoked ones too")

    @field_validator("keys")
    @classmethod
    def _once(cls, keys: list[Key]) -> list[Key]:
        ids = [one.id for one in keys]
        for one in keys:
            if not one.id or not one.sha256:
                raise told("every key needs an `id` and a `sha256`")
            if ids.count(one.id) > 1:
                raise told(f"key {one.id!r} is there twice")
        return keys


class Keys:
    """The keys of a gateway. The file is looked at again about once a second: a revoked key ends at once.

    UserError when the file is broken at the start. Later a broken file changes nothing: `error` says why, and the log.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._next = clock() + _LOOK_SECONDS
        self._signature = self._signed()
        self._by_hash = _indexed(read_keys(path).keys)
        self.error = ""

    def find(self, token: str) -> Key | None:
        """The key that this is, when it is one and is not revoked."""
        if self._clock() >= self._next:
            self._look()
        return self._by_hash.get(hash_of(token))

    def all(self) -> tuple[Key, ...]:
        """Those that are taken."""
        return tuple(self._by_hash.values())

    def _look(self) -> None:
        self._next = self._clock() + _LOOK_SECONDS
        signature = self._signed()
        if signature == self._signature:
            return
        try:
            self._by_hash = _indexed(read_keys(self._path).keys)
            self.error = ""
        except AhaError as error:
            self.error = str(error)
            _LOG.error("the keys stay as they were: %s", error)
        self._signature = signature

    def _signed(self) -> tuple[int, int, int]:
        try:
            state = self._path.stat()
        except OSError:
            return 0, 0, 0
        return state.st_ino, state.st_size, state.st_mtime_ns


def hash_of(token: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> KeyFile:
    """The file's keys; none where there is no file. UserError names file and key."""
    return validate(KeyFile, read_json(path), str(path)) if path.exists() else KeyFile(version=1, keys=[])


def add_key(path: Path, key: Key) -> tuple[Key, str]:
    """Makes a key with these settings (`id` may be empty) and keeps its hash. The key itself is only in the answer."""
    file = read_keys(path)
    token = PREFIX + secrets.token_urlsafe(32)
    settings = key.model_dump() | {
        "id": key.id or f"k{secrets.token_hex(4)}",
        "sha256": hash_of(token),
        "created": round(time.time(), 3),
    }
    made = validate(Key, settings, "the key")
    if any(one.id == made.id for one in file.keys):
        raise UserError(f"{path}: there is a key {made.id!r} already; choose another --id")
    _write(path, [*file.keys, made])
    return made, token


def revoke_key(path: Path, key_id: str) -> Key:
    """The key is taken no more; its id stays, for audit rows that name it. UserError when there is none."""
    file = read_keys(path)
    found = next((one for one in file.keys if one.id == key_id), None)
    if found is None:
        known = ", ".join(one.id for one in file.keys) or "none"
        raise UserError(f"{path}: there is no key {key_id!r}; keys: {known}")
    revoked = found.model_copy(update={"revoked": True})
    _write(path, [revoked if one.id == key_id else one for one in file.keys])
    return revoked


def _indexed(keys: Iterable[Key]) -> dict[str, Key]:
    return {one.sha256: one for one in keys if not one.revoked}


def _write(path: Path, keys: list[Key]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, KeyFile(version=1, keys=keys).model_dump(mode="json"))
    path.chmod(0o600)
