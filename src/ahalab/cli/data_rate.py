"""`aha data rate`: how hard each prompt is for a model, by its own pass rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import errors, output
from ahalab.cli.data_watch import say, say_json, say_skipped, say_written, watching
from ahalab.cli.isolation import WARNING, UnsafeOption
from ahalab.errors import Interrupted, UserError


def rate(
    file: Annotated[Path, typer.Argument(help="Prompts: a .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="builtin:tiny, a run or model folder, a Hugging Face id; at --endpoint its name there."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1024, help="Answers to each prompt.")] = 8,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH", help="Also write the rows whose pass rate is within, such as 0.1:0.9."
        ),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rate so many first rows only.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder to fill; rates/FILE-MODEL when left out."),
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="KEY=VALUE", help="As in a recipe: question=COLUMN.")
    ] = None,
    domain_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Each row's domain; `domain` where there is one.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling; as the paper's rollouts.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion.")] = 1024,
    seed: Annotated[int, typer.Option(help="Of the answers.")] = 0,
    template: Annotated[
        str | None, typer.Option(help="auto, chat or table1; as a run was trained when left out.")
    ] = None,
    system_prompt: Annotated[
        bool | None,
        typer.Option(
            "--system-prompt/--no-system-prompt",
            help="Ask for <think> and <answer> in a system turn (chat templates); on for local models.",
        ),
    ] = None,
    max_rows: Annotated[int, typer.Option(help="Rows sampled side by side.")] = 32,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores when left out.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask an OpenAI-compatible server instead.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="NAME", help="Environment variable that holds the key."),
    ] = None,
    parallel: Annotated[int, typer.Option(help="Requests under way at one time.")] = 4,
    executor: Annotated[
        str, typer.Option(help="Where programs of answers run: local, or the URL of a sandbox service.")
    ] = "local",
    unsafe: UnsafeOption = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Draw answers to every prompt, grade them, and write each prompt's pass rate. Resumable."""
    from ahalab.datatools.layouts import mapping_of
    from ahalab.datatools.rate import Keep, Rating
    from ahalab.datatools.stream import open_stream, stem_of
    from ahalab.endpoints.config import EndpointConfig
    from ahalab.sandbox.settings import SandboxSettings
    from ahalab.stages.suites.answerers import make_answerer, settle_threads
    from ahalab.stages.suites.config import EvalConfig
    from ahalab.stages.suites.folder import default_folder
    from ahalab.validation import validate

    if model is None:
        raise UserError(
            "aha data rate: say whose pass rate, with --model NAME (and --endpoint URL for a server's)"
        )
    if unsafe:
        errors.print(WARNING, style="yellow", highlight=False)
    bounds = Keep.read(keep) if keep is not None else None
    open_stream(file).close()
    given: dict[str, Any] = {
        "k": samples,
        "temperature": temperature,
        "top_p": top_p,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "template": template,
        "system_prompt": system_prompt,
        "max_rows": max_rows,
    }
    config = validate(EvalConfig, given, "aha data rate")
    server = None
    if endpoint is not None:
        settings = {"url": endpoint, "model": model, "api_key_env": key, "parallel": parallel}
        server = validate(EndpointConfig, settings, "--endpoint")
    folder = to or Path("rates") / f"{stem_of(file)}-{default_folder(model).name}"
    saved = "finished shards are saved; the same command goes on from there."
    with watching(saved) as watch:
        work = Rating(
            file,
            folder,
            config,
            make_answerer(None if server else model, server, config, folder, watch.interrupt),
            watch,
            threads=settle_threads(threads) if server is None else None,
            mapping=mapping_of(mapping) if mapping else None,
            domain_column=domain_column,
            most_rows=rows,
            keep=bounds,
            skip_bad_rows=skip_bad_rows,
            sandbox=SandboxSettings(executor, unsafe),
        )
        try:
            found = work.run()
        except Interrupted as error:
            raise Interrupted(f"{error} The same command goes on from here.") from error
    if as_json:
        say_json(found)
    else:
        _print(found, samples)


def _print(found: dict[str, Any], samples: int) -> None:
    from ahalab.datatools.rate import BINS, rows_of
    from ahalab.text.hostile import make_visible

    table = Table(
        title=f"pass rate over {samples} samples: rows by domain", title_justify="left", title_style="bold"
    )
    for place, head in enumerate(("domain", "rows", "mean", *BINS, "kept")):
        table.add_column(head, justify="left" if place == 0 else "right", no_wrap=True)
    for row in rows_of(found):
        table.add_row(*(escape(make_visible(cell)) for cell in row))
    output.print(table)
    unrated = sum(one["unrated"] for one in found["domains"])
    if unrated:
        say(f"{unrated:,} rows have no rate: none of their answers could be graded", "yellow")
    if found["errors"]:
        told = ", ".join(f"{count:,} {reason}" for reason, count in found["errors"].items())
        say(f"answers without a grade: {told}", "yellow")
    if found["replaced"]:
        say(f"{found['replaced']:,} rows had a pass rate already: it is replaced", "yellow")
    say_skipped(found["skipped"])
    say_written(found["output"], found["kept_file"])
