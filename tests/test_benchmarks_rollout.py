"""`rollout_vs`: prompts of an exact length, tokens counted alike for all, figures, and who cannot run."""

import json
from pathlib import Path

import pytest
from benchmarks.harness import Contestant
from benchmarks.rollout_prompts import ASKS, make_prompts
from benchmarks.rollout_setting import Setting, until_stop
from benchmarks.rollout_vs import OURS, cache_gib, contestants, figures_of, make_setting, measure, rows_of
from benchmarks.vllm_environment import NoVLLM, VLLMEnvironment, prepare

from ahalab.errors import UserError

TINY = "builtin:tiny"
FILE = "../tests/benchmark_contestants.py"


def words(text: str) -> list[str]:
    """A tokenizer of words, in which a blank line is a token too."""
    return text.replace("\n\n", " <blank> ").split()


def render(text: str) -> list[str]:
    return ["<user>", *words(text), "<end>", "<assistant>"]


def make(questions: list[str], count: int, tokens: int) -> list[list[str]]:
    made = make_prompts(questions, words, render, count, tokens)  # type: ignore[arg-type]
    return [list(prompt) for prompt in made]  # type: ignore[arg-type]


QUESTIONS = [f"{' '.join(f'q{i}w{j}' for j in range(i % 37 + 20))}?" for i in range(300)]


@pytest.mark.parametrize("tokens", [64, 512])
def test_every_prompt_has_the_exact_length_and_whole_questions_of_its_own(tokens: int) -> None:
    prompts = make(QUESTIONS, 5, tokens)
    assert [len(prompt) for prompt in prompts] == [tokens] * 5
    seen: list[str] = []
    for number, prompt in enumerate(prompts):
        *parts, ask = " ".join(prompt[1:-2]).split(" <blank> ")
        assert ask == ASKS[number % len(ASKS)]
        assert set(parts) <= set(QUESTIONS)
        seen += parts
    assert len(seen) == len(set(seen))


def test_a_length_that_no_questions_make_is_refused() -> None:
    with pytest.raises(ValueError, match="no questions make prompt 0 64 tokens long"):
        make(["too short?"] * 3, 1, 64)


@pytest.mark.parametrize(
    ("row", "length", "stopped"),
    [
        ([5, 6, 2, 2, 2], 3, True),  # what follows the first stop token is padding
        ([0], 1, True),
        ([5, 6, 7, 8], 4, False),
        ([5, 6, 7, 8, 2], 4, False),  # the stop token lies beyond the limit
        ([5, 6, 7, 2], 4, True),
    ],
)
def test_tokens_are_counted_up_to_the_stop_token_which_counts(
    row: list[int], length: int, stopped: bool
) -> None:
    assert until_stop(row, (0, 2), 4) == (length, stopped)


def setting(**changes: object) -> Setting:
    values: dict[str, object] = {
        "folder": "model", "base": TINY, "prompts": ((1, 2), (3, 4)), "samples_per_prompt": 2,
        "max_new_tokens": 4, "stop_ids": (0, 2),
    }  # fmt: skip
    return Setting(**{**values, **changes})  # type: ignore[arg-type]


def test_a_round_is_counted_from_all_its_completions() -> None:
    figures = setting().figures([[5, 2], [2, 2, 2, 2], [5, 5, 5, 5], [5, 5, 0, 1]])
    assert figures["tokens"] == 2 + 1 + 4 + 3
    assert figures["mean_length"] == 2.5
    assert figures["stopped"] == 0.75


def test_a_lost_or_cut_off_completion_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 completions, but 4"):
        setting().figures([[2], [2], [2]])
    with pytest.raises(ValueError, match="ends after 3 tokens without a stop token"):
        setting().figures([[2], [2], [2], [5, 5, 5]])


def test_a_setting_reaches_the_contestants_unchanged(tmp_path: Path) -> None:
    given = setting(dtype="bf16")
    assert Setting.read(given.write(tmp_path / "setting.json")) == given


def round_of(tokens: int, seconds: float) -> dict[str, float]:
    return {"tokens": tokens, "seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 100 * seconds,
            "mean_length": tokens / 4, "stopped": 0.5}  # fmt: skip


def test_the_table_shows_medians_ratios_by_pair_and_who_is_missing() -> None:
    rounds = {
        "generate": [round_of(100, 1.0), round_of(120, 2.0), round_of(90, 3.0)],
        OURS: [round_of(100, 0.5), round_of(100, 0.5), round_of(100, 1.0)],
    }
    facts = {name: {"dtype": "fp32"} for name in rounds}
    figures = figures_of(rounds, facts, {"vllm": "no such package"})
    assert list(figures) == [OURS, "generate", "vllm"]
    assert figures[OURS]["tokens_per_second"] == 200
    assert figures["generate"]["tokens_per_second"] == 60
    assert figures["generate"]["ahalab_faster_by"] == pytest.approx([100 / 30, 2.0, 200 / 60])
    assert figures["generate"]["tokens_per_cpu_second"] == 30
    assert figures["generate"]["peak_mb"] == 300
    ours, generate, vllm = rows_of(64, figures)
    assert ours[3:5] == ["200.0", ""]
    assert generate[3:5] == ["60.0", "3.33 × [2.00 – 3.33]"]
    assert vllm[3] == "not measured: no such package"
    assert len({len(row) for row in (ours, generate, vllm)}) == 1


def test_a_peer_that_fails_is_named_with_its_reason_and_the_rest_is_measured() -> None:
    who = [
        Contestant("failing", f"{FILE}:Failing"),
        Contestant(OURS, f"{FILE}:Sleeper", {"seconds": 0.01}),
    ]
    rounds, facts, missing = measure(who, pairs=2, threads=1)
    assert missing == {"failing": "ValueError: this peer does not start"}
    assert list(rounds) == list(facts) == [OURS]
    assert len(rounds[OURS]) == 2


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.vllm_environment.sys.executable", str(tmp_path / "no-python"))
    with pytest.raises(NoVLLM, match="no-python does not run"):
        prepare(tmp_path / "environment")
    _, missing = contestants(
        setting(), "setting.json", ["vllm"], ours_weights="fp32", threads=1, vllm_folder=tmp_path / "again"
    )
    assert "no-python does not run" in missing["vllm"]


def test_vllm_runs_in_one_process_on_as_many_cores_as_the_others_have_threads() -> None:
    variables = VLLMEnvironment(Path("python"), ()).variables(threads=1, cache_gib=3)
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert variables["VLLM_CPU_OMP_THREADS_BIND"].count(",") == 0
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "3"


@pytest.fixture
def gsm8k(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    rows = [{"question": f"what is {'1' * digits}?", "answer": "so\n#### 4"} for digits in range(1, 60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_ours_and_generate_answer_the_same_prompts(tmp_path: Path, gsm8k: Path) -> None:
    given = make_setting(TINY, gsm8k, 2, 2, 64, 8)
    assert [len(prompt) for prompt in given.prompts] == [64, 64]
    assert cache_gib(TINY, given) == 1
    who, missing = contestants(
        given, given.write(tmp_path / "setting.json"), ["generate", "continuous"],
        ours_weights="fp32", threads=1, vllm_folder=tmp_path,
    )  # fmt: skip
    assert missing == {}
    rounds, facts, missing = measure(who, pairs=1, threads=1)
    assert missing == {}
    assert facts[OURS]["mismatch"] < 1e-4
    for name in (OURS, "generate", "continuous"):
        (found,) = rounds[name]
        assert facts[name]["dtype"] == "fp32"
        assert len(found["lengths"]) == 4
        assert 4 <= found["tokens"] == sum(found["lengths"]) <= 32


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there: give GSM8K"):
        make_setting(TINY, tmp_path / "nowhere.jsonl", 1, 1, 64, 8)
