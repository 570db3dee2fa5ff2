"""A real PostgreSQL server of the tests' own, in a temporary folder; Debian's package, never the machine's server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class PostgresServer:
    """A running server on a Unix socket; `url` names a fresh database each time."""

    def __init__(self, binaries: Path, folder: Path, prefix: list[str]) -> None:
        self._binaries, self.folder, self._prefix = binaries, folder, prefix
        self._made = 0

    def new_database(self) -> str:
        """URL of a new, empty database."""
        self._made += 1
        name = f"audit{self._made}"
        self._call("createdb", "-h", str(self.folder), name)
        return f"postgresql:///{name}?host={self.folder}&user=postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-c listen_addresses='' -k {self.folder} -c max_connections=40 -c shared_buffers=16MB"
        log = self.folder / "server.log"
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(log), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is as a crash."""
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")

    def initialise(self) -> None:
        """Make the data folder."""
        self._call("initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8")

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._prefix, str(self._binaries / program), *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program != "initdb" else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGUSER": "postgres"},
            timeout=120,
        )


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server for the block. Skips the test, with the reason, where PostgreSQL is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgresql`)")
    if not _PLACES or not (_PLACES[0] / "initdb").exists():
        pytest.skip("PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/initdb)")
    prefix: list[str] = []
    if os.geteuid() == 0:
        # The server refuses to run as root.
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no `runuser`")
        prefix = ["runuser", "-u", "postgres", "--"]
    # Not under pytest's folder: a socket's path has at most 107 bytes, and another user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="aha-pg-"))
    try:
        if prefix:
            shutil.chown(folder, "postgres")
        server = PostgresServer(_PLACES[0], folder, prefix)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
