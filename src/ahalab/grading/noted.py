"""A score and what its verifier calls it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noted:
    """What a verifier returns in place of a bare score where an outcome has a name that people know.

    Names are few and stable ("accepted", "time limit"): they are counted, per step and per evaluation.
    """

    score: float
    note: str
