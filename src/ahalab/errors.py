"""The errors a person sees. The command line maps each to an exit code and prints it without a traceback."""

from __future__ import annotations


class AhaError(Exception):
    """Base of every error whose text is written for the person at the keyboard."""

    exit_code = 1


class UserError(AhaError):
    """The user's mistake: says which file, row or key, what was expected, and what to do. Exit code 2."""

    exit_code = 2


class EnvironmentFailure(AhaError):
    """The machine failed, not the user and not the code: a full disk, a vanished file. Exit code 1."""


class RunStopped(AhaError):
    """A run that ended itself because going on is pointless (no effective groups, collapse). Exit code 3."""

    exit_code = 3


class Interrupted(AhaError):
    """Ctrl-C or SIGTERM: the state was saved and the same command goes on. Exit code 130."""

    exit_code = 130
