"""The taxonomy file as typed data: categories, sub-categories, their words in both languages, their neighbours."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from ahalab.errors import UserError
from ahalab.records import Language
from ahalab.validation import StrictModel, told, validate

BUNDLED = Path(__file__).with_name("taxonomy.yaml")
Neighbour = Literal["mlcommons", "dna", "sst", "harmbench", "seval"]
"""Public taxonomies of the cross-walk: AILuminate hazards, Do-Not-Answer, SimpleSafetyTests, HarmBench, S-Eval."""
Words = dict[Language, Annotated[str, Field(min_length=1)]]


class _Named(StrictModel):
    name: Words = Field(description="Name in each language")

    @model_validator(mode="after")
    def _both_languages(self) -> _Named:
        missing = {"en", "zh"} - set(self.name)
        if missing:
            raise told(f"`name` needs {' and '.join(sorted(missing))} as well")
        return self


class Subcategory(_Named):
    """One kind of harm."""

    id: str = Field(pattern=r"^[A-Z][0-9]{2}$", description="Category letter and two digits")
    definition: Words = Field(description="What belongs here, in each language")
    near: dict[Neighbour, list[str]] = Field({}, description="Overlapping classes of public taxonomies")


class Category(_Named):
    """Sub-categories under one heading."""

    id: str = Field(pattern=r"^[A-Z]$", description="One capital letter")
    subcategories: list[Subcategory] = Field(min_length=1, description="Its sub-categories")


class Taxonomy(StrictModel):
    """All of it, in the file's order."""

    version: int = Field(ge=1, description="Raised with every change of meaning")
    categories: list[Category] = Field(min_length=1, description="The categories")

    @model_validator(mode="after")
    def _ids(self) -> Taxonomy:
        ids = [one.id for one in self.subcategories]
        twice = {one for one in ids if ids.count(one) > 1}
        if twice:
            raise told(f"sub-category {min(twice)} is there twice")
        for category in self.categories:
            for one in category.subcategories:
                if one.id[0] != category.id:
                    raise told(f"sub-category {one.id} stands under category {category.id}")
        return self

    @property
    def subcategories(self) -> list[Subcategory]:
        """All sub-categories, in order."""
        return [one for category in self.categories for one in category.subcategories]

    def category_of(self, subcategory: str) -> Category:
        """The category of a sub-category's id. Raises KeyError for an unknown one."""
        for category in self.categories:
            if any(one.id == subcategory for one in category.subcategories):
                return category
        raise KeyError(subcategory)


@lru_cache(maxsize=8)
def load_taxonomy(path: Path = BUNDLED) -> Taxonomy:
    """The taxonomy of a file.

    Raises:
        UserError: the file is not there, is no YAML, or breaks a rule; names the key.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is no YAML in UTF-8: {error}") from error
    return validate(Taxonomy, data, str(path))
