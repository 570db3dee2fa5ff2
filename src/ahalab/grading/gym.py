"""Scoring with the tasks of reasoning-gym. Some of them `eval` the answer: that is closed here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from ahalab.grading.expressions import evaluate_literal, seal_sympy
from ahalab.grading.failure import GraderFailure


def prepare_reasoning_gym() -> None:
    """Import reasoning-gym, before a task's CPU time is counted.

    Raises:
        GraderFailure: it is not installed.
    """
    _library()


def reasoning_gym_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> float:  # noqa: ARG001
    """The task's own score, 0 to 1. `extra` is `{"task": name, "entry": {...}, "config": {...}}`.

    `entry` is what the task generated; `config` (optional) the settings it was generated with, which some
    tasks score by. Lists of numbers or strings are read as literals only, expressions by `parse_expression`.

    Raises:
        GraderFailure: reasoning-gym is not installed, `extra` is not of that form, or the task cannot score
            its own answer either. Where it raises on the model's answer only, that answer scores 0.
    """
    task, entry = extra.get("task"), extra.get("entry")
    if not isinstance(task, str) or not isinstance(entry, Mapping):
        raise GraderFailure("verifier error: reasoning_gym needs extra = {'task': name, 'entry': {...}}")
    scorer = _scorer(task, json.dumps(extra.get("config") or {}, sort_keys=True))
    entry = dict(entry)
    if task in _WANT_TUPLES:
        entry["metadata"] = _with_tuples(entry.get("metadata"))
    try:
        score = float(scorer(answer, entry))
    except MemoryError:
        raise
    except Exception as error:
        _blame(scorer, task, entry, error)
        return 0.0
    if not 0.0 <= score <= 1.0:
        raise GraderFailure(f"verifier error: reasoning-gym task {task!r} gave the score {score}, not 0 to 1")
    return score


_WANT_TUPLES = ("arc_agi", "rearc")
"""Tasks that compare with tuples of their entry, which JSON made lists of (found by scoring every task)."""


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _blame(
    scorer: Callable[[str, dict[str, Any]], float], task: str, entry: dict[str, Any], error: Exception
) -> None:
    """Some tasks raise on malformed answers: the answer is to blame if the task can score its own."""
    try:
        scorer(str(entry.get("answer")), entry)
    except Exception:
        raise GraderFailure(
            f"verifier error: scoring of reasoning-gym task {task!r} raised {type(error).__name__}: {error}"
        ) from error


@lru_cache(maxsize=64)
def _scorer(task: str, config: str) -> Callable[[str, dict[str, Any]], float]:
    library = _library()
    try:
        dataset = library.create_dataset(task, **json.loads(config))
    except Exception as error:
        raise GraderFailure(
            f"verifier error: reasoning-gym cannot make the task {task!r} ({type(error).__name__}: {error})"
        ) from error
    scorer: Callable[[str, dict[str, Any]], float] = dataset.score_answer
    return scorer


@lru_cache(maxsize=1)
def _library() -> ModuleType:
    seal_sympy()  # before the import: its modules take sympy's parser by name
    try:
        import reasoning_gym
    except ImportError as error:
        raise GraderFailure(
            f"verifier error: reasoning-gym is not installed ({error}); pip install 'ahalab[tasks]'"
        ) from error
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym") and isinstance(module, ModuleType):
            # A module's own global hides the builtin of that name.
            module.__dict__["eval"] = evaluate_literal
    library: ModuleType = reasoning_gym
    return library
