"""Which template a question gets: seeded, the same for every target, whatever else is asked and in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ahalab.counter import make_key, permute, uniform
from ahalab.errors import UserError
from ahalab.safety.jailbreak.catalogue import Catalogue
from ahalab.safety.jailbreak.change import WRAPPED
from ahalab.safety.jailbreak.template import Template
from ahalab.safety.jailbreak.transforms import Transform
from ahalab.safety.records import SafetyItem


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one question is composed with."""

    template: Template
    transform: Transform

    @property
    def id(self) -> str:
        """The template's id in an item's: `t3f9a01bc42.base64`."""
        return f"{self.template.id}.{self.transform.name}"


def assign(item: SafetyItem, catalogue: Catalogue, seed: int, turn: int = 0) -> Assignment:
    """The composition of an item: a pure function of the seed, the item's id and text, and the catalogue.

    Every template is as likely as any other, then every transform that changes this question. The turns of an item have
    different templates, as long as there are so many.
    """
    key = make_key(seed, "jailbreak", item.id)
    size = len(catalogue.templates)
    template = catalogue.templates[permute(key, size, turn % size)]
    fitting = catalogue.fitting(item.prompt)
    return Assignment(template, fitting[int(uniform(make_key(key, "transform"), turn) * len(fitting))])


def wrap(items: Sequence[SafetyItem], catalogue: Catalogue, seed: int, each: int = 1) -> list[SafetyItem]:
    """The items, each `each` times in a template: ids `<id>+<template id>`, clusters kept (else the item's id).

    What was chosen stands in `extra`: `template`, `source`, `transform`, `origin`, `seed`, `catalogue`; and the plain
    `question`, for judges and people who cannot read it encoded.

    Raises:
        UserError: an item that is wrapped already, or more turns than templates.
    """
    if not 1 <= each <= len(catalogue.templates):
        raise UserError(
            f"each question can be wrapped from 1 to {len(catalogue.templates):,} times here, not {each:,}"
        )
    wrapped = []
    for item in items:
        if WRAPPED in item.id:
            raise UserError(f"item {item.id!r} cannot be wrapped: {WRAPPED!r} in its id marks wrapped items")
        for turn in range(each):
            chosen = assign(item, catalogue, seed, turn)
            extra = {
                **item.extra,
                "template": chosen.id,
                "source": chosen.template.source,
                "transform": chosen.transform.name,
                "origin": item.id,
                "question": item.prompt,
                "seed": seed,
                "catalogue": catalogue.sha256,
            }
            wrapped.append(
                replace(
                    item,
                    id=f"{item.id}{WRAPPED}{chosen.id}",
                    prompt=chosen.template.around(chosen.transform.apply(item.prompt)),
                    cluster=item.cluster or item.id,
                    extra=extra,
                )
            )
    return wrapped
