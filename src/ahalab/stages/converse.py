"""One question, one reply, from any model or run: what `aha chat` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ahalab.errors import UserError
from ahalab.policy.load import load_policy
from ahalab.records import Response
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
from ahalab.runs.folder import RunFolder
from ahalab.runs.manifest import MANIFEST_NAME, Manifest
from ahalab.runs.readers import list_stages
from ahalab.text.renderer import Renderer, TemplateChoice


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model, and the form in which it was asked while it was trained."""

    model: str
    template: TemplateChoice = "auto"
    think_prefill: bool = False


def find_speaker(run_or_model: str) -> Speaker:
    """The last finished checkpoint of a run folder, or that of one stage's folder, asked as in its training; any other
    name is a model already.

    Raises:
        UserError: a run folder without a finished checkpoint.
    """
    path = Path(run_or_model)
    if (path / "checkpoint" / "config.json").is_file() and (path / MANIFEST_NAME).is_file():
        return _trained(path / "checkpoint", Manifest.read(path))
    if not (path / "stages").is_dir():
        return Speaker(run_or_model)
    run = RunFolder.open(path)
    for stage in reversed(list_stages(run)):
        folder = run.stage_dir(stage.name) / "checkpoint"
        if stage.manifest is not None and (folder / "config.json").is_file():
            return _trained(folder, stage.manifest)
    raise UserError(
        f"{path}: no stage of this run has finished a model yet. Run its recipe to the end first."
    )


def _trained(checkpoint: Path, manifest: Manifest) -> Speaker:
    config = manifest.config
    return Speaker(str(checkpoint), config.get("template", "auto"), bool(config.get("think_prefill", False)))


class Conversation:
    """A loaded model and its renderer. Questions stand alone: the bases here were trained on single turns."""

    def __init__(self, speaker: Speaker, temperature: float, max_new_tokens: int, seed: int) -> None:
        self.name = speaker.model
        policy = load_policy(speaker.model)
        self._renderer = Renderer(
            policy.tokenizer,
            template=speaker.template,
            think_prefill=speaker.think_prefill,
            extra_stop_ids=policy.stop_ids,
        )
        self._engine = EmbeddedEngine(policy.decoder, max_rows=1)
        self._sampling = Sampling(
            max_new_tokens=max_new_tokens, temperature=temperature, stop_ids=self._renderer.stop_ids
        )
        self._seed = seed

    def ask(self, question: str, turn: int) -> Response:
        """The model's reply, parsed. The same seed, turn and question give the same reply."""
        prompt = PromptTokens("chat", tuple(self._renderer.prompt_ids(question)))
        key = RolloutKey(self._seed, "chat", turn)
        sample = next(iter(self._engine.generate([prompt], 1, self._sampling, key)))
        return self._renderer.parse(self._renderer.decode(sample.token_ids), sample.finish)
