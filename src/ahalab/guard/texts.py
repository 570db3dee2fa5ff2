"""What a client reads instead of a retracted reply: by category and language, the policy's own words first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from ahalab.guard.policy import Policy
from ahalab.guard.records import Review, Span

SUPPORTIVE = "self-harm"
"""Goes before every other category: a person in need reads the supportive text, whatever else was found. Our choice."""
_FILE = Path(__file__).with_name("texts.yaml")
_SLOT = "{resource}"


@lru_cache(maxsize=1)
def bundled_texts() -> Mapping[str, Mapping[str, str]]:
    """Category → language → text."""
    data: Mapping[str, Mapping[str, str]] = yaml.safe_load(_FILE.read_text("utf-8"))
    return data


def retraction_text(policy: Policy, category: str, language: str) -> str:
    """The text of a category in a language; `default` where the category has none, English where the language has none.

    The operator's `resource` stands at `{resource}`, or at the end of a self-harm text that has no such place.
    """
    text = next(_candidates(policy, category, language.lower().replace("_", "-").split("-")[0]))
    if category == SUPPORTIVE and policy.resource and _SLOT not in text:
        text = f"{text} {_SLOT}"
    return text.replace(_SLOT, policy.resource.strip()).strip()


def _candidates(policy: Policy, category: str, language: str) -> Iterator[str]:
    languages, names = (language, "en"), (category, "default")
    places = [(name, spoken) for spoken in languages for name in names]
    if category == SUPPORTIVE:  # better supportive in English than a withdrawal in one's own language
        places.sort(key=lambda one: names.index(one[0]))
    for name, spoken in places:
        for texts in (policy.retraction, bundled_texts()):
            if spoken in texts.get(name, {}):
                yield texts[name][spoken]


def category_of(policy: Policy, spans: tuple[Span, ...], review: Review | None) -> str:
    """Of the first violated standard that names one, else of the gravest span; self-harm before all."""
    by_id = {one.id: one.category for one in policy.standards}
    rules = [by_id[rule] for rule in (review.rules if review else ()) if by_id.get(rule)]
    found = [one for one in rules if one] + [
        one.category for one in sorted(spans, key=lambda one: -one.severity)
    ]
    return SUPPORTIVE if SUPPORTIVE in found else (found or ["default"])[0]
