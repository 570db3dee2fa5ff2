"""`aha ui`: the local page over run folders."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import errors, output
from ahalab.errors import UserError

DEFAULT_ROOTS = (Path("runs"), Path("evaluations"))


def ui(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Runs or safety evaluations, or folders of them; ./runs and ./evaluations when left out.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at. Any but this machine's own lets others read all samples."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")] = 8321,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show runs in the browser, live while they train: stages, curves, samples, the stage table; safety evaluations."""
    from ahalab.dashboard.api import Dashboard
    from ahalab.dashboard.catalog import Catalog
    from ahalab.dashboard.index import default_cache, forget_gone_runs
    from ahalab.dashboard.server import serve
    from ahalab.endpoints.addresses import is_loopback

    roots = runs or [one for one in DEFAULT_ROOTS if one.is_dir()]
    if not roots:
        raise UserError("there is no folder ./runs here. Name run folders or a folder of runs: aha ui RUNS…")
    forget_gone_runs(default_cache())
    dashboard = Dashboard(Catalog(roots))
    if not is_loopback(host):
        errors.print(
            f"[bold yellow]warning:[/] whoever reaches {host} can read every sample of these runs; there is no "
            "password.",
            highlight=False,
        )

    def ready(address: str) -> None:
        found = len(dashboard.catalog.runs())
        safety = len(dashboard.safety.listed())
        also = f", {safety} safety evaluation{'' if safety == 1 else 's'}" if safety else ""
        told = f"{found} run{'' if found == 1 else 's'}{also}"
        output.print(f"{told}: {address}  (Ctrl-C ends)", highlight=False)
        if open_browser:
            webbrowser.open(address)

    try:
        serve(dashboard, host, port, ready)
    except KeyboardInterrupt:
        output.print("stopped")
