"""`open_reviewer`: a reviewer from what a person wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.guard.plain import read_plain
from ahalab.guard.policy import Policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.review.adapters import CategoryForm, ShieldGemmaForm, read_table
from ahalab.guard.review.config import (
    Asking,
    EndpointReviewerConfig,
    LocalReviewerConfig,
    RewardReviewerConfig,
)
from ahalab.guard.review.endpoint import EndpointAsker
from ahalab.guard.review.measured import RecordedReviewer
from ahalab.guard.review.prompt import ReviewForm
from ahalab.guard.review.reviewer import ModelReviewer, QuestionForm
from ahalab.validation import validate

HOW = (
    "A reviewer is URL#MODEL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1#qwen3; a YAML file with "
    "`url:` and `model:`, with `checkpoint:`, or with `reward_model:`; the folder of a model; rm:FOLDER, a safety "
    "reward model; or recorded:FILE."
)


def open_reviewer(spec: str, policy: Policy) -> Reviewer:
    """The reviewer that `spec` names (see `HOW`). Nothing is sent and no model is loaded before it reviews.

    Raises:
        UserError: no such reviewer, its file breaks a rule, or its key is not set.
    """
    if spec.startswith(("http://", "https://")):
        url, _, model = spec.partition("#")
        if not model:
            raise UserError(f"reviewer {spec}: the model's name is missing. {HOW}")
        return _made({"url": url, "model": model}, policy, f"reviewer {spec}", Path())
    kind, _, rest = spec.partition(":")
    if kind == "rm" and rest:
        return _made({"reward_model": rest}, policy, f"reviewer {spec}", Path())
    if kind == "recorded" and rest:
        return RecordedReviewer(Path(rest), policy)
    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        return _made(read_plain(path), policy, str(path), path.parent)
    if (spec and path.is_dir()) or kind in ("builtin", "pypi"):
        return _made({"checkpoint": spec}, policy, f"reviewer {spec}", Path())
    raise UserError(f"reviewer {spec!r}: there is no such reviewer. {HOW}")


def _made(data: Any, policy: Policy, where: str, home: Path) -> Reviewer:
    """The reviewer of a mapping; paths in it are seen from `home`."""
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected a mapping of keys to values. {HOW}")
    if "reward_model" in data:
        from ahalab.guard.review.reward_model import RewardModelReviewer

        rewarding = validate(RewardReviewerConfig, data, where)
        return RewardModelReviewer(home / rewarding.reward_model, policy, rewarding)
    if "checkpoint" in data:
        from ahalab.guard.review.local import LocalAsker

        local = validate(LocalReviewerConfig, data, where)
        place = home / local.checkpoint
        asker = LocalAsker(str(place) if place.is_dir() else local.checkpoint, local.max_tokens)
        return ModelReviewer(asker, _form(local, policy, home), local)
    if "url" not in data:
        raise UserError(f"{where}: one of `url`, `checkpoint`, `reward_model` must be there. {HOW}")
    config = validate(EndpointReviewerConfig, data, where)
    return ModelReviewer(EndpointAsker(config), _form(config, policy, home), config)


def _form(asking: Asking, policy: Policy, home: Path) -> QuestionForm:
    if asking.form == "review":
        return ReviewForm(policy)
    if asking.form == "shieldgemma":
        return ShieldGemmaForm(policy)
    table = read_table(asking.form, policy, home / asking.categories if asking.categories else None)
    return CategoryForm(asking.form, policy, table, controversial=asking.controversial)
