"""Whether judge, reviewer and target are apart: a judge that shares its model, training data or prompt with the control
it measures (or with the target) confirms itself. Compared by what their identities recorded, hashes included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ahalab.safety.comparison.reading import Answered, Evaluation

OUR_SET = "safety-1120"
_MODEL_KEYS = ("model", "fingerprint", "model_sha256", "weights", "weights_sha256")


@dataclass(frozen=True, slots=True)
class Circle:
    """One violation, of one target."""

    target: str
    what: str
    """Which rule, in stable words: "model", "training data", "prompt", "target", "keywords"."""
    told: str
    """In a sentence."""

    def as_dict(self) -> dict[str, str]:
        """JSON-able."""
        return asdict(self)


def circles(evaluation: Evaluation) -> list[Circle]:
    """Every violation in an evaluation, target by target."""
    return [one for target in evaluation.targets for one in _of_target(evaluation, target)]


def _of_target(evaluation: Evaluation, target: Answered) -> Iterable[Circle]:
    judge, control = target.judge_identity, target.control
    if same := _same_model(judge, target.identity):
        yield Circle(target.name, "target", f"the judge is the target itself ({same})")
    if not control:
        return
    if same := _same_model(judge, control):
        yield Circle(target.name, "model", f"judge and reviewer are the same model ({same})")
    shared = sorted(_words(judge.get("training_data")) & _words(control.get("training_data")))
    if shared:
        yield Circle(
            target.name, "training data", f"judge and reviewer learned from the same data ({shared[0][:12]})"
        )
    prompts = _words(judge.get("prompt")) & _words(control.get("prompt"))
    if prompts:
        yield Circle(target.name, "prompt", f"judge and reviewer share their prompt ({min(prompts)[:12]})")
    asked = {item.benchmark for item in evaluation.items.values()} | {OUR_SET}
    for terms in _terms(control):
        tuned = sorted(asked & _words(terms.get("tuned_on")))
        if tuned:
            yield Circle(
                target.name,
                "keywords",
                f"keyword file {str(terms.get('sha256', 'of unknown hash'))[:12]} "
                f"of {terms.get('date', 'unknown date')} was tuned on {', '.join(tuned)}",
            )


def unknowns(evaluation: Evaluation) -> list[str]:
    """What the identities do not tell, so that a circle cannot be ruled out."""
    told = []
    for target in evaluation.targets:
        if target.control_of and not target.control:
            told.append(
                f"{target.name}: its control recorded no identity; whether it is circular is not known"
            )
        elif target.control:
            sides = (("judge", target.judge_identity), ("reviewer", target.control))
            missing = [
                f"the {side}'s {key.replace('_', ' ')}"
                for side, identity in sides
                for key in ("model", "training_data", "prompt")
                # An empty prompt was recorded: it has none. Empty training data are not known.
                if not _words(identity.get(key)) and not (key == "prompt" and key in identity)
            ]
            if missing:
                told.append(f"{target.name}: not recorded, so not compared: {', '.join(missing)}")
    return told


def keyword_files(target: Answered) -> list[dict[str, Any]]:
    """The control's keyword files: hash, date, and what they were tuned on."""
    return [
        {key: terms.get(key) for key in ("sha256", "date", "tuned_on")} for terms in _terms(target.control)
    ]


def _terms(control: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = control.get("terms")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _same_model(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """The model that both are, by name or by hash of its weights; "" where they differ or nothing is recorded."""
    for key in _MODEL_KEYS:
        shared = {_model(one) for one in _words(first.get(key))} & {
            _model(one) for one in _words(second.get(key))
        }
        if shared:
            return min(shared)
    return ""


def _model(name: str) -> str:
    """A model's name without its owner, in lower case: `org/Model-7B` and `model-7b` are one."""
    return name.strip().casefold().rpartition("/")[2]


def _words(value: Any) -> set[str]:
    """The texts of a field that may be one text, a list, a mapping of them, or nothing."""
    if isinstance(value, str):
        return {value} if value.strip() else set()
    if isinstance(value, Mapping):
        hashed = value.get("sha256")
        return {one for inner in ([hashed] if hashed else value.values()) for one in _words(inner)}
    if isinstance(value, list | tuple):
        return {one for inner in value for one in _words(inner)}
    return set()
