"""The recipe reference as Markdown, written from the schemas themselves: `python -m ahalab.pipeline.reference`.

The page is committed as docs/recipe-reference.md; a test holds it to be what this prints.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ahalab.endpoints.config import EndpointConfig
from ahalab.pipeline.kinds import KINDS
from ahalab.pipeline.recipe import RecipeHead
from ahalab.prompts.config import KINDS as PROMPT_KINDS
from ahalab.prompts.config import Weighted
from ahalab.prompts.mapping import ColumnMapping
from ahalab.stages.data_entries import FileData, ForeignData, HubData
from ahalab.stages.inputs import Said
from ahalab.validation import validate

HEAD = """\
# Recipe reference

Written by `python -m ahalab.pipeline.reference` from the schemas. Do not edit this page: edit the field.

`aha explain RECIPE` shows the same for one recipe, with its own numbers. A recipe is one YAML file:

```yaml
name: my-run
base: builtin:tiny
stages:
  zero:
    rl:
      from: base
      preset: modern
      prompts: [{world: math}]
      steps: 20
  after:
    evaluate:
      from: zero
      prompts: [{world: math, split: held_out}]
```

- An unknown key, a wrong type and a value out of range are refused, with the nearest key and the range.
- Types are not guessed: `steps: "20"` is refused.
- `rewards: [accuracy, format]` is short for the weight 1 each.
- What a recipe leaves out is filled in. The filled-in recipe is `recipe.resolved.yaml` in the run folder.
- Any key can be set on the command line: `--set stages.zero.rl.steps=10`. Values are read as YAML.
- "paper" is DeepSeek-R1, arXiv 2501.12948v2. "not said" means that the paper gives no value: ours is our choice.
  An empty cell means that the key has no counterpart there.
"""

PROMPTS_INTRO = """\
`prompts` is a list of entries. The key `world`, `reasoning_gym`, `file`, `hub` or `builtin` says what an entry is.
Several entries are mixed by `weight`, in an order that depends on the seed and the position only."""

DATA_INTRO = """\
`data` of `sft` and `reward_model` stages is a list of entries: the name of a stage that leaves a data set, or a mapping
with `file` or `hub`. Each kind of row is described in [SFT](sft.md) and [reward models](reward-models.md)."""

LEAST: dict[str, dict[str, Any]] = {
    "rl": {"prompts": [{"world": "math"}]},
    "sft": {"data": ["a"]},
    "reward_model": {"pairwise": {"data": ["a"]}},
}
"""What a stage of a kind that has presets must be given besides."""

WORDS: dict[Any, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    Any: "anything",
}
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "## The head of a recipe\n", _table(RecipeHead, {"default": _defaults(RecipeHead)})]
    for name, kind in KINDS.items():
        parts += [f"## Stage `{name}`\n", f"{inspect.getdoc(kind.config)}\n"]
        parts.append(_table(kind.config, _columns(kind.config)))
    parts += ["## Endpoints\n", f"{inspect.getdoc(EndpointConfig)}\n"]
    parts.append(_table(EndpointConfig, {"default": _defaults(EndpointConfig)}))
    parts += ["## Data entries\n", DATA_INTRO + "\n"]
    parts.append("### Data in a `file`\n")
    parts.append(_table(FileData, {"default": _defaults(FileData)}, only=_own(FileData)))
    parts.append("### Data of the `hub`\n")
    parts.append(_table(HubData, {"default": _defaults(HubData)}, only=_own(HubData)))
    parts.append("### Keys of both\n")
    parts.append(_table(ForeignData, {"default": _defaults(ForeignData)}))
    parts += ["## Prompt entries\n", PROMPTS_INTRO + "\n", "### Every entry\n"]
    parts.append(_table(Weighted, {"default": _defaults(Weighted)}))
    for key, model in PROMPT_KINDS.items():
        parts += [f"### `{key}`\n", f"{inspect.getdoc(model)}{_and_columns(model)}\n"]
        parts.append(_table(model, {"default": _defaults(model)}, only=_own(model)))
    parts += ["### Columns of `file` and `hub`\n", f"{inspect.getdoc(ColumnMapping)}\n"]
    parts.append(_table(ColumnMapping, {"default": _defaults(ColumnMapping)}))
    return "\n".join(parts)


def main() -> None:
    """Print the page."""
    sys.stdout.write(reference())


def _and_columns(model: type[BaseModel]) -> str:
    return " It also takes the keys of the last table." if issubclass(model, ColumnMapping) else ""


def _own(model: type[BaseModel]) -> set[str]:
    """The fields that have no table of their own."""
    elsewhere = [base for base in (Weighted, ColumnMapping, ForeignData) if issubclass(model, base)]
    return set(model.model_fields).difference(*(base.model_fields for base in elsewhere))


def _columns(model: type[BaseModel]) -> dict[str, Mapping[str, Any]]:
    """Heading of a column of defaults → value by dotted key; one column a preset where the kind has presets."""
    if "preset" not in model.model_fields:
        return {"default": _defaults(model)}
    presets = get_args(model.model_fields["preset"].annotation)
    return {f"`{preset}`": {**_defaults(model), **_preset(model, preset)} for preset in presets}


def _preset(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Every value of a stage of which only the preset is given."""
    given = next(one for kind, one in LEAST.items() if KINDS[kind].config is model)
    config = validate(model, {"preset": name, **given}, f"preset {name}")
    return {key: value for key, value in _values(config) if key.partition(".")[0] not in given}


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner, key = _model_in(field.annotation), field.alias or name
        if inner is not None:
            found.update({f"{key}.{one}": value for one, value in _defaults(inner).items()})
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            found.update(_values(value, f"{key}.") if isinstance(value, BaseModel) else ())
            found[key] = value
    return found


def _values(model: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), f"{above}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from _values(value, f"{key}.")
        else:
            yield key, value


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, or may hold."""
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [one for one in get_args(annotation) if one is not NoneType]
        return _model_in(members[0]) if len(members) == 1 else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _table(
    model: type[BaseModel], columns: Mapping[str, Mapping[str, Any]], only: set[str] | None = None
) -> str:
    rows = [(key, field) for key, field in _fields(model) if only is None or key.partition(".")[0] in only]
    with_paper = any(_paper(field) for _, field in rows)
    heads = ["key", "type", *columns, "range", *(["the paper says"] if with_paper else []), "meaning"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for key, field in rows:
        defaults = [_shown(values[key]) if key in values else "required" for values in columns.values()]
        paper = [_paper(field)] if with_paper else []
        meaning = (field.description or "").rstrip(".")
        lines.append(_line([f"`{key}`", _type(field.annotation), *defaults, _range(field), *paper, meaning]))
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of every field; a model inside is opened, a list of models is not."""
    for name, field in model.model_fields.items():
        key, inner = f"{above}{field.alias or name}", _model_in(field.annotation)
        if inner is None or inner is not field.annotation:
            yield key, field
        if inner is not None:
            yield from _fields(inner, f"{key}.")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _paper(field: FieldInfo) -> str:
    """The paper's value, what qualifies it in brackets, and what it is in other roles; empty where the key has no
    counterpart there."""
    extra: Any = field.json_schema_extra
    if not isinstance(extra, dict):
        return ""
    usual = Said(extra.get("paper"), extra.get("paper_note") or "")
    others = {role: said for role, said in extra.get("paper_roles", {}).items() if said != usual}
    stated = [] if usual.value is None else [_said(usual)]
    return "; ".join([*stated, *(f"{role}: {_said(said)}" for role, said in others.items())])


def _said(said: Said) -> str:
    value = said.value if isinstance(said.value, str) else _shown(said.value)
    return value + (f" ({said.note})" if said.note else "")


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | Mapping | list | tuple):
        return f"`{json.dumps(value, ensure_ascii=False)}`"
    if isinstance(value, float):
        return _figure(value)
    return f"`{value}`" if isinstance(value, str) else str(value)


def _figure(value: float) -> str:
    return re.sub(r"e([+-])0*", r"e\1", f"{value:g}").replace("e+", "e")


def _type(annotation: Any) -> str:
    """The type in words: `int | None` is "whole number", since "–" in the default says the rest."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in arguments if one is not NoneType))
    if origin is list:
        return f"list of: {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Weighted):
        return "prompt entry"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", annotation.__name__.removesuffix("Config")).lower()
    return WORDS[annotation]


def _range(field: FieldInfo) -> str:
    """The bounds of a field, or of the items inside it."""
    return ", ".join(dict.fromkeys([*_limits(field.metadata), *_inner_limits(field.annotation)]))


def _inner_limits(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Annotated:
        for item in annotation.__metadata__:
            yield from _limits(item.metadata if isinstance(item, FieldInfo) else [item])
    if get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _inner_limits(argument)


def _limits(metadata: Sequence[Any]) -> Iterator[str]:
    for item in metadata:
        for name, sign in SIGNS.items():
            if (bound := getattr(item, name, None)) is not None:
                yield f"{sign} {_bound(bound)}"
        if getattr(item, "min_length", None) is not None:
            yield "not empty"
        if pattern := getattr(item, "pattern", None):
            yield f"`{pattern}`"


def _bound(value: Any) -> str:
    if isinstance(value, int) and value >= 2**31 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else _figure(value)


if __name__ == "__main__":
    main()
