"""`open_judge`: a judge from what a person wrote on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from ahalab.endpoints.client import ChatClient
from ahalab.errors import UserError
from ahalab.safety.judging.config import EndpointJudgeConfig
from ahalab.safety.judging.consistency import PLACE
from ahalab.safety.judging.endpoint import EndpointJudge
from ahalab.safety.protocols import Judge, judge_hash
from ahalab.validation import validate

OFFLINE = "offline"
HOW = (
    f'A judge is "{OFFLINE}" (no network), a YAML file with `url:` and `model:` of an OpenAI-compatible endpoint, '
    "or URL#MODEL, such as http://127.0.0.1:8000/v1#qwen3."
)


def open_judge(spec: str, folder: Path, stopping: Callable[[], bool] = lambda: False) -> Judge:
    """The judge that `spec` names. Nothing is sent, and no key is needed, until it judges (or `ready` is called).

    Args:
        spec: see `HOW`.
        folder: the safety evaluation, or any folder: an endpoint's replies are kept in `judges/<hash>/paid` there.
        stopping: asked while waiting; True (a Ctrl-C) ends judging with `Interrupted`.

    Raises:
        UserError: no such judge, or its file breaks a rule.
    """
    if spec == OFFLINE:
        from ahalab.safety.offline.judge import OfflineJudge

        return OfflineJudge()
    if spec.startswith(("http://", "https://")):
        url, _, model = spec.partition("#")
        if not model:
            raise UserError(f"judge {spec}: the model's name is missing. {HOW}")
        return _endpoint(
            validate(EndpointJudgeConfig, {"url": url, "model": model}, f"judge {spec}"),
            None,
            folder,
            stopping,
        )
    path = Path(spec)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"judge {spec!r}: there is no such judge. {HOW}")
    config = _read(path)
    rubrics = path.parent / config.rubrics if config.rubrics else None
    if rubrics is not None and not rubrics.is_dir():
        raise UserError(f"{path}: `rubrics`: {rubrics} is no folder. Leave the key out for our rubrics.")
    return _endpoint(config, rubrics, folder, stopping)


def _read(path: Path) -> EndpointJudgeConfig:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the judge's file cannot be read ({error.strerror}). {HOW}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is no YAML in UTF-8: {error}") from error
    return validate(EndpointJudgeConfig, data, str(path))


def _endpoint(
    config: EndpointJudgeConfig, rubrics: Path | None, folder: Path, stopping: Callable[[], bool]
) -> EndpointJudge:
    # The hash does not depend on where things are kept, so it may name the place.
    home = folder / "judges" / judge_hash(EndpointJudge.identity_of(config, rubrics))
    return EndpointJudge(
        lambda: ChatClient("judge", config, home / "paid", stopping), config, rubrics, home / PLACE
    )
