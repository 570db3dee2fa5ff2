"""Which part of an answer is its program: the last complete code block, whatever is written around it."""

from __future__ import annotations

import time

import pytest

from ahalab.grading.code.extraction import ANSWER_LIMIT, Submission, fenced_blocks, find_program


def found(answer: str, language: str | None = None) -> tuple[str, str] | None:
    program = find_program(answer, language)  # type: ignore[arg-type]
    return None if program is None else (program.language, program.source.strip())


def test_the_last_complete_block_counts() -> None:
    answer = "```python\nprint(1)\n```\nNo, better:\n```python\nprint(2)\n```\nDone."
    assert found(answer) == ("python", "print(2)")


@pytest.mark.parametrize(
    "tag", ["python", "py", "python3", "Python", "PYTHON", "{.python}", "python title=x"]
)
def test_python_is_tagged_in_many_ways(tag: str) -> None:
    assert found(f"```{tag}\nprint(1)\n```") == ("python", "print(1)")


@pytest.mark.parametrize("tag", ["cpp", "c++", "C++", "cc", "c++17"])
def test_cpp_is_tagged_in_many_ways(tag: str) -> None:
    assert found(f"```{tag}\nint main() {{}}\n```") == ("cpp", "int main() {}")


def test_the_fence_decides_the_language_and_else_the_prompt() -> None:
    assert found("```python\nx = 1\n```", "cpp") == ("python", "x = 1")
    assert found("```\nint main() {}\n```", "cpp") == ("cpp", "int main() {}")
    assert found("```\nx = 1\n```") == ("python", "x = 1")


def test_a_tagged_block_goes_before_a_later_untagged_one_and_other_tags_are_no_programs() -> None:
    answer = "```python\nprint(1)\n```\nIt prints:\n```\n1\n```\n```text\n1\n```\n```bash\npython a.py\n```"
    assert found(answer) == ("python", "print(1)")
    assert found("```text\nprint(1)\n```") is None
    assert found("```json\n{}\n```") is None


def test_tildes_and_longer_fences_hold_shorter_ones() -> None:
    assert found("~~~python\nx = '```'\n~~~") == ("python", "x = '```'")
    assert found("````python\ntext = '''\n```\n'''\n````") == ("python", "text = '''\n```\n'''")
    assert found("~~~python\nprint(1)\n```\n~~~") == ("python", "print(1)\n```")


def test_a_block_that_is_never_closed_is_left_out_where_another_is_whole() -> None:
    assert found("```python\nprint(1)\n```\n```python\nprint(2") == ("python", "print(1)")
    assert found("```python\nprint(1\n\nSorry, again:\n```python\nprint(2)\n```") == ("python", "print(2)")


def test_a_single_block_that_is_never_closed_counts_where_it_is_python() -> None:
    assert found("Sure:\n```python\nprint(1)\n") == ("python", "print(1)")
    assert found("Sure:\n```python\nprint(1\n") is None
    assert found("Sure:\n```cpp\nint main() {}\n") is None


def test_a_block_nested_in_a_docstring_does_not_end_the_program() -> None:
    source = 'def f():\n    """Use:\n\n```python\nf()\n```\n"""\n    return 1'
    assert found(f"```python\n{source}\n```") == ("python", source)


def test_an_indented_block_loses_its_indentation() -> None:
    assert found("1. First:\n   ```python\n   for x in y:\n       print(x)\n   ```") == (
        "python",
        "for x in y:\n    print(x)",
    )


def test_plain_text_counts_where_it_is_python_and_nothing_else_was_wanted() -> None:
    assert found("n = int(input())\nprint(n * 2)") == ("python", "n = int(input())\nprint(n * 2)")
    assert found("The answer is to print n times two.") is None
    assert found("n = int(input())", "cpp") is None
    assert found("") is None
    assert found("# only a comment") is None


def test_windows_line_ends_and_half_surrogates_do_no_harm() -> None:
    assert found("```python\r\nprint(1)\r\n```\r\n") == ("python", "print(1)")
    program = find_program("```python\nx = '\ud800'\n```", None)
    assert program is not None
    program.source.encode()


def test_blank_blocks_are_none() -> None:
    assert found("```python\n\n```") is None
    assert found("```python\nprint(1)\n```\n```python\n```") == ("python", "print(1)")


def test_an_endless_answer_is_not_read() -> None:
    assert find_program("```python\nx = 1\n```" + " " * ANSWER_LIMIT, None) is None


@pytest.mark.parametrize(
    "text",
    [
        "`" * 90_000,
        "```python\n" * 9_000,
        "```python\nx\n" * 7_000,
        " " * 99_000 + "`",
        "~~~\n```\n" * 12_000,
        "(" * 99_000,
    ],
)
def test_hostile_answers_are_read_in_linear_time(text: str) -> None:
    began = time.process_time()
    find_program(text, None)
    assert time.process_time() - began < 2.0


def test_a_block_knows_what_stands_before_it() -> None:
    blocks = list(fenced_blocks("**a.py**\n\n```python\n1\n```\n```\n2\n```\nFile: b.py\n```py b\n3"))
    assert [(one.head, one.tag, one.text, one.complete) for one in blocks] == [
        ("**a.py**", "python", "1\n", True),
        ("", "", "2\n", True),
        ("File: b.py", "py", "3\n", False),
    ]


def test_a_submission_is_plain_data() -> None:
    assert find_program("```cpp\nint x;\n```", None) == Submission("cpp", "int x;\n")


def test_a_function_that_is_asked_for_may_stand_in_prose() -> None:
    said = "依次做加3、乘2，得到函数：def f(x): return (x+3)*2。"
    assert find_program(said, "python", function="f") == Submission("python", "def f(x): return (x+3)*2\n")
    two = "First def f(x): return 1. Better def f(x): return x-4\nThat is all, my friend."
    assert find_program(two, "python", function="f") == Submission("python", "def f(x): return x-4\n")
    assert find_program(said, "python") is None
    assert find_program("def g(x): return 1, I think so", "python", function="f") is None
