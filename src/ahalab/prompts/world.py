"""Prompts from the tiny world: an endless list, split by a hash of the problem itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ahalab.errors import UserError
from ahalab.records import Language, Prompt
from ahalab.world.corpus import DOMAINS, world_problem
from ahalab.world.domain import Problem, Split


class WorldSource:
    """Problem number `index` of the world, as a prompt. Endless; a pure function of (seed, split, index)."""

    def __init__(
        self,
        name: str,
        *,
        domains: Sequence[str],
        split: Split = "train",
        seed: int = 0,
        languages: Sequence[str] = ("en", "zh"),
        levels: Sequence[int] | None = None,
        sandbox: bool = False,
    ) -> None:
        unknown = [domain for domain in domains if domain not in DOMAINS]
        if unknown:
            raise UserError(
                f"prompts: the tiny world has no domain {unknown[0]!r}; it has {', '.join(DOMAINS)}."
            )
        for domain in domains:
            wrong = [level for level in levels or () if level not in DOMAINS[domain].levels]
            if wrong:
                raise UserError(
                    f"prompts: level {wrong[0]} of the world's {domain} does not exist; "
                    f"expected some of {list(DOMAINS[domain].levels)}."
                )
        without = [domain for domain in domains if DOMAINS[domain].verifier != "function"]
        if sandbox and without:
            raise UserError(
                f"prompts: `sandbox` is for domains whose answers are functions; {without[0]!r} is none of them."
            )
        self._sandbox = sandbox
        self.name = name
        self._domains = tuple(domains)
        self._split: Split = split
        self._seed = seed
        self._languages = cast("tuple[Language, ...]", tuple(languages))
        self._levels = tuple(levels) if levels else None

    def __len__(self) -> int:
        raise TypeError("the tiny world is endless")

    @property
    def size(self) -> None:
        """Endless."""
        return None

    def prompt(self, index: int) -> Prompt:
        """Problem `index`; consecutive indices take the domains in turn."""
        problem = world_problem(
            self._seed,
            index,
            split=self._split,
            domain=self._domains[index % len(self._domains)],
            languages=self._languages,
            levels=self._levels,
        )
        digest = hashlib.blake2b(f"{problem.key}\x1f{problem.question}".encode(), digest_size=8).hexdigest()
        # The same problem may come again in an endless list; the index keeps the ids apart.
        return Prompt(
            id=f"{self.name}/{digest}-{index}",
            question=problem.question,
            answer=problem.answer,
            domain=problem.domain,
            source=self.name,
            verifier="code" if self._sandbox else DOMAINS[problem.domain].verifier,
            language=problem.language,
            level=problem.level,
            extra={
                **self._grading(problem),
                "world": {
                    "domain": problem.domain,
                    "kind": problem.kind,
                    "language": problem.language,
                    "level": problem.level,
                    "data": dict(problem.data),
                },
            },
        )

    def _grading(self, problem: Problem) -> Mapping[str, Any]:
        grading = DOMAINS[problem.domain].grading(problem)
        if not self._sandbox:
            return grading
        tests = [{"input": [given], "output": wanted} for given, wanted in grading["tests"]]
        return {"tests": tests, "function": "f", "language": "python"}
