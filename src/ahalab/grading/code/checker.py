"""A custom checker: a program of the problem's author that says whether an output is right (docs/code.md).

It runs in the sandbox as a program of its own, never beside the submission, with three files: `input.txt`,
`output.txt` (the submission's) and `answer.txt` (the problem's). Exit code 0 and nothing or "ok" on stdout accepts;
"wrong" on stdout, or exit code 1 or 2 without a traceback, rejects. Whatever else it does is its own failure.
"""

from __future__ import annotations

from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor, Limits, Outcome, Program

LIMITS = Limits(cpu_seconds=10.0, wall_seconds=30.0, memory_megabytes=512, output_bytes=65_536)

ACCEPTS = ("", "ok", "accepted", "1")
REJECTS = ("wrong", "wa", "no", "0", "rejected")
"""First words on stdout, in small letters."""
_REJECTING_CODES = (1, 2)
"""Those of testlib's "wrong answer" and "presentation error"."""
_TRACEBACK = "Traceback (most recent call last)"


def checker_accepts(executor: Executor, source: str, given: str, output: str, answer: str) -> bool:
    """What the checker says of `output`.

    Raises:
        GraderFailure: it failed, took too long, or said nothing that can be read. Never a verdict on the submission.
        SandboxFailure: the sandbox did.
    """
    files = {"input.txt": given, "output.txt": output, "answer.txt": answer}
    program = Program("python", source, files, ("input.txt", "output.txt", "answer.txt"))
    outcome = next(iter(executor.run(program, [""], LIMITS)), None)
    if outcome is None:
        raise GraderFailure("sandbox failure: it gave no outcome for a checker")
    if outcome.status not in ("ok", "runtime error"):
        raise _failed(outcome.status)
    words = outcome.stdout.split(maxsplit=1)
    word = words[0].lower().strip(".,:;!") if words else ""
    if outcome.status == "ok" and outcome.exit_code == 0:
        if word in ACCEPTS:
            return True
        if word in REJECTS:
            return False
        raise _failed(f"it printed {outcome.stdout.strip()[:80]!r}, neither ok nor wrong")
    if outcome.exit_code in _REJECTING_CODES and not _crashed(outcome):
        return False
    last = (outcome.stderr.strip().splitlines() or [""])[-1]
    raise _failed(
        f"it ended with {outcome.exit_code if outcome.exit_code is not None else 'a signal'}: {last[:200]}"
    )


def _crashed(outcome: Outcome) -> bool:
    # A traceback that is longer than what is kept of stderr still ends with the exception's own line.
    last = (outcome.stderr.strip().splitlines() or [""])[-1]
    return _TRACEBACK in outcome.stderr or last.startswith(("SyntaxError", "IndentationError", "MemoryError"))


def _failed(why: str) -> GraderFailure:
    return GraderFailure(f"checker failed: {why}")
