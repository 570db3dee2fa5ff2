"""Other people's pages for curves: TensorBoard, Weights & Biases, trackio, each behind the same three methods.

The run folder stays the truth: a tracker gets a copy of what `metrics.jsonl` and the manifests say. Project, entity,
server and offline mode are set where each library's own documentation says, by its environment variables.
"""

from __future__ import annotations

import importlib
import inspect
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from ahalab.analysis.curves import is_number
from ahalab.errors import UserError

TrackerName = Literal["tensorboard", "wandb", "trackio"]

PROJECT = "ahalab"
"""The project at Weights & Biases and trackio, unless WANDB_PROJECT or TRACKIO_PROJECT names another."""
RESULT = "result"
"""What a finished stage says of itself stands under this name, apart from its curves."""
FLUSH_SECONDS = 10
"""A person who looks at a curve while it grows waits no longer than this."""
NOT_FIGURES = ("step", "rollout")


@dataclass(frozen=True, slots=True)
class TrackedStage:
    """What a tracker is told of a stage before its first figure."""

    run: str
    """Name of the run folder: groups the stages of one run."""
    stage: str
    kind: str
    id: str
    """The same for the same stage of the same run folder, also after a kill; another one once its settings change."""
    settings: Mapping[str, Any]
    folder: Path
    """The run's `trackers/`: local files go there."""

    @property
    def name(self) -> str:
        """As a tracker lists it."""
        return f"{self.run}-{self.stage}"


class Tracker(Protocol):
    """One stage at one tracker, open from its first figure to `close`. Any method may raise: see `Tracking`."""

    remembers: ClassVar[bool]
    """Whether figures sent before a kill are still there; if not, they are all sent again."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of one step."""

    def finish(self, results: Mapping[str, float]) -> None:
        """What the finished stage says of itself."""

    def close(self) -> None:
        """Send what is waiting. A stage that was cut off is opened again later."""


class TensorBoard:
    """Event files in `trackers/tensorboard/<stage>/`, written anew whenever the stage is taken up again."""

    remembers: ClassVar = False

    def __init__(self, stage: TrackedStage) -> None:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        folder = stage.folder / "tensorboard" / stage.stage
        # A killed process leaves event files of which nobody knows how far they reach.
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = writer(log_dir=str(folder), flush_secs=FLUSH_SECONDS)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, results: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in results.items():
            self._writer.add_scalar(f"{RESULT}/{name}", value, 0)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases:
    """A run per stage, grouped by run folder; `WANDB_MODE=offline` keeps it in `trackers/wandb/`."""

    remembers: ClassVar = True

    def __init__(self, stage: TrackedStage) -> None:
        wandb = importlib.import_module("wandb")
        stage.folder.mkdir(exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=stage.run,
            name=stage.name,
            job_type=stage.kind,
            id=stage.id,
            resume="allow",
            config=dict(stage.settings),
            dir=str(stage.folder),
            # The console shows what a sample says: that stays on this machine.
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(figures), step=step)

    def finish(self, results: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.summary.update({f"{RESULT}/{name}": value for name, value in results.items()})

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class Trackio:
    """A run per stage in trackio's own store (`TRACKIO_DIR`), grouped by run folder."""

    remembers: ClassVar = True

    def __init__(self, stage: TrackedStage) -> None:
        # What it says of its pages is for the person, not for whoever reads the command's output.
        with redirect_stdout(sys.stderr):
            self._run = importlib.import_module("trackio").init(
                project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                name=f"{stage.name}-{stage.id[:8]}",
                group=stage.run,
                resume="allow",
                embed=False,
                config=dict(stage.settings),
            )
        self._last = 0

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._last = step
        self._run.log(dict(figures), step=step)

    def finish(self, results: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log({f"{RESULT}/{name}": value for name, value in results.items()}, step=self._last)

    def close(self) -> None:
        """See `Tracker`."""
        with redirect_stdout(sys.stderr):
            self._run.finish()


TRACKERS: dict[TrackerName, type[TensorBoard | WeightsAndBiases | Trackio]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}
INSTALL = {
    "tensorboard": "pip install 'ahalab[trackers]'",
    "wandb": "pip install wandb",
    "trackio": "pip install trackio",
}


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Refuse beforehand what would fail at the first step.

    Raises:
        UserError: a library that is not installed, or Weights & Biases without a key.
    """
    for name in names:
        try:
            library = importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"trackers: {name} is not installed ({error}). Install it ({INSTALL[name]}) or take it out of "
                "`trackers`: the run folder has every figure anyway."
            ) from error
        offline = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
        # Without a key its own question would wait for a keyboard in the middle of the night.
        if name == "wandb" and not offline and not _has_key(library):
            raise UserError(
                "trackers: wandb has no key here. Run `wandb login`, or set WANDB_MODE=offline to keep the figures on "
                "this machine (`wandb sync` sends them later)."
            )


def _has_key(wandb: Any) -> bool:
    """Whether Weights & Biases could log in without asking a person; no server is called."""
    if "prompt" in inspect.signature(wandb.login).parameters:
        return bool(wandb.login(prompt=False, verify=False))
    return bool(wandb.api.api_key)  # releases before 2026, whose `login` always asks


def flat_figures(row: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers of a row by name, `words/wait` for what is nested; yes and no are 1 and 0, all else is left out.

    An estimate {"value", "low", "high", …} goes by its own name, its bounds below it.
    """
    found: dict[str, float] = {}
    for key, value in row.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            inner = flat_figures(value, f"{name}/")
            found.update({one.removesuffix("/value"): figure for one, figure in inner.items()})
        elif isinstance(value, bool) or (is_number(value) and (above or key not in NOT_FIGURES)):
            found[name] = float(value)
    return found
