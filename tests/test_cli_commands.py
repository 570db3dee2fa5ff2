"""Each verb of `aha` as a person uses it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ahalab import __version__
from ahalab.cli.chat import show
from ahalab.cli.zero import prompt_entry
from ahalab.errors import UserError
from ahalab.pipeline.recipe import bundled_recipes
from ahalab.records import Response
from ahalab.stages.converse import find_speaker
from conftest import Aha
from small_runs import interrupt_in_rollout, manifests, small_recipe, training_only, write_recipe

VERBS = ("run", "zero", "explain", "recipes", "report", "chat", "base")


@pytest.fixture(scope="module")
def recipe(trained_base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    return write_recipe(folder / "small.yaml", small_recipe(trained_base, questions))


def rows_of(table: str) -> dict[str, list[str]]:
    """Rows of the printed tables: first cell → the others."""
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
        if line.startswith("│")
    ]
    return {row[0]: row[1:] for row in cells if row[0]}


def test_help_and_errors_of_every_verb_need_no_torch() -> None:
    program = (
        "import sys\n"
        "from ahalab.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (["--help"], ["--version"], *([verb, "--help"] for verb in VERBS[:3])):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_help_names_every_verb_and_the_version_is_said(aha: Aha) -> None:
    said = aha("--help").out
    for verb in VERBS:
        assert f" {verb} " in said
    assert aha("--version").out == f"ahalab {__version__}\n"


def test_recipes_are_listed_with_a_line_each(aha: Aha) -> None:
    lines = aha("recipes").out.splitlines()
    names = [line.split("  ")[0] for line in lines]
    assert names == list(bundled_recipes())
    assert {"r1", "r1-quickstart", "tiny-base", "zero-quickstart"} <= set(names)
    assert all(len(line.split("  ", 1)[1]) > 20 for line in lines)


def test_explain_shows_the_graph_every_number_and_the_papers_where_it_differs(aha: Aha) -> None:
    done = aha("explain", "zero-quickstart")
    assert done.code == 0
    assert "zero-quickstart  base builtin:tiny, seed 0, threads probed" in done.out
    assert re.search(r"└── zero  rl\s+└── after  evaluate", done.out)
    rows = rows_of(done.out[done.out.index("zero (rl), beside R1-Zero") : done.out.index("after (evaluate)")])
    assert rows["learning_rate"][:3] == ["0.0001", "3e-06", "differs"]
    assert rows["samples_per_prompt"][:3] == ["8", "16", "differs"]
    assert rows["kl_coefficient"][:3] == ["0", "0.001", "differs"]
    assert rows["clip_high"][:3] == ["0.28", "not said (10 in R1's first RL", ""]
    assert rows["aggregate"][::2][:2] == ["token", "differs"]
    assert rows["temperature"][::2][:2] == ["1", "same"]
    assert rows["rewards"][0] == "accuracy 1, format 1"
    assert rows["rewards"][2] == "same"
    assert rows["advantage_ddof"][:3] == ["0", "not said", ""]
    assert rows["max_rows"][1:3] == ["", ""]
    assert rows["stop.dead_rollouts"][0] == "20"
    assert rows["= samples in all"][0] == "15,360"
    assert "Group size G." in rows["samples_per_prompt"][3]


def test_explain_of_the_paper_preset_differs_only_where_it_is_scaled(aha: Aha) -> None:
    rows = rows_of(aha("explain", "zero-paper-tiny").out)
    differing = {key for key, cells in rows.items() if cells[2] == "differs"}
    assert differing == {"steps", "prompts_per_step", "max_new_tokens", "reference_every"}
    for key in ("updates_per_rollout", "kl_coefficient", "aggregate", "learning_rate", "rewards"):
        assert rows[key][2] == "same", key


def test_explain_takes_settings_and_says_what_is_not_set_in_a_recipe(aha: Aha, recipe: Path) -> None:
    rows = rows_of(aha("explain", recipe, "--set", "stages.zero.rl.learning_rate=3e-6").out)
    assert rows["learning_rate"][:3] == ["3e-06", "3e-06", "same"]


def talk(aha: Aha, monkeypatch: pytest.MonkeyPatch, said: str, *arguments: object) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    done = aha("chat", *arguments, "--max-new-tokens", 24)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done.out


def test_chat_answers_what_it_is_fed_and_ends_with_an_empty_line_or_the_end(
    aha: Aha, trained_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = "Say a digit, number 1\n给一个数字, number 2\n"
    said = talk(aha, monkeypatch, fed, trained_base)
    assert said.count("you: ") == 3
    assert talk(aha, monkeypatch, fed, trained_base) == said
    assert talk(aha, monkeypatch, fed + "\nnever asked\n", trained_base).rstrip() == said.rstrip()
    assert talk(aha, monkeypatch, fed, trained_base, "--seed", 4) != said
    greedy = talk(aha, monkeypatch, fed, trained_base, "--temperature", 0)
    assert greedy == talk(aha, monkeypatch, fed, trained_base, "--temperature", 0, "--seed", 4)


def test_chat_speaks_to_the_last_model_of_a_run_as_it_was_trained(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(
        tmp_path / "small.yaml", training_only(trained_base, questions, steps=1, think_prefill=True)
    )
    assert aha("run", path, "--runs", tmp_path).code == 0
    run = tmp_path / "small"
    speaker = find_speaker(str(run))
    assert speaker.model == str(run / "stages" / "zero" / "checkpoint")
    assert speaker.think_prefill
    assert str(run / "stages" / "zero" / "checkpoint") in talk(aha, monkeypatch, "Say a digit\n", run)
    (run / "stages" / "zero" / "checkpoint" / "config.json").unlink()
    done = aha("chat", run)
    assert done.code == 2
    assert "no stage of this run has finished a model yet" in done.err


def test_chat_shows_hostile_characters_instead_of_obeying_them(capfd: pytest.CaptureFixture[str]) -> None:
    show(Response("", "think \x1b[2J [red]no", "\x1b[31m[bold]7", True, None))
    show(Response("\x1b[2Jraw [red]", None, None, False, "no <think>"))
    out, _ = capfd.readouterr()
    assert "\x1b" not in out
    assert "[red]no" in out
    assert "[bold]7" in out
    assert "raw [red]" in out
    assert "badly formatted: no <think>" in out


def test_a_question_that_cannot_be_asked_ends_no_chat(
    aha: Aha, trained_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talk(aha, monkeypatch, f"{'1' * 600}\nSay a digit\n", trained_base)
    assert said.count("you: ") == 3


def test_report_of_a_finished_and_of_an_unfinished_run(
    aha: Aha, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_in_rollout(patch, 3)
        assert aha("run", recipe, "--runs", tmp_path).code == 130
    run = tmp_path / "small"
    done = aha("report", run)
    assert (done.code, done.out) == (0, f"report: {run / 'report.html'}\n")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "trained the base" in page
    assert "3 steps so far" in page

    done = aha("run", recipe, "--runs", tmp_path)
    assert done.code == 0
    assert f"run folder: {run}" in done.out
    assert "held-out pass@1" in done.out
    assert "3 steps so far" not in (run / "report.html").read_text(encoding="utf-8")
    elsewhere = tmp_path / "elsewhere.html"
    assert aha("report", run, "--output", elsewhere).out == f"report: {elsewhere}\n"
    assert json.loads(elsewhere.with_suffix(".json").read_text(encoding="utf-8"))
    assert aha("report", tmp_path / "nothing").code == 2
    assert aha("report", run, "--output", tmp_path / "no" / "where.html").code == 2


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("world:math", {"world": "math"}),
        ("gym:chain_sum", {"reasoning_gym": "chain_sum"}),
        ("builtin:contest", {"builtin": "contest"}),
        ("hub:openai/gsm8k", {"hub": "openai/gsm8k"}),
        ("/data/a.jsonl", {"file": "/data/a.jsonl"}),
        ("/data/a.jsonl.gz", {"file": "/data/a.jsonl.gz"}),
        ("/data/a.parquet", {"file": "/data/a.parquet"}),
    ],
)
def test_the_short_forms_of_prompts(text: str, entry: dict[str, Any]) -> None:
    assert prompt_entry(text) == entry


@pytest.mark.parametrize("text", ["world:", "math", "wrld:math", "data.csv", "archive.gz", ""])
def test_an_unknown_form_of_prompts_is_refused(text: str) -> None:
    with pytest.raises(
        UserError, match=r"expected world:DOMAIN, gym:TASK, builtin:contest, hub:ID, or a \.jsonl"
    ):
        prompt_entry(text)


def test_zero_trains_without_a_recipe(
    aha: Aha, trained_base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(questions.parent)
    common = ["--base", trained_base, "--threads", 1, "--runs", tmp_path, "--max-new-tokens", 24]
    small = ["--set", "prompts_per_step=2", "--set", "stages.zero.rl.samples_per_prompt=4"]
    done = aha(
        "zero", "--prompts", questions.name, "--steps", 3, *common, *small, "--set", "stop.dead_rollouts=9"
    )
    assert done.code == 0, done.err
    config = manifests(tmp_path / "zero")["zero"]["config"]
    assert (config["steps"], config["prompts_per_step"], config["samples_per_prompt"]) == (3, 2, 4)
    assert config["stop"]["dead_rollouts"] == 9
    assert config["learning_rate"] == 1e-6
    assert config["prompts"][0]["file"] == str(questions.absolute())

    for prompts in ("world:math", "gym:chain_sum"):
        done = aha("zero", "--prompts", prompts, *common, *small, "--dry-run", "--name", "other")
        assert done.code == 0, done.err
        assert "gold answers: 32 of 32" in done.err
    assert not (tmp_path / "other").exists()

    done = aha("zero", "--preset", "paper", *common, *small, "--dry-run")
    assert done.code == 0, done.err
    assert "the recipe changed; made again: zero (" in done.err
    assert not (tmp_path / "zero" / "attempts").exists()
    assert "updates per rollout 16" in done.err
    assert "rollouts in all 8" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "papr"], ["zero: stages.zero.rl: `preset`", "nearest: 'paper'"]),
        (["--steps", "0"], ["`steps`: expected at least 1, got 0"]),
        (["--learning-rate", "0"], ["`learning_rate`: expected more than 0, got 0.0", "The paper: 3e-06"]),
        (["--max-new-tokens", "0"], ["`max_new_tokens`: expected at least 1, got 0"]),
        (["--prompts", "world:mth"], ["mth", "math"]),
        (["--prompts", "gym:chain_sm"], ["chain_sm", "chain_sum"]),
        (["--set", "samples=3"], ["`samples`: unknown key"]),
    ],
)
def test_wrong_options_of_zero_are_refused(
    aha: Aha, trained_base: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = aha("zero", "--base", trained_base, "--runs", tmp_path / "runs", *arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    assert not (tmp_path / "runs").exists()


def test_base_build_knows_its_name(aha: Aha, tmp_path: Path) -> None:
    done = aha("base", "build", "huge", "--runs", tmp_path)
    assert done.code == 2
    assert "no such bundled base; the nearest known is `tiny-small`" in done.err
    assert list(tmp_path.iterdir()) == []
