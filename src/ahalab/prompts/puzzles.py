"""Puzzles of reasoning-gym made easy to ask for: bundled groups, one difficulty for all, many tasks as one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.tasks import TaskSource, derive_seed
from ahalab.records import Prompt

CIPHERS = (
    "caesar_cipher",
    "cryptarithm",
    "emoji_mystery",
    "letter_counting",
    "letter_jumble",
    "spell_backward",
    "string_insertion",
    "string_manipulation",
    "string_synthesis",
    "word_sorting",
)
DEDUCTION = (
    "aiw",
    "family_relationships",
    "futoshiki",
    "kakurasu",
    "knights_knaves",
    "mini_sudoku",
    "n_queens",
    "self_reference",
    "sudoku",
    "survo",
    "syllogism",
    "zebra_puzzles",
)
ARITHMETIC = ("coin_flip", "countdown", "dice", "puzzle24")

GROUPS: dict[str, tuple[str, ...]] = {
    "logic": (*CIPHERS, *DEDUCTION, *ARITHMETIC),
    "ciphers": CIPHERS,
    "deduction": DEDUCTION,
    "arithmetic_games": ARITHMETIC,
}
"""Bundled lists of tasks by a name that stands in a recipe for all of them: the synthetic puzzles of the paper's logic
domain (Table 4) are ciphers and string manipulation, deduction under constraints, and arithmetic. Which tasks of
reasoning-gym stand for them is our choice; each scores its own gold answers, at every difficulty."""

DIFFICULTIES = range(1, 6)


class PuzzleSource:
    """Several tasks, or one at several difficulties, in turn: problem i is of part i mod their number.

    Ids are `<name>/<content hash>-<index + 1>`.
    """

    def __init__(self, name: str, parts: Sequence[TaskSource], size: int) -> None:
        self.name = name
        self.size = size
        self._parts = tuple(parts)

    def prompt(self, index: int) -> Prompt:
        turn, part = divmod(index, len(self._parts))
        prompt = self._parts[part].prompt(turn)
        digest = prompt.id.rpartition("/")[2].rpartition("-")[0]
        return replace(prompt, id=f"{self.name}/{digest}-{index + 1}", source=self.name)

    @property
    def skipped(self) -> Mapping[str, int]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "parts": [part.describe() for part in self._parts]}


def tasks_of(names: str | Sequence[str]) -> list[str]:
    """The tasks that a recipe names, the groups among them spelled out, each once."""
    several = [names] if isinstance(names, str) else names
    return list(dict.fromkeys(task for name in several for task in GROUPS.get(name, (name,))))


def puzzle_source(
    name: str,
    *,
    names: str | Sequence[str],
    difficulty: int | Sequence[int] | None,
    options: Mapping[str, Any],
    size: int,
    run_seed: int,
    split: str,
    seed: int | None,
    where: str,
    domain: str | None,
    level: str | None,
) -> TaskSource | PuzzleSource:
    """The source of an entry `reasoning_gym`. `seed` is reasoning-gym's own, or None for one made of the run's.

    Raises:
        UserError: as `TaskSource`; `options` or `level` for several tasks at once.
    """
    tasks = tasks_of(names)
    if domain is None and any(one in GROUPS for one in ([names] if isinstance(names, str) else names)):
        domain = "logic"
    if len(tasks) > 1:
        for key, given in (("options", options), ("level", level)):
            if given:
                raise UserError(
                    f"{where}.{key}: it belongs to one task, and this entry has {len(tasks)} "
                    f"({', '.join(tasks[:3])}, …); "
                    "give that task an entry of its own, or set `difficulty` for all"
                )
    steps: Sequence[int | None] = (
        [difficulty] if difficulty is None or isinstance(difficulty, int) else difficulty
    )
    wanted = [(task, step) for task in tasks for step in steps]
    parts = [
        TaskSource(
            name,
            task=task,
            options=options,
            size=-(-size // len(wanted)),
            seed=_seed(run_seed, split, task, step, len(steps)) if seed is None else seed + place * size,
            where=where,
            domain=domain,
            level=level,
            difficulty=step,
        )
        for place, (task, step) in enumerate(wanted)
    ]
    return parts[0] if len(parts) == 1 else PuzzleSource(name, parts, size)


def _seed(run_seed: int, split: str, task: str, step: int | None, steps: int) -> int:
    return derive_seed(run_seed, split, task if steps == 1 else f"{task} at {step}")
