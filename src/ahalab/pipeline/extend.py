"""Recipes made from recipes: `extends` takes another one's stages, `like` another stage's settings.

Both are resolved on plain data, before anything is checked, so that errors name the resolved keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ahalab.errors import UserError
from ahalab.validation import suggestion

EXTENDS, LIKE = "extends", "like"

Reader = Callable[[str], Any]
"""From a recipe's name or path to its plain data."""


def extend(
    data: Any, where: str, read: Reader, above: tuple[str, ...] = ()
) -> tuple[Any, frozenset[str] | None]:
    """(the recipe with what it extends put in, the names of its own stages, or None where it extends nothing).

    The recipe's own keys win over those of the one it extends, stage by stage; a stage of the same name replaces
    the other's whole.

    Raises:
        UserError: `extends` is no text, or recipes extend each other in a circle.
    """
    if not isinstance(data, dict) or EXTENDS not in data:
        return data, None
    source = data[EXTENDS]
    if not isinstance(source, str):
        raise UserError(f"{where}: extends: expected the name or the file of a recipe, got {source!r}.")
    if source in above:
        raise UserError(f"{where}: recipes extend each other in a circle: {' → '.join([*above, source])}.")
    parent, _ = extend(read(source), source, read, (*above, source))
    own = data.get("stages")
    if (
        not isinstance(parent, dict)
        or not isinstance(parent.get("stages"), dict)
        or not isinstance(own, dict)
    ):
        raise UserError(f"{where}: extends {source}: both recipes need `stages:`.")
    head = {key: value for key, value in data.items() if key != EXTENDS}
    return {**parent, **head, "stages": {**parent["stages"], **own}}, frozenset(map(str, own))


def resolve_likes(data: Any, where: str) -> Any:
    """The recipe with every `{KIND: {like: STAGE, …}}` filled with that stage's settings.

    Own keys win; where both have a mapping (`window`, `stop`) the two are merged by the same rule.

    Raises:
        UserError: no such stage, a stage of another kind, or a circle.
    """
    stages = data.get("stages") if isinstance(data, dict) else None
    if not isinstance(stages, Mapping):
        return data
    resolved = {name: _resolved(str(name), stages, where, ()) for name in stages}
    return {**data, "stages": resolved}


def _resolved(name: str, stages: Mapping[str, Any], where: str, above: tuple[str, ...]) -> Any:
    body = stages[name]
    if not isinstance(body, Mapping) or len(body) != 1:
        return body
    kind, config = next(iter(body.items()))
    if not isinstance(config, Mapping) or LIKE not in config:
        return body
    model, place = config[LIKE], f"{where}: stages.{name}.{kind}.like"
    if model not in stages:
        raise UserError(f"{place}: no stage {model!r}; {suggestion(str(model), list(stages))}")
    if name in above:
        raise UserError(f"{place}: stages are like each other in a circle: {' → '.join([*above, name])}.")
    other = _resolved(str(model), stages, where, (*above, name))
    if not isinstance(other, Mapping) or kind not in other:
        raise UserError(f"{place}: {model!r} is no {kind} stage, so its settings do not fit.")
    own = {key: value for key, value in config.items() if key != LIKE}
    return {kind: _merged(other[kind] or {}, own)}


def _merged(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(theirs[key], value)
        for key, value in own.items()
        if isinstance(value, Mapping) and isinstance(theirs.get(key), Mapping)
    }
    return {**theirs, **own, **both}
