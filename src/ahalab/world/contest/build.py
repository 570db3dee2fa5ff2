"""Makes contest.jsonl and bugs.jsonl from the YAML sources: `python -m ahalab.world.contest.build`.

Deterministic: the same sources give the same bytes. It executes the set's own reference programs, input generators and
unit tests, which were written for this project and are trusted, in child processes with a time-out. It is not the way
to run anybody else's code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ahalab.runs.atomic import write_text
from ahalab.world.contest.records import BUGS_FILE, CONTEST_FILE
from ahalab.world.contest.sources import (
    HERE,
    bad_solutions,
    bug_sources,
    checker_of,
    contest_sources,
    generator_of,
    good_solutions,
)

TESTS = range(6, 13)
"""Hidden tests a problem may have."""
TIMEOUT_SECONDS = 120.0
DEFAULT_CPU_SECONDS = 2.0
DEFAULT_MEMORY_MEGABYTES = 256
FLOAT_TOLERANCE = 1e-6


def main() -> None:
    """Write both files and print what is in them."""
    contest = build_contest(contest_sources())
    bugs = build_bugs(bug_sources())
    write_text(HERE / CONTEST_FILE, as_lines(contest))
    write_text(HERE / BUGS_FILE, as_lines(bugs))
    variations = sum("variation_of" in entry for entry in contest_sources())
    print(f"{len(contest)} problems, {len(contest) - variations} ideas and {variations} variations")
    print(f"{sum(len(row['tests']) for row in contest)} tests, {len(bugs)} bugs")
    print("levels", dict(sorted(Counter(row["level"] for row in contest).items())))
    print("tags", dict(Counter(tag for row in contest for tag in row["tags"]).most_common()))
    print("forms", dict(Counter(form_of(row) for row in contest)))
    print("good", dict(Counter(one["language"] for row in contest for one in row["solutions"]["good"])))
    bad = Counter((one["language"], one["verdict"]) for row in contest for one in row["solutions"]["bad"])
    print("bad", {" ".join(key): count for key, count in sorted(bad.items())})


def form_of(row: Mapping[str, Any]) -> str:
    """How a problem is answered and compared, in words."""
    form = "stdin" if not row["function"] else "class" if row["class"] else "function"
    return f"{form}, checker" if row["checker"] else f"{form}, {row['compare']}"


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def build_contest(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of contest.jsonl for these sources, in their order. ValueError names the problem."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(row_of, entries, threads.map(made_tests, entries)))


def build_bugs(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of bugs.jsonl; each is proved first: only the repaired files pass the tests."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(_bug_row, entries))


def row_of(entry: Mapping[str, Any], tests: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of contest.jsonl: its source and the tests that were made of it."""
    return {
        "id": entry["id"],
        "title": entry["title"],
        "question": _question(entry, tests[0]),
        "function": entry.get("function"),
        "class": entry.get("class"),
        "signature": _definition(entry) if entry.get("function") else None,
        "tests": tests,
        "compare": entry.get("compare", "tokens"),
        "tolerance": FLOAT_TOLERANCE,
        "checker": checker_of(entry),
        "cpu_seconds": float(entry.get("cpu_seconds", DEFAULT_CPU_SECONDS)),
        "memory_megabytes": entry.get("memory_megabytes", DEFAULT_MEMORY_MEGABYTES),
        "level": entry["level"],
        "tags": entry["tags"],
        "solutions": {"good": good_solutions(entry), "bad": bad_solutions(entry)},
        "generator": generator_of(entry),
    }


def made_tests(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The hidden tests: inputs by hand and of the generator, outputs of the reference. ValueError names the problem."""
    job = {
        "reference": entry["good"],
        "generator": generator_of(entry),
        "function": entry.get("function"),
        "class": entry.get("class"),
        "inputs": entry["inputs"],
        "seeds": [[str(seed)] for seed in range(1, entry["seeds"] + 1)]
        + [["1", "large"]] * ("large" in entry),
    }
    done = _run([sys.executable, "-P", str(HERE / "driver.py")], json.dumps(job))
    if done.returncode:
        raise ValueError(f"{entry['id']}: its reference or generator failed:\n{done.stderr[-2000:]}")
    tests: list[dict[str, Any]] = json.loads(done.stdout)
    if len(tests) not in TESTS:
        raise ValueError(
            f"{entry['id']}: {len(tests)} different tests, {TESTS.start} to {TESTS.stop - 1} wanted"
        )
    return tests


def _definition(entry: Mapping[str, Any]) -> str:
    signature = str(entry["signature"])
    if not entry.get("class"):
        return f"def {signature}"
    name, _, rest = signature.partition("(")
    return f"class {entry['class']}:\n    def {name}(self, {rest}"


def _question(entry: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, str]:
    """The statements with the first test as their example; limits and form are keys of their own."""
    right = "checker" in entry
    said = {
        "en": ("Example", "Input", "One right output" if right else "Output"),
        "zh": ("示例", "输入", "一种正确的输出" if right else "输出"),
    }
    texts = {}
    for language, (example, given, wanted) in said.items():
        colon = "：" if language == "zh" else ":"
        if entry.get("function"):
            shown = f"{example}{colon}\n{_call(entry, test)}"
        else:
            stdin, stdout = test["stdin"].rstrip(), test["stdout"].rstrip()
            shown = f"{example}\n{given}{colon}\n{stdin}\n{wanted}{colon}\n{stdout}"
        texts[language] = f"{entry[language]}\n\n{shown}"
    return texts


def _call(entry: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    holder = f"{entry['class']}()." if entry.get("class") else ""
    return f"{holder}{entry['function']}({', '.join(map(repr, test['input']))}) == {test['output']!r}"


def _bug_row(entry: dict[str, Any]) -> dict[str, Any]:
    buggy: dict[str, str] = entry["files"]
    for name, sources, wanted in (
        ("files", buggy, False),
        ("fix", buggy | entry["fix"], True),
        ("wrong", buggy | entry["wrong"], False),
    ):
        passed, said = _passes(sources, entry["tests"])
        if passed != wanted:
            raise ValueError(
                f"{entry['id']}: {name} should {'pass' if wanted else 'fail'} its tests:\n{said}"
            )
    return {
        "id": entry["id"],
        "issue": {"en": entry["en"], "zh": entry["zh"]},
        "files": entry["files"],
        "tests": entry["tests"],
        "solutions": {"good": [{"files": entry["fix"]}], "bad": [{"files": entry["wrong"]}]},
        "level": entry["level"],
        "cpu_seconds": float(entry.get("cpu_seconds", DEFAULT_CPU_SECONDS)),
    }


_RUN_TESTS = """
import importlib, sys, unittest
suite = unittest.TestSuite()
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
    suite.addTests(unittest.FunctionTestCase(function) for key, function in vars(module).items()
                   if key.startswith("test_") and callable(function))
sys.exit(not unittest.TextTestRunner().run(suite).wasSuccessful() or not suite.countTestCases())
"""


def _passes(sources: Mapping[str, str], tests: Mapping[str, str]) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder:
        for path, source in {**sources, **tests}.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source, encoding="utf-8")
        modules = [path.removesuffix(".py").replace("/", ".") for path in tests]
        done = _run([sys.executable, "-c", _RUN_TESTS, *modules], "", folder)
    return done.returncode == 0, done.stderr[-2000:]


def _run(command: list[str], stdin: str, folder: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


if __name__ == "__main__":
    main()
