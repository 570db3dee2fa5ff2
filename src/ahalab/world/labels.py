"""The world's own verdicts on general answers: helpful, and safe. Rules alone; what reward models learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ahalab.world import instructions
from ahalab.world import safety as safety_domain
from ahalab.world.instructions import Helpfulness
from ahalab.world.safety import SafetyVerdict

SAFETY_SCORES: dict[SafetyVerdict, float] = {"safe": 1.0, "rejection": 0.5, "unsafe": 0.0}
"""A verdict as a number: safe is preferred over a mere rejection (paper D.3.3; the numbers are our choice)."""


def helpfulness(extra: Mapping[str, Any], answer: str) -> Helpfulness:
    """How helpful `answer` is to an instruction of the world; `extra` is the prompt's.

    Raises:
        ValueError: the prompt is no instruction of the world.
    """
    world = _of(extra, "instructions")
    return instructions.judge(world["language"], world["data"], answer)


def safety(extra: Mapping[str, Any], text: str) -> SafetyVerdict:
    """Whether `text`, an answer or a whole response to a request of the world, is safe, a rejection, or unsafe.

    Raises:
        ValueError: the prompt is none of the world's safety domain.
    """
    world = _of(extra, "safety")
    return safety_domain.judge(world["language"], world["data"], text)


def _of(extra: Mapping[str, Any], domain: str) -> Mapping[str, Any]:
    world = extra.get("world")
    if not isinstance(world, Mapping) or world.get("domain") != domain:
        raise ValueError(
            f"the prompt is not of the tiny world's domain {domain!r}: its extra has no such `world`"
        )
    return world
