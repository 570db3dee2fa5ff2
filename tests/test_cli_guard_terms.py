"""`aha guard terms`: test, lint and explain say what is wrong by file and sentence, and where a hit stands."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from ahalab.cli.main import app

LIST = """
category: made-up
severity: 3
en: [gnarf, gnarf the blorp]
zh: [某某词]
allow: [gnarf museum]
tests:
  flags: ["a gnarf", "说某某词"]
  passes: ["the gnarf museum"]
"""


def run(*arguments: str, given: str | None = None) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["guard", "terms", *arguments], input=given)
    return found.exit_code, found.output + (str(found.exception) if found.exception else "")


def made(folder: Path, content: str = LIST) -> str:
    path = folder / "list.yaml"
    path.write_text(content, "utf-8")
    return str(path)


def test_the_bundled_list_passes_test_and_lint() -> None:
    assert "pass their tests" in run("test")[1]
    assert run("lint") == (0, "no mistakes\n")


def test_test_counts_terms_and_names_the_list_by_its_hash(tmp_path: Path) -> None:
    code, output = run("test", "--terms", made(tmp_path))
    assert code == 0
    assert output.startswith("3 terms in 1 categories pass their tests; list ")


def test_test_names_file_and_sentence_of_what_fails(tmp_path: Path) -> None:
    code, output = run("test", "--terms", made(tmp_path, LIST.replace("a gnarf", "a teapot")))
    assert code != 0
    assert "list.yaml: tests.flags, sentence 1 hits no term of made-up" in output


def test_lint_names_doubles(tmp_path: Path) -> None:
    code, output = run("lint", "--terms", made(tmp_path, LIST.replace("[gnarf,", "[gnarf, ＧＮＡＲＦ,")))
    assert code != 0
    assert "'ＧＮＡＲＦ' is the same as 'gnarf' of list.yaml" in output


def test_explain_shows_place_category_and_readings_of_disguised_terms(tmp_path: Path) -> None:
    code, output = run("explain", "ein g.n.a.r.f und gn\U00016f40rf", "--terms", made(tmp_path))
    assert code == 0
    assert "4-13  g.n.a.r.f  =  gnarf  (made-up, severity 3, list.yaml; seen squeezed, leet)" in output
    assert "seen leet, mixed)" in output
    assert output.endswith("flagged\n")


def test_explain_reads_standard_input_and_says_when_nothing_is_found(tmp_path: Path) -> None:
    assert run("explain", "-", "--terms", made(tmp_path), given="the gnarf museum") == (0, "not flagged\n")


def test_explain_makes_control_characters_visible(tmp_path: Path) -> None:
    _, output = run("explain", "g\x1bnarf g\u200bnarf", "--terms", made(tmp_path))
    assert "\x1b" not in output
    assert "gnarf  (made-up" in output


def test_explain_reads_bytes_that_are_no_text(tmp_path: Path) -> None:
    place = made(tmp_path)
    found = CliRunner().invoke(
        app, ["guard", "terms", "explain", "-", "--terms", place], input=b"a gnarf \xff\xfe\0"
    )
    assert (found.exit_code, found.exception) == (0, None)
    assert found.output.endswith("flagged\n")
    assert "gnarf" in run("explain", "a gnarf \udcff\udcfe", "--terms", place)[1]


def test_explain_also_works_for_a_list_that_fails_its_own_tests(tmp_path: Path) -> None:
    place = made(tmp_path, LIST.replace("the gnarf museum", "a gnarf"))
    assert run("test", "--terms", place)[0] != 0
    assert run("explain", "a gnarf", "--terms", place)[0] == 0


def test_a_missing_folder_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    code, output = run("test", "--terms", str(tmp_path / "nowhere"))
    assert code != 0
    assert "no term files" in output
