"""Checking what a person wrote (a recipe, a prompt entry) against a pydantic model, in that person's words.

Every configuration model of the project is a `StrictModel`; `validate` is the one door from plain data to a
model. A field may carry `json_schema_extra={"paper": …}`: the paper's value is then named when it is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from ahalab.errors import UserError

MOST_PROBLEMS = 8
"""Our choice: a recipe with more mistakes than this is better corrected from the top."""


class StrictModel(BaseModel):
    """A model whose unknown keys are errors, whose values are frozen and whose types are not guessed.

    The only conversion from text is to a float: YAML 1.1 reads `1e-5` (no dot) as text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _no_guessed_types(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        result = handler(value)
        if isinstance(value, bool) != isinstance(result, bool) and isinstance(result, bool | int | float):
            raise PydanticCustomError(f"{type(result).__name__}_type", "guessed type")
        if isinstance(value, str) and isinstance(result, int):
            raise PydanticCustomError("int_type", "guessed type")
        return result


def told(sentence: str) -> PydanticCustomError:
    """An error for a model's own validators to raise, whose sentence reaches the person word for word."""
    return PydanticCustomError("told", "{sentence}", {"sentence": sentence})


Model = TypeVar("Model", bound=BaseModel)


def validate(model_class: type[Model], data: object, where: str) -> Model:
    """The model that `data` describes.

    `where` is what the person knows the data by: a file, or a file and a key ("recipes/zero.yaml").
    Raises UserError naming, for each problem, the dotted key, what was found and expected, the nearest known
    key, the allowed range, and the paper's value where the field states one.
    """
    if not isinstance(data, Mapping | BaseModel):
        raise UserError(f"{where}: expected a mapping of keys to values, got {_shown(data)}")
    try:
        return model_class.model_validate(data)
    except ValidationError as error:
        raise UserError(_message(model_class, data, error, where)) from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word` (case ignored), or None when nothing is known."""
    lowered = {name.lower(): name for name in sorted(known, reverse=True)}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.0)
    return lowered[found[0]] if found else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """A clause naming the nearest known word, and all of them: "did you mean `a`? Known here: a, b"."""
    near = nearest(word, known)
    if near is None:
        return "no key is known here"
    alike = difflib.SequenceMatcher(None, word.lower(), near.lower()).ratio() >= 0.6
    hint = f"did you mean `{near}`?" if alike else f"the nearest known is `{near}`."
    return f"{hint} Known here: {', '.join(sorted(known))}"


def _message(model_class: type[BaseModel], data: object, error: ValidationError, where: str) -> str:
    problems: dict[str, list[tuple[ErrorDetails, _Place]]] = {}
    for details in error.errors(include_url=False):
        place = _find(model_class, data, details["loc"])
        problems.setdefault(place.path, []).append((details, place))
    sentences = [
        f"`{path}`: {_sentence(model_class, found)}" if path else _sentence(model_class, found)
        for path, found in problems.items()
    ]
    if len(sentences) == 1:
        return f"{where}: {sentences[0]}"
    more = len(sentences) - MOST_PROBLEMS
    lines = [f"{where}: {len(sentences)} problems", *(f"  - {one}" for one in sentences[:MOST_PROBLEMS])]
    return "\n".join([*lines, f"  … and {more} more"] if more > 0 else lines)


def _sentence(model_class: type[BaseModel], found: Sequence[tuple[ErrorDetails, _Place]]) -> str:
    details, place = found[0]
    kind = details["type"]
    if kind == "extra_forbidden":
        key = str(details["loc"][-1])
        elsewhere = [path for path in _paths(model_class) if path.rpartition(".")[2] == key]
        if elsewhere:
            known = ", ".join(sorted(place.known))
            return f"unknown key here; it belongs at `{elsewhere[0]}`. Known here: {known}"
        return f"unknown key; {suggestion(key, place.known)}"
    if kind == "missing":
        return _joined("missing", _about(place.field))
    # The branches of a union each report: a person wants one sentence with the alternatives.
    expected = " or ".join(dict.fromkeys(_expected(one) for one, _ in found))
    if kind == "told":
        return expected
    if kind in ("value_error", "assertion_error"):
        return _joined(expected, _about(place.field))
    first = f"expected {expected}, got {_shown(details['input'])}"
    if kind == "literal_error" and isinstance(details["input"], str):
        first += f" (nearest: {nearest(details['input'], _literals(place.field))!r})"
    return _joined(first, _about(place.field))


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "none_required": "nothing (null)",
    "invalid_key": "text as a key (YAML reads on, off, yes and no as true and false: quote them)",
}


def _expected(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    for name, words in (("gt", "more than"), ("ge", "at least"), ("lt", "less than"), ("le", "at most")):
        if name in context:
            return f"{words} {_figure(context[name])}"
    for name, words in (("min_length", "at least"), ("max_length", "at most")):
        if name in context:
            unit = "character" if kind.startswith("string") else "item"
            return f"{words} {context[name]} {unit}{'' if context[name] == 1 else 's'}"
    return details["msg"].lower() if kind != "told" else details["msg"]


def _about(field: FieldInfo | None) -> str:
    """What a refused field is, its range and the paper's value, as sentences without the last full stop."""
    if field is None:
        return ""
    parts = [field.description.rstrip(".")] if field.description else []
    if limits := _limits(field):
        parts.append(f"Allowed: {limits}")
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and "paper" in extra:
        parts.append(f"The paper: {extra['paper']}")
    return ". ".join(parts)


def _limits(field: FieldInfo) -> str:
    words = {
        "gt": "more than",
        "ge": "at least",
        "lt": "less than",
        "le": "at most",
        "multiple_of": "a multiple of",
    }
    found = [
        f"{words[name]} {_figure(getattr(limit, name))}"
        for limit in field.metadata
        for name in words
        if getattr(limit, name, None) is not None
    ]
    return " and ".join(found)


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _joined(first: str, second: str) -> str:
    return f"{first}. {second}." if second else first


def _shown(value: object) -> str:
    """A value as the person may recognise it, short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true/false)"
    if isinstance(value, Mapping):
        return f"a mapping with the keys {', '.join(map(str, list(value)[:6])) or '(none)'}"
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}…"
    kind = {str: "text", int: "number", float: "number", list: "list", tuple: "list"}.get(type(value))
    return f"{text} ({kind or type(value).__name__})"


class _Place:
    """Where in the data an error lies: its dotted path, the keys known at its level, and its field."""

    def __init__(self, path: str, known: Sequence[str], field: FieldInfo | None) -> None:
        self.path, self.known, self.field = path, known, field


def _find(model_class: type[BaseModel], data: object, location: Sequence[int | str]) -> _Place:
    """Walks pydantic's location beside the data: it holds union tags too, which are no keys of the data."""
    annotation: Any = model_class
    node: Any = data
    field: FieldInfo | None = None
    path, known = "", list(_fields(model_class))
    for depth, piece in enumerate(location):
        models = _models(annotation)
        tagged = [model for model in models if model.__name__ == piece]
        if tagged and not (isinstance(node, Mapping) and piece in node):
            annotation = tagged[0]
            continue
        if isinstance(piece, int):
            annotation, path = _item(annotation), f"{path}[{piece}]"
            node = node[piece] if isinstance(node, Sequence) and piece < len(node) else None
            continue
        known = sorted({name for model in models for name in _fields(model)})
        holders = [model for model in models if piece in _fields(model)]
        inside = isinstance(node, Mapping) and piece in node
        if not holders and not inside and (depth < len(location) - 1 or not models):
            continue  # a union branch's label
        path = f"{path}.{piece}" if path else piece
        field = _fields(holders[0])[piece] if holders else None
        annotation = field.annotation if field else _item(annotation)
        node = node[piece] if inside else None
    return _Place(path, known, field)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields by the name that a person writes: `from` is `from_` in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _flat(annotation: Any) -> Iterator[Any]:
    """The members of a union, without Annotated and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flat(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _flat(member)
    elif annotation is not type(None):
        yield annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [one for one in _flat(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def _item(annotation: Any) -> Any:
    """The type of a container's items: X of list[X], tuple[X, …] and dict[_, X]."""
    for one in _flat(annotation):
        arguments = [argument for argument in get_args(one) if argument is not Ellipsis]
        if arguments:
            return arguments[-1]
    return None


def _literals(field: FieldInfo | None) -> list[str]:
    """The strings that a field's Literal allows, also inside a list."""
    annotation = field.annotation if field else None
    members = [*_flat(annotation), *_flat(_item(annotation))]
    return [value for one in members for value in (one, *get_args(one)) if isinstance(value, str)]


def _paths(model_class: type[BaseModel], above: str = "", seen: tuple[type, ...] = ()) -> Iterator[str]:
    """Dotted paths of every field reachable through models alone (not through lists and mappings)."""
    for name, field in _fields(model_class).items():
        yield f"{above}{name}"
        for model in _models(field.annotation):
            if model not in seen:
                yield from _paths(model, f"{above}{name}.", (*seen, model_class))
