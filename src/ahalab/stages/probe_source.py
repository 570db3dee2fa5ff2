"""Which samples are probed, of which model, and what grades them: an evaluation stage of a run, or fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ahalab.errors import UserError
from ahalab.prompts.config import WorldEntry, build_mixture
from ahalab.prompts.mixture import Mixture
from ahalab.records import Prompt
from ahalab.runs.folder import RunFolder
from ahalab.runs.readers import StageEntry, list_stages, read_samples
from ahalab.stages.converse import Speaker, find_speaker
from ahalab.stages.evaluate import EvaluateConfig
from ahalab.stages.inputs import BASES
from ahalab.validation import validate

World = Literal["math", "logic", "choice", "code"]


@dataclass(slots=True)
class Source:
    """What `Probe` reads."""

    name: str
    speaker: Speaker
    mixture: Mixture
    count: int | None
    """Prompts of the mixture that the samples are of; None where samples are drawn."""
    temperature: float
    top_p: float
    max_new_tokens: int
    rows: Callable[[], Iterator[dict[str, Any]]] | None = None
    """The finished samples; None: fresh ones are drawn."""
    _known: dict[str, Prompt] = field(default_factory=dict)

    def first_prompts(self, n: int) -> list[Prompt]:
        """The prompts that fresh samples are drawn for."""
        prompts = self.mixture.take(0, n)
        self._known = {prompt.id: prompt for prompt in prompts}
        return prompts

    def prompt(self, prompt_id: str) -> Prompt | None:
        """The prompt of a sample, with its verifier and what that needs."""
        if not self._known:
            assert self.count is not None, "drawn samples have made their prompts known"
            self.first_prompts(self.count)
        return self._known.get(prompt_id)


def find_source(run_or_model: str, stage: str | None, seed: int, fresh: dict[str, Any]) -> Source:
    """The samples of an evaluation stage (a run's last finished one where none is named), or fresh ones of a model.

    `fresh` has temperature, top_p, max_new_tokens and world: how fresh samples are drawn.

    Raises:
        UserError: no such stage, or one that is neither an evaluation nor a model.
    """
    path = Path(run_or_model)
    if not (path / "stages").is_dir():
        if stage is not None:
            raise UserError(f"--stage {stage}: {run_or_model} is no run folder, so it has no stages.")
        return _fresh(find_speaker(run_or_model), seed, fresh)
    run = RunFolder.open(path)
    finished = [entry for entry in list_stages(run) if entry.finished]
    if stage is None:
        evaluations = [entry for entry in finished if entry.manifest and entry.manifest.kind == "evaluate"]
        return (
            _evaluated(run, evaluations[-1])
            if evaluations
            else _fresh(find_speaker(run_or_model), seed, fresh)
        )
    entry = next((one for one in finished if one.name == stage), None)
    if entry is None or entry.manifest is None:
        names = ", ".join(one.name for one in finished) or "none yet"
        raise UserError(f"--stage {stage}: {path} has no finished stage of that name; there are: {names}.")
    if entry.manifest.kind == "evaluate":
        return _evaluated(run, entry)
    if not (entry.path / "checkpoint" / "config.json").is_file():
        raise UserError(
            f"--stage {stage}: a stage of kind {entry.manifest.kind} has neither an evaluation's samples nor a model."
        )
    # Its own samples were drawn while the weights changed: none is of the weights that are left.
    return _fresh(find_speaker(str(entry.path)), seed, fresh)


def _fresh(speaker: Speaker, seed: int, fresh: dict[str, Any]) -> Source:
    entry = WorldEntry(world=fresh["world"], split="held_out")
    return Source(
        f"fresh samples of {speaker.model}, world {fresh['world']}",
        speaker,
        build_mixture([entry], seed, where="aha probe"),
        None,
        fresh["temperature"],
        fresh["top_p"],
        fresh["max_new_tokens"],
    )


def _evaluated(run: RunFolder, entry: StageEntry) -> Source:
    assert entry.manifest is not None
    manifest = entry.manifest
    where = f"{run.path}, stage {entry.name}"
    config = validate(EvaluateConfig, manifest.config, where)
    seed = int(manifest.environment.get("seed", 0))
    mixture = build_mixture(config.prompts, seed, where=where)
    speaker = Speaker(_model(run, config.from_), config.template, config.think_prefill)
    return Source(
        f"stage {entry.name} of {run.path.name}",
        speaker,
        mixture,
        config.n,
        config.temperature,
        config.top_p,
        config.max_new_tokens,
        lambda: read_samples(entry.path),
    )


def _model(run: RunFolder, source: str) -> str:
    if source not in BASES:
        return str(run.stage_dir(source) / "checkpoint")
    base = run.recipe().get(source)
    if not isinstance(base, str):
        raise UserError(f"{run.recipe_path}: `{source}` was expected, the model that was evaluated.")
    return base
