"""What decides a stage's result, and where what lies in a run folder differs from it.

The identity is (kind, version of its code, config, seed, name, hashes of everything read). The name counts because
randomness is keyed by it. Two stages of one identity on one kind of machine leave the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ahalab.pipeline.recipe import Recipe, Stage
from ahalab.runs.differences import differences, shorten
from ahalab.runs.hashing import config_hash, file_hash, folder_hash
from ahalab.runs.manifest import Manifest
from ahalab.stages.inputs import BASES, ArtifactKind

DATA_KEYS = ("file", "hub", "reviewed", "prompts_folder")
"""Config keys, at any depth, whose value may name data that lies on this machine."""

_SHOWN_KEYS = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides one stage's result."""

    stage: str
    kind: str
    version: int
    seed: int
    config: Mapping[str, Any]
    """JSON-able, every default filled in."""
    inputs: Mapping[str, str]
    """What is read → its hash: "from", "data[0]", "endpoint teacher", "file questions.jsonl". Inputs that are not
    made yet are missing."""

    @property
    def key(self) -> str:
        """One hash of all of it."""
        parts = (self.stage, self.kind, self.version, self.seed, dict(self.config), dict(self.inputs))
        return config_hash(parts)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a finished stage's manifest, or an unfinished one's `begun.json`, says it was made from."""

    kind: str
    version: int
    config: Mapping[str, Any] | None
    """None: begun by a version that did not write it down."""
    seed: int | None
    inputs: Mapping[str, str]


@dataclass(slots=True)
class Comparison:
    """Where a recorded stage differs from what the recipe asks for now; all empty when it is current."""

    recipe: list[str] = field(default_factory=list)
    """What the recipe changed, in words."""
    inputs: list[str] = field(default_factory=list)
    """Stages whose artifact is another one now."""
    outside: list[str] = field(default_factory=list)
    """What changed behind the recipe's back (files of a base, data files), in words."""
    version: bool = False
    """Made by another version of the stage's code."""

    @property
    def current(self) -> bool:
        """Nothing differs."""
        return not (self.recipe or self.inputs or self.outside or self.version)


def identify(stage: Stage, recipe: Recipe, hashes: Mapping[str, str], *, with_data: bool = True) -> Identity:
    """The stage's identity; `hashes` are those of bases and stages, as far as they are known.

    Without `with_data` local data files are not looked at.
    """
    inputs = {name: hashes[source] for name, source in stage.inputs.items() if source in hashes}
    for name in stage.config.endpoint_names():
        inputs[f"endpoint {name}"] = f"sha256:{config_hash(recipe.head.endpoints[name].identity())}"
    for name, path in data_paths(stage.config, recipe.folder) if with_data else ():
        inputs[f"file {name}"] = f"sha256:{file_hash(path) if path.is_file() else folder_hash(path)}"
    return Identity(
        stage.name,
        stage.kind.name,
        stage.kind.version,
        recipe.head.seed,
        stage.config.model_dump(mode="json", by_alias=True),
        inputs,
    )


def data_paths(config: BaseModel, folder: Path) -> Iterator[tuple[str, Path]]:
    """(as the recipe says it, where it lies) of every local data file or folder that a config names and that exists.

    What is missing is left to the stage, which says so in its own words; a finished one no longer needs it.
    """
    for model in _models(config):
        for key in DATA_KEYS:
            name = getattr(model, key, None)
            if isinstance(name, str):
                path = folder / Path(name).expanduser()
                if path.is_file() or path.is_dir():
                    yield name, path


def recorded(manifest: Manifest) -> Recorded:
    """What a finished stage was made from."""
    seed = manifest.environment.get("seed")
    return Recorded(manifest.kind, manifest.version, manifest.config, seed, manifest.inputs)


def compare(
    stage: Stage, wanted: Identity, found: Recorded, renamed: frozenset[str] = frozenset()
) -> Comparison:
    """Where `found` differs from `wanted`. `renamed` are the bases for which the recipe now names another model."""
    result = Comparison(version=found.version != wanted.version)
    if found.kind != wanted.kind:
        result.recipe.append(f"kind: {found.kind} before, {wanted.kind} now")
        return result
    if found.seed not in (None, wanted.seed):
        result.recipe.append(f"seed: {found.seed} before, {wanted.seed} now")
    if found.config is not None:
        before = _refilled(stage, found.config)
        if before is not None or not result.version:
            result.recipe += _changed_keys(found.config if before is None else before, wanted.config)
    for name, value in wanted.inputs.items():
        if found.inputs.get(name, value) == value:
            continue
        kind, _, rest = name.partition(" ")
        source = stage.inputs.get(name)
        if kind == "endpoint":
            result.recipe.append(f"endpoint {rest}: another model or other settings")
        elif source is None:
            result.outside.append(f"the data in {rest}")
        elif source not in BASES:
            result.inputs.append(source)
        elif source in renamed:
            result.recipe.append(f"{source}: another model")
        else:
            result.outside.append(f"the files of `{source}`")
    result.inputs = list(dict.fromkeys(result.inputs))
    return result


def artifact_hash(manifest: Manifest, makes: ArtifactKind) -> str:
    """What a finished stage hands on: a hash over its checkpoint, its data, or (evaluations, reports) all of it."""
    folder = {"model": "checkpoint/", "reward_model": "checkpoint/", "dataset": "data/"}.get(makes, "")
    files = {name: file for name, file in manifest.files.items() if name.startswith(folder)}
    return f"sha256:{config_hash(files if folder else {'files': files, 'figures': manifest.figures})}"


def stage_hash(stage: Stage) -> str:
    """Hash of everything in the recipe and the code's version that decides what the stage computes."""
    return config_hash(
        {
            "kind": stage.kind.name,
            "version": stage.kind.version,
            **stage.config.model_dump(mode="json", by_alias=True),
        }
    )


def _changed_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = [
        f"{key}: {shorten(theirs, 40)} before, {shorten(ours, 40)} now"
        for key, theirs, ours in differences(dict(before), dict(now))
    ]
    more = len(found) - _SHOWN_KEYS
    return [*found[:_SHOWN_KEYS], f"{more} more keys"] if more > 0 else found


def _refilled(stage: Stage, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """A recorded config as this code reads it: a field that is new since has its default. None: it cannot."""
    try:
        return stage.kind.config.model_validate(dict(config)).model_dump(mode="json", by_alias=True)
    except ValidationError:
        return None


def _models(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _models(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _models(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _models(one)
