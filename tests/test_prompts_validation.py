"""A person's mistake in a recipe is named: the key, what was found, what is allowed, the nearest right one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, field_validator

from ahalab.errors import UserError
from ahalab.validation import StrictModel, nearest, told, validate


class Loss(StrictModel):
    clip_low: float = Field(0.2, gt=0, le=1, description="Lower clip ratio", json_schema_extra={"paper": 10})
    aggregate: Literal["token", "output"] = "token"


class Small(StrictModel):
    file: str
    weight: float = Field(1.0, gt=0)


class Large(StrictModel):
    hub: str = Field(description="Name of the set")
    rows: int = Field(3, ge=1, le=512)


def _tag(entry: Any) -> str:
    return "Small" if isinstance(entry, dict) and "file" in entry else "Large"


Entry = Annotated[Annotated[Small, Tag("Small")] | Annotated[Large, Tag("Large")], Discriminator(_tag)]


class Recipe(StrictModel):
    loss: Loss = Loss()
    resume: bool = True
    steps: int | Literal["auto"] = "auto"
    prompts: list[Entry] = Field([])
    named: dict[str, Loss] = Field({})
    optional: Loss | None = None
    learning_rate: float = 1e-5


def refusal(data: object) -> str:
    with pytest.raises(UserError) as error:
        validate(Recipe, data, "r.yaml")
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"stepz": 3},
            ["r.yaml: `stepz`: unknown key; did you mean `steps`?", "Known here: learning_rate, loss"],
        ),
        ({"loss": {"clip_lo": 0.1}}, ["`loss.clip_lo`", "did you mean `clip_low`?"]),
        ({"qqqq": 1}, ["the nearest known is `"]),
        ({"clip_low": 0.1}, ["`clip_low`", "it belongs at `loss.clip_low`"]),
        ({"named": {"one": {"clip_hi": 1}}}, ["`named.one.clip_hi`", "`clip_low`"]),
        ({"optional": {"agregate": "token"}}, ["`optional.agregate`", "`aggregate`"]),
        (
            {"prompts": [{"file": "a"}, {"file": "b", "wieght": 2}]},
            ["`prompts[1].wieght`", "did you mean `weight`?"],
        ),
        ({"prompts": [{"hub": "a", "weight": 2}]}, ["`prompts[0].weight`", "Known here: hub, rows"]),
        ({"prompts": [{"rows": 2}]}, ["`prompts[0].hub`: missing. Name of the set."]),
    ],
)
def test_an_unknown_or_missing_key_is_named_with_the_nearest(data: object, words: list[str]) -> None:
    message = refusal(data)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"loss": {"clip_low": 3}},
            [
                "`loss.clip_low`: expected at most 1, got 3",
                "Lower clip ratio",
                "more than 0 and at most 1",
                "The paper: 10",
            ],
        ),
        ({"loss": {"clip_low": "low"}}, ["expected a number, got 'low' (text)", "The paper: 10"]),
        ({"loss": {"aggregate": "tokens"}}, ["expected 'token' or 'output'", "nearest: 'token'"]),
        ({"steps": "often"}, ["`steps`: expected a whole number or 'auto', got 'often'"]),
        (
            {"prompts": [{"hub": "a", "rows": 0}]},
            ["`prompts[0].rows`: expected at least 1, got 0", "at most 512"],
        ),
        ({"prompts": [{"hub": "a", "rows": 2.5}]}, ["expected a whole number, got 2.5"]),
        ({"prompts": {"hub": "a"}}, ["`prompts`: expected a list, got a mapping with the keys hub"]),
        ({"loss": 3}, ["`loss`: expected a mapping of keys to values, got 3"]),
        ({"learning_rate": float("nan")}, ["`learning_rate`: expected a finite number"]),
        ({"loss": None}, ["`loss`", "got nothing (null)"]),
        ({True: 1}, ["text as a key", "quote"]),
        ([], ["r.yaml: expected a mapping of keys to values, got [] (list)"]),
    ],
)
def test_a_wrong_type_or_range_names_what_is_allowed_and_the_papers_value(
    data: object, words: list[str]
) -> None:
    message = refusal(data)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "data",
    [
        {"learning_rate": True},
        {"resume": "yes"},
        {"resume": 1},
        {"steps": "3"},
        {"prompts": [{"hub": "a", "rows": True}]},
    ],
)
def test_types_are_never_guessed(data: object) -> None:
    assert "expected" in refusal(data)


def test_a_float_that_yaml_reads_as_text_is_a_float() -> None:
    assert validate(Recipe, {"learning_rate": "1e-5"}, "r.yaml").learning_rate == 1e-5


def test_all_problems_are_told_at_once() -> None:
    message = refusal({"steps": "x", "loss": {"clip_low": 0}, "resum": True})
    assert message.startswith("r.yaml: 3 problems\n")
    assert all(f"  - `{key}`" in message for key in ("steps", "loss.clip_low", "resum"))


def test_a_models_own_refusal_reaches_the_person_word_for_word() -> None:
    class Own(StrictModel):
        odd: int = 1

        @field_validator("odd")
        @classmethod
        def _odd(cls, value: int) -> int:
            if value % 2 == 0:
                raise told("give an Odd number {like this}")
            return value

    with pytest.raises(UserError, match=r"^r: `odd`: give an Odd number \{like this\}$"):
        validate(Own, {"odd": 2}, "r")


def test_good_data_passes_and_cannot_be_changed() -> None:
    recipe = validate(Recipe, {"prompts": [{"file": "a"}, {"hub": "b"}], "steps": 4}, "r.yaml")
    assert [type(entry) for entry in recipe.prompts] == [Small, Large]
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 5  # type: ignore[misc]


def test_the_nearest_word_ignores_case_and_does_not_depend_on_order() -> None:
    assert nearest("Weigth", ["name", "weight"]) == nearest("Weigth", ["weight", "name"]) == "weight"
    assert nearest("x", []) is None
