"""Conversion rules: how the rows of a public set become prompts, replies or labelled responses. Each rule is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut, present, text
from ahalab.prompts.dialogue import dialogue_of
from ahalab.records import Messages
from ahalab.safety.running.parting import part_reply
from ahalab.validation import StrictModel, suggestion, told, validate

BUNDLED = Path(__file__).with_name("rules")
Yields = Literal["prompts", "replies", "labelled"]
Column = Annotated[str, Field(min_length=1)]
Cell = str | bool | int


class ResponseRule(StrictModel):
    """The columns of one response; a row may hold several."""

    answer: Column = Field(description="Column of the reply. Text before `</think>` in it is its thinking.")
    thinking: Column | None = Field(None, description="Column of the thinking, where it stands apart.")
    label: Column | None = Field(None, description="Column of its safe/unsafe label.")


class LabelRule(StrictModel):
    """Which values of the label mean what; any other value is refused. 0 and 1 are never guessed."""

    safe: list[Cell] = Field(min_length=1, description="Values that mean safe.")
    unsafe: list[Cell] = Field(min_length=1, description="Values that mean unsafe.")
    drop: list[Cell] = Field([], description="Values of rows that are left out and counted, such as unsure.")


class DropRule(StrictModel):
    """Rows that are left out, and why."""

    column: Column = Field(description="The column that is looked at.")
    values: list[Cell | None] = Field(min_length=1, description="A row with one of these values is left out.")
    why: str = Field(min_length=5, description="The reason, as it is counted and shown.")


class ConversionRule(StrictModel):
    """The file of one set."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Its name in job files.")
    version: int = Field(ge=1, description="Raised with every change of what it makes.")
    describes: str = Field(min_length=5, description="Which set, and which of its files.")
    licence: str = Field(min_length=2, description="The set's licence, as its publisher states it.")
    yields: Yields = Field(description="What a row becomes.")
    question: list[Column] = Field(
        [], description="Columns of the prompt; the first that a row has is taken."
    )
    dialogue: Column | None = Field(
        None, description="Or the column of a dialogue, which asks its last turn."
    )
    responses: list[ResponseRule] = Field([], description="The responses of a row.")
    labels: LabelRule | None = Field(None, description="How labels are read.")
    drop: list[DropRule] = Field([], description="Rows that are left out.")
    leaves_out: list[str] = Field([], description="Columns that are not used, and why.")

    @model_validator(mode="after")
    def _whole(self) -> ConversionRule:
        if bool(self.question) == (self.dialogue is not None):
            raise told("a rule says either `question` or `dialogue`")
        if self.yields == "prompts" and (self.responses or self.labels):
            raise told("a rule that yields prompts has no `responses` and no `labels`")
        if self.yields != "prompts" and not self.responses:
            raise told(f"a rule that yields {self.yields} needs `responses`")
        if self.yields == "labelled" and (
            self.labels is None or any(r.label is None for r in self.responses)
        ):
            raise told(
                "a rule that yields labelled responses needs `labels`, and a `label` with each response"
            )
        if self.yields == "replies" and (self.labels or any(r.label for r in self.responses)):
            raise told("a rule that yields replies has no labels: they are made by the judge")
        if self.labels:
            values = [(type(one), one) for one in (*self.labels.safe, *self.labels.unsafe, *self.labels.drop)]
            if len(set(values)) < len(values):
                raise told("`labels`: a value stands twice")
        return self

    def columns(self) -> list[str]:
        """Columns without which no row can be read; of `question` one is enough."""
        found = [self.dialogue] if self.dialogue else []
        for one in self.responses:
            found += [one.answer, *([one.label] if one.label else [])]
        return [*found, *(one.column for one in self.drop)]


@dataclass(frozen=True, slots=True)
class Given:
    """A response of a row, with its label where the set has one."""

    thinking: str
    answer: str
    safe: bool | None = None
    unreadable: str = ""
    """Why this response of the row is left out, where the others may stay."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a row became."""

    question: str
    messages: Messages
    responses: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule and the hash of its file."""

    rule: ConversionRule
    sha256: str

    def identity(self) -> dict[str, str | int]:
        """For the records."""
        return {"name": self.rule.name, "version": self.rule.version, "sha256": self.sha256}


def bundled_rules() -> list[str]:
    """Names of the rules that come with the program."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def load_rule(name: str, folder: Path = Path()) -> LoadedRule:
    """A bundled rule by its name, or a file of one's own (a name that ends in .yaml, relative to `folder`).

    Raises:
        UserError: no such rule (with the nearest), or a file that breaks the form (with the nearest key).
    """
    own = name.endswith((".yaml", ".yml"))
    path = folder / Path(name).expanduser() if own else BUNDLED / f"{name}.yaml"
    if not own and not path.is_file():
        raise UserError(
            f"rule {name!r}: unknown; {suggestion(name, bundled_rules())}. A rule of your own is a file: name its "
            "path, ending in .yaml."
        )
    try:
        data = path.read_bytes()
        values = yaml.safe_load(data.decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the rule cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: the rule is no YAML in UTF-8: {error}") from error
    return LoadedRule(validate(ConversionRule, values, str(path)), sha256(data).hexdigest())


def check_columns(rule: ConversionRule, there: Sequence[str], where: str) -> None:
    """UserError when a table lacks a column of the rule, with the nearest that it has."""
    for column in rule.columns():
        if column not in there:
            raise UserError(
                f"{where}: no column {column!r}, which the rule {rule.name} reads; {suggestion(column, there)}"
            )
    if rule.question and not set(rule.question) & set(there):
        wanted = " or ".join(map(repr, rule.question))
        raise UserError(
            f"{where}: no column {wanted}, which the rule {rule.name} reads; {suggestion(rule.question[0], there)}"
        )


def convert(rule: ConversionRule, row: Mapping[str, Any]) -> Converted:
    """What a row becomes. Raises LeftOut for a row that the rule leaves out, BadRow for one that it cannot read."""
    for drop in rule.drop:
        if any(_same(row.get(drop.column), value) for value in drop.values):
            raise LeftOut(drop.why)
    if rule.dialogue is not None:
        dialogue = dialogue_of(present(row, rule.dialogue, "dialogue"), rule.dialogue)
        question, messages = dialogue.question, dialogue.messages
    else:
        column = next((one for one in rule.question if row.get(one) is not None), rule.question[0])
        question, messages = text(present(row, column, "question"), column, "question"), ()
    return Converted(question, messages, tuple(_response(rule, one, row) for one in rule.responses))


def _response(rule: ConversionRule, one: ResponseRule, row: Mapping[str, Any]) -> Given:
    value = row.get(one.answer)
    said = "" if value is None else text(value, one.answer, "reply", blank=True)
    if one.thinking is not None and row.get(one.thinking) is not None:
        thinking, answer = text(row[one.thinking], one.thinking, "thinking", blank=True), said
    else:
        # Whole responses are labelled: no text outside the tags may be lost.
        thinking, answer = part_reply(said)
    if rule.labels is None or one.label is None:
        return Given(thinking, answer)
    label = row.get(one.label)
    if label is None:
        return Given(thinking, answer, unreadable="no label")
    if any(_same(label, value) for value in rule.labels.drop):
        return Given(thinking, answer, unreadable=f"label {label}")
    for safe, values in ((True, rule.labels.safe), (False, rule.labels.unsafe)):
        if any(_same(label, value) for value in values):
            return Given(thinking, answer, safe)
    known = ", ".join(str(value) for value in (*rule.labels.safe, *rule.labels.unsafe, *rule.labels.drop))
    raise BadRow("unclear label", one.label, f"it is {repr(label)[:40]}", f"one of {known}")


def _same(found: Any, value: Cell | None) -> bool:
    """Words without case; true and false also as the words a CSV file has; 1 is not true."""
    if found is None or value is None:
        return found is value
    if isinstance(found, str):
        return found.strip().casefold() == str(value).casefold()
    return type(found) is type(value) and found == value
