"""The recipe's `prompts:` entries, and the mixture they make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ahalab.errors import UserError
from ahalab.prompts.contest.bundled import BuiltinSet, bundled_table
from ahalab.prompts.contest.options import CodeOptions
from ahalab.prompts.files import open_table
from ahalab.prompts.mapping import ColumnMapping
from ahalab.prompts.mixture import Mixture
from ahalab.prompts.source import PromptSource
from ahalab.prompts.table import TableSource
from ahalab.records import Language
from ahalab.validation import StrictModel, nearest, told, validate

Split = Literal["train", "held_out"]
Difficulty = Annotated[int, Field(ge=1, le=5)]


class Weighted(StrictModel):
    """What every entry has."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of the source, before its prompts' ids (default: of the file, task or data set)",
    )
    weight: float = Field(
        1.0, gt=0, le=1e6, description="Share of the prompts, relative to the other entries' weights"
    )


class WorldEntry(Weighted):
    """Problems of the project's own tiny world, endless."""

    world: str | list[str] = Field(min_length=1, description="Domain of the tiny world, or a list of them")
    split: Split = Field("train", description="held_out problems never occur in the base model's corpus")
    languages: list[Language] | None = Field(
        None, min_length=1, description="Languages of the questions (default: all)"
    )
    levels: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, min_length=1, description="Difficulties of the problems (default: all)"
    )
    sandbox: bool = Field(
        False,
        description="Whether functions run in the sandbox (domains code and software), as contest programs do; else a "
        "small reader of expressions checks them",
    )


class TaskEntry(Weighted):
    """Problems of reasoning-gym: of a task, or of several in turn."""

    reasoning_gym: str | list[str] = Field(
        min_length=1,
        description="Name of the reasoning-gym task, or of a bundled group of them (logic, ciphers, deduction, "
        "arithmetic_games), or a list of such names: their problems come in turn",
    )
    difficulty: Difficulty | Annotated[list[Difficulty], Field(min_length=1)] | None = Field(
        None,
        description="Difficulty by the task's own curriculum, 1 to 5, or a list of them in turn (default: the task's "
        "own settings). It is the prompts' level",
    )
    options: dict[str, Any] = Field({}, description="The task's own knobs; they go before `difficulty`")
    size: int = Field(1000, ge=1, le=10_000_000, description="Number of problems, each made when drawn")
    split: Split = Field("train", description="The two splits draw from different seeds")
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**31,
        description="reasoning-gym's own seed (default: made of the run's seed and the split)",
    )
    domain: str | None = Field(
        None,
        min_length=1,
        description="Domain (default: logic for bundled groups; math for tasks of algebra, arithmetic, geometry and "
        "probability, logic for the others)",
    )
    level: str | None = Field(
        None, min_length=1, description="Which of the problem's metadata is its level, such as num_terms"
    )

    @model_validator(mode="after")
    def _one_seed(self) -> Self:
        if self.seed is not None and "split" in self.model_fields_set:
            raise told(
                "give either `seed` or `split`, not both: a seed of your own alone decides the problems"
            )
        return self


class FileEntry(Weighted, ColumnMapping):
    """Rows of a file."""

    file: str = Field(
        min_length=1, description="A .jsonl, .jsonl.gz or .parquet file, relative to the recipe's folder"
    )


class HubEntry(Weighted, ColumnMapping):
    """Rows of a Hugging Face data set."""

    hub: str = Field(min_length=1, description="Id of the data set, such as openai/gsm8k, or a folder")
    config: str | None = Field(None, min_length=1, description="Configuration (subset) of the data set")
    split: str = Field("train", min_length=1, description="Split of the data set")
    revision: str | None = Field(
        None, min_length=1, description="Commit or tag; name one for a run that can be repeated"
    )


class BuiltinEntry(Weighted):
    """Problems of a set that comes with the project."""

    builtin: BuiltinSet = Field(
        description="contest: the bundled contest problems; bugs: modules with a bug (docs/contest-set.md)"
    )
    split: Split | Literal["all"] = Field(
        "all", description="held_out: a tenth of the problems, by a hash of their names; train: the others"
    )
    language: Language | None = Field(None, description="Language of the questions (default: both)")
    levels: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, min_length=1, description="Difficulties of the problems (default: all)"
    )
    code: CodeOptions = Field(CodeOptions(), description="What is kept of them, and how they are asked")


KINDS: dict[str, type[Weighted]] = {
    "world": WorldEntry,
    "reasoning_gym": TaskEntry,
    "file": FileEntry,
    "hub": HubEntry,
    "builtin": BuiltinEntry,
}
"""The key that says what an entry is -> its model."""


def _kind(entry: Any) -> Any:
    """Refuses an entry of no kind or of several; pydantic alone would not say what a person can do."""
    if isinstance(entry, Weighted):
        return entry
    expected = f"expected one of {', '.join(f'`{kind}`' for kind in KINDS)}"
    if not isinstance(entry, Mapping):
        raise told(f"{expected} with its settings, such as `world: math`; got {repr(entry)[:60]}")
    found = [kind for kind in KINDS if kind in entry]
    if len(found) > 1:
        raise told(f"{expected}, got {' and '.join(found)}: make them entries of their own")
    if not found:
        known = {key for model in KINDS.values() for key in model.model_fields}
        strange = [str(key) for key in entry if key not in known]
        hints = [f"did you mean `{nearest(key, KINDS)}` by `{key}`?" for key in strange[:1]]
        raise told(
            " ".join([f"{expected} to say where the prompts come from;", *(hints or ["none is there"])])
        )
    return entry


def _tag(entry: Any) -> str | None:
    if isinstance(entry, Weighted):
        return type(entry).__name__
    return next((model.__name__ for kind, model in KINDS.items() if kind in entry), None)


PromptEntry = Annotated[
    Annotated[WorldEntry, Tag("WorldEntry")]
    | Annotated[TaskEntry, Tag("TaskEntry")]
    | Annotated[FileEntry, Tag("FileEntry")]
    | Annotated[HubEntry, Tag("HubEntry")]
    | Annotated[BuiltinEntry, Tag("BuiltinEntry")],
    Discriminator(_tag),
    BeforeValidator(_kind),
]
"""One entry of a recipe's `prompts:`, whose field is `prompts: list[PromptEntry] = Field(min_length=1)`."""


class PromptsConfig(StrictModel):
    """The `prompts:` part of a recipe on its own."""

    prompts: list[PromptEntry] = Field(min_length=1, description="Sources of prompts")


def validate_prompts(entries: object, where: str) -> list[PromptEntry]:
    """The entries that a plain list describes. Raises UserError (see `ahalab.validation`)."""
    return validate(PromptsConfig, {"prompts": entries}, where).prompts


def build_mixture(
    entries: Sequence[PromptEntry],
    seed: int,
    *,
    skip_bad_rows: bool = False,
    folder: Path | None = None,
    where: str = "prompts",
) -> Mixture:
    """The mixture that a recipe's entries make.

    `seed` decides the order, and the problems of procedural sources. Relative files are looked for in
    `folder` (the recipe's; default the current one). `where` begins every message: the recipe and the key,
    such as "zero.yaml: prompts".
    Raises UserError for whatever the entries name that is not there or not usable.
    """
    sources = [
        build_source(entry, seed, skip_bad_rows=skip_bad_rows, folder=folder, where=f"{where}[{index}]")
        for index, entry in enumerate(entries)
    ]
    return Mixture(sources, [entry.weight for entry in entries], seed)


def build_source(
    entry: PromptEntry,
    seed: int,
    *,
    skip_bad_rows: bool = False,
    folder: Path | None = None,
    where: str = "prompts",
) -> PromptSource:
    """The source that one entry names; arguments and errors as for `build_mixture`."""
    if isinstance(entry, FileEntry):
        path = (folder or Path()) / Path(entry.file).expanduser()
        name = entry.name or _named(re.sub(r"\.(jsonl(\.gz)?|parquet)$", "", path.name))
        rows = open_table(path, f"{where}.file")
        return TableSource(name, rows, entry, where=where, skip_bad_rows=skip_bad_rows, seed=seed)
    if isinstance(entry, HubEntry):
        from ahalab.prompts.hub import HubTable

        table = HubTable(entry.hub, entry.config, entry.split, entry.revision, where)
        name = entry.name or _named(entry.hub.rstrip("/").rpartition("/")[2])
        return TableSource(name, table, entry, where=where, skip_bad_rows=skip_bad_rows, seed=seed)
    if isinstance(entry, TaskEntry):
        from ahalab.prompts.puzzles import puzzle_source

        tasks = [entry.reasoning_gym] if isinstance(entry.reasoning_gym, str) else entry.reasoning_gym
        return puzzle_source(
            entry.name or _named("-".join(tasks)),
            names=tasks,
            difficulty=entry.difficulty,
            options=entry.options,
            size=entry.size,
            run_seed=seed,
            split=entry.split,
            seed=entry.seed,
            where=where,
            domain=entry.domain,
            level=entry.level,
        )
    if isinstance(entry, WorldEntry):
        return _world(entry, seed, where)
    if isinstance(entry, BuiltinEntry):
        bundled = bundled_table(entry.builtin, entry.split, entry.levels, where)
        mapping = ColumnMapping(language=entry.language, code=entry.code)
        return TableSource(entry.name or entry.builtin, bundled, mapping, where=where)
    raise UserError(f"{where}: {type(entry).__name__} is no prompt entry")


def describe_prompts(entries: Sequence[PromptEntry], mixture: Mixture) -> list[dict[str, Any]]:
    """The entries as written, with what was recognised, derived and counted: for the resolved recipe."""
    return [
        {**entry.model_dump(mode="json", exclude_unset=True), **stated}
        for entry, stated in zip(entries, mixture.describe(), strict=True)
    ]


def _world(entry: WorldEntry, seed: int, where: str) -> PromptSource:
    from ahalab.prompts.world import WorldSource

    domains = [entry.world] if isinstance(entry.world, str) else entry.world
    limits = {key: value for key in ("languages", "levels") if (value := getattr(entry, key)) is not None}
    name = entry.name or _named("-".join(["world", *domains]))
    try:
        return WorldSource(
            name, domains=domains, split=entry.split, seed=seed, sandbox=entry.sandbox, **limits
        )
    except UserError as error:
        # The world does not know which entry of which recipe asked for it.
        raise UserError(f"{where}: {str(error).removeprefix('prompts: ')}") from None


def _named(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
