"""The set as its authors write it: YAML files, checked key by key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent

GOOD = {"good": "python", "also": "python", "cpp": "cpp"}
BAD = {
    "wa": "wrong answer",
    "tle": "time limit",
    "re": "runtime error",
    "mle": "memory limit",
    "ce": "compile error",
}
TAGS = {
    *("math", "digits", "strings", "parsing", "lists", "hashing", "sorting", "intervals", "searching"),
    *("two pointers", "windows", "stacks", "queues", "heaps", "number theory", "combinatorics", "bits"),
    *("dynamic programming", "recursion", "graphs", "trees", "grids", "simulation", "greedy", "geometry"),
    *("floats", "constructive", "games"),
}

_NEEDED = {"id", "title", "level", "tags", "en", "zh", "inputs", "gen", "seeds", "good"}
_FORM = {"function", "class", "signature", "compare", "checker", "cpu_seconds", "memory_megabytes"}
_ALLOWED = (
    _NEEDED | _FORM | {"also", "cpp", "large", "variation_of"} | set(BAD) | {f"cpp_{key}" for key in BAD}
)
_BUG_NEEDED = {"id", "level", "en", "zh", "files", "tests", "fix", "wrong"}


def contest_sources() -> list[dict[str, Any]]:
    """Every entry of `problems/*.yaml`, by id. ValueError names the file, the entry and the key."""
    found: dict[str, dict[str, Any]] = {}
    for where, entry in _entries("problems"):
        _check_keys(where, entry, _NEEDED, _ALLOWED)
        if not 1 <= entry["level"] <= 5 or not set(entry["tags"]) <= TAGS or not entry["tags"]:
            raise ValueError(f"{where}: level must be 1 to 5, and tags some of {sorted(TAGS)}")
        if bool(entry.get("function")) != bool(entry.get("signature")):
            raise ValueError(f"{where}: function and signature go together")
        if not bad_solutions(entry):
            raise ValueError(f"{where}: at least one bad solution is needed")
        _add(found, where, entry)
    for entry in found.values():
        if entry.get("variation_of", entry["id"]) not in found:
            raise ValueError(f"{entry['id']}: variation_of names no problem: {entry['variation_of']!r}")
    return [found[name] for name in sorted(found)]


def bug_sources() -> list[dict[str, Any]]:
    """Every entry of `bugs/*.yaml`, by id, the edits of `fix` and `wrong` applied. ValueError as above."""
    found: dict[str, dict[str, Any]] = {}
    for where, entry in _entries("bugs"):
        _check_keys(where, entry, _BUG_NEEDED, _BUG_NEEDED | {"cpu_seconds"})
        edited = {key: _edited(f"{where}: {key}", entry["files"], entry[key]) for key in ("fix", "wrong")}
        _add(found, where, {**entry, **edited})
    return [found[name] for name in sorted(found)]


def good_solutions(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    """The good solutions, the reference first."""
    return [{"language": language, "source": entry[key]} for key, language in GOOD.items() if key in entry]


def bad_solutions(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    """The bad solutions, each with the verdict that it deserves."""
    return [
        {"language": language, "source": entry[prefix + key], "verdict": verdict}
        for prefix, language in (("", "python"), ("cpp_", "cpp"))
        for key, verdict in BAD.items()
        if prefix + key in entry
    ]


def generator_of(entry: Mapping[str, Any]) -> str:
    """A whole program of the entry's generators: arguments are the seed and, for a large input, the word "large"."""
    head = (
        "import json, random, sys\n"
        "random.seed(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read() or None)\n"
    )
    if "large" not in entry:
        return head + str(entry["gen"])
    large, small = (textwrap.indent(entry[key], "    ") for key in ("large", "gen"))
    return f'{head}if sys.argv[2:] == ["large"]:\n{large}else:\n{small}'


def checker_of(entry: Mapping[str, Any]) -> str | None:
    """A whole checker program around the entry's lines, which look at the tokens `given`, `said` and `answer`."""
    if "checker" not in entry:
        return None
    body = textwrap.indent(entry["checker"], "    ")
    return (
        "import sys\n\n\ndef tokens(name):\n    with open(name, encoding='utf-8', errors='replace') as file:\n"
        "        return file.read().split()\n\n\n"
        f"def judge(given, said, answer):\n{body}\n\n"
        "try:\n    fine = judge(tokens('input.txt'), tokens('output.txt'), tokens('answer.txt'))\n"
        "except (ValueError, IndexError, OverflowError):\n    fine = False\n"
        "sys.exit(0 if fine else 1)\n"
    )


def _entries(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((HERE / folder).glob("*.yaml")):
        for number, entry in enumerate(yaml.load(path.read_text(encoding="utf-8"), _Loader), 1):
            yield f"{path.name}, entry {number} ({entry.get('id', 'no id')})", entry


def _check_keys(where: str, entry: Mapping[str, Any], needed: set[str], allowed: set[str]) -> None:
    missing, unknown = needed - set(entry), set(entry) - allowed
    if missing or unknown:
        raise ValueError(f"{where}: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}")


def _add(found: dict[str, dict[str, Any]], where: str, entry: dict[str, Any]) -> None:
    if entry["id"] in found:
        raise ValueError(f"{where}: there is an entry with this id already")
    found[entry["id"]] = entry


def _edited(where: str, sources: Mapping[str, str], edits: list[dict[str, str]]) -> dict[str, str]:
    """The files that `edits` ({file, old, new}) change; the old text must occur exactly once."""
    changed: dict[str, str] = {}
    for edit in edits:
        path = edit.get("file", next(iter(sources)))
        source = changed.get(path, sources[path])
        if source.count(edit["old"]) != 1:
            raise ValueError(f"{where}: {edit['old']!r} occurs {source.count(edit['old'])} times in {path}")
        changed[path] = source.replace(edit["old"], edit["new"])
    return changed


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
