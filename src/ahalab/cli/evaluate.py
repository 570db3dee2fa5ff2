"""`aha eval`: evaluate a model, a run or a server; grade again, compare, look for contamination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.isolation import WARNING, UnsafeOption
from ahalab.errors import Interrupted, UserError

if TYPE_CHECKING:
    from ahalab.evaluation.suites import Chosen
    from ahalab.sandbox.settings import SandboxSettings


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A run folder, a model folder, builtin:tiny, or a Hugging Face id.")
    ] = None,
    suites: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            metavar="NAME[?KEY=VALUE]",
            help="world, gym:TASK, gsm8k, math500, aime, gpqa, mmlu, mmlu-pro, choice, ifeval, preference.",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="[SUITE=]PATH", help="Items from a .jsonl, .jsonl.gz or .parquet file."
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option(help="Items; all of a suite when left out, 200 of an endless one.")
    ] = None,
    k: Annotated[int, typer.Option(help="Samples per item. The paper: 4 to 64.")] = 4,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 0.95,
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion.")] = 1024,
    pass_at: Annotated[list[int] | None, typer.Option(help="Further pass@j, j at most k.")] = None,
    seed: Annotated[int, typer.Option(help="Of the answers; the items are the same for every seed.")] = 0,
    to: Annotated[
        Path | None, typer.Option("--output", help="Folder to fill; evaluations/MODEL when left out.")
    ] = None,
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
        str | None, typer.Option(metavar="URL", help="Evaluate an OpenAI-compatible server instead.")
    ] = None,
    name: Annotated[str | None, typer.Option("--model", help="The model's name at the endpoint.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="NAME", help="Environment variable that holds the key."),
    ] = None,
    parallel: Annotated[int, typer.Option(help="Requests under way at one time.")] = 4,
    judge: Annotated[
        str, typer.Option(help="Of preference suites: rules, or the folder of a reward model.")
    ] = "rules",
    judge_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="A server as judge.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name at its endpoint.")] = None,
    judge_key: Annotated[
        str | None, typer.Option("--judge-key-env", metavar="NAME", help="Variable of the judge's key.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Evaluation folder whose answers preference compares with.")
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    show: Annotated[int, typer.Option(min=0, help="Print so many answers of each suite.")] = 0,
    decontaminate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RUN", help="Write which items share a 10-gram with these training prompts."
        ),
    ] = None,
    regrade: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Grade a folder's answers again; nothing is generated.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="DIR DIR", help="A paired test of two folders.")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where programs of answers run: local, or the URL of a sandbox service.")
    ] = "local",
    unsafe: UnsafeOption = False,
) -> None:
    """Evaluate MODEL on suites: pass@1 over k samples, pass@k, cons@k, each with its 95 % interval. Resumable."""
    from ahalab.cli.evaluation_tables import print_answers, print_comparison, print_evaluation
    from ahalab.sandbox.settings import SandboxSettings
    from ahalab.stages.suites.config import EvalConfig
    from ahalab.validation import validate

    sandbox = SandboxSettings(executor, unsafe)
    if unsafe:
        errors.print(WARNING, style="yellow", highlight=False)
    if regrade is not None:
        _regrade(regrade, sandbox)
        return
    if compare is not None:
        from ahalab.stages.suites.comparison import compare_folders

        print_comparison(output, compare_folders(*compare))
        return
    given: dict[str, Any] = {
        "n": n,
        "k": k,
        "temperature": temperature,
        "top_p": top_p,
        "max_new_tokens": max_new_tokens,
        "pass_at": pass_at or [],
        "seed": seed,
        "template": template,
        "system_prompt": system_prompt,
        "max_rows": max_rows,
    }
    config = validate(EvalConfig, given, "aha eval")
    chosen = _chosen(suites)
    placed = _files(files, chosen)
    if decontaminate is not None:
        _decontaminate(decontaminate, chosen, config.n, placed, skip_bad_rows, to)
        if model is None and endpoint is None:
            return
    if (model is None) == (endpoint is None):
        raise UserError("aha eval: give either a MODEL (or run folder), or --endpoint URL with --model NAME")
    from ahalab.cli.progress import make_progress
    from ahalab.stages.context import Interrupt
    from ahalab.stages.suites.answerers import make_answerer, settle_threads
    from ahalab.stages.suites.folder import default_folder
    from ahalab.stages.suites.preference import Comparing
    from ahalab.stages.suites.run import Evaluation

    server = _endpoint(endpoint, name, key, parallel, "endpoint")
    judging = _endpoint(judge_endpoint, judge_model, judge_key, parallel, "judge")
    folder = to or default_folder(model or name or "")
    interrupt = Interrupt()
    evaluation = Evaluation(
        config,
        make_answerer(model, server, config, folder, interrupt),
        folder,
        threads=settle_threads(threads) if server is None else None,
        files=placed,
        comparing=Comparing(judge, judging, reference),
        skip_bad_rows=skip_bad_rows,
        progress=make_progress(errors),
        interrupt=interrupt,
        sandbox=sandbox,
    )
    with interrupt:
        try:
            found = evaluation.run(chosen)
        except Interrupted as error:
            raise Interrupted(f"{error} The same command goes on from here.") from error
        except KeyboardInterrupt:
            raise Interrupted("stopped at once. The same command goes on from the last shard.") from None
    print_evaluation(output, found)
    if show:
        print_answers(output, folder, show)
    output.print(f"evaluation folder: {folder}", highlight=False, markup=False)


def _chosen(suites: list[str] | None) -> list[Chosen]:
    from ahalab.evaluation.suites import SUITES, choose

    if not suites:
        raise UserError(f"aha eval: name at least one --suite; there are {', '.join(SUITES)}")
    chosen = [choose(text) for text in suites]
    slugs = [one.slug for one in chosen]
    for one in chosen:
        if slugs.count(one.slug) > 1:
            raise UserError(f"--suite {one.text}: given twice")
    return chosen


def _files(files: list[str] | None, chosen: list[Chosen]) -> dict[str, Path]:
    placed: dict[str, Path] = {}
    for text in files or []:
        suite, equals, path = text.partition("=")
        if equals and suite in {one.text for one in chosen}:
            placed[suite] = Path(path).expanduser()
        elif len(chosen) == 1:
            placed[chosen[0].text] = Path(text).expanduser()
        else:
            raise UserError(
                f"--file {text}: with several suites say whose it is, as in --file {chosen[0].text}={text}"
            )
    return placed


def _endpoint(url: str | None, model: str | None, key: str | None, parallel: int, what: str) -> Any:
    from ahalab.endpoints.config import EndpointConfig
    from ahalab.validation import validate

    flag = "--endpoint" if what == "endpoint" else "--judge-endpoint"
    if url is None:
        if model is not None:
            raise UserError(f"aha eval: a model's name is given without {flag} URL")
        return None
    if model is None:
        wanted = "--model" if what == "endpoint" else "--judge-model"
        raise UserError(f"aha eval: {flag} needs {wanted} NAME, the model's name at that server")
    return validate(
        EndpointConfig, {"url": url, "model": model, "api_key_env": key, "parallel": parallel}, flag
    )


def _regrade(folder: Path, sandbox: SandboxSettings) -> None:
    from ahalab.cli.evaluation_tables import print_evaluation
    from ahalab.cli.progress import make_progress
    from ahalab.stages.suites.run import regrade

    done = regrade(folder, make_progress(errors), sandbox=sandbox)
    print_evaluation(output, done.summary)
    output.print(
        f"graded again: {done.samples:,} answers, {done.changed:,} verdicts changed", highlight=False
    )


def _decontaminate(
    source: Path,
    chosen: list[Chosen],
    n: int | None,
    files: dict[str, Path],
    skip: bool,
    to: Path | None,
) -> None:
    from ahalab.cli.evaluation_tables import print_overlap
    from ahalab.stages.suites.contamination import write_overlap

    folder = to or Path("evaluations")
    for one in chosen:
        found, path = write_overlap(one, source, folder, n, files.get(one.text), skip)
        print_overlap(output, one.text, found, path)
