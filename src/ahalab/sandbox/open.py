"""Who runs programs under given settings. The one place where code outside this room gets an executor from."""

from __future__ import annotations

from ahalab.errors import UserError
from ahalab.sandbox import probe, root
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.records import Executor
from ahalab.sandbox.settings import SandboxSettings

LOCAL = "local"


def open_executor(settings: SandboxSettings) -> Executor:
    """An executor; close it after use.

    Raises:
        UserError: programs cannot be isolated here and the settings do not allow less, or the executor's URL is none
            of a known sandbox API. Says why, and what to do.
    """
    if settings.executor != LOCAL:
        from ahalab.sandbox.remote import open_remote  # its HTTP library would slow the start of every grader

        return open_remote(settings.executor)
    kind, reason = probe.find_walls()
    if reason is None or settings.unsafe_no_isolation:
        return LocalExecutor(kind)
    raise UserError(
        f"programs written by a model cannot be isolated on this machine: {reason}.\n"
        "Nothing was run. Mend that (docs/sandbox.md says how), or let a remote sandbox run them, "
        "or give --unsafe-no-isolation: it runs them with limits on time and memory only, "
        "as you, with your files and your network. Do that only with code you trust."
    )


def why_no_isolation() -> str | None:
    """None where isolation works: a small program was started behind the walls and every wall stood. Else the reason.

    Tried once per process, in about 0.2 s.
    """
    return probe.find_walls()[1]


def why_no_compiler() -> str | None:
    """None where a C++ compiler is installed. Else the reason."""
    return None if root.compiler() else f"no C++ compiler is installed ({' or '.join(root.COMPILERS)})"
