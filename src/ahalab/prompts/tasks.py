"""Prompts from the procedural tasks of `reasoning-gym` (an optional extra): any task, any of its knobs."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import json
import os
import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.prompts.countdown import GYM_TASKS, gym_extra
from ahalab.prompts.source import content_hash, jsonable
from ahalab.records import Prompt
from ahalab.validation import suggestion

MATH_CATEGORIES = ("algebra", "arithmetic", "geometry", "probability")
"""reasoning-gym's categories whose tasks we call domain "math"; the others are "logic" (our choice)."""

HASH_ORDERED = frozenset(
    {"isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder"}
)
"""Tasks of reasoning-gym 0.1.25 whose problems follow the order of a Python set: unless PYTHONHASHSEED is
fixed, another process makes other ones. Found by generating every task under two hash seeds."""

REFUSED = {
    "composite": "give one entry a task instead, each with its `weight`",
    "codeio": "it makes its problems by running code from the web, and other ones each time; choose another task",
}
"""Tasks of reasoning-gym that are no source of prompts here, and why."""


ENDLESS = {
    "number_sequence": "some of its harder problems never finish, because their numbers grow without end",
}
"""Tasks whose curriculum must not be used, and why: found by making problems of every task at every difficulty."""

TURNS = 8
"""Problems tried in the place of one that a task cannot make. Our choice: countdown gives up on one in 60."""


class TaskSource:
    """`size` problems of one task, generated when they are drawn: index i is always the same problem.

    Ids are `<name>/<content hash>-<index + 1>`: small tasks repeat themselves, and to know where would mean
    to generate all. Verifier "reasoning_gym" with the extra data `task`, `config` (the options given) and
    `entry` as JSON keeps it; Countdown and the 24 game have our own verifier. The answer is None where the task has
    many right ones and names none. `difficulty` sets the options by the task's own curriculum
    (`difficulty_options`); those given go before it, and it is the prompts' level.

    `seed` is reasoning-gym's own. Problem i of seed s is mostly problem i - 1 of seed s + 1, so sets that
    must not overlap need seeds further apart than `size` (`derive_seed` gives such).
    Raises UserError for a missing package, an unknown task (naming the nearest), an unknown or refused option
    (naming the task's knobs), and a task that cannot be the same in every process.
    """

    def __init__(
        self,
        name: str,
        *,
        task: str,
        options: Mapping[str, Any],
        size: int,
        seed: int,
        where: str,
        domain: str | None = None,
        level: str | None = None,
        difficulty: int | None = None,
    ) -> None:
        gym = _library(where)
        knobs = _knobs(gym, task, where)
        if difficulty is not None:
            options = {**difficulty_options(gym, task, difficulty, where), **options}
        for key in options:
            if key not in knobs:
                raise UserError(
                    f"{where}.options.{key}: {task} has no such option; {suggestion(key, list(knobs))}. "
                    f"With defaults: {_stated(knobs)}"
                )
        if task in HASH_ORDERED and os.environ.get("PYTHONHASHSEED") != "0":
            raise UserError(
                f"{where}: {task} makes other problems in every process unless Python's hash seed is fixed, "
                "so a run could not resume. Set PYTHONHASHSEED=0 in the environment, or choose another task"
            )
        try:
            self._data = gym.create_dataset(task, seed=seed, size=size, **options)
            metadata = self._entry(0, task, seed)["metadata"]
        except Exception as error:
            # Tasks check their options by assertions, or not until they stumble over them.
            raise UserError(
                f"{where}.options: {task} refuses them: {error or type(error).__name__}. "
                f"Its options: {_stated(knobs)}"
            ) from error
        self.name = name
        self.size = size
        self.task = task
        self.seed = seed
        self._verifier = "countdown" if task in GYM_TASKS else "reasoning_gym"
        self.domain = domain or ("math" if self._data.category in MATH_CATEGORIES else "logic")
        self._options = jsonable(options)
        self._level = level
        self._difficulty = difficulty
        if level is not None and _as_level(metadata.get(level)) is None:
            usable = [key for key, value in metadata.items() if _as_level(value) is not None]
            raise UserError(
                f"{where}.level: {task} states no whole number from 1 upwards called {level!r}; "
                + (suggestion(level, usable) if usable else "it states none at all: leave `level` out")
            )

    def prompt(self, index: int) -> Prompt:
        try:
            entry = self._possible(index)
        except Exception as error:
            raise UserError(
                f"prompt source {self.name!r}: reasoning-gym's {self.task} cannot make problem {index} of seed "
                f"{self.seed}: {type(error).__name__}: {error}. Change its `options` or its `seed`"
            ) from error
        question, answer = str(entry["question"]), entry["answer"]
        answer = None if answer is None else str(answer)
        return Prompt(
            id=f"{self.name}/{content_hash(question, answer, self.domain)}-{index + 1}",
            question=question,
            answer=answer,
            domain=self.domain,
            source=self.name,
            verifier=self._verifier,
            language="en",
            level=self._difficulty
            if self._level is None and self._difficulty
            else _level(entry["metadata"], self._level),
            extra=gym_extra(self.task, entry)
            if self.task in GYM_TASKS
            else {"task": self.task, "config": self._options, "entry": jsonable(entry)},
        )

    @property
    def skipped(self) -> Mapping[str, int]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size": self.size,
            "domain": self.domain,
            "verifier": self._verifier,
            **({} if self._difficulty is None else {"difficulty": self._difficulty}),
            "library": importlib.metadata.version("reasoning-gym"),
            "seed": self.seed,
            "options": {**_plain(self._data.config), **self._options},
        }

    def _possible(self, index: int) -> dict[str, Any]:
        """Problem `index`; where the task finds none there, the first it does find among those `size` further on."""
        for turn in range(TURNS):
            try:
                return self._entry(index + turn * self.size, self.task, self.seed)
            except Exception:  # countdown and others give up after so many attempts
                if turn == TURNS - 1:
                    raise
        raise AssertionError("there is a last turn")

    def _entry(self, index: int, task: str, seed: int) -> dict[str, Any]:
        """Problem `index`. Some tasks draw from the global generators: they are set for it, and put back."""
        before, before_numpy = random.getstate(), np.random.get_state()
        key = make_key(task, seed, index)
        random.seed(key)
        np.random.seed(key % 2**32)
        try:
            return dict(self._data[index])
        finally:
            random.setstate(before)
            np.random.set_state(before_numpy)


def derive_seed(seed: int, split: str, task: str) -> int:
    """A reasoning-gym seed for a run's seed: those of two splits are far apart (2³¹ to choose from)."""
    return make_key("reasoning_gym", seed, split, task) % 2**31


def difficulty_options(gym: ModuleType, task: str, difficulty: int, where: str) -> dict[str, Any]:
    """The options of a task at a difficulty, 1 upwards: every attribute of its own curriculum at that level, or at its
    highest.

    A few curricula end in levels that the task itself refuses: there one attribute at a time is lowered until the task
    takes them.

    Raises:
        UserError: the task has no curriculum, or refuses all of that.
    """
    if task in ENDLESS:
        raise UserError(f"{where}.difficulty: {task} takes none: {ENDLESS[task]}; set its `options` instead")
    if not gym.factory.has_curriculum(task):
        able = sorted(set(gym.factory.CURRICULA) - set(REFUSED))
        raise UserError(
            f"{where}.difficulty: reasoning-gym states no degrees of difficulty for {task}; set its `options` instead. "
            f"Tasks that have some: {', '.join(able)}"
        )
    curriculum = gym.factory.create_curriculum(task)
    highest = {name: min(difficulty - 1, len(one.levels) - 1) for name, one in curriculum.attributes.items()}
    lowered = [{**highest, name: level} for name, top in highest.items() for level in range(top - 1, -1, -1)]
    refusal = ""
    for levels in (highest, *lowered):
        for name, level in levels.items():
            curriculum.set_attr_level(name, level)
        try:
            config = curriculum.generate_configuration()
            config.validate()
        except Exception as error:  # tasks check themselves by assertions
            refusal = refusal or str(error) or type(error).__name__
            continue
        return {
            name: getattr(config, name) for one in curriculum.attributes.values() for name in _fields(one)
        }
    raise UserError(
        f"{where}.difficulty: {task} refuses what its own curriculum has at difficulty {difficulty} ({refusal}); "
        "choose a lower one, or set its `options`"
    )


def _fields(attribute: Any) -> list[str]:
    """The options that an attribute of a curriculum sets: one, or the two ends of a range."""
    names = ("field_name", "lower_field_name", "upper_field_name")
    return [str(getattr(attribute, name)) for name in names if hasattr(attribute, name)]


def _library(where: str) -> ModuleType:
    try:
        import reasoning_gym
    except ImportError:
        raise UserError(f"{where}: reasoning-gym tasks need an extra: pip install 'ahalab[tasks]'") from None
    library: ModuleType = reasoning_gym
    return library


def _knobs(gym: ModuleType, task: str, where: str) -> dict[str, Any]:
    """Option -> default of a task."""
    registered = gym.factory.DATASETS
    if task in REFUSED:
        raise UserError(f"{where}: {task} cannot be used: {REFUSED[task]}")
    if task not in registered:
        near = difflib.get_close_matches(task, [name for name in registered if name not in REFUSED], 5, 0.0)
        raise UserError(
            f"{where}.reasoning_gym: reasoning-gym has no task {task!r}; the nearest of its {len(registered)} "
            f"are {', '.join(near)}"
        )
    fields = dataclasses.fields(registered[task][1])
    return {
        field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        for field in fields
        if field.name not in ("seed", "size")
    }


def _stated(knobs: Mapping[str, Any]) -> str:
    short = {key: value if len(repr(value)) <= 40 else "…" for key, value in knobs.items()}
    return (
        ", ".join(f"{key}={value!r}" if value != "…" else f"{key}=…" for key, value in short.items())
        or "none"
    )


def _plain(config: Any) -> dict[str, Any]:
    """A task's settings that JSON can hold as they are (some hold functions)."""
    found = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    plain = {}
    for key, value in found.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            continue
        if key not in ("seed", "size"):
            plain[key] = jsonable(value)
    return plain


def _level(metadata: Mapping[str, Any], key: str | None) -> int | None:
    """The named metadata; else the task's difficulty, where that is one number, not ranges."""
    if key is not None:
        return _as_level(metadata.get(key))
    difficulty = metadata.get("difficulty")
    return _as_level(difficulty.get("difficulty") if isinstance(difficulty, Mapping) else difficulty)


def _as_level(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 1:
        return None
    return int(value) if value == int(value) else None
