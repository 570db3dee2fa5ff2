"""What every side of `rollout_vs` gets: prompts, group size, limits; and how its completions are counted.

Standard library only: the contestant that runs in vLLM's environment imports this file too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One round: every contestant draws `samples_per_prompt` samples of every prompt, at temperature 1."""

    folder: str
    """What plain transformers and vLLM load."""
    base: str
    """What ahalab loads: the same weights."""
    prompts: tuple[tuple[int, ...], ...]
    """Token ids, chat template included."""
    samples_per_prompt: int
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    dtype: str = "fp32"

    @property
    def rows(self) -> int:
        return len(self.prompts) * self.samples_per_prompt

    @property
    def max_length(self) -> int:
        """Tokens of the longest prompt and an answer up to the limit."""
        return max(map(len, self.prompts)) + self.max_new_tokens

    def write(self, path: Path) -> str:
        """For the contestants, which get the path."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return str(path)

    @staticmethod
    def read(path: str | Path) -> Setting:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        prompts = tuple(tuple(prompt) for prompt in found.pop("prompts"))
        return Setting(prompts=prompts, stop_ids=tuple(found.pop("stop_ids")), **found)

    def figures(self, completions: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What a round reports of its completions, counted alike for all.

        A completion ends with its first stop token, which counts: it was generated. What follows it (padding) does
        not, nor does anything beyond the limit.

        Raises:
            ValueError: there are not as many completions as asked for, or one is cut off before its end.
        """
        if len(completions) != self.rows:
            raise ValueError(f"{len(completions)} completions, but {self.rows} were asked for")
        lengths, stopped = [], 0
        for row in completions:
            length, stops = until_stop(row, self.stop_ids, self.max_new_tokens)
            if not stops and length < self.max_new_tokens:
                raise ValueError(f"a completion ends after {length} tokens without a stop token")
            lengths.append(length)
            stopped += stops
        return {
            "tokens": sum(lengths),
            "mean_length": sum(lengths) / len(lengths),
            "stopped": stopped / len(lengths),
            "lengths": lengths,
        }


def until_stop(row: Sequence[int], stop_ids: Sequence[int], limit: int) -> tuple[int, bool]:
    """Tokens up to the first stop token, which counts, `limit` at most; and whether there was one."""
    for position, token in enumerate(row[:limit]):
        if token in stop_ids:
            return position + 1, True
    return min(len(row), limit), False
