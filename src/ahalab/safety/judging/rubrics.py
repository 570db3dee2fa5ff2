"""The rubrics: one file a sub-category, `general` for other benchmarks, and overlays for jailbreaks and for thinking.

The paper has "separate judge prompts per subcategory" (D.3.3) and sharpens them for jailbreaks (D.3.5), but prints
none: these are ours. They describe replies abstractly ("[reply lists steps]"): no working harmful text stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import Field

from ahalab.errors import UserError
from ahalab.runs.hashing import config_hash
from ahalab.validation import StrictModel, suggestion, validate

BUNDLED = Path(__file__).with_name("rubrics")
GENERAL, JAILBREAK, THINKING = "general", "jailbreak", "thinking"
RubricLanguage = Literal["en", "zh"]
Word = Literal["unsafe", "safe", "rejection"]


class Decided(StrictModel):
    """A case and its verdict."""

    case: str = Field(min_length=4, description="What the reply does, described abstractly")
    verdict: Word = Field(description="The verdict it gets")
    why: str = Field(min_length=2, description="The reason, in a clause")


class Words(StrictModel):
    """A rubric in one language."""

    stake: str = Field(
        min_length=8, description="What is at stake in this sub-category, and the line that decides"
    )
    unsafe: list[str] = Field(min_length=3, description="What makes a reply unsafe")
    safe: list[str] = Field(min_length=2, description="What a safe reply does: answers, and names the risk")
    rejection: list[str] = Field(min_length=1, description="What is a mere refusal here")
    borderline: list[Decided] = Field(min_length=3, description="Close cases, decided")
    examples: list[Decided] = Field(min_length=3, description="Replies in brackets, with their verdicts")


class Rubric(StrictModel):
    """How replies to one sub-category are judged."""

    id: str = Field(pattern=r"^([A-Z][0-9]{2}|[a-z]+)$", description="The sub-category's id, or a name")
    version: int = Field(ge=1, description="Raised with every change of meaning")
    en: Words = Field(description="In English")
    zh: Words = Field(description="In Chinese: the same rules, said as a Chinese reader would")

    @property
    def sha256(self) -> str:
        """Hash of the content; comments and layout of the file do not count."""
        return config_hash(self.model_dump())

    def text(self, language: RubricLanguage) -> str:
        """As it stands in the judge's prompt."""
        words, say = (self.en, _EN) if language == "en" else (self.zh, _ZH)
        lines = [words.stake]
        for name in ("unsafe", "safe", "rejection"):
            lines += ["", say[name], *(f"- {one}" for one in getattr(words, name))]
        for name in ("borderline", "examples"):
            lines += ["", say[name]]
            lines += _cases(getattr(words, name), say)
        return "\n".join(lines)


class OverlayWords(StrictModel):
    """An overlay in one language."""

    stake: str = Field(min_length=8, description="Why these replies are judged differently")
    rules: list[str] = Field(min_length=4, description="What is added to or changed in the rubric")
    decided: list[Decided] = Field(min_length=4, description="Cases, decided")


class Overlay(StrictModel):
    """Rules that are laid over every rubric: for jailbreak runs, for the thinking part."""

    id: str = Field(pattern=r"^[a-z]+$", description="Its name")
    version: int = Field(ge=1, description="Raised with every change of meaning")
    en: OverlayWords = Field(description="In English")
    zh: OverlayWords = Field(description="In Chinese")

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return config_hash(self.model_dump())

    def text(self, language: RubricLanguage) -> str:
        """As it stands in the judge's prompt, under the rubric."""
        words, say = (self.en, _EN) if language == "en" else (self.zh, _ZH)
        return "\n".join([words.stake, *(f"- {one}" for one in words.rules), *_cases(words.decided, say)])


def _cases(decided: Sequence[Decided], say: Mapping[str, str]) -> list[str]:
    return [f"- {one.case} → {one.verdict}{say['why']}{one.why}" for one in decided]


_EN = {
    "unsafe": "A reply is unsafe when it, anywhere,",
    "safe": "A reply is safe when it",
    "rejection": "A reply is a rejection when it",
    "borderline": "Close cases:",
    "examples": "Replies, described in brackets:",
    "why": ": ",
}
_ZH = {
    "unsafe": "回复只要有一处出现下列情况，即为 unsafe：",
    "safe": "回复做到下列各点，即为 safe：",
    "rejection": "下列情况为 rejection：",
    "borderline": "边界情形的判定：",
    "examples": "回复示例（方括号内为概述）：",
    "why": "：",
}


@lru_cache(maxsize=256)
def load_rubric(rubric: str, folder: Path | None = None) -> Rubric:
    """The rubric of a sub-category's id or "general": from `folder` where it has one, else the bundled one.

    Raises:
        UserError: no such rubric (the known ones are named), or the file breaks a rule.
    """
    return _load(Rubric, rubric, folder)


@lru_cache(maxsize=16)
def load_overlay(name: str, folder: Path | None = None) -> Overlay:
    """ "jailbreak" or "thinking". Errors as `load_rubric`."""
    return _load(Overlay, name, folder)


def rubric_ids() -> list[str]:
    """Every bundled rubric, overlays not among them."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml") if path.stem not in (JAILBREAK, THINKING))


@lru_cache(maxsize=8)
def rubrics_hash(folder: Path | None = None) -> str:
    """One hash for all rubrics and overlays that a judge with this folder uses."""
    names = sorted({path.stem for place in (BUNDLED, folder) if place for path in place.glob("*.yaml")})
    overlays = (JAILBREAK, THINKING)
    return config_hash(
        {name: (load_overlay if name in overlays else load_rubric)(name, folder).sha256 for name in names}
    )


_NAME = re.compile(r"[A-Z][0-9]{2}|[a-z]{1,40}")
Kind = TypeVar("Kind", Rubric, Overlay)


def _load(kind: type[Kind], name: str, folder: Path | None) -> Kind:
    known = sorted({path.stem for place in (BUNDLED, folder) if place for path in place.glob("*.yaml")})
    if not _NAME.fullmatch(name) or name not in known:
        raise UserError(f"rubric {name[:60]!r} is unknown; {suggestion(name[:60], known)}")
    own = folder / f"{name}.yaml" if folder else None
    path = own if own is not None and own.is_file() else BUNDLED / f"{name}.yaml"
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the rubric cannot be read ({error})") from error
    found = validate(kind, data, str(path))
    if found.id != name:
        raise UserError(f"{path}: `id` is {found.id!r}; a rubric's id is its file's name, {name!r}")
    return found
