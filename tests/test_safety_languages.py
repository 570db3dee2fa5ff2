"""Translations: planned by a seed, read strictly, checked by rules and by a person, loaded as a benchmark."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from ahalab.errors import UserError
from ahalab.safety.benchmarks import load_benchmark
from ahalab.safety.languages.checks import can_identify, check_translation, is_refusal
from ahalab.safety.languages.human import apply_checks, draw, read_checks, write_check_file
from ahalab.safety.languages.items import KEY, item_of, load_translated, write_items
from ahalab.safety.languages.plan import Into, Wanted, plan_translation, read_languages
from ahalab.safety.languages.translation import Translated, load_prompt, read_endpoint, read_reply
from ahalab.safety.protocols import Benchmark, Scorer
from ahalab.safety.records import SafetyItem
from ahalab.teachers.protocol import Failure

MULTIJAIL = Path(__file__).parents[1] / "../shared/data/safety/multijail.csv"
SOURCE = "Which of these two old rivers is longer, and where does each of them begin?"
ITALIAN = "Quale di questi due vecchi fiumi è più lungo, e dove comincia ciascuno di essi?"


def benchmark(groups: int = 4, of_each: int = 5, scorer: Scorer = "judge") -> Benchmark:
    items = [
        SafetyItem(f"G{group:02d}-{number:02d}-{language}", "made", language, f"G{group:02d}", f"{SOURCE} {number}",
                   cluster=f"G{group:02d}-{number:02d}")
        for group in range(groups)
        for number in range(of_each)
        for language in ("zh", "en")
    ]  # fmt: skip
    return Benchmark("made", tuple(items), scorer, "made", "0" * 64)


def translated(count: int, language: str = "it") -> list[SafetyItem]:
    source = [SafetyItem(f"D01-{number:02d}-en", "made", "en", "D01", SOURCE) for number in range(count)]
    return [
        item_of(Translated(Wanted(one, language), f"{ITALIAN} {number}"), "judge", {"model": "m"}, "f" * 64)
        for number, one in enumerate(source)
    ]


def test_languages_are_read_with_their_own_samples() -> None:
    assert read_languages("it, sw:40,jv", 100) == (Into("it", 100), Into("sw", 40), Into("jv", 100))
    for text, told in (
        ("", "expected codes"),
        ("it,it", "twice"),
        ("Italian", "'it'"),
        ("sw:0", "sw:40"),
        ("sw:x", "sw:40"),
    ):
        with pytest.raises(UserError, match=told):
            read_languages(text, None)


def test_a_sample_takes_from_every_group_and_is_part_of_a_larger_one() -> None:
    plan = plan_translation(benchmark(), [Into("it"), Into("sw", 8), Into("jv", 4)])
    assert plan.source == "en"
    assert plan.questions == 20
    assert [len(plan.of_language(code)) for code in ("it", "sw", "jv")] == [20, 8, 4]
    assert Counter(one.item.group for one in plan.of_language("sw")) == {
        f"G{group:02d}": 2 for group in range(4)
    }
    sets = [{one.item.id for one in plan.of_language(code)} for code in ("jv", "sw", "it")]
    assert sets[0] < sets[1] < sets[2]
    other = plan_translation(benchmark(), [Into("sw", 8)], seed=1)
    assert {one.item.id for one in other.wanted} != sets[1]


def test_the_source_can_be_chosen_and_must_be_there() -> None:
    assert plan_translation(benchmark(), [Into("it")], "zh").wanted[0].item.language == "zh"
    with pytest.raises(UserError, match="no item in German"):
        plan_translation(benchmark(), [Into("it")], "de")
    with pytest.raises(UserError, match="language of the source"):
        plan_translation(benchmark(), [Into("en")])
    with pytest.raises(UserError, match="answer options"):
        plan_translation(benchmark(scorer="bbq"), [Into("it")])


def test_the_new_id_has_the_new_language_and_no_two_are_alike() -> None:
    assert Wanted(SafetyItem("D03-07-en", "x", "en", "", "?"), "it").id == "D03-07-it"
    assert Wanted(SafetyItem("q7", "x", "en", "", "?"), "it").id == "q7-it"
    items = tuple(SafetyItem(name, "x", "en", "", "?") for name in ("q7", "q7-en"))
    with pytest.raises(UserError, match="'q7-it'"):
        plan_translation(Benchmark("x", items, "judge", "", ""), [Into("it")])


def test_only_a_reply_in_form_is_a_translation() -> None:
    head, tail = "=== translation abcd1234 ===", "=== end abcd1234 ==="
    assert read_reply(f"{head}\nCiao,\nmondo\n{tail}\n", "abcd1234") == "Ciao,\nmondo"
    bad = [
        "Ciao", f"Sure!\n{head}\nCiao\n{tail}", f"{head}\nCiao\n{tail}\nNote: done", f"{head}\nCiao",
        f"{tail}\nCiao\n{head}",
        f"{head}\nCiao\n{tail}\n{head}\nCiao\n{tail}", f"{head}\nabcd1234\n{tail}",
        f"{head.replace('abcd1234', 'ffffffff')}\nCiao\n{tail.replace('abcd1234', 'ffffffff')}", "",
    ]  # fmt: skip
    for reply in bad:
        found = read_reply(reply, "abcd1234")
        assert isinstance(found, Failure), reply
        assert found.reason == "reply not in form"
    refused = read_reply("I'm sorry, but I can't help with that.", "abcd1234")
    assert isinstance(refused, Failure)
    assert refused.reason == "translator refused"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ITALIAN, ""),
        ("", "empty"),
        ("?! …", "empty"),
        ("I cannot translate this text.", "translator refused"),
        ("抱歉，我无法翻译这段文字。", "translator refused"),
        (SOURCE.upper(), "same as the source"),
        ("Fiume?", "too short"),
        (f"{ITALIAN} " * 6, "too long"),
    ],
)
def test_rules_find_what_is_no_translation(text: str, problem: str) -> None:
    assert check_translation(SOURCE, text, "it", identify=False).problem == problem


def test_a_question_that_begins_as_a_refusal_may_be_translated_as_one() -> None:
    source = "I'm sorry to ask, but which of these two rivers is longer?"
    assert (
        check_translation(source, "Sorry, welcher dieser zwei Flüsse ist länger, bitte?", "de", False).problem
        == ""
    )
    assert not is_refusal("Mi scusi, quale fiume è più lungo?")


def test_a_translation_into_another_language_is_found() -> None:
    if not can_identify("it"):
        pytest.skip("the extra `languages` is not installed")
    german = "Welcher dieser beiden alten Flüsse ist länger, und wo beginnt jeder von ihnen?"
    assert check_translation(SOURCE, ITALIAN, "it").share == pytest.approx(1.0)
    assert check_translation(SOURCE, german, "it").problem == "other language"
    assert check_translation(SOURCE, SOURCE.replace("old", "very old"), "it").problem == "other language"


def test_a_language_the_identifier_does_not_know_is_not_judged_by_it() -> None:
    assert not can_identify("jv")
    checked = check_translation(SOURCE, ITALIAN, "jv")
    assert (checked.problem, checked.share) == ("", None)


def test_the_rules_let_human_translations_through() -> None:
    """2,835 of MultiJail, nine languages."""
    if not MULTIJAIL.is_file():
        pytest.skip("shared/data/safety/multijail.csv is not there")
    with MULTIJAIL.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    refused: Counter[str] = Counter()
    for language in ("zh", "it", "vi", "ar", "ko", "th", "bn", "sw", "jv"):
        identify = can_identify(language)
        for row in rows:
            found = check_translation(row["en"], row[language], language, identify)
            refused[found.problem] += bool(found.problem)
    assert sum(refused.values()) <= 4, refused


def test_a_person_is_shown_so_many_of_each_language_the_same_ones() -> None:
    items = [*translated(30), *translated(30, "sw")]
    drawn = draw(items, 7, seed=0)
    assert Counter(item.language for item in drawn) == {"it": 7, "sw": 7}
    assert draw(items[::-1], 7, seed=0) != draw(items, 7, seed=1)
    assert {item.id for item in draw(items[::-1], 7, seed=0)} == {item.id for item in drawn}


def fill(path: Path, verdicts: dict[int, tuple[str, str]], checker: str = "a") -> None:
    """Row number → (verdict, corrected text)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    for number, (verdict, fixed) in verdicts.items():
        rows[number][5:] = [verdict, fixed, checker]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


def test_checks_come_back_and_give_the_error_rate(tmp_path: Path) -> None:
    items, path = translated(12), tmp_path / "x.check.csv"
    assert write_check_file(path, draw(items, 5, 0), {"D01-00-en": SOURCE})
    fill(path, {1: ("ok", ""), 2: ("FIX", "Quale fiume?"), 3: ("drop", ""), 4: ("ok", "")})
    checks = read_checks(path)
    assert len(checks) == 4
    done, rates = apply_checks(items, checks, "x")
    assert len(done) == 11
    texts = {item.extra[KEY]["checked"]: item.prompt for item in done}
    assert texts["fix"] == "Quale fiume?"
    told = rates["it"].as_dict()
    assert (told["translations"], told["checked"], told["ok"], told["fixed"], told["dropped"]) == (
        12,
        4,
        2,
        1,
        1,
    )
    assert told["share_checked"] == pytest.approx(4 / 12)
    assert told["error_rate"]["value"] == pytest.approx(0.5)
    # Wilson's interval of 2 of 4.
    assert told["error_rate"]["low"] == pytest.approx(0.150, abs=0.001)
    assert told["error_rate"]["high"] == pytest.approx(0.850, abs=0.001)


def test_a_file_that_somebody_has_begun_to_fill_is_not_written_over(tmp_path: Path) -> None:
    items, path = translated(5), tmp_path / "x.check.csv"
    assert write_check_file(path, items, {})
    assert write_check_file(path, items[:3], {})
    fill(path, {1: ("ok", "")})
    before = path.read_bytes()
    assert not write_check_file(path, items, {})
    assert path.read_bytes() == before


def test_a_text_is_never_a_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    (item,) = translated(1)
    from dataclasses import replace

    write_check_file(tmp_path / "x.csv", [replace(item, prompt="=1+1"), replace(item, prompt="@x")], {})
    cells = [row[4] for row in csv.reader((tmp_path / "x.csv").open(encoding="utf-8-sig"))]
    assert cells[1:] == ["'=1+1", "'@x"]


@pytest.mark.parametrize(
    ("verdicts", "checker", "told"),
    [
        ({1: ("good", "")}, "a", "row 2, `verdict`: 'good'"),
        ({2: ("fix", "")}, "a", "row 3, `fixed`: the corrected text is missing"),
        ({1: ("ok", "text")}, "a", "the verdict is ok"),
        ({1: ("ok", "")}, " ", "`checker`"),
    ],
)
def test_a_wrong_check_is_named_with_its_row(
    tmp_path: Path, verdicts: dict[int, tuple[str, str]], checker: str, told: str
) -> None:
    write_check_file(tmp_path / "x.csv", translated(3), {})
    fill(tmp_path / "x.csv", verdicts, checker)
    with pytest.raises(UserError, match=told):
        read_checks(tmp_path / "x.csv")


def test_a_file_of_checks_in_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for content, told in (
        (b"id,language\nx,it\n", "column 'hash' is missing"),
        ("id,language,hash,verdict,fixed,checker\nx,it,y,ok,\u00e9,a\n".encode("latin-1"), "not UTF-8"),
        (b"id,language,hash,verdict,fixed,checker\nx,it,y,ok,,a\nx,it,y,ok,,a\n", "'x' is there twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=told):
            read_checks(path)
    path.write_bytes(b"id;language;hash;verdict;fixed;checker\r\nx;it;y;ok;;a\r\n")
    assert read_checks(path)[0].id == "x"  # as a spreadsheet saves it where the comma is the decimal sign


def test_checks_of_other_translations_are_refused(tmp_path: Path) -> None:
    items, path = translated(3), tmp_path / "x.csv"
    write_check_file(path, items, {})
    fill(path, {1: ("ok", "")})
    checks = read_checks(path)
    from dataclasses import replace

    with pytest.raises(UserError, match="another text now"):
        apply_checks([replace(item, prompt="Altro testo") for item in items], checks, "x")
    with pytest.raises(UserError, match="not among the translations"):
        apply_checks(items[1:], checks, "x")


def test_a_translated_set_loads_as_a_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_items(path, [*translated(3), *translated(2, "sw")])
    found = load_translated(path)
    assert (found.name, len(found.items), found.scorer) == ("made-translated", 5, "judge")
    assert found.items[0].cluster == "D01-00-en"
    assert found.items[0].extra[KEY]["of"] == "D01-00-en"
    assert [item.language for item in load_translated(path, ["sw"]).items] == ["sw", "sw"]
    with pytest.raises(UserError, match="nothing in 'de'"):
        load_translated(path, ["de"])


def test_a_row_that_is_no_translation_is_named(tmp_path: Path) -> None:
    from dataclasses import replace

    (item,) = translated(1)
    for items, told in (
        ([item, item], "row 2: the id 'D01-00-it' is there twice"),
        ([replace(item, language="xx")], "row 1, `language`: 'xx'"),
        ([replace(item, extra={})], "row 1: no translated item"),
        ([replace(item, prompt=" ")], "row 1: `prompt`"),
        ([], "no item in it"),
    ):
        write_items(tmp_path / "x.jsonl", items)
        with pytest.raises(UserError, match=told):
            load_translated(tmp_path / "x.jsonl")


def test_a_prompt_file_needs_its_slots(tmp_path: Path) -> None:
    assert len(load_prompt().sha256) == 64
    (tmp_path / "p.txt").write_text("$text $nonce $target_language")
    with pytest.raises(UserError, match=r"wrong: \$source_language"):
        load_prompt(tmp_path / "p.txt")


def test_an_endpoint_is_an_address_with_a_model_or_a_file(tmp_path: Path) -> None:
    assert read_endpoint("http://127.0.0.1:8000/v1#m").model == "m"
    (tmp_path / "e.yaml").write_text("url: http://127.0.0.1:8000/v1\nmodel: m\nmax_tokens: 99\n")
    assert read_endpoint(str(tmp_path / "e.yaml")).max_tokens == 99
    for spec, told in (
        ("http://127.0.0.1:8000/v1", "model's name"),
        ("m", "no such endpoint"),
        ("x.yaml", "cannot be read"),
    ):
        with pytest.raises(UserError, match=told):
            read_endpoint(spec)


def test_the_file_is_a_benchmark_by_its_path_with_languages_and_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_items(path, [*translated(8), *translated(4, "sw")])
    assert len(load_benchmark(str(path)).items) == 12
    assert {item.language for item in load_benchmark(str(path), languages=["sw"]).items} == {"sw"}
    few = load_benchmark(str(path), limit=6)
    assert len(few.items) == 6
    assert few.options["limit"] == 6
    assert few.sha256 != load_benchmark(str(path)).sha256
