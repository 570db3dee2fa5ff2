"""From an operator's options to the parts of a gateway. One folder holds what lives on between starts:

```
FOLDER/keys.json        hashes of API keys            FOLDER/audit.sqlite   the audit log
FOLDER/history.key      secret of the retraction      FOLDER/audit.key      its key; better kept elsewhere
                        memory                                              (--audit-key)
FOLDER/retracted.log    keyed hashes of retracted replies
FOLDER/pending/         conclusions on their way into the audit log, encrypted; empty when no gateway runs
```
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from ahalab.errors import UserError
from ahalab.guard.history import FileJournal, RetractedReplies
from ahalab.guard.plain import read_plain
from ahalab.guard.policy import Policy
from ahalab.guard.protocols import Model, Reviewer
from ahalab.guard.records import Mode
from ahalab.guard.reload import Controls
from ahalab.guard.term import BUNDLED
from ahalab.runs.atomic import explaining_disk_errors
from ahalab.serving.app import make_app
from ahalab.serving.audit import AuditLog, AuditSettings, create_keys, open_audit
from ahalab.serving.keys import KEYS, Keys
from ahalab.serving.running import Ready, check_places, serve
from ahalab.serving.settings import GatewaySettings
from ahalab.validation import validate


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says, besides the model and `GatewaySettings`."""

    folder: Path
    policies: tuple[str, ...] = ("general",)
    terms: Path = BUNDLED
    reviewer: str | None = None
    audit: str | None = None
    audit_key: Path | None = None
    audit_heads: Path | None = None
    keep_text: bool = True
    retention_days: float | None = None
    page: bool = True
    mode: Mode | None = None
    """Instead of the policies' own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What `make_app` takes besides settings and model."""

    controls: Controls
    audit: AuditLog
    keys: Keys | None


def open_parts(options: Options, settings: GatewaySettings) -> Parts:
    """Policies, audit log and keys. UserError names the file that is wrong."""
    folder = options.folder
    with explaining_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = Keys(folder / KEYS) if (folder / KEYS).exists() else None
    check_places(settings, keys)
    history = RetractedReplies(_secret(folder / "history.key"), FileJournal(folder / "retracted.log"))
    audit = _audit(options)
    try:
        controls = Controls(
            options.policies,
            reviewers(options.reviewer),
            history,
            terms=options.terms,
            mode=options.mode,
            ready=audit.ready,
            insecure=settings.insecure,
        )
        for key in keys.all() if keys else ():
            if key.policy and key.policy not in controls.names:
                raise UserError(
                    f"{folder / KEYS}: key {key.id!r} names policy {key.policy!r}, which is not served; "
                    f"served: {', '.join(controls.names)} (--policy)"
                )
    except BaseException:
        audit.close()
        raise
    return Parts(controls, audit, keys)


def run_gateway(
    settings: GatewaySettings,
    model: Model,
    parts: Parts,
    ready: Ready,
    *,
    command: str,
    page: bool = True,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then replies end, and the audit log is closed."""
    try:
        app = app_with_page(settings, model, parts, page)
        serve(app, ready, command=command, beside=[parts.controls.follow])
    finally:
        parts.audit.close()


def app_with_page(settings: GatewaySettings, model: Model, parts: Parts, page: bool) -> FastAPI:
    """The public side, with the chat page at / where it is wanted."""
    app = make_app(settings, model, parts.controls, parts.audit, parts.keys)
    if page:
        from ahalab.serving.page import mount_page

        mount_page(app)
    return app


def read_settings(path: Path | None, given: Mapping[str, Any]) -> GatewaySettings:
    """A YAML file of `GatewaySettings`, and what the command line says before it."""
    data: Any = {}
    if path is not None:
        data = read_plain(path) or {}
        if not isinstance(data, dict):
            raise UserError(f"{path}: expected a mapping of keys to values")
    told = {key: value for key, value in given.items() if value is not None}
    return validate(GatewaySettings, {**data, **told}, str(path) if path else "the command line")


def reviewers(spec: str | None) -> Callable[[Policy], Reviewer | None]:
    """What makes the reviewer of a policy; None where there is none, and flagged replies follow `on_error`."""

    def make(policy: Policy) -> Reviewer | None:
        if spec is None:
            return None
        from ahalab.guard.review.opening import open_reviewer

        return open_reviewer(spec, policy)

    return make


def _audit(options: Options) -> AuditLog:
    url = options.audit or str(options.folder / "audit.sqlite")
    key = options.audit_key or options.folder / "audit.key"
    if options.audit_key is None and not key.exists() and not (options.audit or Path(url).exists()):
        create_keys(key)  # a first start; an old log without its key is refused
    settings = AuditSettings(
        heads=options.audit_heads,
        keep_text=options.keep_text,
        retention_days=options.retention_days,
        pending=options.folder / "pending",
    )
    return open_audit(url, key, settings)


def _secret(path: Path) -> bytes:
    """32 random bytes, made at the first start, for nobody else to read."""
    with explaining_disk_errors(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read_secret(path)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    try:
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise UserError(
            f"{path}: expected 64 hexadecimal digits. Put the file back, or remove it and retracted.log: retracted "
            "replies are not recognised then."
        )
    return secret
