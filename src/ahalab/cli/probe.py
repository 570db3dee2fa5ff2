"""`aha probe`: does a reflective word cause the right answer?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import errors, output
from ahalab.cli.isolation import WARNING, UnsafeOption
from ahalab.errors import Interrupted, UserError
from ahalab.text.hostile import make_visible


def probe(
    model: Annotated[
        str, typer.Argument(help="A run folder, a model folder, builtin:tiny, or a Hugging Face id.")
    ],
    stage: Annotated[
        str | None,
        typer.Option(
            help="Evaluation whose samples are cut (the run's last when left out), or a trained stage."
        ),
    ] = None,
    n: Annotated[int, typer.Option(help="Prompts to probe at most, one sample of each.")] = 200,
    samples_per_arm: Annotated[int, typer.Option(help="Continuations of an arm and prompt.")] = 8,
    words: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reflective words; the paper's ten and ours otherwise."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Folder to fill; probes/MODEL when left out.")
    ] = None,
    world: Annotated[
        str, typer.Option(help="Domain of fresh samples: math, logic, choice or code.")
    ] = "math",
    temperature: Annotated[float, typer.Option(min=0.01, max=2.0, help="Of fresh samples.")] = 0.6,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Of fresh samples.")] = 0.95,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of fresh samples.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of fresh samples and of the continuations.")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; torch's own number when left out.")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where programs of answers run: local, or the URL of a sandbox service.")
    ] = "local",
    unsafe: UnsafeOption = False,
) -> None:
    """Cut thinkings before their first reflective word; go on with and without it; report the change in accuracy."""
    from ahalab.cli.progress import make_progress
    from ahalab.evaluation.probe import markdown
    from ahalab.sandbox.settings import SandboxSettings
    from ahalab.stages.context import Interrupt
    from ahalab.stages.probe import Probe, ProbeConfig
    from ahalab.stages.probe_source import find_source
    from ahalab.stages.suites.answerers import settle_threads
    from ahalab.stages.suites.folder import default_folder
    from ahalab.validation import validate

    if world not in (known := ("math", "logic", "choice", "code")):
        raise UserError(f"--world {world}: expected one of {', '.join(known)}")
    config = validate(ProbeConfig, {"n": n, "samples_per_arm": samples_per_arm, "seed": seed}, "aha probe")
    fresh = {"world": world, "temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    source = find_source(model, stage, seed, fresh)
    name = default_folder(model).name
    folder = to or Path("probes") / (f"{name}-{stage}" if stage else name)
    interrupt = Interrupt()
    if unsafe:
        errors.print(WARNING, style="yellow", highlight=False)
    threads = settle_threads(threads)
    sandbox = SandboxSettings(executor, unsafe)
    work = Probe(config, source, folder, words, threads, make_progress(errors), interrupt, sandbox)
    with interrupt:
        try:
            report = work.run()
        except Interrupted as error:
            raise Interrupted(f"{error} The same command goes on from here.") from error
        except KeyboardInterrupt:
            raise Interrupted("stopped at once. The same command goes on from the last shard.") from None
    output.print(make_visible(markdown(report)), markup=False, highlight=False)
    output.print(f"probe folder: {folder}", markup=False, highlight=False)
