"""Whether this machine can run the programs that prompts call for: asked before anything is spent."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ahalab.errors import UserError
from ahalab.grading.code.executor import runs_cpp, runs_programs
from ahalab.records import Prompt
from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure
from ahalab.sandbox.settings import SandboxSettings

LOOKED_AT = 8
"""Our choice: so many prompts of a source tell whether its answers are programs; rows of a file have one verifier."""

NO_COMPILER = (
    "they are asked for in C++, and no C++ compiler is installed (for example `apt-get install g++`)"
)
_TRIVIAL = "print(6 * 7)"
_LIMITS = Limits(wall_seconds=30.0)


def check_isolation(prompts: Iterable[Prompt], sandbox: SandboxSettings, where: str) -> None:
    """Refuse prompts whose grading runs programs on a machine that cannot run them as `sandbox` says.

    Raises:
        UserError: with the sandbox's own words; `where` says which prompts.
    """
    needing = [one for one in prompts if runs_programs(one.verifier, one.extra)]
    if not needing:
        return
    why, first = refusal(sandbox), needing[0]
    if why is None and not runs_cpp(sandbox):
        first = next((one for one in needing if one.extra.get("language") == "cpp"), first)
        why = NO_COMPILER if first.extra.get("language") == "cpp" else None
    if why is not None:
        raise UserError(
            f"{where}: answers to {first.source} are programs that have to be run (verifier {first.verifier}), and "
            f"here they cannot be: {why}"
        )


@cache
def refusal(sandbox: SandboxSettings) -> str | None:
    """Why no program can be run as `sandbox` says; None where a trivial one ran. Asked once in a process's life."""
    from ahalab.sandbox.open import open_executor

    try:
        executor = open_executor(sandbox)
    except (UserError, SandboxFailure) as error:
        return str(error)
    try:
        outcome = next(iter(executor.run(Program("python", _TRIVIAL), [""], _LIMITS)), None)
    except SandboxFailure as error:
        return f"the sandbox ({sandbox.executor}) failed on a trivial program: {error}"
    finally:
        executor.close()
    return None if outcome is not None and outcome.stdout.strip() == "42" else _told(outcome)


def _told(outcome: Outcome | None) -> str:
    if outcome is None:
        return "the sandbox gave no outcome for a trivial program"
    return f"a trivial program ended with {outcome.status} ({outcome.stderr.strip()[-300:] or 'it wrote nothing'})"
