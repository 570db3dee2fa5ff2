"""One invocation of a recipe: where it runs and whom it tells. Nothing here may change what a stage computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.policy.memory import MemoryEstimate
from ahalab.runs.folder import RunFolder
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.sandbox.settings import SandboxSettings
from ahalab.stages.context import Interrupt, StageContext
from ahalab.stages.preflight import PreflightReport


@dataclass(slots=True)
class Execution:
    """Settings of one invocation."""

    run_path: Path
    progress: Progress = field(default_factory=SilentProgress)
    interrupt: Interrupt = field(default_factory=Interrupt)
    skip_bad_rows: bool = False
    start: str | None = None
    """`--from`: this stage and what depends on it are made again."""
    until: str | None = None
    """`--until`: only what this stage needs is made."""
    reuse: bool = True
    """Take finished stages of the same identity from the run's attempts and from sibling runs."""
    unsafe_no_isolation: bool = False
    """Run programs of answers although nothing keeps them in."""
    on_preflight: Callable[[str, PreflightReport], None] = lambda _stage, _report: None
    on_memory: Callable[[MemoryEstimate], None] = lambda _estimate: None

    def context(
        self, recipe: Recipe, stage: Stage, inputs: Mapping[str, str], folder: Path, run: RunFolder | None
    ) -> StageContext:
        """What `stage` gets to see; `run` is None as long as no run folder exists."""
        context = StageContext(
            name=stage.name,
            folder=folder,
            inputs=inputs,
            seed=recipe.head.seed,
            progress=self.progress,
            interrupt=self.interrupt,
            skip_bad_rows=self.skip_bad_rows,
            data_folder=recipe.folder,
            endpoints=recipe.head.endpoints,
            sandbox=SandboxSettings(recipe.head.sandbox.executor, self.unsafe_no_isolation),
        )
        if run is not None:
            context.event = run.event
        return context
