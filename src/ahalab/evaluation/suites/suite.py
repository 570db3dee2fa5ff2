"""What an evaluation suite is, as data: where its items come from, how they are put, which rule reads the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ahalab.evaluation.extraction import Rule

Layout = Literal["world", "gym", "columns", "choices"]
"""How items are made: by the tiny world, by a reasoning-gym task, from a table's columns, from a table of choices."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite. Its `source` is a prompt entry as a recipe has it (`ahalab.prompts.config`)."""

    name: str
    about: str
    """One line for `aha eval --help` and the documentation."""
    layout: Layout
    rule: Rule
    source: Mapping[str, Any] = field(default_factory=dict)
    """For tables: the data set on the Hub and its columns; empty where a file must be given."""
    asks: Mapping[str, str] = field(default_factory=dict)
    """Language → the question's frame, with `{question}` and, for choices, `{letters}`. Without one: as it stands."""
    verifier: str | None = None
    """In place of the verifier that the table's domain has."""
    domain: str | None = None
    paper_k: int | None = None
    """Samples an item in the paper (D.1)."""
    solution: str | None = None
    """Column of the worked solution, which decontamination looks at beside the question."""
    compared: bool = False
    """Whether answers are compared with another model's instead of graded."""

    def framed(self, question: str, language: str, letters: str = "") -> str:
        """The question as the model is asked it."""
        frame = self.asks.get(language) or self.asks.get("en")
        if frame is None:
            return question
        # Not str.format: a question may hold braces.
        return frame.replace("{letters}", letters).replace("{question}", question)
