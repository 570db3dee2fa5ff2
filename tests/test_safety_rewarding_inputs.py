"""What training data for the safety reward model is made from: a guideline, rules for labels, files of every kind."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.safety.rewarding.guideline import load_guideline
from ahalab.safety.rewarding.reading import stream_rows
from ahalab.safety.rewarding.rules import bundled_rules, convert, load_rule
from ahalab.teachers.templates import load_instructions
from rewarding_tools import write_rows

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
