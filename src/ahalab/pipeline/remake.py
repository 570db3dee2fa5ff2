"""`--from STAGE`: which stages are still to be made again. It outlives a kill, so the same command goes on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from ahalab.runs.atomic import read_json, write_json
from ahalab.runs.attempts import set_aside
from ahalab.runs.folder import RunFolder

REMAKE_NAME = "remake.json"
"""In the run folder while something asked for with `--from` is unfinished."""


@dataclass(slots=True)
class Remake:
    """What `--from` asked for and what is left of it."""

    start: str
    stages: list[str]
    """Not finished yet; none of them is taken from elsewhere."""
    to_move: list[str]
    """Those of them of which the old ones may still lie where they were."""

    @classmethod
    def of(
        cls, run: RunFolder, start: str | None, again: Sequence[str], known: Collection[str]
    ) -> Remake | None:
        """What is left of an earlier `--from`, joined with `again` of a new one that starts elsewhere."""
        path = run.path / REMAKE_NAME
        left = cls(**read_json(path)) if path.is_file() else None
        if left is not None:
            left.stages = [name for name in left.stages if name in known]
        if start is None or (left is not None and left.start == start):
            return left
        if left is None:
            return cls(start, list(again), list(again))
        stages = [*again, *(name for name in left.stages if name not in again)]
        return cls(start, stages, [*again, *(name for name in left.to_move if name not in again)])

    def begin(self, run: RunFolder) -> None:
        """Set aside what there is of the stages. A process that was killed in here goes on with it."""
        if self.to_move:
            self._write(run)
            for name in self.to_move:
                set_aside(run, name)
            self.to_move = []
        self._write(run)

    def finished(self, run: RunFolder, stage: str) -> None:
        """One of them is made."""
        if stage in self.stages:
            self.stages.remove(stage)
            self._write(run)

    def _write(self, run: RunFolder) -> None:
        path = run.path / REMAKE_NAME
        if self.stages:
            write_json(path, asdict(self))
        else:
            path.unlink(missing_ok=True)
