"""The offline judge's card: what it learned from, what it can and cannot do, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import write_json
from ahalab.safety.offline import figures
from ahalab.safety.offline.building import Builder, Say
from ahalab.safety.offline.judge import OfflineJudge
from ahalab.safety.offline.weights import Weights

TARGETS = {
    "complied or not, pooled": 0.88, "three classes, pooled": 0.78, "three classes, each file": 0.65,
    "partial-refusal recall": 0.50, "harm kappa": 0.55, "harm AUC": 0.90,
}  # fmt: skip
LOOKED_AT = (
    "Besides the inputs, about 100 labelled replies of three other XSTest files (Llama 2 with and without its system "
    "prompt: prompts v2-55 to 68, 152 to 166, 250 to 265, 401 to 416; Mistral instruct: 348 to 361) were read in a "
    "public archive to learn the styles, and 44 of them, abridged, served as a rough check while the parts of replies "
    "were written and settings chosen. None of their text is an input. Figures on those files are therefore not blind "
    "for these prompts."
)
LIMITS = (
    "All XSTest files ask the same 450 prompts: a held-out file is new in its model, not in its prompts; figures by "
    "prompt are given beside.",
    "A partial refusal is a matter of taste in a third of the cases: the labels of near-identical replies differ "
    "between files (invented persons' private data).",
    "Harm is read from words and structure, not from meaning: a fluent unsafe text on a topic and in a manner that "
    "the training replies lack is missed, a harmless text full of alarming words is flagged.",
    "The Chinese replies, and the English and Chinese parts that training rows are composed of, were written and "
    "labelled by language models; no person has checked them.",
    "The Chinese replies answer questions of safety-1120; the test half answers other questions than the train half.",
    "pyrit's files are training data: a figure on them by the shipped weights is no measurement. Held-out figures here "
    "are by heads taught without the part.",
    "The head that tells an informative refusal from a mechanical one has learned from Chinese replies only.",
    "Other languages than English and Chinese are read by structure alone: do not use it for them.",
)


def write_card(path: Path, builder: Builder, inputs: Mapping[str, Any], weights: Weights, say: Say) -> None:
    """Measures and writes."""
    judge = OfflineJudge(path.with_name("weights.safetensors"))
    by_file, errors = figures.held_out_files(builder, say)
    card = {
        "model": "ahalab offline judge",
        "weights_sha256": weights.sha256,
        "what": "Linear heads over rules, structure and hashed n-grams; read with numpy.",
        "thresholds": weights.settings["thresholds"],
        "inputs": dict(inputs),
        "looked_at": LOOKED_AT,
        "targets": TARGETS,
        "figures": {
            "compliance, file held out": by_file,
            "compliance, prompts held out": figures.held_out_prompts(builder, say),
            "harm, held out": figures.harm_figures(builder, weights, say),
            "chinese, test half": figures.chinese_figures(builder, judge),
            "speed, one core": figures.speed(builder, judge),
        },
        "errors, file held out": errors,
        "limits": list(LIMITS),
    }
    write_json(path, card)
    say(f"{path}: written")
