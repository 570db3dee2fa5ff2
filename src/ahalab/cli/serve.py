"""`aha serve`: a checkpoint of this machine behind the gateway, with the chat page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahalab.cli import gateway_options as given
from ahalab.cli.console import errors, output
from ahalab.errors import UserError

if TYPE_CHECKING:
    from ahalab.serving.local import LocalModel


def serve(
    model: Annotated[
        str, typer.Argument(help="A run folder, a model folder, builtin:tiny, or a Hugging Face id.")
    ],
    name: Annotated[str, typer.Option(help="Name that clients ask for; the model's own when left out.")] = "",
    temperature: Annotated[
        float | None, typer.Option(min=0.0, max=2.0, help="Of requests that give none: 0.6.")
    ] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="Of requests that give none: 0.95.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Of requests that give none: 1024.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=16, help="Tokens of prompt and reply; what the model was made for.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Replies written at one time: 16.")] = None,
    waiting: Annotated[
        int | None, typer.Option(min=1, help="Requests that may wait for their turn: 64.")
    ] = None,
    cache_mb: Annotated[
        int | None, typer.Option("--cache-mb", min=1, help="Memory for keys and values: 1024.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="fp32, bf16 or int8, to sample in.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; probed when left out.")] = None,
    format_prompt: Annotated[
        bool | None,
        typer.Option(
            "--format-prompt/--no-format-prompt",
            help="Ask chat models for <think> and <answer>; runs are asked, other models are not.",
        ),
    ] = None,
    folder: given.FolderOption = given.DEFAULT_FOLDER,
    policies: given.PolicyOption = None,
    no_control: Annotated[
        bool,
        typer.Option("--no-control", help="Without keywords and review. Loopback only; audit rows say so."),
    ] = False,
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
    """Answer with a model of this machine: OpenAI-compatible, under risk control, with a chat page and an audit log."""
    from ahalab.endpoints.addresses import is_loopback

    with given.serve_extra():
        from ahalab.guard.term import BUNDLED
        from ahalab.serving.local import NO_CONTROL, LocalModel, LocalSettings
        from ahalab.serving.opening import Options, open_parts, run_gateway
    from ahalab.validation import validate

    settings = given.settings_of(settings_file, host, port, admin_host, admin_port, host_names, insecure)
    if no_control and (policies or reviewer or terms):
        raise UserError("--no-control and --policy, --reviewer or --terms: choose one")
    if no_control and not is_loopback(settings.host):
        raise UserError(f"--no-control: {settings.host} can be reached by others. Listen at 127.0.0.1.")
    told: dict[str, Any] = {
        "name": name,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "context": context,
        "rows": rows,
        "waiting": waiting,
        "cache_mb": cache_mb,
        "weights": weights,
        "threads": threads,
        "format_prompt": format_prompt,
    }
    local = validate(LocalSettings, {k: v for k, v in told.items() if v is not None}, "the command line")
    options = Options(
        folder=folder,
        policies=(str(NO_CONTROL),) if no_control else tuple(policies or ("general",)),
        terms=terms or BUNDLED,
        reviewer=reviewer,
        audit=audit,
        audit_key=audit_key,
        audit_heads=audit_heads,
        keep_text=not no_text,
        retention_days=retention_days,
        mode=given.mode_of(mode),
    )
    if no_control:
        _warn(
            "no control: nothing is matched and nothing is reviewed. Audit rows carry the policy `no-control`."
        )
    else:
        given.warn(settings, reviewer)
    served = LocalModel(model, local)
    try:
        parts = open_parts(options, settings)
        _describe(served, ", ".join(parts.controls.names), reviewer, audit or str(folder / "audit.sqlite"))
        ready = given.announce(parts, served.names, not no_page)
        run_gateway(settings, served, parts, ready, command="aha serve", page=not no_page)
    finally:
        asyncio.run(served.aclose())


def _describe(model: LocalModel, policies: str, reviewer: str | None, audit: str) -> None:
    if model.toy:
        _warn(
            f"{model.names[0]} is a toy: it answers small questions of a made-up world, and nothing else is to be "
            "expected of it."
        )
    if model.notice:
        output.print(model.notice, highlight=False, markup=False)
    told = (
        f"context {model.context} tokens, {model.limits.rows} replies at a time, {model.threads} threads",
        f"policy {policies}, reviewer {reviewer or 'none'}, audit log {audit}",
    )
    for line in told:
        output.print(line, highlight=False, markup=False, soft_wrap=True)


def _warn(words: str) -> None:
    errors.print(f"[bold yellow]warning:[/] {words}", highlight=False)
