"""Stage kinds that write a line of text each: whole graphs in milliseconds, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from ahalab.errors import Interrupted
from ahalab.pipeline.execute import execute
from ahalab.pipeline.execution import Execution
from ahalab.pipeline.kinds import KINDS, StageKind
from ahalab.pipeline.recipe import Recipe, parse_recipe
from ahalab.runs.folder import RunFolder
from ahalab.runs.progress import SilentProgress
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.inputs import InputRef, StageConfig

FOLDERS = {"model": "checkpoint", "dataset": "data", "evaluation": "samples"}


class StubConfig(StageConfig):
    """Writes what it reads and its own text in lower case: "B" for "b" is another config and the same result."""

    from_: str | None = Field(None, alias="from")
    reads: list[str] = Field([])
    text: str = ""
    file: str | None = None
    endpoint: str | None = None
    units: int = 1

    def input_refs(self) -> dict[str, InputRef]:
        """The model in `from`, the data sets in `reads`."""
        refs = {} if self.from_ is None else {"from": InputRef(self.from_)}
        return refs | {f"reads[{n}]": InputRef(name, ("dataset",)) for n, name in enumerate(self.reads)}

    def endpoint_names(self) -> tuple[str, ...]:
        """The endpoint, if any."""
        return () if self.endpoint is None else (self.endpoint,)


class Notes(SilentProgress):
    """Keeps the lines for the person."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """One line."""
        self.lines.append(text)

    @property
    def text(self) -> str:
        """All of them."""
        return "\n".join(self.lines)


class Graph:
    """A runs folder in which recipes of stub stages are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []
        """Names of the stages that worked, in order."""
        self.notes = Notes()
        self.stop_at: str | None = None
        """This stage is interrupted in the middle of its work."""

    def stub(self, makes: Any, version: int = 1) -> StageKind:
        """A kind that leaves `makes`."""

        def run(config: StubConfig, context: StageContext) -> StageResult:
            self.made.append(context.name)
            context.progress.begin(context.name, config.units, "step")
            read = [_read(Path(place)) for name, place in sorted(context.inputs.items())]
            if config.file is not None:
                read.append((context.data_folder / config.file).read_text())
            (context.folder / "begun.txt").write_text("half")
            if self.stop_at == context.name:
                context.progress.advance(1, {"lines": 1})
                context.progress.end()
                raise Interrupted(f"{context.name}: stopped.")
            text = "+".join([*read, config.text.lower()])
            folder = context.folder / FOLDERS[makes]
            folder.mkdir(exist_ok=True)
            (folder / "out.txt").write_text(text)
            (folder / "weights.safetensors").write_text(text)
            context.progress.advance(config.units, {"lines": 1})
            context.progress.end()
            return StageResult({"length": len(text)})

        return StageKind(f"make_{makes}", StubConfig, run, version, makes, ("lines", "length"))

    def recipe(self, stages: dict[str, Any], **head: Any) -> Recipe:
        """`{"a": {"from": "base", "text": "x"}}`: models, unless a stage says `makes`."""
        full = {}
        for name, config in stages.items():
            config = dict(config)
            full[name] = {f"make_{config.pop('makes', 'model')}": config}
        data = {"name": "graph", "base": "none", "threads": 1, **head, "stages": full}
        return parse_recipe(data, "graph.yaml", self.folder)

    def run(self, recipe: Recipe, name: str = "graph", **options: Any) -> list[str]:
        """Run it; the stages that worked."""
        self.made.clear()
        self.notes.lines.clear()
        execute(recipe, Execution(self.folder / name, progress=self.notes, **options))
        return list(self.made)

    def out(self, stage: str, name: str = "graph") -> str:
        """What a finished stage left."""
        return _read(next((self.folder / name / "stages" / stage).glob("*/out.txt")).parent)

    def open(self, name: str = "graph") -> RunFolder:
        """The run folder."""
        return RunFolder.open(self.folder / name)


def _read(place: Path) -> str:
    return (place / "out.txt").read_text()


def make_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """A runs folder, and its stub kinds among the known kinds."""
    graph = Graph(folder)
    for makes in FOLDERS:
        kind = graph.stub(makes)
        monkeypatch.setitem(KINDS, kind.name, kind)
    return graph
