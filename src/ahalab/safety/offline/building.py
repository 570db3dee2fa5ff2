"""From inputs to weights: which rows each head learns from, with what weight, and how the thresholds are set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ahalab.counter import make_key
from ahalab.safety.offline import inputs
from ahalab.safety.offline.composing import COMPLIES, Row, composed, load_parts, recombined
from ahalab.safety.offline.features import dense_names
from ahalab.safety.offline.inputs import XSTEST, ChineseReply, HarmRow
from ahalab.safety.offline.rules import bundled_rules
from ahalab.safety.offline.seeing import Seen, harm_input
from ahalab.safety.offline.training import (
    Sight,
    best_threshold,
    compliance_of,
    fit_compliance,
    fit_harm,
    fit_informative,
    fit_intent,
    held_out_intents,
)
from ahalab.safety.offline.weights import Weights

PARTS_WEIGHT, RECOMBINED_WEIGHT, PYRIT_WEIGHT, CHINESE_WEIGHT = 0.3, 0.3, 0.5, 1.0
"""What a row counts against one labelled XSTest reply. Our choice."""
PARTS_COPIES, RECOMBINED_COPIES = 3, 1
XSTEST_HARM_WEIGHT, CHINESE_HARM_WEIGHT = 0.2, 0.6
"""XSTest's replies teach the harm head that help with a harmless question is harmless; a row of pyrit counts 1."""
HARM_FOLDS = 4
JAILBREAK_RECALL = 0.9
"""The stricter threshold of jailbreak cases lets through at most a tenth of the unsafe replies of held-out folds."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """All rows, read."""

    xstest: dict[str, list[Row]]
    intents: dict[str, bool]
    refusals: list[Row]
    harm: list[HarmRow]
    chinese: list[ChineseReply]


def read_material(found: Mapping[str, Path]) -> Material:
    """The rows of the inputs."""
    files = [found[name] for name in XSTEST]
    harm = inputs.harm_rows(found)
    kept = {row.key for row in harm}
    refusals = [
        row
        for name, path in found.items()
        if name.startswith("pyrit/refusal_scorer/")
        for row in inputs.refusal_rows(path, PYRIT_WEIGHT)
        if HarmRow(row.prompt, row.reply, 0, "", "").key not in kept
    ]
    return Material(
        {path.stem: inputs.xstest_rows(path) for path in files},
        inputs.xstest_intents(files),
        refusals,
        harm,
        inputs.chinese_replies(found["chinese_replies.jsonl"]),
    )


class Builder:
    """Fits heads from chosen rows; features and composed rows are made once."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.sight = Sight()
        self.composed = [
            *composed("en", PARTS_COPIES, PARTS_WEIGHT),
            *composed("zh", PARTS_COPIES, PARTS_WEIGHT),
        ]
        self._harmless = [topic["q"] for language in ("en", "zh") for topic in load_parts(language)["topics"]]

    def compliance(self, labelled: Sequence[Row], chinese: Sequence[ChineseReply]) -> Weights:
        """`intent` and `compliance`, from labelled English replies, Chinese ones, and all that is composed of them."""
        known = {row.prompt for row in labelled}
        intents = {
            prompt: harmful
            for prompt, harmful in self.material.intents.items()
            if prompt in known or not known
        }
        intent = fit_intent(intents, self._harmless)
        rows = [
            *labelled,
            *recombined(labelled, RECOMBINED_COPIES, RECOMBINED_WEIGHT),
            *self.composed,
            *self.material.refusals,
            *chinese_rows(chinese),
        ]
        head = fit_compliance(rows, intent, held_out_intents(intents, self._harmless), self.sight)
        return Weights({"intent": intent, "compliance": head}, {})

    def with_harm(
        self, weights: Weights, rows: Sequence[HarmRow], chinese: Sequence[ChineseReply]
    ) -> Weights:
        """The same with `harm`, from pyrit's rows, XSTest's and the Chinese replies."""
        given = [*rows, *self.xstest_harm(), *chinese_harm(chinese)]
        weight = {"xstest": XSTEST_HARM_WEIGHT, "chinese": CHINESE_HARM_WEIGHT}
        counts = np.array([weight.get(row.source, 1.0) for row in given])
        return Weights(weights.heads | {"harm": fit_harm(given, counts, weights, self.sight)}, {})

    def xstest_harm(self) -> list[HarmRow]:
        """XSTest's replies: unsafe is full compliance with its unsafe half."""
        return [
            HarmRow(
                row.prompt, row.reply, float(self.material.intents[row.prompt] and row.label == COMPLIES),
                "xstest", "xstest",
            )
            for rows in self.material.xstest.values()
            for row in rows
        ]  # fmt: skip

    def harm_score(self, weights: Weights, row: HarmRow) -> float:
        """Probability of unsafe."""
        return harm_of(weights, self.sight(row.prompt, row.reply))

    def thresholds(
        self,
        weights: Weights,
        rows: Sequence[HarmRow],
        chinese: Sequence[ChineseReply],
        languages: Sequence[str] = ("en", "zh"),
    ) -> dict[str, dict[str, float]]:
        """Per language, from scores of folds that the harm head did not see: by category, Chinese by question."""
        scored: dict[str, list[tuple[float, bool]]] = {language: [] for language in languages}
        categories = sorted({row.category for row in rows})
        for fold in range(HARM_FOLDS):
            out = {name for place, name in enumerate(categories) if place % HARM_FOLDS == fold}
            out_zh = [one for one in chinese if make_key("harm fold", one.item) % HARM_FOLDS == fold]
            held = [row for row in rows if row.category in out]
            keys = {row.key for row in held}
            kept = [row for row in rows if row.category not in out and row.key not in keys]
            kept_zh = [one for one in chinese if one not in out_zh]
            part = self.with_harm(weights, kept, kept_zh)
            scored["en"] += [(self.harm_score(part, row), row.degree >= 0.5) for row in held]
            if "zh" in scored:
                scored["zh"] += [
                    (self.harm_score(part, row), row.degree >= 0.5) for row in chinese_harm(out_zh)
                ]
        found = {}
        for language, pairs in scored.items():
            values, truth = np.array([one for one, _ in pairs]), np.array([two for _, two in pairs])
            plain = best_threshold(values, truth)
            strict = min(plain, float(np.quantile(values[truth], 1 - JAILBREAK_RECALL)))
            found[language] = {"plain": round(plain, 4), "jailbreak": round(strict, 4)}
        return found

    def everything(self, say: Say) -> Weights:
        """The weights that are shipped: from both XSTest files, all of pyrit, the Chinese train half."""
        train = [one for one in self.material.chinese if one.split == "train"]
        labelled = [row for rows in self.material.xstest.values() for row in rows]
        say(f"compliance: {len(labelled)} XSTest rows, {len(self.composed)} composed")
        weights = self.compliance(labelled, train)
        say(f"harm: {len(self.material.harm)} rows of pyrit, {len(train)} Chinese")
        weights = self.with_harm(weights, self.material.harm, train)
        say("thresholds, from folds that were held out")
        thresholds = self.thresholds(weights, self.material.harm, train)
        heads = weights.heads | {"informative": fit_informative(train, self.sight)}
        return Weights(heads, {"thresholds": thresholds, **feature_settings()})


def harm_of(weights: Weights, seen: Seen) -> float:
    """Probability of unsafe."""
    dense = harm_input(seen.dense, compliance_of(weights, seen))
    return float(weights.heads["harm"].probabilities(dense, seen.plain_grams, seen.prompt)[1])


def feature_settings() -> dict[str, Any]:
    """What must be the same when the weights are read: names of features and the rules' hash."""
    return {"dense": list(dense_names()), "rules": bundled_rules().sha256}


def chinese_rows(replies: Sequence[ChineseReply]) -> list[Row]:
    """Chinese replies for the compliance head."""
    return [
        Row(one.prompt, one.reply, one.compliance, "chinese", f"zh: {one.item}", CHINESE_WEIGHT)
        for one in replies
    ]


def chinese_harm(replies: Sequence[ChineseReply]) -> list[HarmRow]:
    """Chinese replies for the harm head."""
    return [
        HarmRow(one.prompt, one.reply, float(one.verdict == "unsafe"), "chinese", one.item) for one in replies
    ]
