"""The `reward_model` stage: it learns, resumes to the byte, leaves what transformers loads."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from ahalab.errors import AhaError, Interrupted
from ahalab.policy.load import load_policy
from ahalab.policy.reward_model import ResponseFormat, load_reward_model
from ahalab.policy.scalar_head import add_scalar_head
from ahalab.records import LabelledResponse, PreferencePair, Response
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.progress import SilentProgress
from ahalab.stages.context import StageResult
from ahalab.stages.datasets import write_labelled, write_pairs
from ahalab.stages.reward_examples import labelled_examples, pair_examples
from ahalab.stages.reward_model import _Trainer, run_reward_model
from ahalab.text import Renderer
from reward_data import BAD, GOOD, config_of, context_of, toy_labelled, toy_pairs, write_toy

KINDS = ("pairwise", "pointwise")
HASHED = ("model.safetensors", "optimizer.safetensors", "reward_model.json", "config.json", "tokenizer.json")


@pytest.fixture(scope="module")
def trained(
    random_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, StageResult]]:
    """Both kinds, trained on the toy data: work folder and result."""
    torch.set_num_threads(1)
    results = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        write_toy(folder, kind)
        config = config_of(kind, epochs=6 if kind == "pairwise" else 12)
        results[kind] = (folder / "stage", run_reward_model(config, context_of(folder, random_base, kind)))
    return results


def _hashes(stage: Path) -> dict[str, str]:
    names = [stage / "checkpoint" / name for name in HASHED] + [
        stage / "metrics.jsonl",
        stage / "held_out.jsonl",
    ]
    return {path.name: file_hash(path) for path in names}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_one_word_tells(kind: str, trained: dict[str, tuple[Path, StageResult]]) -> None:
    figures = trained[kind][1].figures
    assert figures["accuracy"]["value"] >= 0.95
    assert figures["auc"] >= 0.95
    assert figures["calibration_error"] <= 0.2
    assert figures["accuracy"]["low"] <= figures["accuracy"]["value"] <= figures["accuracy"]["high"]
    assert figures["held_out"] + figures["rows"] == 320
    assert figures["kind"] == kind
    assert figures["warnings"] == []


def test_it_rewards_what_it_learned(trained: dict[str, tuple[Path, StageResult]]) -> None:
    def response(thinking: str, answer: str) -> Response:
        return Renderer(model.scalar.tokenizer).parse(
            f" <think> {thinking} </think> <answer> {answer} </answer>", "stop"
        )

    model = load_reward_model(trained["pairwise"][0] / "checkpoint")
    good, bad = model.rewards(
        ["What is 7 + 1?"] * 2, [response("so", f"we have {GOOD[0]}"), response("so", f"we have {BAD[0]}")]
    )
    assert good > 0.6 > 0.4 > bad
    model = load_reward_model(trained["pointwise"][0] / "checkpoint")
    good, bad = model.rewards(
        ["What is 7 + 1?"] * 2,
        [response(f"we have {GOOD[0]}", "so it is"), response(f"we have {BAD[0]}", "so it is")],
    )
    assert good > 0.8 > 0.2 > bad


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_gives_the_scores_written_down(
    kind: str, trained: dict[str, tuple[Path, StageResult]]
) -> None:
    stage, _ = trained[kind]
    plain = AutoModelForSequenceClassification.from_pretrained(stage / "checkpoint")
    form = ResponseFormat(load_reward_model(stage / "checkpoint").scalar.tokenizer, "auto")
    examples, _ = (
        pair_examples(toy_pairs(320), form, 999)
        if kind == "pairwise"
        else labelled_examples(toy_labelled(320), form, 999)
    )
    by_id = {example.id: example for example in examples}
    for row in list(read_jsonl(stage / "held_out.jsonl"))[:8]:
        for sequence, score in zip(by_id[row["id"]].sequences, row["scores"], strict=True):
            own = plain(input_ids=torch.tensor([sequence])).logits[0, 0].item()
            assert score == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rewards_written_down_rise_with_the_score(
    kind: str, trained: dict[str, tuple[Path, StageResult]]
) -> None:
    rows = list(read_jsonl(trained[kind][0] / "held_out.jsonl"))
    pairs = sorted(p for row in rows for p in zip(row["scores"], row["rewards"], strict=True))
    assert [reward for _, reward in pairs] == sorted(reward for _, reward in pairs)
    assert 0.0 < pairs[0][1] < pairs[-1][1] < 1.0


def test_no_text_is_written_to_logs(trained: dict[str, tuple[Path, StageResult]]) -> None:
    for kind in KINDS:
        stage = trained[kind][0]
        for path in (stage / "held_out.jsonl", stage / "metrics.jsonl", stage / "data.json"):
            assert not any(word in path.read_text() for word in (*GOOD, *BAD, "What is"))


_KILLS = ("update2", "update5", "scores", "finish")
"""Before the first checkpoint, between two, between the last one and the end, and after the last rename."""
_SCRIPT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import ahalab, torch
from pathlib import Path
from ahalab.stages import reward_model
from ahalab.stages.ledger import Ledger
from ahalab.stages.reward_model import run_reward_model
from reward_data import config_of, context_of
torch.set_num_threads(1)
kind, folder, base = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(kill):
    if kill == "scores":
        reward_model._write_scores = lambda *arguments: die()
    elif kill == "finish":
        finish = Ledger.finish
        Ledger.finish = lambda self: (finish(self), die())
    else:
        update, made, wanted = reward_model._Trainer.update, [0], int(kill.removeprefix("update"))
        def counted(self, *arguments):
            made[0] += 1
            if made[0] > wanted:
                die()
            return update(self, *arguments)
        reward_model._Trainer.update = counted

for kill in sys.argv[5:]:
    child = os.fork()  # single-threaded, so a fork is sound, and saves the imports
    if child == 0:
        arm(kill)
        run_reward_model(config_of(kind), context_of(folder, base, kind))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, kill
run_reward_model(config_of(kind), context_of(folder, base, kind))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_it_ends_in_the_same_bytes(kind: str, random_base: Path, tmp_path: Path) -> None:
    for name in ("straight", "killed"):
        write_toy(tmp_path / name, kind, 96)
    run_reward_model(config_of(kind), context_of(tmp_path / "straight", random_base, kind))
    arguments = [str(Path(__file__).parent), kind, str(tmp_path / "killed"), str(random_base), *_KILLS]
    subprocess.run([sys.executable, "-c", _SCRIPT, *arguments], check=True)
    assert _hashes(tmp_path / "killed" / "stage") == _hashes(tmp_path / "straight" / "stage")


def test_ctrl_c_saves_and_the_same_call_goes_on(random_base: Path, tmp_path: Path) -> None:
    class Pressing(SilentProgress):
        def advance(self, done: int, figures: Any) -> None:  # noqa: ARG002
            if done == 3:
                os.kill(os.getpid(), signal.SIGINT)

    for name in ("straight", "stopped"):
        write_toy(tmp_path / name, "pairwise", 96)
    context = context_of(tmp_path / "stopped", random_base, "pairwise", progress=Pressing())
    with context.interrupt, pytest.raises(Interrupted, match="saved at step 3"):
        run_reward_model(config_of("pairwise"), context)
    for name in ("straight", "stopped"):
        run_reward_model(config_of("pairwise"), context_of(tmp_path / name, random_base, "pairwise"))
    assert _hashes(tmp_path / "stopped" / "stage") == _hashes(tmp_path / "straight" / "stage")


@pytest.mark.parametrize("kind", KINDS)
def test_packing_does_not_change_the_gradient(kind: str, random_base: Path) -> None:
    norms = []
    for budget in (16, 100_000):
        policy = load_policy(str(random_base))
        form, scalar = ResponseFormat(policy.tokenizer, "auto"), add_scalar_head(policy)
        with torch.no_grad():
            scalar.model.score.weight.copy_(torch.linspace(-1, 1, scalar.model.score.in_features))
        examples, _ = (
            pair_examples(toy_pairs(12), form, 999)
            if kind == "pairwise"
            else labelled_examples(toy_labelled(12), form, 999)
        )
        trainer = _Trainer(config_of(kind, tokens_per_chunk=budget), scalar)
        figures = trainer.update(examples, 1e-3)
        norms.append([figures["loss"], figures["accuracy"], figures["grad_norm"]])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_an_update_without_finite_loss_changes_nothing(random_base: Path) -> None:
    policy = load_policy(str(random_base))
    form, scalar = ResponseFormat(policy.tokenizer, "auto"), add_scalar_head(policy)
    examples, _ = pair_examples(toy_pairs(4), form, 999)
    with torch.no_grad():
        scalar.model.score.weight.fill_(float("inf"))
    before = {name: parameter.detach().clone() for name, parameter in scalar.model.named_parameters()}
    with pytest.raises(AhaError, match="refused"):
        _Trainer(config_of("pairwise"), scalar).update(examples, 1e-3)
    assert all(torch.equal(parameter, before[name]) for name, parameter in scalar.model.named_parameters())


def _dialogue(first: str, said: str, more: str = "") -> str:
    return f"\n\nHuman: {first}\n\nAssistant: {more}{said}"


def test_it_learns_from_dialogues_in_the_form_of_hh_rlhf(random_base: Path, tmp_path: Path) -> None:
    rows = [
        {"chosen": _dialogue(p.question, p.chosen, m), "rejected": _dialogue(p.question, p.rejected, m)}
        for i, p in enumerate(toy_pairs(80))
        for m in ("then\n\nHuman: and then?\n\nAssistant: " if i % 3 == 0 else "",)
    ]
    rows.append({"chosen": _dialogue("Why?", "so"), "rejected": _dialogue("Why?", "")})
    rows.append({"chosen": _dialogue("Why?", "so"), "rejected": _dialogue("How?", "no")})
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    seen: list[tuple[str, dict[str, Any]]] = []
    context = context_of(
        tmp_path, random_base, "pairwise", event=lambda kind, **data: seen.append((kind, data))
    )
    result = run_reward_model(config_of("pairwise", entries=[{"file": "pairs.jsonl.gz"}]), context)
    assert result.figures["rows"] + result.figures["held_out"] == 80
    (skipped,) = [data["reasons"] for kind, data in seen if kind == "skipped_rows"]
    assert sum(skipped.values()) == 2


def test_it_learns_from_a_labelled_file(random_base: Path, tmp_path: Path) -> None:
    rows = [
        {
            "prompt": r.question,
            "response": f"<think> {r.thinking} </think> {r.answer}",
            "label": "safe" if r.safe else "unsafe",
        }
        for r in toy_labelled(60)
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = config_of("pointwise", entries=[{"file": "labels.jsonl"}], epochs=1)
    result = run_reward_model(config, context_of(tmp_path, random_base, "pointwise"))
    assert result.figures["rows"] + result.figures["held_out"] == 60


def test_data_in_which_the_longer_answer_wins_are_warned_of(random_base: Path, tmp_path: Path) -> None:
    pairs = [
        PreferencePair(
            f"p/{i}", f"What is {i}?", "so it is " * (2 + i % 3), "so it is", "instructions", "en", "toy"
        )
        for i in range(80)
    ]
    write_pairs(tmp_path / "data", pairs)
    notes: list[str] = []

    class Listening(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    context = context_of(tmp_path, random_base, "pairwise", progress=Listening())
    figures = run_reward_model(config_of("pairwise"), context).figures
    assert figures["longer_wins"] == 1.0
    assert figures["length_correlation"] > 0.3
    assert any("length alone" in note for note in notes)
    assert any("the score follows length" in note for note in notes)
    assert len(figures["warnings"]) >= 3  # and few rows are held out


def test_labels_that_nothing_tells_apart_are_warned_of(random_base: Path, tmp_path: Path) -> None:
    rows = [
        LabelledResponse(f"r/{i}", f"What is {i}?", "so", "so it is", i % 2 == 0, "safety", "en", "toy")
        for i in range(80)
    ]
    write_labelled(tmp_path / "data", rows)
    config = config_of("pointwise", epochs=1, learning_rate=1e-5)
    figures = run_reward_model(config, context_of(tmp_path, random_base, "pointwise")).figures
    assert any("not shown to be better" in warning for warning in figures["warnings"])
