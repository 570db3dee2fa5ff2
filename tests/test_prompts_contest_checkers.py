"""Checkers of contests say in our words what they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contest_rows import CODEFORCES
from contest_tools import only

CHECKER = """
import sys

def main():
    given, right, answered = (open(path).read() for path in sys.argv[1:4])
    if int(answered) == 0:
        raise RuntimeError("cannot read zeros")
    print(1 if int(answered) % int(given) == int(right) % int(given) else 0)

if __name__ == "__main__":
    main()
"""
"""In open-r1's way: input, right output, given output; it prints 1 or 0."""


@pytest.mark.parametrize(
    ("output", "right", "said"),
    [
        ("9", "3", "ok"),
        ("8", "3", "wrong"),
        ("", "3", "wrong"),
        ("nine", "3", "wrong"),
        ("0", "3", "wrong"),
    ],
)
def test_a_checker_of_codeforces_says_in_our_words_what_it_prints(
    tmp_path: Path, output: str, right: str, said: str
) -> None:
    checker = only(tmp_path, {**CODEFORCES, "generated_checker": CHECKER}).extra["checker"]
    done = checked(tmp_path, checker, output, right)
    assert (done.stdout.strip(), done.returncode) == (said, 0)


def test_a_checker_that_cannot_read_the_right_output_either_fails_itself(tmp_path: Path) -> None:
    checker = only(tmp_path, {**CODEFORCES, "generated_checker": CHECKER}).extra["checker"]
    done = checked(tmp_path, checker, "9", "three")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    for source in ("print(100)", "import sys\nprint('1.0')\nsys.exit(3)"):
        checker = only(tmp_path, {**CODEFORCES, "generated_checker": source}).extra["checker"]
        assert checked(tmp_path, checker, "9", "3").stdout.strip() == "ok"
    for source in ("print(50)", "print('yes')", "pass"):
        checker = only(tmp_path, {**CODEFORCES, "generated_checker": source}).extra["checker"]
        assert checked(tmp_path, checker, "9", "3").stdout.strip() == "wrong"


def checked(folder: Path, checker: str, output: str, right: str) -> subprocess.CompletedProcess[str]:
    """A checker of these tests as a plain process; the sandbox runs it with the same files."""
    for name, text in {
        "input.txt": "6",
        "output.txt": output,
        "answer.txt": right,
        "check.py": checker,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "check.py", "input.txt", "output.txt", "answer.txt"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
