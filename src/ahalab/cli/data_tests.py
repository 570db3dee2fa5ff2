"""`aha data tests`: test cases for contest problems, by the paper's way (B.3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.isolation import WARNING, UnsafeOption
from ahalab.cli.testcase_tables import print_report
from ahalab.errors import Interrupted, UserError
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.datatools.testcases.writers import Writer
    from ahalab.stages.context import Interrupt

SHOWN = 30
"""Problems in the printed table when `--show` is left out; the report has all."""


def make(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Problems with their submissions (.jsonl, .jsonl.gz, .parquet), or builtin:contest.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The problems with their new tests: FILE.jsonl.")],
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenAI-compatible server that writes generators.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Its name at the endpoint; without --endpoint a model or run folder on this machine."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="NAME", help="Environment variable that holds the key."),
    ] = None,
    replies: Annotated[
        Path | None, typer.Option(help='Replies got elsewhere instead of a model: rows {"id", "reply"}.')
    ] = None,
    generators: Annotated[
        list[Path] | None,
        typer.Option(help='Programs of your own: FILE.py for every problem, or rows {"id", "generators"}.'),
    ] = None,
    inputs: Annotated[int, typer.Option(min=1, help="Inputs to try for each problem.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="First seed of the generators.")] = 0,
    given: Annotated[
        str, typer.Option(help="Tests in FILE: candidates (as good as others), keep (always), or ignore.")
    ] = "candidates",
    keep_extra: Annotated[int, typer.Option(min=0, help="Cases to keep beyond the smallest set.")] = 0,
    keep: Annotated[int, typer.Option(min=1, help="Cases to keep where no wrong submission is exposed.")] = 5,
    largest_input: Annotated[int, typer.Option(min=1, help="Bytes of one input at most.")] = 1_000_000,
    most_timeouts: Annotated[
        int,
        typer.Option(min=0, help="Time-outs after which a wrong submission is run no more; 0: run on all."),
    ] = 8,
    temperature: Annotated[float, typer.Option(help="Of the model that writes.")] = 0.6,
    max_tokens: Annotated[int, typer.Option(help="Longest reply.")] = 4096,
    parallel: Annotated[int, typer.Option(help="Requests under way at one time.")] = 4,
    requests_per_minute: Annotated[float | None, typer.Option(help="No limit when left out.")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Stop after so many tokens of the endpoint.")
    ] = None,
    budget_calls: Annotated[
        int | None, typer.Option(min=1, help="Stop before so many replies of the endpoint.")
    ] = None,
    prompts_folder: Annotated[
        Path | None, typer.Option(help="Folder with a test_generators.txt of your own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many problems only.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Problems at work at one time; one a core.")
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    executor: Annotated[
        str,
        typer.Option(metavar="local|URL", help="Who runs the programs: this machine, or a sandbox service."),
    ] = "local",
    unsafe: UnsafeOption = False,
    show: Annotated[
        int, typer.Option(min=0, help="Problems in the printed table; the report has all.")
    ] = SHOWN,
) -> None:
    """Make test cases: programs print inputs, correct submissions answer them, the smallest set that exposes the wrong
    ones is kept. Resumable."""
    from ahalab.cli.progress import make_progress
    from ahalab.datatools.testcases.inputs import MakingLimits
    from ahalab.datatools.testcases.making import Making
    from ahalab.datatools.testcases.problems import ProblemFile, read_generators
    from ahalab.datatools.testcases.run import (
        MakingRun,
        check_places,
        default_workers,
        report_path,
        work_folder,
    )
    from ahalab.sandbox.open import LOCAL, open_executor, why_no_compiler
    from ahalab.sandbox.settings import SandboxSettings
    from ahalab.stages.context import Interrupt

    if given not in ("candidates", "keep", "ignore"):
        raise UserError(f"--given {given}: expected candidates, keep or ignore")
    check_places(file, out)
    settings = SandboxSettings(executor, unsafe)
    if unsafe:
        errors.print(WARNING, style="yellow", highlight=False)
    problems = ProblemFile(file, limit=limit, skip_bad_rows=skip_bad_rows)
    common, single = read_generators(generators or [])
    interrupt = Interrupt()
    writer = _writer(
        endpoint,
        model,
        replies,
        {
            "api_key_env": key,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "parallel": parallel,
            "requests_per_minute": requests_per_minute,
            "budget_tokens": budget_tokens,
        },
        budget_calls,
        prompts_folder,
        work_folder(out),
        interrupt,
    )
    making = MakingRun(
        problems,
        out,
        lambda: open_executor(settings),
        Making(
            MakingLimits(inputs=inputs, seed=seed, largest_input=largest_input),
            given=given,  # type: ignore[arg-type]
            further=keep_extra,
            without_wrong=keep,
            most_timeouts=most_timeouts,
            no_cpp=why_no_compiler() if executor == LOCAL else None,
        ),
        writer,
        common,
        single,
        workers=workers or default_workers(),
        progress=make_progress(errors),
        interrupt=interrupt,
    )
    with interrupt:
        try:
            report = making.run()
        except Interrupted as error:
            raise Interrupted(f"{error} The same command goes on from here.") from error
        except KeyboardInterrupt:
            raise Interrupted(
                "stopped at once. The same command goes on from the last finished problem."
            ) from None
    unknown = sorted(set(single) - set(problems.names))
    if unknown and limit is None:
        output.print(
            f"generators of no problem in {file}: {make_visible(', '.join(unknown))}",
            markup=False,
            highlight=False,
        )
    print_report(output, report, show)
    output.print(f"tests: {out}\nreport: {report_path(out)}", markup=False, highlight=False)


def _writer(
    endpoint: str | None,
    model: str | None,
    replies: Path | None,
    given: Mapping[str, Any],
    budget_calls: int | None,
    prompts_folder: Path | None,
    work: Path,
    interrupt: Interrupt,
) -> Writer | None:
    from ahalab.datatools.testcases.run import REPLIES_NAME
    from ahalab.datatools.testcases.writers import EndpointWriter, LocalWriter, RecordedWriter
    from ahalab.endpoints.config import EndpointConfig
    from ahalab.validation import validate

    if replies is not None:
        if endpoint is not None or model is not None:
            raise UserError("aha data tests: give either --replies FILE or a model, not both")
        return RecordedWriter(replies)
    if endpoint is not None:
        if model is None:
            raise UserError("aha data tests: --endpoint needs --model NAME, the model's name at that server")
        config = validate(EndpointConfig, {"url": endpoint, "model": model, **given}, "--endpoint")
        return EndpointWriter(
            config, work / REPLIES_NAME, prompts_folder, lambda: interrupt.asked, budget_calls
        )
    if model is not None:
        return LocalWriter(model, given["max_tokens"], given["temperature"], prompts_folder, interrupt)
    return None
