"""`aha guard serve`: the gateway in front of any OpenAI-compatible server."""

from __future__ import annotations

from typing import Annotated

import typer

from ahalab.cli import gateway_options as given
from ahalab.errors import UserError


def serve(
    upstream: Annotated[
        str,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="The server's address, such as http://127.0.0.1:11434; /v1 is added where there is no path.",
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME[=OWN]",
            help="A model that clients may ask for, and the server's own name for it; all that it lists.",
        ),
    ] = None,
    upstream_key_env: Annotated[
        str | None,
        typer.Option(
            "--upstream-key-env",
            metavar="VARIABLE",
            help="NAME of the environment variable with the server's key.",
        ),
    ] = None,
    folder: given.FolderOption = given.DEFAULT_FOLDER,
    policies: given.PolicyOption = None,
    mode: given.ModeOption = None,
    terms: given.TermsOption = None,
    reviewer: given.ReviewerOption = None,
    audit: given.AuditOption = None,
    audit_key: given.AuditKeyOption = None,
    audit_heads: given.HeadsOption = None,
    no_text: given.NoTextOption = False,
    retention_days: given.RetentionOption = None,
    host: given.HostOption = None,
    port: given.PortOption = None,
    admin_host: given.AdminHostOption = None,
    admin_port: given.AdminPortOption = None,
    host_names: given.HostNameOption = None,
    settings_file: given.SettingsOption = None,
    no_page: given.NoPageOption = False,
    insecure: given.InsecureOption = False,
) -> None:
    """Put risk control, keys, limits and an audit log in front of an OpenAI-compatible server."""
    from ahalab.guard.term import BUNDLED
    from ahalab.serving.opening import Options, open_parts, run_gateway
    from ahalab.serving.upstream import open_upstream

    settings = given.settings_of(settings_file, host, port, admin_host, admin_port, host_names, insecure)
    options = Options(
        folder=folder,
        policies=tuple(policies or ("general",)),
        terms=terms or BUNDLED,
        reviewer=reviewer,
        audit=audit,
        audit_key=audit_key,
        audit_heads=audit_heads,
        keep_text=not no_text,
        retention_days=retention_days,
        mode=given.mode_of(mode),
    )
    given.warn(settings, reviewer)
    model = open_upstream(
        given.with_path(upstream), named(models or []), upstream_key_env, settings.reply_seconds
    )
    parts = open_parts(options, settings)
    ready = given.announce(parts, model.names, not no_page)
    run_gateway(settings, model, parts, ready, command="aha guard serve", page=not no_page)


def named(models: list[str]) -> dict[str, str]:
    """Client's name → the server's own."""
    names: dict[str, str] = {}
    for one in models:
        name, _, own = one.partition("=")
        if not name.strip():
            raise UserError(f"--model {one!r}: expected NAME or NAME=OWN")
        if name in names:
            raise UserError(f"--model {name}: given twice")
        names[name] = own or name
    return names
