"""A judge behind an endpoint: bounded, strict, everything kept, nothing asked or paid for twice."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint_server import EndpointServer, Step, endpoint_alone, error, say
from tests.judging_tools import ANSWER, Scripted, block, case, judge_with, judged, mark_of, says

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, Failed
from ahalab.errors import EnvironmentFailure, Interrupted, RunStopped, UserError
from ahalab.runs.jsonl import JsonlWriter
from ahalab.safety.folder import read_judgements, row_of
from ahalab.safety.judging.consistency import PLACE, append_check, read_consistency
from ahalab.safety.judging.endpoint import EndpointJudge
from ahalab.safety.judging.opening import open_judge
from ahalab.safety.protocols import judge_hash
from ahalab.safety.records import Judgement

__all__ = ["endpoint_alone"]

LONG = " ".join(f"Sentence {n} of a long reply that goes on." for n in range(500))


def served(server: EndpointServer, folder: Path, **changes: Any) -> EndpointJudge:
    config = server.config(parallel=4, retries=1, timeout_seconds=5)
    fields = {**config.model_dump(exclude={"temperature", "max_tokens"}), **changes}
    judge = judge_with(None, **fields)
    client = ChatClient("judge", judge.config, folder)
    return EndpointJudge(lambda: client, judge.config)


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


def test_a_window_that_cannot_be_read_is_an_error_unless_another_is_unsafe() -> None:
    def script(prompt: str, _: int) -> str:
        text = block(prompt)
        return (
            "no verdict" if "unreadable" in text else says(prompt, "unsafe" if "is bad" in text else "safe")
        )

    plain, worse = LONG + "unreadable " + LONG, LONG + "unreadable " + LONG + "is bad " + LONG
    found = judged(judge_with(Scripted(script), window=3000), case(plain), case(worse, number=2))
    assert [(one.verdict, one.reason) for one in found] == [("judge_error", "schema"), ("unsafe", "")]
    assert found[0].compliance == ""


def test_a_verdict_is_asked_for_again_with_the_fault_shown_and_every_try_is_kept() -> None:
    tries = [
        "The reply is safe.",
        lambda prompt: says(prompt, "harmless"),
        lambda prompt: says(prompt, "rejection"),
    ]
    client = Scripted(lambda prompt, n: one(prompt) if callable(one := tries[n]) else one)
    judge = judge_with(client)
    (found,) = judged(judge, case())
    assert found.verdict == "rejection"
    assert [json.loads(raw)["verdict"] if raw[0] == "{" else raw for raw in found.raw] == [
        "The reply is safe.",
        "harmless",
        "rejection",
    ]
    assert "was not exactly one JSON object" in client.prompts[1]
    assert "its verdict was none of the three words" in client.prompts[2]
    assert len({mark_of(prompt) for prompt in client.prompts}) == 3
    assert client.calls == [0, 1, 2]
    assert judge.counts["asked_again"] == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "judge refused"),
        ("抱歉，我无法评判。", "judge refused"),
        (Reply("{", "content_filter", 1, 1), "judge refused"),
        (Failed("refused: content", "policy"), "judge refused"),
        ("unsafe", "schema"),
        ('{"label": "safe", "confidence": 0.9}', "schema"),
        (Reply('{"analysis": "…', "length", 1, 1), "schema"),
        (Failed("time-out", "ReadTimeout"), "endpoint: time-out"),
        (Failed("unreadable reply", "no JSON"), "endpoint: unreadable reply"),
    ],
)
def test_without_a_verdict_it_is_a_judge_error_with_a_stable_reason(said: Any, reason: str) -> None:
    client = Scripted(lambda _prompt, _n: said)
    judge = judge_with(client)
    (found,) = judged(judge, case())
    assert (found.verdict, found.reason, found.compliance) == ("judge_error", reason, "")
    assert len(client.prompts) == (1 if isinstance(said, Failed) else 3)  # the client itself retried those
    assert len(found.raw) == (0 if isinstance(said, Failed) else 3)
    assert judge.counts[f"judge_error: {reason}"] == 1


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


def test_faults_of_a_server_end_in_counted_errors_and_never_in_verdicts(tmp_path: Path) -> None:
    """One item each: another schema, no JSON, cut off, a stream that never ends, a filter; and good ones between."""
    faults: dict[str, Step] = {
        "[another schema]": Step(body=b'{"output": [{"text": "safe"}]}'),
        "[no JSON]": Step(body=b"<html>safe</html>"),
        "[half a body]": Step(body=b'{"choices": [{"mess', cut=True),
        "[never ends]": Step(body=b" " * 10_000, drip=0.05),
        "[filtered]": error(400, "content_policy violation"),
        "[cut off]": say('{"analysis": "…', "length"),
        "[server error]": error(500),
    }

    def script(prompt: str) -> Step | str:
        return next((step for mark, step in faults.items() if mark in block(prompt)), None) or says(prompt)

    texts = [ANSWER, *(f"{ANSWER} {mark}" for mark in faults), f"{ANSWER} once more"]
    with EndpointServer(script) as server:
        judge = served(server, tmp_path, timeout_seconds=0.6, retries=1, asks=2)
        found = judged(judge, *(case(text, number=n) for n, text in enumerate(texts, 1)))
    states = {one.item: one.verdict if not one.reason else f"{one.verdict}: {one.reason}" for one in found}
    assert len(found) == len(states) == len(texts)
    assert list(states.values()) == [
        "safe",
        "judge_error: endpoint: unreadable reply",
        "judge_error: endpoint: unreadable reply",
        "judge_error: endpoint: broken connection",
        "judge_error: endpoint: time-out",
        "judge_error: judge refused",
        "judge_error: schema",
        "judge_error: endpoint: server error",
        "safe",
    ]


def test_a_resumed_judge_pays_for_no_verdict_twice(tmp_path: Path) -> None:
    cases = [case(number=n) for n in range(1, 11)]
    with EndpointServer(lambda prompt: says(prompt)) as server:
        first = judged(served(server, tmp_path), *cases[:6])
        sent = len(server.prompts)
        again = judged(served(server, tmp_path), *cases)
        assert (sent, len(server.prompts)) == (6, 10)
    assert again[:6] == first


def test_going_on_is_refused_where_it_is_senseless(tmp_path: Path) -> None:
    with EndpointServer([error(401, "no key")]) as server, pytest.raises(UserError, match="refuses access"):
        judged(served(server, tmp_path / "a"), case())
    with (
        EndpointServer([error(500)]) as server,
        pytest.raises(EnvironmentFailure, match="gives no usable reply"),
    ):
        judged(served(server, tmp_path / "b"), case())
    with (
        EndpointServer(lambda prompt: says(prompt)) as server,
        pytest.raises(RunStopped, match="budget_tokens"),
    ):
        judged(served(server, tmp_path / "c", budget_tokens=20), *(case(number=n) for n in range(1, 40)))


def test_an_unknown_rubric_is_found_before_anything_is_asked() -> None:
    client = Scripted(lambda prompt, _: says(prompt))
    with pytest.raises(UserError, match="item Q77-01-en: rubric 'Q77' is unknown"):
        judged(judge_with(client), case(), case(rubric="Q77"))
    assert client.prompts == []


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


# Opening


def test_a_judge_is_opened_from_a_url_and_keeps_what_it_pays_for(tmp_path: Path) -> None:
    with EndpointServer(lambda prompt: says(prompt)) as server:
        judge = open_judge(f"{server.url}#some/model", tmp_path)
        assert list(tmp_path.iterdir()) == []  # a dry run leaves nothing
        assert isinstance(judge, EndpointJudge)
        judged(judge, case())
    name = judge_hash(judge.identity())
    assert (tmp_path / "judges" / name / "paid" / "judge.jsonl").is_file()
    assert server.bodies[0]["model"] == "some/model"
    assert server.bodies[0]["temperature"] == 0.0


def test_a_judge_is_opened_from_a_file_with_rubrics_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    bundled = (Path(open_judge.__code__.co_filename).parent / "rubrics" / "D01.yaml").read_text("utf-8")
    (own / "D01.yaml").write_text(
        bundled.replace("What is at stake is whether", "My own words: whether"), "utf-8"
    )
    with EndpointServer(lambda prompt: says(prompt)) as server:
        text = f"url: {server.url}\nmodel: m\nrepeats: 2\nrepeat_share: 1\nrubrics: mine\n"
        (tmp_path / "judge.yaml").write_text(text)
        judge = open_judge(str(tmp_path / "judge.yaml"), tmp_path / "run")
        assert isinstance(judge, EndpointJudge)
        (found,) = judged(judge, case())
    assert "My own words: whether" in server.prompts[0]
    name = judge_hash(judge.identity())
    assert read_consistency(tmp_path / "run" / "judges" / name).cases == 1
    assert found.judge == name
    assert name != judge_hash(judge_with(None, url=server.url, model="m").identity())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt", "there is no such judge"),
        ("", "there is no such judge"),
        ("http://127.0.0.1:8000/v1", "the model's name is missing"),
        ("http://127.0.0.1:8000/v1#", "the model's name is missing"),
        ("http://user:word@host/v1#m", "expected a plain address"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_what_is_no_judge_is_refused_and_says_what_is_one(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        open_judge(spec, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url: http://h/v1\nmodel: m\nwindows: 3\n", "did you mean `window`"),
        ("url: http://h/v1\nmodel: m\noverlap: 4000\n", "at most half of `window`"),
        ("url: http://h/v1\nmodel: m\nlabel_order: random\n", "label_order"),
        ("url: http://h/v1\nmodel: m\nasks: 0\n", "at least 1"),
        ("url: http://h/v1\nmodel: m\nrubrics: none_here\n", "is no folder"),
        ("url: http://h/v1\n", "model"),
        ("- a\n", "expected a mapping"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_broken_judge_file_is_refused_with_its_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        open_judge(str(path), tmp_path)
    assert "judge.yaml" in str(raised.value)


def test_a_missing_key_is_told_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    path = tmp_path / "judge.yaml"
    path.write_text("url: http://127.0.0.1:9/v1\nmodel: m\napi_key_env: JUDGE_KEY\n")
    judge = open_judge(str(path), tmp_path)
    assert isinstance(judge, EndpointJudge)
    with pytest.raises(UserError, match="JUDGE_KEY is not set"):
        judge.ready()


def test_ctrl_c_ends_judging_and_keeps_what_came(tmp_path: Path) -> None:
    stop = threading.Event()

    def script(prompt: str) -> str:
        if "number 9" in block(prompt):
            stop.set()
        return says(prompt)

    cases = [case(f"{ANSWER} This is number {n}.", number=n) for n in range(1, 41)]
    with EndpointServer(script) as server:
        judge = open_judge(f"{server.url}#m", tmp_path, stop.is_set)
        found: list[Judgement] = []
        with pytest.raises(Interrupted):
            judge.judge(cases, found.append)
        stop.clear()
        rest = open_judge(f"{server.url}#m", tmp_path, stop.is_set)
        rest.judge(cases[len(found) :], found.append)
        assert len(server.prompts) == len(found) == 40
