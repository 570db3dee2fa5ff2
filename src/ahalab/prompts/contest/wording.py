"""The fixed words around a code problem, in English and Chinese: limits, and how to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ahalab.prompts.contest.options import ProgrammingLanguage
from ahalab.prompts.contest.problem import BugFix, Fix, Problem, Solution
from ahalab.sandbox.records import ProgramLanguage

FENCE_TAGS: dict[ProgramLanguage, str] = {"python": "python", "cpp": "cpp"}
_NAMES: dict[ProgrammingLanguage, tuple[str, str]] = {
    "python": ("Python 3", "Python 3"),
    "cpp": ("C++17", "C++17"),
    "any": ("Python 3 or C++17", "Python 3 或 C++17"),
}

_LIMITS = {
    "en": "Limits for each test: {seconds} s, {megabytes} MB.",
    "zh": "每个测试点的限制：{seconds} 秒，{megabytes} MB。",
}
_PROGRAM = {
    "en": "Write a program in {language} that reads standard input and writes the answer to standard output. "
    "Give the whole program in one fenced code block.",
    "zh": "请用 {language} 编写程序，从标准输入读取数据，将答案写到标准输出。请在一个代码块中给出完整的程序。",
}
_FUNCTION = {
    "en": "Write {what} in {language}:\n\n{signature}\n\n"
    "Give the whole code in one fenced code block. Do not read input or print anything.",
    "zh": "请用 {language} 编写{what}：\n\n{signature}\n\n"
    "请在一个代码块中给出完整的代码。不要读取输入，也不要打印任何内容。",
}
_WHAT = {
    "en": ("the function `{function}`", "the method `{function}` of the class `{class_name}`"),
    "zh": ("函数 `{function}`", "类 `{class_name}` 的方法 `{function}`"),
}
_BUG = {
    "en": ("An issue was reported:", "The source:", "These unit tests must pass:"),
    "zh": ("收到如下问题报告：", "源代码：", "下列单元测试必须通过："),
}
_FIX = {
    "en": "Fix it. Answer with one unified diff in a fenced block marked `diff`, or with the whole new text of every "
    "file you change, each in a fenced block of its own with its path on the line above. Do not change the tests.",
    "zh": "请修复这个问题。请用一个标记为 `diff` 的代码块给出统一格式的补丁；或者给出每个改动文件的完整新内容，每个文件"
    "放在单独的代码块中，并在代码块上一行写出其路径。不要修改测试。",
}


def spoken(language: str) -> str:
    """The language of the fixed words for a question in `language`: Chinese for Chinese, English for all others."""
    return "zh" if language == "zh" else "en"


def text_in(texts: Mapping[str, str], language: str) -> str | None:
    """The text in a language, or the one that says no language; None where there is neither."""
    return texts.get(language, texts.get(""))


def contest_question(
    problem: Problem, statement: str, language: str, programming: ProgrammingLanguage
) -> str:
    """A contest problem as it is asked: the statement, the limits, how to answer."""
    words = spoken(language)
    limits = _LIMITS[words].format(seconds=f"{problem.cpu_seconds:g}", megabytes=problem.memory_megabytes)
    name = _NAMES[programming if problem.function is None else "python"][words == "zh"]
    if problem.function is None:
        return f"{statement}\n\n{limits}\n\n{_PROGRAM[words].format(language=name)}"
    what = _WHAT[words][problem.class_name is not None]
    what = what.format(function=problem.function, class_name=problem.class_name)
    signature = fenced((problem.signature or f"def {problem.function}(...):").strip("\n"), "python")
    asked = _FUNCTION[words].format(what=what, language=name, signature=signature)
    return f"{statement}\n\n{limits}\n\n{asked}"


def bug_question(bug: BugFix, statement: str, language: str, show_tests: bool) -> str:
    """A bug as it is asked: the issue, the files, the tests (where they are shown), how to answer."""
    words = spoken(language)
    issue, source, tests = _BUG[words]
    parts = [issue, statement, source, *(with_path(path, text) for path, text in bug.files.items())]
    if show_tests:
        parts += [tests, *(with_path(path, text) for path, text in bug.tests.items())]
    return "\n\n".join([*parts, _FIX[words]])


def headed(title: str | None, statement: str) -> str:
    """A statement under its title."""
    return f"# {title}\n\n{statement}" if title else statement


def solution_answer(solution: Solution) -> str:
    """A reference solution as an answer that the verifier "code" reads."""
    return fenced(solution.source.strip("\n"), FENCE_TAGS[solution.language])


def fix_answer(fix: Fix) -> str:
    """A reference solution of a bug as an answer that the verifier "patch" reads."""
    if fix.patch is not None:
        return fenced(fix.patch.strip("\n"), "diff")
    return "\n\n".join(with_path(path, text) for path, text in fix.files.items())


def with_path(path: str, text: str) -> str:
    """A file: its path on a line, its text in a fenced block."""
    return f"{path}\n{fenced(text.rstrip(chr(10)), 'python' if path.endswith('.py') else '')}"


def fenced(text: str, tag: str) -> str:
    """`text` in a fence longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`{3,}", text)), default=0))
    return f"{fence}{tag}\n{text}\n{fence}"
