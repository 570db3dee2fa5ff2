"""What all tests of one program may use together."""

from __future__ import annotations

import time
from collections.abc import Callable

from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Limits, Outcome

WALL_SECONDS = 95.0
"""By the clock, for all tests of one program. Below the 120 s after which a pool gives a grader process up."""


_IDLE_SHARE = 0.05
"""Our choice: a program that waits uses less than this of the clock's time. One that computes uses more, even on a
machine with ten times more to do than cores."""


def wall_seconds(cpu_seconds: float) -> float:
    """By the clock, for one process: enough to use its CPU time up on a machine that is ten times too busy."""
    return min(0.9 * WALL_SECONDS, max(20.0, 10 * cpu_seconds))


def check_starved(outcome: Outcome, limits: Limits) -> None:
    """Raises GraderFailure where the clock ended a program that was computing: the machine was too busy to tell.

    A program that the clock ended while it waited, for what never came, has had its verdict: time limit.
    """
    by_clock = outcome.status == "time limit" and outcome.cpu_seconds < 0.9 * limits.cpu_seconds
    if by_clock and outcome.cpu_seconds > _IDLE_SHARE * outcome.wall_seconds:
        raise GraderFailure(
            f"wall time-out: a program got {outcome.cpu_seconds:.1f} of its {limits.cpu_seconds:g} s of CPU time in "
            f"{outcome.wall_seconds:.0f} s"
        )


class Budget:
    """The tests' own time decides a verdict, the clock never does.

    A program whose tests have used `cpu_seconds` together is out of time. Where the clock runs out first, the machine
    or the sandbox was slow, or the program slept: nobody can tell, so that is a failure of the grading.
    """

    def __init__(self, cpu_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = self._cpu_seconds = cpu_seconds
        self._clock, self._begun = clock, clock()

    def charge(self, outcome: Outcome) -> None:
        """Count one run. A run that was ended by the clock waited for nothing: it is charged what it lasted."""
        waited = outcome.status == "time limit"
        self._left -= max(outcome.cpu_seconds, outcome.wall_seconds if waited else 0.0)

    @property
    def spent(self) -> bool:
        """Whether nothing is left for another test."""
        return self._left <= 0

    def check_clock(self) -> None:
        """Raises GraderFailure when the clock has run out while time is left. To be asked before every run."""
        passed = self._clock() - self._begun
        if passed > WALL_SECONDS and not self.spent:
            used = self._cpu_seconds - self._left
            raise GraderFailure(
                f"wall time-out: {passed:.0f} s for the tests of one program, which used {used:.1f} s of CPU time"
            )
