"""What all tests of one program may use together."""

from __future__ import annotations

import time
from collections.abc import Callable

from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Outcome

WALL_SECONDS = 95.0
"""By the clock, for all tests of one program. Below the 120 s after which a pool gives a grader process up."""


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
