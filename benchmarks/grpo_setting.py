"""What both sides of `grpo_vs_trl` get: the model's folder, the same prompts, group size, limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ahalab.errors import UserError
from ahalab.policy.load import model_folder
from ahalab.prompts.config import FileEntry, WorldEntry, build_mixture
from ahalab.records import Prompt

DATA = Path(__file__).resolve().parents[1] / "../shared/data/math/gsm8k_train.jsonl"


@dataclass(frozen=True)
class Setting:
    """One GRPO step. `prompts` is a JSONL file of {question, answer}; every step takes all of them."""

    base: str
    folder: str
    """What plain transformers loads."""
    prompts: str
    verifier: str
    prompts_per_step: int
    samples_per_prompt: int
    max_new_tokens: int
    learning_rate: float = 1e-6
    """Small, so that no step changes what the next one samples."""

    @property
    def outputs(self) -> int:
        return self.prompts_per_step * self.samples_per_prompt

    def options(self) -> dict[str, object]:
        """For a contestant, through JSON."""
        return asdict(self)


def tiny(folder: Path, prompts: int, samples: int, max_new_tokens: int) -> Setting:
    """(a) `builtin:tiny` on sums of the tiny world."""
    drawn = build_mixture([WorldEntry(world="math")], seed=0).take(0, prompts)
    path = _write(folder / "tiny.jsonl", drawn)
    base = "builtin:tiny"
    return Setting(base, model_folder(base), path, "exact", prompts, samples, max_new_tokens)


def smollm2(folder: Path, prompts: int, samples: int, max_new_tokens: int, data: Path = DATA) -> Setting:
    """(b) SmolLM2-135M-Instruct on GSM8K.

    Raises:
        UserError: the questions are not there.
    """
    if not data.is_file():
        raise UserError(f"{data} is not there: give GSM8K's train.jsonl with --gsm8k")
    drawn = build_mixture([FileEntry(file=str(data))], seed=0).take(0, prompts)
    path = _write(folder / "gsm8k.jsonl", drawn)
    base = "pypi:smollm2-135m"
    return Setting(base, model_folder(base), path, "math", prompts, samples, max_new_tokens)


def _write(path: Path, prompts: Sequence[Prompt]) -> str:
    rows = [{"question": prompt.question, "answer": prompt.answer} for prompt in prompts]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)
