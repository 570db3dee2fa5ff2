"""`aha safety translate` against a server on this machine: paid once, resumable, failures counted, checks applied."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ahalab.cli.safety import app
from ahalab.errors import Interrupted
from ahalab.safety import benchmarks
from ahalab.safety.languages.items import KEY, load_translated
from ahalab.safety.languages.plan import plan_translation, read_languages
from ahalab.safety.languages.translation import Translator
from ahalab.safety.protocols import Benchmark
from ahalab.safety.records import SafetyItem
from endpoint_server import EndpointServer, Step, endpoint_alone, say  # noqa: F401

SOURCE = "Which of these two old rivers is longer, and where does each of them begin?"
ITALIAN = "Quale di questi due vecchi fiumi è più lungo, e dove comincia ciascuno di essi?"
SWAHILI = "Ni mto upi kati ya mito hii miwili ya zamani ulio mrefu zaidi, na kila mmoja unaanzia wapi?"


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def item(number: int) -> SafetyItem:
        group, text = f"D{number % 3:02d}", f"{SOURCE} Number {number}."
        name = f"{group}-{number:02d}-en"
        return SafetyItem(name, "made", "en", group, text, cluster=f"q{number}", extra={"note": "n"})

    items = tuple(map(item, range(12)))
    made = Benchmark("made", items, "judge", "made", "0" * 64)
    monkeypatch.setattr(benchmarks, "load_benchmark", lambda *_: made)


def answer(prompt: str, text: str | None = None) -> Step:
    """A reply in form."""
    nonce = re.findall(r"=== translation (\w+) ===", prompt)[0]
    number = re.findall(r"Number (\d+)", prompt)[0]
    said = text if text is not None else f"{SWAHILI if 'Swahili' in prompt else ITALIAN} {number}."
    return say(f"=== translation {nonce} ===\n{said}\n=== end {nonce} ===")


def call(server: EndpointServer, output: Path, *more: str) -> Result:
    spec = f"{server.config().url}#fake"
    return CliRunner().invoke(
        app, ["translate", "--benchmark", "made", "--endpoint", spec, "--output", str(output), *more]
    )


def report(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.with_suffix(".report.json").read_text("utf-8"))
    return found


def test_questions_are_translated_once_and_never_paid_for_again(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    with EndpointServer(answer) as server:
        first = call(server, output, "--to", "it,sw:4")
        assert first.exit_code == 0, first.output
        assert len(server.prompts) == 16
        again = call(server, output, "--to", "it,sw:4")
        assert again.exit_code == 0
        assert len(server.prompts) == 16
        more = call(server, output, "--to", "it,sw:6")
        assert more.exit_code == 0
        assert len(server.prompts) == 18
    found = load_translated(output)
    assert sum(item.language == "sw" for item in found.items) == 6
    item = next(one for one in found.items if one.id == "D00-03-it")
    assert (item.cluster, item.group, item.extra["note"], item.extra[KEY]["of"]) == (
        "q3",
        "D00",
        "n",
        "D00-03-en",
    )
    assert "6 of 12" in more.output
    assert SOURCE not in more.output
    assert ITALIAN not in more.output


def test_the_question_is_data_between_marked_lines(tmp_path: Path) -> None:
    with EndpointServer(answer) as server:
        call(server, tmp_path / "x.jsonl", "--to", "it")
    nonces = set()
    for prompt in server.prompts:
        (nonce,) = set(re.findall(r"\[begin text (\w+)\]", prompt))
        assert re.search(
            rf"\[begin text {nonce}\]\n{re.escape(SOURCE)} Number \d+\.\n\[end text {nonce}\]", prompt
        )
        nonces.add(nonce)
    assert len(nonces) == 12
    assert {body["temperature"] for body in server.bodies} == {0.0}


def test_what_is_no_translation_is_left_out_and_counted_by_reason(tmp_path: Path) -> None:
    def script(prompt: str) -> Step:
        number = int(re.findall(r"Number (\d+)", prompt)[0])
        if number == 0:
            return say("I'm sorry, I can't help with that.")
        if number == 1:
            return answer(prompt, "I cannot translate this text, sorry about that.")
        if number == 2:
            return answer(prompt, f"{SOURCE} Number 2.")
        if number == 3:
            return answer(prompt, "Fiume?")
        if number == 4:
            return say("A translation without its marks")
        if number == 5:
            return answer(prompt, " ")
        if number == 6:
            return Step(400, b'{"error": {"message": "content filter"}}')
        return answer(prompt)

    output = tmp_path / "x.jsonl"
    with EndpointServer(script) as server:
        shown = call(server, output, "--to", "it")
    assert shown.exit_code == 0, shown.output
    (row,) = report(output)["languages"]
    assert row["left_out"] == {
        "translator refused": 2, "same as the source": 1, "too short": 1, "reply not in form": 1, "empty": 1,
        "endpoint: refused: content": 1,
    }  # fmt: skip
    assert (row["wanted"], row["passed"], row["items"]) == (12, 5, 5)
    assert len(report(output)["left_out"]) == 7
    assert "left out: 2 translator refused" in shown.output
    # Unreadable replies are asked for three times, each time with another mark.
    assert len(server.prompts) == 12 + 2 * 2


def test_a_dry_run_sends_nothing_and_tells_the_calls(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    with EndpointServer(answer) as server:
        shown = call(server, output, "--to", "it,sw", "--sample", "5", "--dry-run")
        assert "10 translations, 0 replies are kept already: 10 calls" in shown.output
        assert not server.prompts
        assert list(tmp_path.iterdir()) == []
        call(server, output, "--to", "it", "--sample", "5")
        shown = call(server, output, "--to", "it,sw", "--sample", "5", "--dry-run", "--json")
        assert json.loads(shown.output) == {"calls": 5, "kept": 5, "languages": ["it", "sw"]}


def test_a_budget_stops_and_a_higher_one_goes_on_without_paying_twice(tmp_path: Path) -> None:
    output, config = tmp_path / "x.jsonl", tmp_path / "e.yaml"
    with EndpointServer(answer) as server:
        for budget in (30, 1000):
            config.write_text(
                f"url: {server.config().url}\nmodel: fake\nparallel: 1\nbudget_tokens: {budget}\n"
            )
            arguments = ["translate", "--benchmark", "made", "--to", "it", "--endpoint", str(config)]
            result = CliRunner().invoke(app, [*arguments, "--output", str(output)])
            if budget == 30:
                assert "budget_tokens" in str(result.exception)
                assert 0 < len(server.prompts) < 12
                assert not output.exists()
    assert len(server.prompts) == 12
    assert len(load_translated(output).items) == 12


def test_a_persons_checks_are_applied_reported_and_kept(tmp_path: Path) -> None:
    output, filled = tmp_path / "x.jsonl", tmp_path / "mine.csv"
    with EndpointServer(answer) as server:
        call(server, output, "--to", "it", "--check", "5")
        with (tmp_path / "x.check.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 5
        assert all(row["source"].startswith(SOURCE) for row in rows)
        rows[0].update(verdict="ok", checker="a")
        rows[1].update(verdict="fix", fixed="Quale fiume è più lungo?", checker="a")
        rows[2].update(verdict="drop", checker="b")
        with filled.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        sent = len(server.prompts)
        shown = CliRunner().invoke(app, ["translate", "--output", str(output), "--checked", str(filled)])
        assert shown.exit_code == 0, shown.output
        assert "2 of 3 wrong, 66.7 % (20.8 … 93.9)" in shown.output
        items = {item.id: item for item in load_translated(output).items}
        assert rows[2]["id"] not in items
        assert items[rows[1]["id"]].prompt == "Quale fiume è più lungo?"
        assert items[rows[0]["id"]].extra[KEY]["checked"] == "ok"
        # Applied twice, and the translation run again: the checks hold.
        CliRunner().invoke(app, ["translate", "--output", str(output), "--checked", str(filled)])
        call(server, output, "--to", "it", "--check", "5")
        assert len(server.prompts) == sent
    found = report(output)
    assert (found["items"], found["checkers"]) == (11, 2)
    assert found["languages"][0]["check"]["share_checked"] == pytest.approx(3 / 12)
    assert len(load_translated(output).items) == 11


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output", "x.jsonl"], "--benchmark safety-1120"),
        (["--output", "x.csv"], "ends in .jsonl"),
        (["--output", "no/x.jsonl"], "is missing; make it first"),
        (["--output", "x.jsonl", "--checked", "y.csv"], "x.machine.jsonl is missing"),
        (["--output", "x.jsonl", "--benchmark", "made", "--to", "it"], "--endpoint URL#MODEL"),
        (
            ["--output", "x.jsonl", "--benchmark", "made", "--to", "ita", "--endpoint", "http://a/v1#m"],
            "ISO 639",
        ),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["translate", *arguments])
    assert told in f"{result.exception}"
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_request_that_failed_is_asked_again_by_the_next_run_and_nothing_else_is(tmp_path: Path) -> None:
    output, well = tmp_path / "x.jsonl", False

    def script(prompt: str) -> Step:
        bad = "Number 5" in prompt and not well
        return Step(400, b'{"error": {"message": "context length exceeded"}}') if bad else answer(prompt)

    with EndpointServer(script) as server:
        call(server, output, "--to", "it")
        assert report(output)["left_out"] == [["D02-05-it", "endpoint: refused: too long"]]
        well = True
        sent = len(server.prompts)
        call(server, output, "--to", "it")
        assert len(server.prompts) == sent + 1
    assert report(output)["left_out"] == []
    assert len(load_translated(output).items) == 12


def test_a_stop_keeps_what_was_paid_for(tmp_path: Path) -> None:
    made = benchmarks.load_benchmark("made")
    plan = plan_translation(made, read_languages("it", None))
    with EndpointServer(answer) as server:
        config = server.config(parallel=1)
        with pytest.raises(Interrupted):
            Translator(plan, config, tmp_path / "paid", lambda: len(server.prompts) >= 4).run()
        assert 4 <= len(server.prompts) < 12
        found = Translator(plan, config, tmp_path / "paid").run()
        assert len(server.prompts) == 12
    assert [one.wanted for one in found.done] == list(plan.wanted)
    assert not any(one.problem for one in found.done)
