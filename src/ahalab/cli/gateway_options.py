"""What `aha guard serve` and `aha serve` have in common: the options of a gateway, and what is said when it is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from ahalab.cli.console import errors, output
from ahalab.errors import UserError

if TYPE_CHECKING:
    from ahalab.guard.records import Mode
    from ahalab.serving.opening import Parts
    from ahalab.serving.running import Ready
    from ahalab.serving.settings import GatewaySettings

DEFAULT_FOLDER = Path("guard")
FolderOption = Annotated[
    Path,
    typer.Option("--folder", metavar="DIR", help="Keys, audit log and secrets live here between starts."),
]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME|FILE", help="Profile or policy file; the first is the default."),
]
ModeOption = Annotated[
    str | None, typer.Option("--mode", help="shadow or enforce, whatever the policies say.")
]
TermsOption = Annotated[
    Path | None, typer.Option("--terms", help="Folder or file of terms instead of the bundled ones.")
]
ReviewerOption = Annotated[
    str | None,
    typer.Option(
        "--reviewer",
        metavar="SPEC",
        help="URL#MODEL, a .yaml file, a model's folder, rm:FOLDER; without one every flagged reply is retracted.",
    ),
]
AuditOption = Annotated[
    str | None,
    typer.Option(
        "--audit", metavar="URL", help="postgresql://USER@HOST/DATABASE or a file; DIR/audit.sqlite."
    ),
]
AuditKeyOption = Annotated[
    Path | None,
    typer.Option("--audit-key", metavar="FILE", help="Its key, best kept elsewhere; DIR/audit.key."),
]
HeadsOption = Annotated[
    Path | None, typer.Option("--audit-heads", metavar="DIR", help="Signed heads go here every five minutes.")
]
NoTextOption = Annotated[bool, typer.Option("--no-text", help="The audit log keeps hashes, no texts.")]
RetentionOption = Annotated[
    float | None,
    typer.Option("--retention-days", help="Texts older than this are erased from the audit log."),
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address to listen at; beyond 127.0.0.1 only with keys.")
]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="8000; 0 takes any that is free.")
]
AdminHostOption = Annotated[str | None, typer.Option("--admin-host", help="Address of /metrics: 127.0.0.1.")]
AdminPortOption = Annotated[
    int | None, typer.Option("--admin-port", min=0, max=65535, help="8001; 0 takes any that is free.")
]
HostNameOption = Annotated[
    list[str] | None,
    typer.Option("--host-name", metavar="NAME", help="A further name that the Host header may have."),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="YAML of limits and time-outs (docs/gateway.md)."),
]
NoPageOption = Annotated[bool, typer.Option("--no-page", help="Without the chat page at /.")]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Answer also what cannot be checked or recorded. Logged and counted each time."
    ),
]


@contextmanager
def serve_extra() -> Iterator[None]:
    """Around the imports of a command, or whole commands. UserError where a package of the extra `serve` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "ahalab").partition(".")[0] == "ahalab":
            raise
        raise UserError(f"this needs {error.name}: pip install 'ahalab[serve]'") from error


def with_path(url: str) -> str:
    """`/v1` is added to an address without a path."""
    parts = urlsplit(url) if "://" in url else None
    return url.rstrip("/") + "/v1" if parts is not None and parts.path in ("", "/") else url


def mode_of(word: str | None) -> Mode | None:
    """UserError for another word."""
    if word in (None, "shadow", "enforce"):
        return word  # type: ignore[return-value]
    raise UserError(f"--mode {word}: expected shadow or enforce")


def settings_of(
    file: Path | None,
    host: str | None,
    port: int | None,
    admin_host: str | None,
    admin_port: int | None,
    host_names: list[str] | None,
    insecure: bool,
) -> GatewaySettings:
    """The settings of a file, what the command line says going before it."""
    from ahalab.serving.opening import read_settings

    return read_settings(
        file,
        {
            "host": host,
            "port": port,
            "admin_host": admin_host,
            "admin_port": admin_port,
            "host_names": host_names or None,
            "insecure": insecure or None,
        },
    )


def announce(parts: Parts, models: tuple[str, ...], page: bool) -> Ready:
    """What is said once both sides listen."""

    def ready(public: str, admin: str) -> None:
        names = ", ".join(models[:4]) + (", …" if len(models) > 4 else "")
        output.print(f"{names} at {public}v1  (Ctrl-C ends)", highlight=False, soft_wrap=True)
        if page:
            output.print(f"chat page: {public}", highlight=False, soft_wrap=True)
        output.print(f"metrics: {admin}metrics", highlight=False, soft_wrap=True)
        if parts.keys is None:
            output.print("no keys: everybody on this machine may ask (aha guard keys add)", highlight=False)

    return ready


def warn(settings: GatewaySettings, reviewer: str | None) -> None:
    """What an operator should know before traffic comes."""
    if settings.insecure:
        errors.print(
            "[bold yellow]warning:[/] insecure: what cannot be checked or recorded is answered all the same.",
            highlight=False,
        )
    if reviewer is None:
        errors.print(
            "[bold yellow]warning:[/] no --reviewer: every reply that the keywords flag goes the way of `on_error` "
            "(retracted, unless the policy says otherwise).",
            highlight=False,
        )
