"""Evaluation prompts stay out of the training data: shared 10-grams (paper D.1) and likeness, counted and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.evaluation.decontamination import GRAM, EvaluationGrams, cut_text
from ahalab.safety.protocols import Benchmark
from ahalab.safety.rewarding.job import ExclusionConfig
from ahalab.safety.rewarding.similarity import THRESHOLD, SimilarItems

LISTED = 20
"""Items that are named for one excluded prompt; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Why a prompt is left out."""

    by: Literal["10-gram", "same text", "similar"]
    items: tuple[str, ...]
    """`<benchmark>/<item id>` of what it repeats, at most `LISTED`."""
    found: int
    cosine: float | None = None


class Exclusion:
    """Looks for evaluation items in prompts. Memory grows with the items only."""

    def __init__(
        self,
        benchmarks: Sequence[Benchmark],
        threshold: float = THRESHOLD,
        missing: Mapping[str, str] | None = None,
    ) -> None:
        texts: dict[str, str] = {}
        seen: set[str] = set()
        for benchmark in benchmarks:
            for item in benchmark.items:
                # BBQ and wrapped sets say the same text often; one of them finds it.
                if item.prompt not in seen:
                    seen.add(item.prompt)
                    texts[f"{benchmark.name}/{item.id}"] = item.prompt
        self.benchmarks = {one.name: {"items": len(one.items), "sha256": one.sha256} for one in benchmarks}
        self.missing = dict(missing or {})
        """Benchmarks that could not be loaded, and why: their items are not looked for."""
        self.texts = len(texts)
        self._grams = EvaluationGrams(texts, GRAM)
        self._similar = SimilarItems(texts, threshold)

    def identity(self) -> dict[str, Any]:
        """For the records: what was looked for and how."""
        return {
            "gram": GRAM,
            "cosine": self._similar.threshold,
            "benchmarks": self.benchmarks,
            "missing": self.missing,
        }

    def find(self, turns: Sequence[str]) -> Hit | None:
        """What the user's turns of a prompt repeat, each alone and all together; None where nothing."""
        if not self.texts:
            return None
        found = self._grams.find(cut_text(list(turns), GRAM))
        if found:
            same = [place for place, common in found.items() if common.same]
            places = same or sorted(found)
            return _hit("same text" if same else "10-gram", self._grams.names, places)
        whole = "\n\n".join(turns)
        alike = [one for turn in dict.fromkeys([*turns, whole]) for one in self._similar.find(turn)]
        if not alike:
            return None
        best = max(one.cosine for one in alike)
        places = list(dict.fromkeys(one.item for one in sorted(alike, key=lambda one: -one.cosine)))
        return _hit("similar", self._similar.names, places, best)


def _hit(
    by: Literal["10-gram", "same text", "similar"],
    names: Sequence[str],
    places: Sequence[int],
    cosine: float | None = None,
) -> Hit:
    return Hit(by, tuple(names[place] for place in places[:LISTED]), len(places), cosine)


def benchmarks_of(config: ExclusionConfig, base: Path) -> tuple[list[Benchmark], dict[str, str]]:
    """The benchmarks of a job, and which of them could not be loaded and why.

    A benchmark that the user named, or gave a file for, must load; of the others those that are not there (no package,
    no file) are reported, not passed over in silence.

    Raises:
        UserError: a named benchmark does not load or is unknown.
    """
    from ahalab.safety.benchmarks import BENCHMARKS, load_benchmark

    names = list(BENCHMARKS) if config.benchmarks is None else list(config.benchmarks)
    names += [name for name in config.sources if name not in names]
    loaded: list[Benchmark] = []
    missing: dict[str, str] = {}
    for name in names:
        source = config.sources.get(name)
        try:
            loaded.append(load_benchmark(name, base / Path(source).expanduser() if source else None))
        except UserError as error:
            if source is not None or config.benchmarks is not None:
                raise
            missing[name] = " ".join(str(error).split())[:300]
    return loaded, missing
