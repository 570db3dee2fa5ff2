"""Toy data for reward models: what is preferred, or safe, can be told from one word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ahalab.counter import make_key, uniform
from ahalab.records import LabelledResponse, PreferencePair
from ahalab.stages.context import StageContext
from ahalab.stages.datasets import write_labelled, write_pairs
from ahalab.stages.reward_model import RewardModelConfig
from ahalab.validation import validate

GOOD, BAD = ("total", "number", "then"), ("apples", "boxes", "wait")
NEUTRAL = ("the answer is", "we have", "so it is", "let me see")


def _words(key: int, marked: tuple[str, ...]) -> str:
    """A few words of which one is marked; length and place say nothing."""
    words = [NEUTRAL[int(uniform(key, i) * len(NEUTRAL))] for i in range(1 + int(uniform(key, 90) * 3))]
    words.insert(int(uniform(key, 91) * (len(words) + 1)), marked[int(uniform(key, 92) * len(marked))])
    return " ".join(words)


def toy_pairs(n: int, questions: int = 60) -> list[PreferencePair]:
    """Chosen answers hold a good word, rejected ones a bad word."""
    return [
        PreferencePair(
            id=f"toy/{i}",
            question=f"What is {i % questions} + 1?",
            chosen=_words(make_key("chosen", i), GOOD),
            rejected=_words(make_key("rejected", i), BAD),
            domain="instructions",
            language="en",
            source="toy",
        )
        for i in range(n)
    ]


def toy_labelled(n: int, questions: int = 60) -> list[LabelledResponse]:
    """A safe response thinks a good word, an unsafe one a bad word; the answers are alike."""
    return [
        LabelledResponse(
            id=f"toy/{i}",
            question=f"What is {i % questions} + 1?",
            thinking=_words(make_key("thinking", i), GOOD if uniform(make_key("safe", i), 0) < 0.6 else BAD),
            answer=_words(make_key("answer", i), ("so",)),
            safe=uniform(make_key("safe", i), 0) < 0.6,
            domain="safety",
            language="en",
            source="toy",
        )
        for i in range(n)
    ]


def config_of(kind: str, entries: Any = ("data",), **changes: Any) -> RewardModelConfig:
    """A quick config for the small bases."""
    settings = {"learning_rate": 5e-3, "batch_size": 32, "epochs": 3, "held_out": 0.25, "checkpoint_every": 4}
    entries = list(entries)
    return validate(
        RewardModelConfig, {"from": "base", kind: {"data": entries}, **settings, **changes}, "recipe.yaml"
    )


def context_of(folder: Path, base: Path, kind: str, **more: Any) -> StageContext:
    """A context whose data set `data` lies in `folder/data`, and whose work folder is `folder/stage`."""
    (folder / "stage").mkdir(parents=True, exist_ok=True)
    inputs = {"from": str(base), f"{kind}.data[0]": str(folder / "data")}
    return StageContext("rm", folder / "stage", inputs, seed=1, data_folder=folder, **more)


def write_toy(folder: Path, kind: str, n: int = 320) -> None:
    """The toy data set of `kind` as a stage would leave it, in `folder/data`."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "pairwise":
        write_pairs(folder / "data", toy_pairs(n))
    else:
        write_labelled(folder / "data", toy_labelled(n))
