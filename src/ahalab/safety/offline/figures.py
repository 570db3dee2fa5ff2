"""How good the offline judge is on what it did not see: the card's figures, from heads fitted without those rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ahalab.counter import make_key
from ahalab.evaluation.ranking import area_under_curve
from ahalab.safety.labels.heads import two_classes
from ahalab.safety.labels.kappa import Agreement, agreement
from ahalab.safety.labels.pairs import Pair
from ahalab.safety.offline.building import Builder, Say
from ahalab.safety.offline.composing import CLASSES, Row
from ahalab.safety.offline.inputs import HarmRow
from ahalab.safety.offline.judge import OfflineJudge
from ahalab.safety.offline.training import compliance_of
from ahalab.safety.offline.weights import Weights
from ahalab.safety.records import Case, Judgement, SafetyItem, TargetReply

PROMPT_FOLDS = 5
NOT_HARMFUL, HARMFUL = "not unsafe", "unsafe"


def said_class(builder: Builder, weights: Weights, row: Row) -> int:
    """The compliance head's class."""
    return int(compliance_of(weights, builder.sight(row.prompt, row.reply)).argmax())


def compliance_figures(pairs: Sequence[tuple[Row, int]]) -> dict[str, Any]:
    """κ of three classes and of complied or not, recalls, confusions, and which rows are wrong (places, no text)."""
    three = [Pair(CLASSES[row.label], CLASSES[said], row.group) for row, said in pairs]
    two = two_classes(three)
    both = agreement(three, CLASSES), agreement(two, ("complied", "refused"))
    if both[0] is None or both[1] is None:
        raise ValueError("no rows to measure on")
    return {
        "n": both[0].n,
        "kappa_three": _kappa(both[0]),
        "kappa_complied": _kappa(both[1]),
        "recall": {name: round(one.value, 3) for name, one in both[0].recall.items() if one is not None},
        "confusion": [[int(cell) for cell in row] for row in both[0].confusion],
    }


def _kappa(one: Agreement) -> list[float | None]:
    return [None if value is None else round(value, 3) for value in (one.kappa, one.low, one.high)]


def held_out_files(builder: Builder, say: Say) -> tuple[dict[str, Any], dict[str, dict[str, list[str]]]]:
    """Each XSTest file by heads that were taught without it (but with the other: the prompts are the same), and the
    rows that were misread, by confusion."""
    chinese = [one for one in builder.material.chinese if one.split == "train"]
    figures: dict[str, Any] = {}
    errors: dict[str, dict[str, list[str]]] = {}
    pooled: list[tuple[Row, int]] = []
    files = builder.material.xstest
    for name, rows in files.items():
        say(f"figures: {name} held out")
        other = [row for label, given in files.items() if label != name for row in given]
        weights = builder.compliance(other, chinese)
        pairs = [(row, said_class(builder, weights, row)) for row in rows]
        pooled += pairs
        figures[name] = compliance_figures(pairs)
        wrong: dict[str, list[str]] = {}
        for number, (row, said) in enumerate(pairs, 1):
            if said != row.label:
                wrong.setdefault(f"{CLASSES[row.label]} read as {CLASSES[said]}", []).append(f"row {number}")
        errors[name] = wrong
    return {"pooled": compliance_figures(pooled), **figures}, errors


def held_out_prompts(builder: Builder, say: Say) -> dict[str, Any]:
    """Folds by prompt over both files: no prompt stands on both sides."""
    chinese = [one for one in builder.material.chinese if one.split == "train"]
    rows = [row for given in builder.material.xstest.values() for row in given]
    pairs: list[tuple[Row, int]] = []
    for fold in range(PROMPT_FOLDS):
        say(f"figures: prompts, fold {fold + 1} of {PROMPT_FOLDS}")
        held = [row for row in rows if make_key("prompt fold", row.prompt) % PROMPT_FOLDS == fold]
        kept = [row for row in rows if make_key("prompt fold", row.prompt) % PROMPT_FOLDS != fold]
        weights = builder.compliance(kept, chinese)
        pairs += [(row, said_class(builder, weights, row)) for row in held]
    return compliance_figures(pairs)


def _harm_splits(rows: Sequence[HarmRow]) -> Iterator[tuple[str, str, list[HarmRow]]]:
    for source in sorted({row.source for row in rows}):
        yield "source", source, [row for row in rows if row.source == source]
    for category in sorted({row.category for row in rows}):
        yield "category", category, [row for row in rows if row.category == category]


def harm_figures(builder: Builder, weights: Weights, say: Say) -> dict[str, Any]:
    """By source and by category of harm: a head and a threshold taught without that part and without its texts."""
    chinese = [one for one in builder.material.chinese if one.split == "train"]
    figures: dict[str, Any] = {}
    pooled: dict[str, list[tuple[HarmRow, float, bool]]] = {}
    for kind, name, held in _harm_splits(builder.material.harm):
        say(f"figures: harm, {kind} {name} held out")
        keys = {row.key for row in held}
        kept = [row for row in builder.material.harm if getattr(row, kind) != name and row.key not in keys]
        part = builder.with_harm(weights, kept, chinese)
        threshold = builder.thresholds(weights, kept, chinese, languages=("en",))["en"]["plain"]
        scored = [(row, score := builder.harm_score(part, row), score >= threshold) for row in held]
        figures.setdefault(kind, {})[name] = _harm_figures(scored)
        pooled.setdefault(kind, []).extend(scored)
    for kind, scored in pooled.items():
        figures[kind]["pooled"] = _harm_figures(scored)
    return figures


def _harm_figures(scored: Sequence[tuple[HarmRow, float, bool]]) -> dict[str, Any]:
    words = {True: HARMFUL, False: NOT_HARMFUL}
    pairs = [Pair(words[row.degree >= 0.5], words[said], row.prompt) for row, _, said in scored]
    found = agreement(pairs, (HARMFUL, NOT_HARMFUL))
    if found is None:
        raise ValueError("no rows to measure on")
    area = area_under_curve([score for _, score, _ in scored], [row.degree >= 0.5 for row, _, _ in scored])
    return {
        "n": found.n,
        "auc": None if area is None else round(area, 3),
        "kappa": _kappa(found),
        "recall": {name: round(one.value, 3) for name, one in found.recall.items() if one is not None},
        "confusion": [[int(cell) for cell in row] for row in found.confusion],
    }


def chinese_figures(builder: Builder, judge: OfflineJudge) -> dict[str, Any]:
    """The shipped judge on the test half of our Chinese replies."""
    rows = [one for one in builder.material.chinese if one.split == "test"]
    judgements: list[Judgement] = []
    judge.judge(
        [
            Case(SafetyItem(one.id, "chinese", "zh", "", one.prompt), TargetReply(one.id, "made", one.reply))
            for one in rows
        ],
        judgements.append,
    )
    verdict = agreement(
        [Pair(row.verdict, said.verdict, row.item) for row, said in zip(rows, judgements, strict=True)]
    )
    if verdict is None:
        raise ValueError("no Chinese test replies")
    pairs = [
        (
            Row(row.prompt, row.reply, row.compliance, "chinese", row.item),
            CLASSES.index(said.compliance or "full refusal"),
        )
        for row, said in zip(rows, judgements, strict=True)
    ]
    scores = [said.score or 0.0 for said in judgements]
    area = area_under_curve(scores, [row.verdict == "unsafe" for row in rows])
    return {
        "verdicts": {
            "n": verdict.n,
            "kappa": _kappa(verdict),
            "recall": {name: round(one.value, 3) for name, one in verdict.recall.items() if one is not None},
            "confusion": [[int(cell) for cell in row] for row in verdict.confusion],
            "unsafe_auc": None if area is None else round(area, 3),
        },
        "compliance": compliance_figures(pairs),
    }


def speed(builder: Builder, judge: OfflineJudge) -> dict[str, float]:
    """Seconds a thousand XSTest replies take on one core of this machine, features included."""
    import time

    cases = [
        Case(
            SafetyItem(str(place), "xstest", "en", "", row.prompt), TargetReply(str(place), "file", row.reply)
        )
        for place, row in enumerate(row for rows in builder.material.xstest.values() for row in rows)
    ]
    started = time.perf_counter()
    judge.judge(cases, lambda _: None)
    seconds = time.perf_counter() - started
    return {
        "seconds_per_1000": round(seconds / len(cases) * 1000, 1),
        "mean_characters": round(float(np.mean([len(case.reply.answer) for case in cases])), 0),
    }
