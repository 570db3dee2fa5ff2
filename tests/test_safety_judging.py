"""A judge behind an endpoint: bounded, signed, everything kept, the same case judged by the same prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.endpoint_server import EndpointServer, endpoint_alone
from tests.judging_tools import ANSWER, LONG, Scripted, block, case, judge_with, judged, says, served

from ahalab.runs.jsonl import JsonlWriter
from ahalab.safety.folder import read_judgements, row_of
from ahalab.safety.judging.consistency import PLACE, append_check, read_consistency
from ahalab.safety.protocols import judge_hash
from ahalab.safety.records import Judgement

__all__ = ["endpoint_alone"]


def test_each_reply_is_judged_once_and_all_is_signed() -> None:
    client = Scripted(lambda prompt, _: says(prompt, "unsafe" if "bad" in block(prompt) else "safe"))
    judge = judge_with(client)
    found = judged(judge, case(ANSWER), case("This is bad advice.", number=2), case("", number=3))
    by_item = {one.item: one for one in found}
    assert {name: (one.verdict, one.reason) for name, one in by_item.items()} == {
        "D01-01-en": ("safe", ""),
        "D01-02-en": ("unsafe", ""),
        "D01-03-en": ("rejection", "empty"),
    }
    assert {one.judge for one in found} == {judge_hash(judge.identity())}
    assert len({one.rubric for one in found}) == 1
    assert by_item["D01-02-en"].compliance == "full refusal"
    assert by_item["D01-02-en"].rationale == "read"
    assert len(client.prompts) == len(by_item["D01-01-en"].raw) + len(by_item["D01-02-en"].raw) == 2
    assert judge.counts["judged"] == 2
    assert judge.counts["settled: empty"] == 1


def test_thinking_and_answer_are_judged_apart_by_different_rules() -> None:
    client = Scripted(lambda prompt, _: says(prompt, "unsafe" if "plan" in block(prompt) else "safe"))
    both = [case(ANSWER, thinking="I make a plan for it.", part=part) for part in ("answer", "thinking")]
    found = judged(judge_with(client), *both)
    assert [(one.part, one.verdict) for one in found] == [("answer", "safe"), ("thinking", "unsafe")]
    assert found[0].rubric != found[1].rubric
    answer, thinking = client.prompts
    assert "I make a plan" not in answer
    assert ANSWER not in thinking
    assert "notes that the assistant wrote to itself" in thinking
    assert "notes that the assistant wrote to itself" not in answer


def test_jailbreak_runs_are_judged_by_the_sharpened_rubric() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    plain, sharp = judged(judge_with(client), case(ANSWER), case(ANSWER, jailbreak=True))
    assert plain.rubric != sharp.rubric
    assert "Look for the trap first" not in client.prompts[0]
    assert "Look for the trap first" in client.prompts[1]


def test_a_wrapped_question_is_shown_plainly_too_and_only_it_is_shortened() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    wrapped = "BEGIN " + "template " * 3000 + "END"
    plain = "May one do it?"
    judge = judge_with(client)
    judged(
        judge,
        case(prompt=wrapped, question=plain, jailbreak=True),
        case(prompt=wrapped),
        case(question=plain),
    )
    shortened, whole, short = client.prompts
    assert block(shortened, "plain question") == block(short, "plain question") == plain
    shown = block(shortened, "question")
    assert shown.startswith("BEGIN template")
    assert shown.endswith("template END")
    assert f"[… {len(wrapped) - 6000:,} characters left out …]" in shown
    assert block(whole, "question") == wrapped
    assert "plain question" not in whole
    same = Scripted(lambda prompt, _: says(prompt))
    judged(judge_with(same), case(prompt=plain, question=plain))
    assert "plain question" not in same.prompts[0]


def test_an_estimate_counts_what_would_be_sent() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    judge = judge_with(client, window=2000)
    calls, size = judge.estimate(case(LONG))
    assert client.prompts == []
    judged(judge, case(LONG))
    assert (calls, size) == (len(client.prompts), sum(len(prompt.encode()) for prompt in client.prompts))


def test_each_subcategory_has_its_own_prompt_in_the_items_language() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    judged(
        judge_with(client),
        *(case(rubric=one, language=code) for one in ("D01", "I07") for code in ("en", "zh", "it")),
    )
    assert len(set(client.prompts)) == 6
    assert "人工" not in client.prompts[0]
    assert "关键在于" in client.prompts[1]
    assert "What is at stake is whether a person" in client.prompts[2]  # Italian: the English rubric
    assert client.prompts[3].count("illegal drug") == 1
    forced = Scripted(lambda prompt, _: says(prompt))
    judged(judge_with(forced, language="zh"), case())
    assert "关键在于" in forced.prompts[0]


def test_all_windows_are_judged_and_the_worst_counts() -> None:
    text = LONG + "This window is bad. " + LONG
    client = Scripted(lambda prompt, _: says(prompt, "unsafe" if "is bad" in block(prompt) else "safe"))
    (found,) = judged(judge_with(client, window=2000, overlap=200), case(text))
    assert found.verdict == "unsafe"
    assert found.windows == len(client.prompts) == len(found.raw) > 20
    assert "It is piece 1 of" in client.prompts[0]
    (again,) = judged(judge_with(client, window=2000, overlap=200), case(text))
    assert again == found


def test_the_same_case_gives_the_same_prompt_whoever_answered() -> None:
    prompts = []
    for target in ("one", "two"):
        client = Scripted(lambda prompt, _: says(prompt))
        judged(judge_with(client, label_order="seeded", seed=5), case(target=target))
        prompts += client.prompts
    assert prompts[0] == prompts[1]
    assert "model" not in block(prompts[0])


def test_label_order_is_drawn_for_each_case_and_belongs_to_the_judge() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    judge = judge_with(client, label_order="seeded", seed=1)
    judged(judge, *(case(number=n) for n in range(1, 61)))
    orders = [prompt.split('"verdict", one of ')[1].split(";")[0] for prompt in client.prompts]
    assert len(set(orders)) == 6
    assert max(orders.count(one) for one in set(orders)) < 25
    fixed = judge_with(client)
    assert judge_hash(judge.identity()) != judge_hash(fixed.identity())
    assert judge_hash(judge.identity()) != judge_hash(
        judge_with(client, label_order="seeded", seed=2).identity()
    )


def test_repeats_report_how_often_the_judge_contradicts_itself(tmp_path: Path) -> None:
    """A judge that takes the first word offered contradicts itself; one that reads does not."""

    def first_word(prompt: str, _: int) -> str:
        return says(prompt, prompt.split('"verdict", one of "')[1].split('"')[0])

    cases = [case(number=n) for n in range(1, 41)]
    steady = judge_with(
        Scripted(lambda prompt, _: says(prompt)), tmp_path / "a" / PLACE, repeats=3, repeat_share=0.5
    )
    found = judged(steady, *cases)
    report = read_consistency(tmp_path / "a")
    assert 10 <= report.cases <= 30
    assert (report.disagreeing, report.share) == (0, 0.0)
    biased = judge_with(Scripted(first_word), tmp_path / "b" / PLACE, repeats=3, repeat_share=1.0)
    assert {one.verdict for one in judged(biased, *cases)} == {"unsafe"}  # the first verdict counts, always
    report = read_consistency(tmp_path / "b")
    assert report.cases == 40
    assert report.share is not None
    assert report.share > 0.7
    assert report.interval is not None
    assert report.interval[0] < report.share < report.interval[1]
    assert sum(report.by_pair.values()) == report.disagreeing
    plain = judge_with(Scripted(lambda prompt, _: says(prompt)))
    assert judged(plain, *cases) == found  # the check changes neither verdicts nor the judge's name


def test_a_check_written_twice_counts_once(tmp_path: Path) -> None:
    for verdicts in (["safe", "safe"], ["safe", "unsafe"]):
        append_check(tmp_path / PLACE, ("D01-01-en", "m", "answer"), verdicts, [["safe"], ["unsafe"]])
    report = read_consistency(tmp_path)
    assert (report.cases, report.disagreeing, report.by_pair) == (1, 1, {"safe / unsafe": 1})
    assert read_consistency(tmp_path / "none").share is None


def test_judgements_arrive_in_batches_while_work_goes_on() -> None:
    seen_when_asked: list[int] = []
    arrived: list[Judgement] = []

    def script(prompt: str, _: int) -> str:
        seen_when_asked.append(len(arrived))
        return says(prompt)

    judge_with(Scripted(script)).judge([case(number=n) for n in range(1, 21)], arrived.append)
    assert len(arrived) == 20
    assert seen_when_asked[-1] >= 16


def test_lone_surrogates_and_hidden_characters_are_judged_and_written(tmp_path: Path) -> None:
    answer = "A reply \ud800 with a broken character \udfff and \x00 hidden \u202e ones in it."
    with EndpointServer(lambda prompt: says(prompt, analysis="quotes \ud800 it")) as server:
        (found,) = judged(served(server, tmp_path), case(answer))
    assert found.verdict == "safe"
    assert "\\u{D800}" in server.prompts[0]
    (tmp_path / "judges" / "j").mkdir(parents=True)
    with JsonlWriter(tmp_path / "judges" / "j" / "m.jsonl") as writer:
        writer.append(row_of(found))
    assert read_judgements(tmp_path, "j", "m") == [found]


def test_the_judge_names_what_decides_its_verdicts_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "sk-abcdefghijklmnop")
    judge = judge_with(None, api_key_env="SECRET_OF_MINE")
    identity = judge.identity()
    assert (identity["kind"], identity["model"], identity["training_data"]) == ("endpoint", "judge", [])
    assert len(identity["prompt"]) == 64
    assert "SECRET" not in json.dumps(identity)
    same = judge_with(None, parallel=9, retries=2, requests_per_minute=5, repeats=3)
    assert judge_hash(same.identity()) == judge_hash(identity)
    for change in ({"window": 3000}, {"temperature": 1.0}, {"language": "en"}, {"model": "other"}):
        assert judge_hash(judge_with(None, **change).identity()) != judge_hash(identity)
