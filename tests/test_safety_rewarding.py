"""Training data for the safety reward model: guideline, rules, exclusion, votes, the whole job, the human check."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import Interrupted, RunStopped, UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.records import Prompt
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.rewarding import making
from ahalab.safety.rewarding.checking import compare, draw
from ahalab.safety.rewarding.exclusion import Exclusion, benchmarks_of
from ahalab.safety.rewarding.gathering import PromptRow, Watch
from ahalab.safety.rewarding.guideline import load_guideline
from ahalab.safety.rewarding.job import ExclusionConfig, Job, ReplierConfig
from ahalab.safety.rewarding.making import make, prepare
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.safety.rewarding.rules import bundled_rules, convert, load_rule
from ahalab.safety.rewarding.similarity import SimilarItems
from ahalab.safety.rewarding.voting import DISAGREEMENT, Asked, vote
from ahalab.stages.context import SilentProgress
from ahalab.teachers.protocol import Failure
from ahalab.teachers.templates import load_instructions
from ahalab.validation import validate

SHARED = Path(__file__).parents[1] / "../shared/data/safety"
WATCH = Watch(SilentProgress())
ITEM = "What would a careful neighbour say about the noisy garden party that goes on after midnight?"
ITEM_ZH = "邻居家的花园聚会半夜还很吵闹，一个细心的人会怎样去和他们商量这件事情？"


def item(name: str, prompt: str, language: str = "en") -> SafetyItem:
    return SafetyItem(name, "toy", language, "", prompt)


TOY = Benchmark("toy", (item("n1", ITEM), item("n2", ITEM_ZH, "zh")), "judge", "made here", "0" * 64)


class ByWord:
    """A judge that goes by words of the answer; every (vote, id) is counted."""

    name = "by word"

    def __init__(self, say: Callable[[str, str, int], bool | Failure]) -> None:
        self._say, self.asked, self.counts, self.traffic = say, [], {}, {}  # type: ignore[var-annotated]

    def identity(self) -> dict[str, Any]:
        return {"kind": "test"}

    def safe(self, items: Sequence[tuple[Prompt, str, str, int]]) -> list[bool | Failure]:
        self.asked.append(len(items))
        return [self._say(thinking, answer, key) for _, thinking, answer, key in items]


def by_word(thinking: str, answer: str, _key: int) -> bool | Failure:
    if "unreadable" in answer:
        return Failure("no verdict")
    return "harm" not in thinking + answer


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


ENDPOINT = {"url": "http://127.0.0.1:9/v1", "model": "fake"}


def job_of(
    tmp_path: Path, prompts: Sequence[str], replies: Mapping[str, Sequence[tuple[str, str]]], **more: Any
) -> Job:
    write_rows(tmp_path / "p.jsonl", [{"prompt": one} for one in prompts])
    for name, rows in replies.items():
        write_rows(tmp_path / f"{name}.jsonl", [{"prompt": p, "response": r} for p, r in rows])
    data = {
        "prompts": [{"file": "p.jsonl"}],
        "replies": [{"name": name, "file": f"{name}.jsonl"} for name in replies],
        "judge": {"endpoint": ENDPOINT},
        **more,
    }
    return validate(Job, data, "job")


def run(
    job: Job, tmp_path: Path, to: Path, judge: Any = None, exclusion: Exclusion | None = None, **more: Any
) -> Any:
    one = judge or ByWord(by_word)
    return make(
        prepare(job, tmp_path), to, exclusion or Exclusion([TOY]), WATCH, open_judge=lambda *_: one, **more
    )


# Guideline


def test_the_bundled_guideline_becomes_a_prompt_file_that_the_judge_can_load(tmp_path: Path) -> None:
    loaded = load_guideline()
    (tmp_path / "safety_label.txt").write_text(loaded.prompt(), "utf-8")
    instruction = load_instructions(("safety_label",), tmp_path)["safety_label"]
    assert loaded.guideline.unsafe[0] in instruction.text
    assert "thinking" in instruction.text
    filled = instruction.fill({"question": "q", "thinking": "t", "answer": "a", "nonce": "abc"})
    assert '"check": "abc"' in filled


def test_a_dollar_sign_in_a_guideline_is_no_slot(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(
        'name: mine\nversion: 2\nunsafe: ["asks for $100 or $question"]\nsafe: ["declines kindly"]\n'
    )
    (tmp_path / "safety_label.txt").write_text(load_guideline(path).prompt(), "utf-8")
    made = load_instructions(("safety_label",), tmp_path)["safety_label"]
    assert "asks for $100 or $question" in made.fill(
        {"question": "q", "thinking": "t", "answer": "a", "nonce": "n"}
    )


def test_a_guideline_may_be_markdown_with_its_keys_at_the_head(tmp_path: Path) -> None:
    path = tmp_path / "g.md"
    path.write_text(
        "---\nname: mine\nversion: 1\nunsafe: [helps to harm]\nsafe: [declines kindly]\n---\n\nWhy: …\n"
    )
    assert load_guideline(path).guideline.name == "mine"
    path.write_text("# no head\n")
    with pytest.raises(UserError, match="between two lines"):
        load_guideline(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: mine\nversion: 1\nunsafe: [helps to harm]\nsaef: [declines kindly]\n", "did you mean `safe`"),
        ("name: mine\nversion: 1\nunsafe: [helps to harm]\n", "safe"),
        (
            "name: mine\nversion: 1\nunsafe: [helps to harm]\nsafe: [Helps to harm]\n",
            "under `unsafe` and `safe`",
        ),
        ("name: [\n", "no YAML"),
    ],
)
def test_a_broken_guideline_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        load_guideline(path)


# Rules


def test_every_bundled_rule_loads_and_is_called_as_its_file() -> None:
    assert {"prompts", "replies", "labelled", "hh-rlhf-harmless", "pku-saferlhf", "beavertails"} <= set(
        bundled_rules()
    )
    for name in bundled_rules():
        assert load_rule(name).rule.name == name


def test_pku_rows_become_two_labelled_responses() -> None:
    row = {
        "prompt": "q",
        "response_0": "a",
        "response_1": "b",
        "is_response_0_safe": True,
        "is_response_1_safe": False,
    }
    made = convert(load_rule("pku-saferlhf").rule, row)
    assert [(one.answer, one.safe) for one in made.responses] == [("a", True), ("b", False)]


def test_labels_are_never_guessed() -> None:
    rule = load_rule("beavertails").rule
    row = {"prompt": "q", "response": "a"}
    assert convert(rule, {**row, "is_safe": "False"}).responses[0].safe is False  # a CSV file's word
    assert convert(rule, {**row, "is_safe": None}).responses[0].unreadable == "no label"
    for strange in (1, 0, "1", "maybe"):
        with pytest.raises(BadRow, match="unclear label"):
            convert(rule, {**row, "is_safe": strange})


def test_what_a_rule_leaves_out_has_a_reason() -> None:
    with pytest.raises(LeftOut, match="withheld"):
        convert(load_rule("aegis-2").rule, {"prompt": "REDACTED", "response": "a", "response_label": "safe"})
    assert (
        convert(
            load_rule("wildguardmix").rule, {"prompt": "q", "response": None, "response_harm_label": None}
        )
        .responses[0]
        .unreadable
        == "no label"
    )


def test_hh_rlhf_dialogues_become_prompts_without_their_last_reply() -> None:
    talk = "\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant: four"
    made = convert(load_rule("hh-rlhf-harmless").rule, {"chosen": talk, "rejected": talk})
    assert [role for role, _ in made.messages] == ["user", "assistant", "user"]
    assert "three" in made.question
    assert "four" not in made.question
    assert made.responses == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question: [prompt]\nyields: labelled\n", "needs `responses`"),
        ("question: [prompt]\nyields: prompts\nlabls: {}\n", "did you mean `labels`"),
        ("yields: prompts\n", "either `question` or `dialogue`"),
        ("question: [p]\nyields: replies\nresponses: [{answer: a, label: b}]\n", "has no labels"),
        (
            "question: [p]\nyields: labelled\nresponses: [{answer: a, label: b}]\n"
            "labels: {safe: [1], unsafe: [0], drop: [1]}\n",
            "stands twice",
        ),
    ],
)
def test_a_broken_rule_is_refused_with_the_nearest_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nversion: 1\ndescribes: a set of mine\nlicence: mine\n{text}")
    with pytest.raises(UserError, match=words):
        load_rule(str(path))


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean `beavertails`"):
        load_rule("beavertail")


# Reading


def test_the_same_rows_come_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [{"prompt": "one, “two”", "response": "三\nfour"}, {"prompt": "five", "response": None}]
    write_rows(tmp_path / "r.jsonl", rows)
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress((tmp_path / "r.jsonl").read_bytes()))
    with (tmp_path / "r.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "response"])
        writer.writeheader()
        writer.writerows(rows)
    kinds = ["r.jsonl", "r.jsonl.gz", "r.csv"]
    if pytest.importorskip("pyarrow"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "r.parquet")
        kinds.append("r.parquet")
    for kind in kinds:
        assert [row for _, row in stream_rows(tmp_path / kind, "here")] == rows, kind


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "x"}\n' * 5000)[:-20])
    with pytest.raises(UserError, match="not a whole gzip"):
        list(stream_rows(tmp_path / "r.jsonl.gz", "here"))
    (tmp_path / "r.csv").write_text('prompt\n"never closed\n')
    with pytest.raises(UserError, match="never closed"):
        list(stream_rows(tmp_path / "r.csv", "here"))
    (tmp_path / "r.txt").write_text("x")
    with pytest.raises(UserError, match="expected one ending in"):
        stream_rows(tmp_path / "r.txt", "here")


# Exclusion


@pytest.mark.parametrize("text", [ITEM, ITEM_ZH])
def test_items_are_found_whole_in_part_and_changed(text: str) -> None:
    exclusion = Exclusion([TOY])
    hit = exclusion.find([text.upper()])
    assert hit is not None
    assert hit.by == "same text"
    longer = exclusion.find([f"Before that. {text} And after it, more words."])
    assert longer is not None
    assert longer.by == "10-gram"
    unit = list(text) if text == ITEM_ZH else text.split()
    for place in range(4, len(unit), 7):  # no run of 10 is left
        unit[place] = "猫" if text == ITEM_ZH else "cat"
    changed = ("" if text == ITEM_ZH else " ").join(unit)
    near = exclusion.find([changed])
    assert near is not None
    assert near.by == "similar"
    assert near.cosine is not None
    assert 0.4 <= near.cosine < 1
    assert near.items == (f"toy/{'n2' if text == ITEM_ZH else 'n1'}",)


def test_other_prompts_stay_and_earlier_turns_count() -> None:
    exclusion = Exclusion([TOY])
    assert exclusion.find(["How do I bake bread without an oven?"]) is None
    assert exclusion.find(["怎样在没有烤箱的情况下烤面包？"]) is None
    assert exclusion.find([ITEM, "And then?"]) is not None


def test_the_candidate_filter_loses_no_pair() -> None:
    rng = random.Random(5)
    words = [f"w{number}x" for number in range(60)]
    texts = {f"i{number}": " ".join(rng.choices(words, k=12)) for number in range(150)}
    asked = [" ".join(rng.choices(words, k=12)) for _ in range(60)]
    asked += [" ".join([*text.split()[:9], *rng.choices(words, k=3)]) for text in list(texts.values())[:40]]
    everything = SimilarItems(texts, 1e-6)
    for threshold in (0.2, 0.4, 0.7):
        fast = SimilarItems(texts, threshold)
        for text in asked:
            wanted = [(one.item, one.cosine) for one in everything.find(text) if one.cosine >= threshold]
            assert [(one.item, one.cosine) for one in fast.find(text)] == wanted


def test_similarity_on_hand_made_numbers() -> None:
    items = SimilarItems({"a": "abcd", "b": "wxyz"}, 0.4)
    # "abcde" has the grams abcd (in one of two items) and bcde (in none): both weigh log(1 + 2).
    assert items.find("abcde")[0].cosine == pytest.approx(0.5**0.5)
    assert items.find("ABCD")[0].cosine == pytest.approx(1.0)
    assert items.find("abc") == []
    assert SimilarItems({}, 0.4).find("abcd") == []


def test_sets_that_cannot_be_loaded_are_reported_and_named_ones_must_load(tmp_path: Path) -> None:
    loaded, missing = benchmarks_of(ExclusionConfig(), tmp_path)
    assert {"safety-1120", "safety-harmless"} <= {one.name for one in loaded}
    assert "redteam" in missing  # from the user's file only
    assert Exclusion(loaded, 0.4, missing).identity()["missing"] == missing
    with pytest.raises(UserError, match="redteam"):
        benchmarks_of(ExclusionConfig(benchmarks=["redteam"]), tmp_path)
    with pytest.raises(UserError, match="did you mean `safety-1120`"):
        benchmarks_of(ExclusionConfig(benchmarks=["safety-112"]), tmp_path)


# Votes


def _asked(n: int) -> list[Asked]:
    row = PromptRow("p", "q", "en", "s")
    return [Asked(f"r{number}", row, "", f"answer {number}") for number in range(n)]


def test_responses_on_which_votes_differ_are_left_out_and_cost_no_further_vote() -> None:
    said: dict[str, list[bool | Failure]] = {
        "answer 0": [True, True, True],
        "answer 1": [True, False, True],
        "answer 2": [False, Failure("no verdict"), False],
    }
    judge = ByWord(lambda _thinking, answer, _key: said[answer].pop(0))
    found = vote(judge, _asked(3), 3, "unanimous", 1)  # type: ignore[arg-type]
    assert [(one.votes, one.drop) for one in found] == [
        ([True, True, True], ""),
        ([True, False], DISAGREEMENT),
        ([False], "judge error: no verdict"),
    ]
    assert judge.asked == [3, 3, 1]


def test_a_majority_needs_no_further_vote() -> None:
    said = {"answer 0": [True, True], "answer 1": [True, False, False]}
    judge = ByWord(lambda _thinking, answer, _key: said[answer].pop(0))
    found = vote(judge, _asked(2), 3, "majority", 1)  # type: ignore[arg-type]
    assert [(one.safe, one.drop) for one in found] == [(True, ""), (False, "")]
    assert judge.asked == [2, 2, 1]


def test_each_vote_has_a_key_of_its_own() -> None:
    keys: list[int] = []

    def say(_thinking: str, _answer: str, key: int) -> bool:
        keys.append(key)
        return True

    vote(ByWord(say), _asked(2), 3, "unanimous", 1)  # type: ignore[arg-type]
    assert len(set(keys)) == 6


# The whole job


def test_every_response_becomes_a_row_or_a_counted_reason(tmp_path: Path) -> None:
    prompts = [
        "first question",
        "second question",
        "First  Question",
        ITEM,
        "x",
        "third question",
        "fourth question",
    ]
    replies = {
        "one": [
            ("first question", "<think>harm worked out</think>I will not."),
            ("second question", "kind words"),
            ("third question", "unreadable"),
            ("nobody asked", "words"),
            ("second question", "other words"),
        ],
        "two": [
            ("first question", "a kind no"),
            ("second question", "kind words"),
            ("third question", "</think>"),
            ("fourth question", "word " * 6000),
        ],
    }
    summary = run(job_of(tmp_path, prompts, replies), tmp_path, tmp_path / "out")
    assert summary["dropped"] == {
        "no reply: not in the recorded file": 1,
        "duplicate prompt": 1,
        "contaminated: same text": 1,
        "too short": 1,
        "judge error: no verdict": 1,
        "empty reply": 1,
        "too long": 1,
        "same response twice": 1,
    }
    assert summary["unused_recorded"]["one"] == {"recorded for another prompt": 1, "recorded twice": 1}
    rows = list(read_jsonl(tmp_path / "out/data/labelled.jsonl"))
    assert [(row["source"], row["thinking"], row["answer"], row["safe"]) for row in rows] == [
        ("one", "harm worked out", "I will not.", False),
        ("one", "", "kind words", True),
        ("two", "", "a kind no", True),
    ]
    assert (summary["safe"], summary["unsafe"], summary["with_thinking"]) == (2, 1, 1)
    assert summary["responses"] == 4 * 2
    assert sum(summary["dropped"].values()) == 3 + (8 - 3)
    listed = {row["reason"]: row for row in read_jsonl(tmp_path / "out/dropped.jsonl")}
    assert listed["contaminated: same text"]["items"] == ["toy/n1"]
    assert ITEM not in (tmp_path / "out/dropped.jsonl").read_text("utf-8")


def test_labels_that_exist_are_filtered_and_joined(tmp_path: Path) -> None:
    rows = [
        {"prompt": "first question", "response": "a", "label": "safe"},
        {"prompt": "first question", "response": "A", "label": "safe"},
        {"prompt": "second question", "response": "b", "label": "safe"},
        {"prompt": "second question", "response": "b", "label": "unsafe"},
        {"prompt": "third question", "response": "c", "label": "unsure"},
        {"prompt": "third question", "response": None, "label": "safe"},
        {"prompt": ITEM_ZH, "response": "d", "label": "unsafe"},
        {"prompt": "fifth question", "response": "e", "label": "unsafe"},
    ]
    write_rows(tmp_path / "mine.jsonl", rows)
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    summary = run(job, tmp_path, tmp_path / "out")
    assert summary["dropped"] == {
        "contradictory labels": 2,
        "contaminated: same text": 1,
        "empty reply": 1,
        "label unsure": 1,
        "same response twice": 1,
    }
    assert [row["answer"] for row in read_jsonl(tmp_path / "out/data/labelled.jsonl")] == ["a", "e"]


def test_a_row_that_cannot_be_read_stops_the_job_or_is_counted(tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "q one", "response": "a", "label": "perhaps"}] * 2)
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    with pytest.raises(UserError, match=r"mine.jsonl, row 1, column 'label'"):
        run(job, tmp_path, tmp_path / "out")
    assert run(job, tmp_path, tmp_path / "out", skip_bad_rows=True)["dropped"] == {
        "bad row: unclear label": 2
    }


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_rows_in_another_encoding_are_named_and_never_read_as_something_else(
    tmp_path: Path, name: str
) -> None:
    rows = ["caf\xe9 one", "plain two"]
    lines = (
        [json.dumps({"prompt": one}, ensure_ascii=False) for one in rows]
        if "json" in name
        else ["prompt", *rows]
    )
    (tmp_path / name).write_bytes("\n".join(lines).encode("latin-1"))
    write_rows(tmp_path / "one.jsonl", [{"prompt": "plain two", "response": "a"}])
    data = {
        "prompts": [{"file": name}],
        "replies": [{"name": "one", "file": "one.jsonl"}],
        "judge": {"endpoint": ENDPOINT},
    }
    job = validate(Job, data, "job")
    with pytest.raises(UserError, match=rf"{name}, row [12]"):
        run(job, tmp_path, tmp_path / "out")
    summary = run(job, tmp_path, tmp_path / "out", skip_bad_rows=True)
    assert summary["rows"] == 1
    assert summary["dropped"] in ({"bad row: not UTF-8": 1}, {"bad row: not Unicode": 1})


def test_a_missing_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "q", "respnse": "a", "label": "safe"}])
    job = validate(Job, {"labelled": [{"file": "mine.jsonl"}]}, "job")
    with pytest.raises(UserError, match="did you mean `respnse`"):
        run(job, tmp_path, tmp_path / "out")


def test_a_stopped_job_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    prompts = [f"question number {number}" for number in range(10)]
    replies = {
        "one": [(one, f"reply {'harm' if place % 3 else ''} {place}") for place, one in enumerate(prompts)]
    }
    job = job_of(tmp_path, prompts, replies, shard=3)
    run(job, tmp_path, tmp_path / "whole")

    judge = ByWord(by_word)
    calls = 0

    def dying(*_: Any) -> ByWord:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RunStopped("the budget is used up")
        return judge

    with pytest.raises(RunStopped):
        make(prepare(job, tmp_path), tmp_path / "cut", Exclusion([TOY]), WATCH, open_judge=dying)
    assert judge.asked == [3, 3]
    make(prepare(job, tmp_path), tmp_path / "cut", Exclusion([TOY]), WATCH, open_judge=dying)
    assert judge.asked == [3, 3, 3, 1]
    for name in ("data/labelled.jsonl", "summary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_that_was_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    run(job, tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="seed"):
        run(job.model_copy(update={"seed": 1}), tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="excluded"):
        run(job, tmp_path, tmp_path / "out", exclusion=Exclusion([]))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    with pytest.raises(UserError, match="not empty"):
        run(job, tmp_path, tmp_path / "other")


def test_ctrl_c_stops_between_shards(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    with pytest.raises(Interrupted):
        make(
            prepare(job, tmp_path),
            tmp_path / "out",
            Exclusion([TOY]),
            Watch(SilentProgress(), lambda: True),
            open_judge=lambda *_: ByWord(by_word),
        )


def test_a_model_of_this_machine_answers_as_a_target(tmp_path: Path) -> None:
    class Local:
        name = "here"

        def identity(self) -> dict[str, Any]:
            return {"kind": "local", "model": "m"}

        def replies(self, items: Sequence[SafetyItem], on_reply: Callable[[TargetReply], None]) -> None:
            for number, one in enumerate(items):
                cut = "length" if number == 1 else "stop"
                on_reply(TargetReply(one.id, "here", f"to {one.prompt}", "thought", finish=cut))  # type: ignore[arg-type]

    opened: list[str] = []

    def open_local(config: ReplierConfig, _seed: int, _stopping: Callable[[], bool]) -> Local:
        opened.append(config.local or "")
        return Local()

    write_rows(tmp_path / "p.jsonl", [{"prompt": f"question {n}"} for n in range(4)])
    data = {
        "prompts": [{"file": "p.jsonl"}],
        "replies": [{"name": "here", "local": "builtin:tiny"}],
        "judge": {"endpoint": ENDPOINT},
        "shard": 2,
    }
    summary = run(validate(Job, data, "job"), tmp_path, tmp_path / "out", open_local=open_local)
    assert opened == ["builtin:tiny"]
    assert summary["dropped"] == {"cut off": 2}
    assert summary["with_thinking"] == summary["rows"] == 2


def test_one_class_alone_is_warned_of(tmp_path: Path) -> None:
    job = job_of(tmp_path, ["first question"], {"one": [("first question", "a")]})
    assert "nothing can be learned" in run(job, tmp_path, tmp_path / "out")["warnings"][0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "give `prompts`"),
        ({"prompts": [{"file": "p"}]}, "need `replies`"),
        ({"labelled": [{"file": "a/x.jsonl"}, {"file": "b/x.jsonl"}]}, "give one a `name`"),
        ({"labelled": [{"fiel": "x"}]}, "did you mean `file`"),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f", "local": "m"}],
                "judge": {"endpoint": ENDPOINT},
            },
            "exactly one",
        ),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f"}],
                "judge": {"endpoint": ENDPOINT, "votes": 2, "agree": "majority"},
            },
            "odd number",
        ),
        (
            {
                "prompts": [{"file": "p"}],
                "replies": [{"name": "a", "file": "f"}],
                "judge": {"endpoint": {**ENDPOINT, "temperature": 0}, "votes": 3},
            },
            "say the same again",
        ),
    ],
)
def test_a_wrong_job_is_refused_in_words(data: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        validate(Job, data, "job")


def test_the_budget_holds_for_all_shards_together() -> None:
    assert making._left("judge", 100, {"judge": 60}) == 40
    assert making._left("judge", None, {"judge": 60}) is None
    with pytest.raises(RunStopped, match="budget_tokens is 100"):
        making._left("judge", 100, {"judge": 100})


# The human check


def made_data(tmp_path: Path) -> Path:
    prompts = [f"question number {number}" for number in range(30)]
    replies = {
        "one": [(one, f"=reply {'harm' if place < 3 else ''} {place}") for place, one in enumerate(prompts)],
        "two": [(one, f"said {'harm' if place % 2 else ''} {place}") for place, one in enumerate(prompts)],
    }
    run(job_of(tmp_path, prompts, replies), tmp_path, tmp_path / "out")
    return tmp_path / "out"


def fill(path: Path, label: Callable[[str, str], str]) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": label(row["id"], row["answer"])} for row in rows)


def test_the_sample_is_blind_even_over_strata_and_in_two_orders(tmp_path: Path) -> None:
    folder = made_data(tmp_path)
    drawn = draw(folder, 16, seed=3)
    assert drawn == {
        "safe · one · en": 5,
        "safe · two · en": 4,
        "unsafe · one · en": 3,
        "unsafe · two · en": 4,
    }
    sheets = []
    for name in ("a", "b"):
        with (folder / f"check/{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            sheets.append(list(csv.DictReader(file)))
    assert sorted(row["id"] for row in sheets[0]) == sorted(row["id"] for row in sheets[1])
    assert [row["id"] for row in sheets[0]] != [row["id"] for row in sheets[1]]
    assert {row["label"] for row in sheets[0]} == {""}
    # A spreadsheet must not take a reply for a formula.
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in sheets[0] for cell in row.values())
    with pytest.raises(UserError, match="holds a sample already"):
        draw(folder, 16, seed=3)


def test_agreement_on_hand_made_labels_and_labels_that_both_correct(tmp_path: Path) -> None:
    folder = made_data(tmp_path)
    draw(folder, 12, seed=3)
    with (folder / "check/a.csv").open(encoding="utf-8-sig", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    truth = {
        row["id"]: "safe" if row["safe"] else "unsafe" for row in read_jsonl(folder / "data/labelled.jsonl")
    }
    other = {"safe": "unsafe", "unsafe": "safe"}
    fill(folder / "check/a.csv", lambda one, _: other[truth[one]] if one == ids[0] else truth[one].upper())
    fill(
        folder / "check/b.csv",
        lambda one, _: "" if one == ids[2] else other[truth[one]] if one in ids[:2] else truth[one],
    )
    checked = compare(folder)
    assert (checked.sample, checked.both, checked.missing) == (12, 11, {"a": 0, "b": 1})
    assert checked.between is not None
    assert checked.between.accuracy == pytest.approx(10 / 11)
    assert checked.agreed_otherwise == [ids[0]]
    assert checked.judge is not None
    assert checked.judge.n == 10
    assert checked.judge.weighted
    compare(folder, apply=True)
    summary = making.assemble(folder)
    assert summary["corrected_by_humans"] == 1
    label = {row["id"]: row["safe"] for row in read_jsonl(folder / "data/labelled.jsonl")}[ids[0]]
    assert label == (truth[ids[0]] == "unsafe")
    making.assemble(folder)
    assert compare(folder).agreed_otherwise == [ids[0]]  # the sample remembers the judge's own label


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [{**rows[0], "label": "saef"}, *rows[1:]], "nearest: 'safe'"),
        (lambda rows: rows[1:], "rows of the sample are missing"),
        (lambda rows: [rows[0], *rows], "stands twice"),
        (lambda rows: [{**rows[0], "id": "who"}, *rows[1:]], "no id of the sample"),
    ],
)
def test_a_spoilt_sheet_is_refused_in_words(tmp_path: Path, change: Callable[..., Any], words: str) -> None:
    folder = made_data(tmp_path)
    draw(folder, 8, seed=0)
    path = folder / "check/b.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(change(rows))
    with pytest.raises(UserError, match=words):
        compare(folder)


# With the real sets


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/safety is not here")
def test_hh_rlhf_rows_pass_and_benchmark_rows_do_not(tmp_path: Path) -> None:
    from ahalab.safety.benchmarks import load_benchmark

    bundled = load_benchmark("safety-1120")
    with gzip.open(SHARED / "hh_rlhf_harmless_test_first1200.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:200]
    for one in bundled.items[:40]:
        rows.append({"chosen": f"\n\nHuman: {one.prompt}\n\nAssistant: no", "rejected": ""})
    write_rows(tmp_path / "hh.jsonl", rows)
    data = {
        "prompts": [{"file": "hh.jsonl", "rule": "hh-rlhf-harmless"}],
        "replies": [{"name": "r", "file": "none.jsonl"}],
        "judge": {"endpoint": ENDPOINT},
    }
    write_rows(tmp_path / "none.jsonl", [{"prompt": "nobody", "response": "a"}])
    summary = run(
        validate(Job, data, "job"),
        tmp_path,
        tmp_path / "out",
        exclusion=Exclusion([bundled]),
        skip_bad_rows=True,
    )
    assert summary["dropped"]["contaminated: same text"] == 40
    assert (
        sum(count for reason, count in summary["dropped"].items() if reason.startswith("contaminated")) == 40
    )
    assert sum(summary["prompts"].values()) > 190
