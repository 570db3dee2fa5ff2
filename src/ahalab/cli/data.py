"""`aha data`: look at files of prompts, and make them better. One file a verb; this one only gathers them."""

from __future__ import annotations

import typer

from ahalab.cli import (
    data_check,
    data_convert,
    data_decontaminate,
    data_dedup,
    data_inspect,
    data_rate,
    data_stats,
    data_tests,
)

app = typer.Typer(no_args_is_help=True, help="Inspect, convert, clean and rate files of prompts.")
app.command("inspect")(data_inspect.inspect)
app.command("convert")(data_convert.convert)
app.command("dedup")(data_dedup.dedup)
app.command("decontaminate")(data_decontaminate.decontaminate)
app.command("stats")(data_stats.stats)
app.command("rate")(data_rate.rate)
app.command("check")(data_check.check)
app.command("tests")(data_tests.make)
