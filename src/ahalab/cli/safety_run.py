"""`aha safety run`: targets answer the questions, a judge reads the answers, the tables are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahalab.cli.console import errors, output
from ahalab.errors import Interrupted

if TYPE_CHECKING:
    from ahalab.safety.records import SafetyItem
    from ahalab.safety.running.plan import Calls, Plan
    from ahalab.safety.running.settings import RunSettings
    from ahalab.safety.running.targets import RunTarget, TargetConfig
    from ahalab.stages.context import Interrupt

JudgeOption = Annotated[
    str, typer.Option("--judge", metavar="SPEC", help="offline, a .yaml file, or URL#MODEL.")
]
PartOption = Annotated[
    str, typer.Option("--judge-part", help="answer, thinking or both, each with its own verdict.")
]
RetryOption = Annotated[bool, typer.Option("--retry-errors", help="First open again what ended in an error.")]


def run(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="[NAME=]URL#MODEL, a .jsonl or .csv of recorded replies, a model or run folder, builtin:tiny, or a "
            ".yaml of targets.",
        ),
    ],
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark", metavar="NAME[?KEY=VALUE]", help="As `aha safety benchmarks` lists them."
        ),
    ] = None,
    judge: JudgeOption = "offline",
    part: PartOption = "both",
    jailbreak: Annotated[
        bool, typer.Option("--jailbreak", help="Ask harmful questions in published templates too.")
    ] = False,
    templates: Annotated[
        list[Path] | None,
        typer.Option("--templates", help="Your own files of templates, beside the packages'."),
    ] = None,
    transforms: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Compose templates with these; `plain` is closest to the paper."),
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option("--longest-template", min=1, help="Leave out templates of more characters."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Ask the questions as they are (too).")
    ] = True,
    languages: Annotated[
        list[str] | None, typer.Option("--language", metavar="CODE", help="Only these; all when left out.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Items of each set, in proportion from its groups.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of templates and replies.")] = 0,
    to: Annotated[
        Path | None,
        typer.Option("--output", help="Folder to fill; evaluations/safety-TARGETS when left out."),
    ] = None,
    controls: Annotated[
        list[str] | None,
        typer.Option("--control", metavar="NAME=BARE", help="NAME is the target BARE behind a risk control."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count calls, tokens and cost.")] = False,
    retry: RetryOption = False,
    no_judge: Annotated[
        bool, typer.Option("--no-judge", help="Only ask; `aha safety judge` judges later.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Recorded replies: count unknown and missing items.")
    ] = False,
    key: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="Of URL targets: the key's variable.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Of URL targets: requests under way at one time.")] = 4,
    temperature: Annotated[float, typer.Option(help="Of URL and local targets.")] = 0.6,
    max_tokens: Annotated[int | None, typer.Option(help="Longest reply; URL: 4096, local: 256.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of local targets; all when left out.")
    ] = None,
) -> None:
    """Ask TARGETs the questions of benchmarks, judge their replies, print the tables. Resumable; no call paid twice."""
    from ahalab.cli.progress import make_progress
    from ahalab.safety.benchmarks import deterministic_judge, load_benchmark
    from ahalab.safety.judging.opening import open_judge
    from ahalab.safety.running.asked import gather
    from ahalab.safety.running.plan import plan
    from ahalab.safety.running.run import SafetyRun
    from ahalab.safety.running.settings import RunSettings, read_part
    from ahalab.safety.running.targets import Given, read_targets
    from ahalab.stages.context import Interrupt
    from ahalab.validation import validate

    settings = validate(
        RunSettings,
        {
            "benchmarks": benchmarks or ["safety-1120"],
            "languages": languages,
            "limit": limit,
            "seed": seed,
            "jailbreak": jailbreak,
            "plain": plain,
        },
        "aha safety run",
    )
    served = {"temperature": temperature, "parallel": parallel, "api_key_env": key}
    local = {"temperature": temperature}
    if max_tokens is not None:
        served["max_tokens"] = local["max_new_tokens"] = max_tokens
    configs = read_targets(targets, Given(served, local), controls or ())
    parts = read_part(part)
    folder = to or Path("evaluations") / f"safety-{'-'.join(configs)}"[:80]
    interrupt = Interrupt()
    judging = None if no_judge else open_judge(judge, folder, lambda: interrupt.asked)
    asked = gather(
        settings,
        lambda spec, most, codes: load_benchmark(spec, limit=most, languages=codes),
        _wrapper(templates or (), transforms, longest) if jailbreak else None,
    )
    opened = [
        _opened(name, config, folder, settings, skip_bad_rows, threads, interrupt)
        for name, config in configs.items()
    ]
    if dry_run:
        print_plan(plan(asked, opened, judging, parts, folder, deterministic_judge))
        return
    work = SafetyRun(
        folder,
        judging,
        parts,
        deterministic_judge,
        retry_errors=retry,
        progress=make_progress(errors),
        stopping=lambda: interrupt.asked,
    )
    with interrupt:
        carry_on(lambda: work.ask(asked, opened))
    if not no_judge:
        print_tables(folder)
    output.print(f"evaluation folder: {folder}", highlight=False, markup=False)


def carry_on(work: Any) -> None:
    """Do it; where Ctrl-C ends it, say that the same command goes on."""
    try:
        work()
    except Interrupted as error:
        raise Interrupted(f"{error} The same command goes on from here.") from error
    except KeyboardInterrupt:
        raise Interrupted("stopped at once. Replies that came are kept; the same command goes on.") from None


def _opened(
    name: str,
    config: TargetConfig,
    folder: Path,
    settings: RunSettings,
    skip_bad_rows: bool,
    threads: int | None,
    interrupt: Interrupt,
) -> RunTarget:
    from ahalab.safety.running.recorded import Recorded
    from ahalab.safety.running.served import Served
    from ahalab.safety.running.targets import RecordedTarget, ServedTarget

    if isinstance(config, ServedTarget):
        return Served(name, config, folder, settings.seed, lambda: interrupt.asked)
    if isinstance(config, RecordedTarget):
        whole = settings.limit is None and settings.languages is None
        return Recorded(name, config, skip_bad_rows=skip_bad_rows, whole=whole)
    from ahalab.stages.safety_target import LocalModelTarget
    from ahalab.stages.suites.answerers import settle_threads

    return LocalModelTarget(name, config, settings.seed, settle_threads(threads), lambda: interrupt.asked)


def _wrapper(files: Sequence[Path], transforms: str | None, longest: int | None) -> Any:
    def wrap_all(items: Sequence[SafetyItem], seed: int) -> tuple[list[SafetyItem], Mapping[str, Any]]:
        from ahalab.safety.jailbreak.catalogue import load_catalogue, read_names
        from ahalab.safety.jailbreak.wrapping import wrap

        catalogue = load_catalogue(files, transforms=read_names(transforms), longest=longest)
        return wrap(items, catalogue, seed), catalogue.identity()

    return wrap_all


def print_plan(plan: Plan) -> None:
    """What a run would do."""
    from rich.markup import escape
    from rich.table import Table

    for name, count, source in plan.benchmarks:
        output.print(f"{name}: {count:,} items ({source})", highlight=False, markup=False)
    if plan.wrapped:
        output.print(f"in jailbreak templates: {plan.wrapped:,} items", highlight=False)
    table = Table(title="what this run would do", title_justify="left", title_style="bold")
    heads = ("target", "kind", "items", "answered", "paid for", *_CALLS, "judged", "to judge")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place > 1 else "left")
    for one in plan.targets:
        done = (f"{one.items:,}", f"{one.answered:,}", f"{one.paid:,}")
        table.add_row(
            escape(one.name), one.kind, *done, *_calls(one.asking), f"{one.judged:,}", f"{one.to_judge:,}"
        )
    if plan.judging.calls:
        row = ("", "", "", *_calls(plan.judging), "", "")
        table.add_row(f"judge {plan.judge}", plan.judge_kind, *row)
    output.print(table)
    output.print(f"calls to targets: {plan.asking.calls:,}", highlight=False)
    if plan.judge:
        calls = "no call of a server"
        if plan.judging.calls:
            word = "at most" if plan.judging.at_most else "about"
            calls = f"{word} {plan.judging.calls:,} calls of its server"
        elif plan.judge_kind == "endpoint":
            calls = "one call of its server each, more for long replies"
        what = f"judgements of {' and '.join(plan.parts)}: at most {plan.to_judge:,}"
        output.print(
            f"{what}, by judge {plan.judge} ({plan.judge_kind}; {calls})", highlight=False, markup=False
        )
    output.print("nothing was sent and nothing written (--dry-run); retries are not counted", highlight=False)


_CALLS = ("calls", "tokens in", "tokens out", "cost")


def _calls(found: Calls) -> tuple[str, ...]:
    if not found.calls:
        return "0", "–", "–", "–"
    most = "≤ " if found.at_most else "~ "
    cost = "no prices" if found.cost is None else f"{most}{found.cost:,.2f}"
    return f"{found.calls:,}", f"~ {found.tokens_in:,}", f"{most}{found.tokens_out:,}", cost


def print_tables(folder: Path) -> None:
    """Sum up a folder and print its tables."""
    from ahalab.cli.safety_tables import print_summary
    from ahalab.safety.comparison import summarise

    print_summary(output, summarise(folder))
