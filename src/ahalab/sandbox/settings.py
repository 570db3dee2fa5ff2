"""Where programs run, as plain data that can travel to grader processes in an environment variable."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "AHALAB_SANDBOX"


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Who runs untrusted programs."""

    executor: str = "local"
    """"local", or the URL of a service that speaks a published sandbox API."""
    unsafe_no_isolation: bool = False
    """Run programs with resource limits alone where isolation cannot be had: only for code you trust."""

    def to_environment(self) -> dict[str, str]:
        """The variable that `from_environment` reads in a child process."""
        return {VARIABLE: json.dumps(dataclasses.asdict(self), sort_keys=True)}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SandboxSettings:
        """What the variable says; the defaults where it is not set."""
        return cls(**json.loads(environment.get(VARIABLE, "{}")))
