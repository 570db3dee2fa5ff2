"""Runs programs on this machine, one at a time: behind walls of one kind or the other, or with limits alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from ahalab.sandbox import filter, root, verdict
from ahalab.sandbox.jail.walls import NONE, OWN
from ahalab.sandbox.link import Keeper, KeeperDied, Refused
from ahalab.sandbox.records import Limits, Outcome, Program, SandboxFailure

COMPILE_LIMITS = Limits(
    cpu_seconds=20.0,
    wall_seconds=60.0,
    memory_megabytes=1024,
    processes=16,
    file_megabytes=64,
    output_bytes=200_000,
)
"""Our choice: bits/stdc++.h with -O2 takes 1 to 2 s and 300 MB here."""
_FLAGS = ("-O2", "-std=gnu++17", "-pipe")
_SLACK_SECONDS = 60.0
_LONGEST_PATH = 200
_SMALLEST = Program("cpp", "#include <iostream>\nint main() { std::cout << 1; }\n")

Compiled = bytes | Outcome
"""A binary, or why there is none."""


class LocalExecutor:
    """An executor of `records.Executor`; its keepers start when first needed, one for each language.

    Args:
        kind: of walls, `OWN`, `BUBBLEWRAP` or `NONE`: the last runs programs with limits alone, only for code you
            trust.
        warm: False starts everything anew for each run, several times slower; for comparison.
    """

    def __init__(self, kind: str = OWN, *, warm: bool = True) -> None:
        self._kind, self._warm = kind, warm
        self._keepers: dict[str, Keeper] = {}
        self._compiler_works = False

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:
        """See `records.Executor.run`.

        Raises:
            ValueError: a path of `program.files` leaves the folder, or two exclude each other.
        """
        check(program)
        binary = b""
        if program.language == "cpp" and inputs:
            compiled = self._compile(program)
            if isinstance(compiled, Outcome):
                yield from (compiled for _ in inputs)
                return
            binary = compiled
        for number, text in enumerate(inputs):
            outcome, _ = self._one(program, text, limits, binary)
            yield outcome
            if outcome.status == "compile error":
                yield from (outcome for _ in inputs[number + 1 :])
                return

    def close(self) -> None:
        """End the keepers and everything within."""
        for keeper in self._keepers.values():
            keeper.close()
        self._keepers.clear()

    @property
    def pids(self) -> list[int]:
        """Of the keepers that run."""
        return [keeper.pid for keeper in self._keepers.values()]

    def _compile(self, program: Program) -> Compiled:
        compiler = root.compiler()
        if compiler is None:
            raise SandboxFailure(
                f"no C++ compiler is installed ({' or '.join(root.COMPILERS)}): install one, "
                "for example with `apt-get install g++`, or leave C++ problems out."
            )
        if not self._compiler_works:
            # Else a broken compiler would make every submission a compile error.
            made = self._compiled(compiler, _SMALLEST)
            if isinstance(made, Outcome):
                raise SandboxFailure(
                    f"{compiler} does not work within the sandbox: {made.stderr.strip()[-500:]}"
                )
            self._compiler_works = True
        return self._compiled(compiler, program)

    def _compiled(self, compiler: str, program: Program) -> Compiled:
        command = [compiler, *_FLAGS, "-I.", "-o", "../program", "../main.cpp"]
        source = dataclasses.replace(program, arguments=())
        outcome, binary = self._one(source, "", COMPILE_LIMITS, b"", command)
        if outcome.status == "ok" and binary:
            return binary
        words = outcome.stderr
        if outcome.status not in ("ok", "runtime error"):
            words += f"\nthe compiler reached a limit: {outcome.status}"
        return dataclasses.replace(outcome, status="compile error", stdout="", stderr=words)

    def _one(
        self, program: Program, text: str, limits: Limits, binary: bytes, command: Sequence[str] = ()
    ) -> tuple[Outcome, bytes]:
        """One run in its own process; one try more where the sandbox itself broke down."""
        cpp = program.language == "cpp"
        plan: dict[str, Any] = {
            "source_name": "main.cpp" if cpp else "main.py",
            "source": program.source if command or not cpp else "",
            "files": dict(program.files),
            "arguments": list(program.arguments),
            "command": list(command) or (["../program"] if cpp else []),
            "limits": dataclasses.asdict(limits),
        }
        header = {"op": "run", "artifact": bool(command), "plan": plan}
        blobs = [text.encode("utf-8", "replace"), binary]
        for last in (False, True):
            try:
                facts, parts = self._keeper(program.language).ask(
                    header, blobs, limits.wall_seconds + _SLACK_SECONDS
                )
                if not self._warm:
                    self.close()
                return verdict.judge(facts, limits, parts[0], parts[1]), parts[2]
            except (KeeperDied, Refused) as error:
                self._discard(program.language)
                if last:
                    raise SandboxFailure(str(error)) from error
            except SandboxFailure:
                self._discard(program.language)
                if last:
                    raise
            except BaseException:  # a time-out of the caller's own, in the middle of an answer
                self._discard(program.language)
                raise
        raise AssertionError("unreachable")

    def _keeper(self, language: str) -> Keeper:
        keeper = self._keepers.get(language)
        if keeper is None:
            if self._kind == NONE:
                keeper = Keeper(NONE)
            else:
                shown = root.visible(tools=language == "cpp")
                keeper = Keeper(self._kind, shown, filter.compiled(), root.bubblewrap() or "")
            self._keepers[language] = keeper
        return keeper

    def _discard(self, language: str) -> None:
        keeper = self._keepers.pop(language, None)
        if keeper is not None:
            with suppress(OSError):
                keeper.close()


def check(program: Program) -> None:
    """Refuse files whose paths are absolute, leave the folder, or cannot be beside each other.

    Raises:
        ValueError: names the path.
    """
    if any("\0" in argument for argument in program.arguments):
        raise ValueError("an argument holds a zero byte")
    seen = {str(PurePosixPath(name)) for name in program.files}
    for name in program.files:
        path = PurePosixPath(name)
        if (
            not path.parts
            or path.is_absolute()
            or ".." in path.parts
            or not name.isprintable()  # a zero byte, or half of a surrogate pair
            or len(name) > _LONGEST_PATH
        ):
            raise ValueError(f"{name!r} is no path within the program's folder")
        if not seen.isdisjoint(map(str, path.parents)):
            raise ValueError(f"{name!r} lies in what is itself a file of the program")
