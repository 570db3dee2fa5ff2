"""Supervised fine-tuning: loss on the reply only, the same rows whatever the packing, resumable to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ahalab.errors import Interrupted, UserError
from ahalab.learning.learner import Learner
from ahalab.learning.losses.sft import SFTLoss
from ahalab.learning.outputs import TrainingOutput
from ahalab.policy.load import Policy, load_policy
from ahalab.records import SupervisedRow
from ahalab.runs.hashing import file_hash
from ahalab.runs.jsonl import read_jsonl
from ahalab.runs.progress import SilentProgress
from ahalab.stages.context import StageContext, StageResult
from ahalab.stages.datasets import write_dropped, write_rows
from ahalab.stages.sft import check_sft, encode_rows, run_sft, split_held_out
from ahalab.stages.sft_config import SFTConfig
from ahalab.text.renderer import Renderer
from ahalab.validation import validate

PROMISED = ("metrics.jsonl", "data.json", "held_out.json", "statistics.json")
SMALL = {"data": ["source"], "batch_size": 4, "epochs": 2, "learning_rate": 5e-3, "checkpoint_every": 2}


def rows(count: int = 8) -> list[SupervisedRow]:
    return [
        SupervisedRow(
            id=f"r{index}",
            question=f"Say a digit, number {index}",
            thinking="" if index % 4 == 3 else f"let me see, {index}.",
            answer=f"{index * 7 % 10}",
            domain="math" if index % 2 else "logic",
            language="en",
            source="test",
        )
        for index in range(count)
    ]


def make_data(folder: Path, found: list[SupervisedRow] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    write_rows(data, rows() if found is None else found)
    return data


def config(**changes: Any) -> SFTConfig:
    return validate(SFTConfig, {**SMALL, **changes}, "test")


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, done: int, figures: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.steps.append(done)


def context(folder: Path, base: Path, data: Path | None = None, **more: Any) -> StageContext:
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"from": str(base)} | ({} if data is None else {"data[0]": str(data)})
    return StageContext("dev1", folder, inputs, seed=3, **{"progress": Notes(), **more})


def run(folder: Path, base: Path, data: Path, **changes: Any) -> StageResult:
    torch.set_num_threads(1)
    return run_sft(config(**changes), context(folder, base, data))


def promised(folder: Path) -> dict[str, str]:
    """Hashes of what promise 1 speaks of; `state.json` holds offsets into the clock's file."""
    found = {path.name: file_hash(path) for path in (folder / "checkpoint").iterdir()}
    del found["state.json"]
    return found | {name: file_hash(folder / name) for name in PROMISED}


def outputs_of(policy: Policy, found: list[SupervisedRow]) -> list[TrainingOutput]:
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    examples, _ = encode_rows(found, renderer, 512)
    return [TrainingOutput(tuple(e.prompt_ids), tuple(e.reply_ids)) for e in examples]


def gradients(
    policy: Policy, outputs: list[TrainingOutput], budget: int
) -> tuple[float, dict[str, torch.Tensor]]:
    learner = Learner(policy, learning_rate=1e-3, tokens_per_chunk=budget)
    tokens = sum(len(o.token_ids) for o in outputs)
    metrics = learner._accumulate(outputs, SFTLoss(), 1.0, len(outputs), tokens)
    found = {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    return metrics["loss"], found


def test_the_loss_is_the_mean_over_reply_tokens_as_plain_transformers_gives_it(random_base: Path) -> None:
    policy = load_policy(str(random_base))
    outputs = outputs_of(policy, rows())
    total, count = 0.0, 0
    for output in outputs:
        ids = torch.tensor([[*output.prompt_ids, *output.token_ids]])
        labels = ids.clone()
        labels[0, : len(output.prompt_ids)] = -100
        with torch.no_grad():
            loss = policy.model(input_ids=ids, labels=labels).loss
        total += loss.item() * len(output.token_ids)
        count += len(output.token_ids)
    loss, _ = gradients(policy, outputs, 10**6)
    assert loss == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("budget", [16, 120, 10**6])
def test_packing_gives_what_one_row_at_a_time_gives(random_base: Path, budget: int) -> None:
    policy = load_policy(str(random_base))
    outputs = outputs_of(policy, rows())
    tokens = sum(len(o.token_ids) for o in outputs)
    expected_loss, expected = 0.0, {}
    for output in outputs:
        loss, found = gradients(policy, [output], 10**6)
        share = len(output.token_ids) / tokens
        expected_loss += loss * share
        for name, gradient in found.items():
            expected[name] = expected.get(name, 0.0) + gradient * share
    loss, found = gradients(policy, outputs, budget)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-5)


def test_prompt_tokens_have_no_gradient_and_the_reply_with_its_stop_token_has(random_base: Path) -> None:
    """The gradient by the logits: zero at every position whose next token belongs to the prompt."""
    policy = load_policy(str(random_base))
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    output = outputs_of(policy, rows(1))[0]
    assert output.token_ids[-1] == renderer.stop_id
    assert output.prompt_ids == tuple(renderer.prompt_ids(rows(1)[0].question))
    seen: list[torch.Tensor] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(decoder, name)

        def packed_hidden(self, tokens: torch.Tensor, lengths: Any) -> torch.Tensor:
            hidden = decoder.packed_hidden(tokens, lengths)
            hidden.retain_grad()
            seen.append(hidden)
            return hidden

    decoder = policy.decoder
    policy.decoder = Watched()  # type: ignore[assignment]
    gradients(policy, [output], 10**6)
    (hidden,) = seen
    assert hidden.grad is not None
    moved = (hidden.grad.abs().sum(-1) > 0).tolist()
    assert moved == [False] * (len(output.prompt_ids) - 1) + [True] * len(output.token_ids)


def test_other_targets_on_the_prompt_change_no_bit_of_loss_and_gradient() -> None:
    """Hidden states here do not depend on the tokens: prompt ids could act as targets only, and do not."""
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 50, bias=False)
    table = torch.randn(100, 8)

    class Decoder:
        head_weight, device, softcap = model.weight, torch.device("cpu"), None

        def packed_hidden(self, tokens: torch.Tensor, _: Any) -> torch.Tensor:
            return table[: len(tokens)]

    policy: Any = type("Fake", (), {"model": model, "decoder": Decoder()})()
    plain = [TrainingOutput((1, 2, 3), (4, 5, 6)), TrainingOutput((7, 8), (9, 10))]
    prompts = [TrainingOutput((40, 41, 42), (4, 5, 6)), TrainingOutput((43, 44), (9, 10))]
    replies = [TrainingOutput((1, 2, 3), (4, 5, 7)), TrainingOutput((7, 8), (9, 10))]
    (loss, gradient), same, other = (gradients(policy, one, 100) for one in (plain, prompts, replies))
    assert same[0] == loss
    assert torch.equal(same[1]["weight"], gradient["weight"])
    assert other[0] != loss
    assert not torch.equal(other[1]["weight"], gradient["weight"])


def test_eight_rows_are_learnt_by_heart(trained_base: Path, tmp_path: Path) -> None:
    data = make_data(tmp_path)
    result = run(
        tmp_path / "dev1", trained_base, data, epochs=240, batch_size=8, learning_rate=1e-2, held_out=0.0
    )
    assert result.figures["loss"] < 0.05
    policy = load_policy(str(tmp_path / "dev1" / "checkpoint"))
    renderer = Renderer(policy.tokenizer, extra_stop_ids=policy.stop_ids)
    for row in rows():
        ids = torch.tensor([renderer.prompt_ids(row.question)])
        said = policy.model.generate(ids, max_new_tokens=60, do_sample=False)[0, ids.shape[1] :].tolist()
        response = renderer.parse(renderer.decode(said), "stop")
        assert (response.thinking or "", response.answer) == (row.thinking, row.answer)
        assert said[-1] == renderer.stop_id


def test_the_metrics_tell_rate_tokens_and_that_nothing_was_padded(random_base: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "dev1", random_base, make_data(tmp_path), held_out=0.0, warmup_steps=1)
    found = list(read_jsonl(tmp_path / "dev1" / "metrics.jsonl"))
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    assert [row["epoch"] for row in found] == [1, 1, 2, 2]
    assert all(row["padding_tokens"] == 0 for row in found)
    # warm-up of one update, then half a cosine from 5e-3 to 5e-4
    rates = [row["learning_rate"] for row in found]
    assert rates == pytest.approx([2.5e-3, 5e-3, 2.75e-3, 5e-4])
    outputs = outputs_of(load_policy(str(random_base)), rows())
    assert found[0]["trained_tokens"] + found[1]["trained_tokens"] == sum(len(o.token_ids) for o in outputs)
    assert result.figures["steps"] == 4
    assert result.figures["tokens_per_epoch"] == sum(len(o.token_ids) + len(o.prompt_ids) for o in outputs)
    assert found[-1]["loss"] == result.figures["loss"] < found[0]["loss"]


def test_the_held_out_questions_are_not_trained_on_and_their_loss_is_told(
    random_base: Path, tmp_path: Path
) -> None:
    twice = [row for row in rows(30) for _ in range(2)]
    twice = [SupervisedRow(**{**_fields(row), "id": f"{row.id}-{n}"}) for n, row in enumerate(twice)]
    data = make_data(tmp_path, twice)
    result = run(tmp_path / "dev1", random_base, data, held_out=0.2, epochs=3)
    figures = result.figures
    assert figures["rows_trained"] + figures["rows_held_out"] == 60
    assert 0 < figures["rows_held_out"] < 30
    assert figures["held_out_loss"] < figures["held_out_loss_before"]
    policy = load_policy(str(random_base))
    examples, _ = encode_rows(twice, Renderer(policy.tokenizer), 512)
    train, held_out = split_held_out(examples, 0.2, 3)
    assert len(held_out) == figures["rows_held_out"]
    assert not {e.question for e in train} & {e.question for e in held_out}


def test_a_split_that_would_leave_nothing_to_train_on_holds_nothing_out(random_base: Path) -> None:
    policy = load_policy(str(random_base))
    examples, _ = encode_rows(rows(1), Renderer(policy.tokenizer), 512)
    assert split_held_out(examples, 1.0, 0) == (examples, [])


def test_rows_that_cannot_be_taught_whole_are_counted_and_left_out(random_base: Path, tmp_path: Path) -> None:
    found = rows(4)
    spoilt = {"long": "wait " * 400, "tag": "a </think> b", "stop": "a <|endoftext|> b"}
    eos = load_policy(str(random_base)).tokenizer.eos_token
    spoilt["stop"] = f"a {eos} b"
    found += [SupervisedRow(**{**_fields(rows(1)[0]), "id": n, "thinking": t}) for n, t in spoilt.items()]
    notes = Notes()
    events: list[dict[str, Any]] = []
    where = context(
        tmp_path / "dev1",
        random_base,
        make_data(tmp_path, found),
        progress=notes,
        event=lambda kind, **data: events.append({"kind": kind, **data}),
    )
    result = run_sft(config(max_tokens=400, held_out=0.0), where)
    assert result.figures["rows_trained"] == 4
    assert sorted(result.figures["dropped"].values()) == [1, 1, 1]
    assert "longer than 400 tokens" in result.figures["dropped"]
    assert any("left out 3 of 7 rows" in note for note in notes.notes)
    assert events[0]["kind"] == "dropped_rows"


def test_a_row_of_just_the_longest_length_is_kept(random_base: Path) -> None:
    renderer = Renderer(load_policy(str(random_base)).tokenizer)
    (example,), _ = encode_rows(rows(1), renderer, 10**6)
    assert encode_rows(rows(1), renderer, example.tokens)[1] == {}
    assert encode_rows(rows(1), renderer, example.tokens - 1)[0] == []


def test_nothing_left_after_dropping_is_said_with_the_reasons(random_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"all 8 rows were left out \(8 longer than 20 tokens\)"):
        run(tmp_path / "dev1", random_base, make_data(tmp_path), max_tokens=20)


def test_an_empty_data_set_says_which_filter_took_how_many(random_base: Path, tmp_path: Path) -> None:
    data = make_data(tmp_path, [])
    write_dropped(data, {"repetition": 40, "not correct": 812})
    with pytest.raises(
        UserError, match=r"stage source has no rows.*852 candidates.*812 not correct, 40 repetition"
    ):
        run(tmp_path / "dev1", random_base, data)


KILLED = """
import ahalab, sys, torch
from pathlib import Path
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_stages_sft as t
t.run(*map(Path, sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "point", ["checkpoint.before_rename:1", "checkpoint.after_rename:1", "checkpoint.before_rename:2"]
)
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    random_base: Path, tmp_path: Path, point: str
) -> None:
    data = make_data(tmp_path, rows(10))
    run(tmp_path / "calm", random_base, data)
    command = [
        sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "dev1"), str(random_base), str(data),
    ]  # fmt: skip
    killed = subprocess.run(command, env={**os.environ, "AHALAB_KILL_AT": point}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "dev1" / "checkpoint").exists()
    run(tmp_path / "dev1", random_base, data)
    assert promised(tmp_path / "dev1") == promised(tmp_path / "calm")


def test_ctrl_c_saves_and_the_same_command_goes_on_to_the_same_bytes(
    random_base: Path, tmp_path: Path
) -> None:
    data = make_data(tmp_path, rows(10))
    calm = run(tmp_path / "calm", random_base, data)

    class AskAtThree(Notes):
        def advance(self, done: int, figures: Mapping[str, Any]) -> None:
            super().advance(done, figures)
            where.interrupt.asked = done == 3

    where = context(tmp_path / "dev1", random_base, data, progress=AskAtThree())
    with pytest.raises(Interrupted, match="saved at step 3 of 6"):
        run_sft(config(), where)
    again = Notes()
    result = run_sft(config(), context(tmp_path / "dev1", random_base, data, progress=again))
    assert again.steps == [4, 5, 6]
    assert promised(tmp_path / "dev1") == promised(tmp_path / "calm")
    assert result.figures == calm.figures


def test_data_that_changed_on_the_way_is_refused(random_base: Path, tmp_path: Path) -> None:
    data = make_data(tmp_path)
    where = context(tmp_path / "dev1", random_base, data)
    where.interrupt.asked = True
    with pytest.raises(Interrupted):
        run_sft(config(), where)
    make_data(tmp_path, rows(9))
    with pytest.raises(UserError, match=r"data of dev1 changed since it began \(source"):
        run(tmp_path / "dev1", random_base, data)


def test_a_file_of_ones_own_is_learnt_from(random_base: Path, tmp_path: Path) -> None:
    lines = [{"problem": f"what is {n}+1?", "answer": f"{n}+1 is {n + 1}.\n#### {n + 1}"} for n in range(6)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entry = {"file": "mine.jsonl", "answer_after": "####", "domain": "math"}
    where = context(tmp_path / "dev1", random_base, data_folder=tmp_path)
    result = run_sft(config(data=entry, held_out=0.0), where)
    assert result.figures["rows_trained"] == 6
    (stated,) = json.loads((tmp_path / "dev1" / "data.json").read_text())
    assert (stated["rows"], Path(stated["name"]).name) == (6, "mine.jsonl")
    statistics = json.loads((tmp_path / "dev1" / "statistics.json").read_text())
    assert [row["domain"] for row in statistics] == ["math", "total"]


def test_data_and_template_are_checked_before_anything_is_spent(random_base: Path, tmp_path: Path) -> None:
    where = context(tmp_path / "dev1", random_base, data_folder=tmp_path)
    check_sft(config(), where)
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        check_sft(config(data=["source", {"file": "nowhere.jsonl"}]), where)
    with pytest.raises(UserError, match="has no chat template"):
        check_sft(config(template="chat"), where)
    assert not list((tmp_path / "dev1").iterdir())


def test_presets_hold_the_papers_figures() -> None:
    paper = validate(SFTConfig, {"data": ["a"], "preset": "paper"}, "test")
    assert (paper.learning_rate, paper.floor, paper.batch_size) == (5e-5, 5e-6, 128)
    assert (paper.max_tokens, paper.warmup_steps) == (32768, 0)
    distill = validate(SFTConfig, {"data": ["a"], "preset": "distill"}, "test")
    assert distill.floor == pytest.approx(distill.learning_rate / 10)
    assert (distill.batch_size, distill.max_tokens) == (64, 32768)
    assert {paper.epochs, distill.epochs} <= {2, 3}
    own = validate(SFTConfig, {"data": ["a"], "preset": "distill", "learning_rate": 2e-5}, "test")
    assert own.floor == pytest.approx(2e-6)


def test_what_it_reads_is_said_to_the_pipeline() -> None:
    made = config(data=["cold_start", {"file": "x.jsonl"}, {"stage": "general"}], **{"from": "small_base"})
    refs = made.input_refs()
    assert {name: ref.source for name, ref in refs.items()} == {
        "from": "small_base",
        "data[0]": "cold_start",
        "data[2]": "general",
    }
    assert refs["data[0]"].kinds == ("dataset",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": []}, "at least 1 item"),
        ({"data": [{"fil": "x.jsonl"}]}, "did you mean `file` by `fil`"),
        ({"data": [{"file": "a", "hub": "b"}]}, "file and hub in one entry"),
        ({"data": [3]}, "name of a stage"),
        ({"final_learning_rate": 1.0}, "the cosine falls"),
        ({"epoch": 2}, "epochs"),
        ({"held_out": 0.9}, "at most 0.5"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**changes)


def _fields(row: SupervisedRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SupervisedRow.__slots__}
