"""IFEval's official rules, as EleutherAI's lm-eval bundles them (an optional extra): is every instruction followed?

Two of the 25 kinds (`number_sentences`, `capital_word_frequency`) need nltk's `punkt_tab`, which is data that somebody
has to fetch. Without it prompts that hold one of them cannot be checked: an error that is counted, never a 0.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ahalab.grading.failure import GraderFailure

DATA_MISSING = "ifeval data missing"
"""How the error of a prompt begins that cannot be checked here."""


def prepare_ifeval() -> None:
    """Import the rules, before a task's CPU time is counted.

    Raises:
        GraderFailure: they are not installed.
    """
    _library()


def ifeval_verifier(answer: str, gold: str | None, extra: Mapping[str, Any]) -> float:  # noqa: ARG001 - rules decide
    """1.0 when the response follows all of `extra["instruction_id_list"]` as written (prompt-level strict), else 0.0.

    `extra` also has `kwargs`, one mapping an instruction, and `prompt`, the prompt itself.

    Raises:
        GraderFailure: the rules are not installed, `extra` is not of that form, or an instruction cannot be checked
            without data that is not there.
    """
    names: Any = extra.get("instruction_id_list")
    settings: Any = extra.get("kwargs")
    sound = isinstance(names, list) and isinstance(settings, list) and len(names) == len(settings) > 0
    if not sound or not all(isinstance(one, Mapping) for one in settings):
        raise GraderFailure(
            "verifier error: ifeval needs extra = {'instruction_id_list': [name, …], 'kwargs': [{…}, …]}"
        )
    rules = _library()
    unknown = [name for name in names if name not in rules.instructions_registry.INSTRUCTION_DICT]
    if unknown:
        raise GraderFailure(f"verifier error: IFEval has no instruction {str(unknown[0])[:60]!r}")
    item = rules.InputExample(0, names, str(extra.get("prompt") or ""), [dict(one) for one in settings])
    try:
        # Nothing follows no instruction; a word in its place shows whether the prompt could be checked at all.
        followed = rules.test_instruction_following_strict(item, answer if answer.strip() else "-")
    except LookupError as error:
        if type(error) is not LookupError:  # nltk raises the bare type where its data is not there
            raise
        raise GraderFailure(
            f"{DATA_MISSING}: {', '.join(names)} needs nltk's punkt_tab; python -m nltk.downloader punkt_tab"
        ) from error
    return float(bool(answer.strip()) and followed.follow_all_instructions)


@lru_cache(maxsize=1)
def _library() -> Any:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise GraderFailure("verifier error: IFEval's rules are not installed; pip install 'ahalab[ifeval]'")
    folder = Path(spec.origin).parent
    try:
        langdetect: Any = importlib.import_module("langdetect")
        nltk: Any = importlib.import_module("nltk")
        langdetect.DetectorFactory.seed = 0  # it guesses at random otherwise
        nltk.download = _no_download  # the rules fetch data while they are imported
        # lm_eval's own __init__ files import torch and datasets; the rules need neither.
        for name in ("lm_eval", "lm_eval.tasks"):
            if name not in sys.modules:
                package = ModuleType(name)
                package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
                sys.modules[name] = package
        return importlib.import_module("lm_eval.tasks.ifeval.utils")
    except ImportError as error:
        raise GraderFailure(
            f"verifier error: IFEval's rules cannot be imported ({error}); pip install 'ahalab[ifeval]'"
        ) from error


def _no_download(*_: Any, **__: Any) -> bool:
    return False
