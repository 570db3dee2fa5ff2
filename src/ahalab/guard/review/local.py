"""A checkpoint of this machine as a reviewer, in the embedded engine, in a thread of its own. Torch comes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ahalab.errors import UserError
from ahalab.guard.review.reviewer import TOO_LONG, Answer, AskFailed
from ahalab.runs.manifest import MANIFEST_NAME, Manifest

if TYPE_CHECKING:
    from ahalab.policy.load import Policy as Model
    from ahalab.rollout.embedded import EmbeddedEngine


class LocalAsker:
    """See `ahalab.guard.review.reviewer.Asker`.

    One call at a time, the most likely token each time: the same dialogue and mark give the same answer. A call whose
    caller has gone ends by itself after at most `max_tokens`.

    Raises:
        UserError: there is no such model.
    """

    def __init__(self, checkpoint: str, max_tokens: int) -> None:
        from ahalab.policy.locate import fingerprint

        self._checkpoint, self._max_tokens = checkpoint, max_tokens
        self._identity = {
            "kind": "local",
            "model": Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint,
            "weights": fingerprint(checkpoint),
            "max_tokens": max_tokens,
            "training_data": learned_from(Path(checkpoint)),
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reviewer")

    def identity(self) -> dict[str, Any]:
        """See `Asker.identity`."""
        return dict(self._identity)

    async def ask(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        """See `Asker.ask`. The first call loads the model."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._answer, messages, options)
        except (MemoryError, RuntimeError) as error:  # torch raises RuntimeError for what memory cannot hold
            raise AskFailed(f"endpoint: {type(error).__name__}", str(error)[:300]) from None

    async def aclose(self) -> None:
        """What runs ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _answer(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        from ahalab.rollout.engine import PromptTokens, RolloutKey, Sampling
        from ahalab.text import Renderer
        from ahalab.text.parse import parse_response

        model, engine, lock = _loaded(self._checkpoint, str(self._identity["weights"]))
        tokenizer = model.tokenizer
        stops = {*model.stop_ids, *([] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)])}
        if getattr(tokenizer, "chat_template", None):
            more = options.get("chat_template_kwargs") or {}
            try:
                rendered = tokenizer.apply_chat_template(
                    [dict(one) for one in messages], tokenize=False, add_generation_prompt=True, **more
                )
            except Exception as error:  # a template may refuse turns with an exception of any kind
                raise AskFailed("endpoint: chat template", str(error)[:300]) from None
            ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
        else:
            if len(messages) != 1:
                raise UserError(
                    f"reviewer {self._checkpoint}: it has no chat template, which this form needs"
                )
            renderer = Renderer(tokenizer, template="table1", extra_stop_ids=model.stop_ids)
            ids, stops = renderer.prompt_ids(messages[0]["content"]), stops | set(renderer.stop_ids)
        limits = (model.decoder.max_positions, getattr(model.model.config, "max_position_embeddings", None))
        limit = min((one for one in limits if one), default=10**9)
        new = min(self._max_tokens, int(options.get("max_tokens") or self._max_tokens))
        if len(ids) + new > limit:
            raise AskFailed(TOO_LONG, f"{len(ids)} tokens and {new} new ones; it reads {limit}")
        sampling = Sampling(new, temperature=0.0, stop_ids=tuple(sorted(stops)))
        prompt = PromptTokens("review", tuple(ids))
        with lock:
            sample = next(iter(engine.generate([prompt], 1, sampling, RolloutKey(0, "review", 0))))
        said = [token for token in sample.token_ids if token not in stops]
        text = tokenizer.decode(said, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        # Models of this project answer in <think> and <answer>: what they mean to say stands in the second.
        response = parse_response(text, sample.finish)
        if response.well_formed and response.answer is not None:
            text = response.answer
        return Answer(text, sample.finish, len(ids) + len(sample.token_ids))


@lru_cache(maxsize=2)
def _loaded(checkpoint: str, _weights: str) -> tuple[Model, EmbeddedEngine, Lock]:
    """One copy for the reviewers of all policies, while the files are the same."""
    from ahalab.policy.load import load_policy
    from ahalab.rollout.embedded import EmbeddedEngine

    model = load_policy(checkpoint)
    return model, EmbeddedEngine(model.decoder, max_rows=1), Lock()


def learned_from(checkpoint: Path) -> list[str]:
    """Hashes of what a stage's checkpoint was made from, models and data; [] where no manifest tells."""
    if not (checkpoint.parent / MANIFEST_NAME).is_file():
        return []
    return sorted(Manifest.read(checkpoint.parent).inputs.values())
