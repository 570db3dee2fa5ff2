"""Small rows in the layouts of real code data sets, made for the tests: the problems are ours."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

from ahalab.prompts import build_source, validate_prompts
from ahalab.prompts.table import TableSource

SUM = "print(sum(map(int, input().split())))"

APPS: dict[str, Any] = {
    "problem_id": 7,
    "question": "Two numbers are given. Print their sum.",
    "solutions": json.dumps([SUM, "a, b = map(int, input().split())\nprint(a + b)"]),
    "input_output": json.dumps({"inputs": ["1 2\n", "-5 5\n"], "outputs": ["3\n", "0\n"]}),
    "difficulty": "interview",
    "url": "https://example.org/7",
    "starter_code": "",
}

APPS_CALL: dict[str, Any] = {
    "problem_id": 8,
    "question": "Return the sum of a and b.",
    "solutions": json.dumps(["class Solution:\n    def add(self, a, b):\n        return a + b"]),
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [0, 0]], "outputs": [[3], [0]]}),
    "difficulty": "introductory",
    "url": "https://example.org/8",
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
}

TACO: dict[str, Any] = {
    "question": "Print the larger of two numbers.",
    "solutions": json.dumps(["print(max(map(int, input().split())))"]),
    "starter_code": "",
    "input_output": json.dumps({"inputs": [["1 2"], ["9 3"]], "outputs": [["2"], ["9"]]}),
    "difficulty": "MEDIUM_HARD",
    "raw_tags": "['implementation']",
    "name": "larger",
    "source": "codeforces",
    "tags": "['Implementation']",
    "skill_types": "[]",
    "url": "https://example.org/larger",
    "Expected Auxiliary Space": None,
    "time_limit": "1.5 seconds",
    "date": "2020-01-01",
    "picture_num": None,
    "memory_limit": "512.0 megabytes",
    "Expected Time Complexity": None,
}

_PUBLIC = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
_HIDDEN = [
    {"input": "4 5\n", "output": "9\n", "testtype": "stdin"},
    {"input": "-1 1\n", "output": "0", "testtype": "stdin"},
]


def packed(value: Any, protocol: int = 4) -> str:
    """As LiveCodeBench packs its hidden tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


LIVECODEBENCH: dict[str, Any] = {
    "question_title": "Sum",
    "question_content": "Two numbers are given. Print their sum.",
    "platform": "atcoder",
    "question_id": "abc999_a",
    "contest_id": "abc999",
    "contest_date": "2024-01-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps(_PUBLIC),
    "private_test_cases": packed(json.dumps(_HIDDEN)),
    "metadata": "{}",
}

LIVECODEBENCH_CALL: dict[str, Any] = {
    **LIVECODEBENCH,
    "question_id": "2999",
    "platform": "leetcode",
    "starter_code": "class Solution:\n    def add(self, a: int, bs: List[int]) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1\n[2, 3]", "output": "6", "testtype": "functional"}]),
    "private_test_cases": json.dumps([{"input": "0\n[]", "output": "0", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "add"}),
}

CODEFORCES: dict[str, Any] = {
    "id": "9999/A",
    "aliases": None,
    "contest_id": "9999",
    "contest_name": "A round of ours",
    "index": "A",
    "time_limit": 2.0,
    "memory_limit": 256.0,
    "title": "Some Sum",
    "description": "Two numbers are given.",
    "input_format": "One line with a and b.",
    "output_format": "Print a + b.",
    "interaction_format": None,
    "note": "In the first example 1 + 2 = 3.",
    "examples": [{"input": "1 2", "output": "3"}],
    "rating": 800,
    "tags": ["math"],
    "official_tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5\n", "output": "9\n"}],
    "official_tests_complete": True,
    "input_mode": "stdio",
    "generated_checker": None,
    "executable": True,
}

OWN: dict[str, Any] = {
    "id": "sum-of-two",
    "title": "Sum of two",
    "question": {"en": "Print the sum of a and b.", "zh": "输出 a 与 b 的和。"},
    "function": None,
    "tests": [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "-5 5\n", "stdout": "0\n"}],
    "compare": "tokens",
    "level": 1,
    "tags": ["arithmetic"],
    "solutions": {
        "good": [{"language": "python", "source": SUM}],
        "bad": [{"language": "python", "source": "print(input())", "verdict": "wrong answer"}],
    },
    "generator": "print(1, 2)",
}

OWN_CALL: dict[str, Any] = {
    "id": "add",
    "question": "Return the sum of the list.",
    "function": "total",
    "signature": "def total(xs: list[int]) -> int:",
    "tests": [{"input": [[1, 2]], "output": 3}, {"input": [[]], "output": 0}],
    "solutions": {"good": [{"language": "python", "source": "def total(xs):\n    return sum(xs)"}]},
}

BUG_FIX: dict[str, Any] = {
    "id": "off-by-one",
    "issue": "`tail(xs, 1)` returns nothing.",
    "files": {"tail.py": "def tail(xs, n):\n    return xs[len(xs):]\n"},
    "tests": {
        "test_tail.py": "import unittest\nfrom tail import tail\n\n\nclass T(unittest.TestCase):\n"
        "    def test_one(self):\n        self.assertEqual(tail([1, 2], 1), [2])\n"
    },
    "solutions": {"good": [{"files": {"tail.py": "def tail(xs, n):\n    return xs[len(xs) - n :]\n"}}]},
}


def write(path: Path, *rows: Any) -> Path:
    """Rows as JSON Lines; text goes in as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(path: Path, skip: bool = False, **settings: Any) -> TableSource:
    """The prompts of a file."""
    (entry,) = validate_prompts([{"file": path.name, **settings}], "r.yaml")
    source = build_source(entry, 0, skip_bad_rows=skip, folder=path.parent, where="r.yaml: prompts[0]")
    assert isinstance(source, TableSource)
    return source
