"""What the documentation says of keys, columns and rates is what the code has."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from ahalab.learning import GRPOLoss, Learner, TrainingOutput
from ahalab.pipeline.execute import KEPT_FOLDERS, MACHINE_FILE
from ahalab.pipeline.reference import reference
from ahalab.pipeline.trust import BEGUN_NAME
from ahalab.policy.forward import make_decoder
from ahalab.policy.load import Policy
from ahalab.policy.locate import builtin_folder
from ahalab.records import Prompt, Response, Reward, Sample, Verdict
from ahalab.runs.checkpoints import STATE_NAME
from ahalab.runs.folder import RECIPE_NAME, RUN_NAME
from ahalab.runs.lock import LOCK_NAME
from ahalab.runs.manifest import MANIFEST_NAME, Manifest
from ahalab.stages.collect import GradedSample
from ahalab.stages.ledger import LOGS
from ahalab.stages.pretrain import CorpusMixture, PretrainConfig
from ahalab.stages.rl_config import PRESETS, RLConfig, StopRules
from ahalab.stages.sample_metrics import sample_metrics
from ahalab.stages.setup import PROMPTS_NAME
from ahalab.text.parse import FAULTS
from ahalab.text.reflection import count_reflective
from ahalab.text.template import TABLE1_PREAMBLE
from ahalab.validation import validate
from ahalab.world.corpus import document
from ahalab.world.domain import Mixture
from docs_pages import ROOT, prose, rows

DOCS = ROOT / "docs"

GRADED = GradedSample(
    Prompt("world/0", "What is 1+1?", "2", "math", "world", "exact"),
    (1, 2),
    Sample("world/0", 0, (3, 4), (-0.1, -0.2), "stop"),
    Response("<think> x </think> <answer> 2 </answer>", "x", "2", True, None),
    Verdict(1.0),
    Reward({"accuracy": 1.0, "format": 1.0}, 2.0),
    1,
    {"wait": 1},
    False,
)


def test_the_recipe_reference_is_what_the_schemas_give() -> None:
    page = (DOCS / "recipe-reference.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m ahalab.pipeline.reference > docs/recipe-reference.md"


def documented(page: Path) -> set[str]:
    """Every name in back ticks on the page."""
    return set(re.findall(r"`([^`\n]+)`", prose(page)))


def test_every_column_of_samples_and_metrics_is_explained() -> None:
    known = documented(DOCS / "run-folder.md")
    assert set(GRADED.row(1, 1, 0.0)) <= known
    assert set(sample_metrics([GRADED])) <= known
    assert {field.name for field in dataclasses.fields(Manifest)} <= known
    assert set(FAULTS) <= known


def test_every_file_of_a_run_folder_is_explained() -> None:
    page = (DOCS / "run-folder.md").read_text(encoding="utf-8")
    names = [
        RUN_NAME,
        RECIPE_NAME,
        MACHINE_FILE,
        LOCK_NAME,
        BEGUN_NAME,
        PROMPTS_NAME,
        MANIFEST_NAME,
        STATE_NAME,
    ]
    assert [name for name in [*names, *LOGS, *KEPT_FOLDERS] if name not in page] == []


def test_every_metric_of_the_learner_is_explained() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=1, **sizes))
    learner = Learner(
        Policy(model, None, make_decoder(model), "tiny"), learning_rate=1e-3, tokens_per_chunk=64
    )
    logprobs = torch.tensor([-1.0, -1.0])
    output = TrainingOutput((1, 2), (3, 4), 1.0, logprobs, logprobs, logprobs)
    learned = learner.update([output], GRPOLoss(0.2, 0.2, 0.1, "token"), 1.0, n_outputs=1, n_tokens=2)
    assert {"kl", "entropy", "sampler_mismatch_max", "importance"} <= set(learned)
    assert set(learned) <= documented(DOCS / "run-folder.md")


def test_every_key_written_by_the_stages_is_explained() -> None:
    """Those that no object gives: read from the code that writes them."""
    known = documented(DOCS / "run-folder.md")
    stages = ROOT / "src" / "ahalab" / "stages"
    source = (stages / "rl.py").read_text(encoding="utf-8")
    counts = (
        (stages / "estimation.py").read_text(encoding="utf-8").partition("def _figures")[2].partition("}")[0]
    )
    timing = source.split("write_timing(")[1].split("}")[0]
    written = set(re.findall(r'"(\w+)":', counts + timing))
    assert {"effective_groups", "seconds_learn"} <= written
    assert written <= known
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "ahalab").rglob("*.py"))
    events = set(re.findall(r'\bevent\(\s*"(\w+)"', code)) | {"stage_started", "stage_continued"}
    assert {"stage_finished", "resumed"} <= events
    assert events <= known


@pytest.mark.parametrize("key", sorted(PRESETS["paper"]))
def test_the_two_presets_are_shown_as_they_are(key: str) -> None:
    shown = rows(DOCS / "zero.md")[key][:2]
    for preset, text in zip(("modern", "paper"), shown, strict=True):
        config = validate(RLConfig, {"preset": preset, "prompts": [{"world": "math"}]}, preset)
        value = getattr(config, key)
        assert text == value if isinstance(value, str) else json.loads(text) == value


@pytest.mark.parametrize(("key", "value"), StopRules().model_dump().items())
def test_the_stop_rules_are_shown_as_they_are(key: str, value: float) -> None:
    assert json.loads(rows(DOCS / "zero.md")[f"stop.{key}"][0]) == value


def test_the_data_card_states_the_mixture_that_is_built() -> None:
    assert CorpusMixture().mixture() == Mixture()
    table = rows(DOCS / "base-tiny.md")
    for name, value in dataclasses.asdict(Mixture()).items():
        assert float(table[name][0]) == value, name
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{100 * Mixture().check:.0f} % of the answered reasoning problems check themselves" in readme


def test_the_data_card_states_the_planted_rate_as_counted_in_the_corpus() -> None:
    texts = [document(0, index, Mixture()) for index in range(5_000)]
    answers = [text.removeprefix(TABLE1_PREAMBLE) for text in texts if text.startswith(TABLE1_PREAMBLE)]
    others = [text for text in texts if not text.startswith(TABLE1_PREAMBLE)]
    words = [sum(count_reflective(text).values()) for text in answers]
    elsewhere = [sum(count_reflective(text).values()) for text in others]
    share = f"{sum(count > 0 for count in words) / len(answers):.1%}".replace("%", " %")
    stated = (
        f"{share} of the answers hold a reflective word, {sum(words) / len(answers):.2f} words per answer; drills and "
        f"worked solutions have {sum(elsewhere) / len(others):.2f} a document"
    )
    page = " ".join((DOCS / "base-tiny.md").read_text(encoding="utf-8").split())
    assert stated in page, f"write: {stated}"


def test_the_data_card_states_how_the_base_is_trained() -> None:
    page, config = (DOCS / "base-tiny.md").read_text(encoding="utf-8"), PretrainConfig()
    millions = config.steps * config.rows_per_step * config.row_tokens / 1e6
    for stated in (
        f"{config.steps:,} steps of {config.rows_per_step} rows × {config.row_tokens} tokens: {millions:.1f} million",
        f"hidden {config.hidden_size}, {config.layers} layers, {config.heads} heads, MLP {config.intermediate_size}",
        f"learnt from {config.tokenizer_documents:,} documents",
        f"At most {config.vocabulary} were allowed",
    ):
        assert stated in " ".join(page.split()), stated


def test_the_data_card_states_the_model_that_is_bundled() -> None:
    """Size and step-0 rates on the page against `card.json`."""
    path = builtin_folder("tiny") / "card.json"
    if not path.is_file():
        pytest.skip("builtin:tiny is not built yet")
    card = json.loads(path.read_text(encoding="utf-8"))
    page, table = (DOCS / "base-tiny.md").read_text(encoding="utf-8"), rows(DOCS / "base-tiny.md")
    assert f"{card['parameters']:,}" in page
    assert f"{card['vocabulary']} tokens" in page
    labels = {
        "pass@1": "pass@1",
        "pass@16": "pass@16",
        "reflective words per answer": "reflective_per_answer",
        "reflective words per 1,000 tokens": "reflective_per_1k",
        "thinking tokens": "thinking_tokens",
        "language mixing": "language_mixing",
        "well formed": "format",
    }
    for label, key in labels.items():
        value, interval = table[label]
        low, high = re.findall(r"\d+(?:\.\d+)?", interval)
        decimals = len(value.partition(".")[2])
        measured = card["rates"][key]
        assert [value, low, high] == [
            f"{measured[name]:.{decimals}f}" for name in ("value", "low", "high")
        ], label
