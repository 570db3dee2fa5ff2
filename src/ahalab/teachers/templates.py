"""The prompt files: bundled, or a user's own from a folder; their slots are checked before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template

from ahalab.errors import UserError
from ahalab.validation import suggestion

BUNDLED = Path(__file__).parent / "prompts"

DATA_SLOTS: dict[str, tuple[str, ...]] = {
    "refine_thinking": ("question", "thought_process"),
    "summary": ("question", "thought_process", "final_answer"),
    "simple_math": ("question",),
    "general_response": ("question",),
    "judge_correctness": ("question", "reference", "answer"),
    "arena": ("question", "answer_a", "answer_b"),
    "safety_label": ("question", "thinking", "answer"),
    "test_generators": ("question",),
    "own_thinking": ("question", "thought_process"),
    "own_summary": ("question", "thought_process", "final_answer"),
    "own_response": ("question",),
    "own_simple": ("question",),
}
"""Prompt file → the slots that take text from outside; each must be there."""

PLAIN_SLOTS = {
    "refine_thinking": ("language",),
    "summary": ("language",),
    "simple_math": ("language",),
    "general_response": ("language", "thinking_wanted"),
    "test_generators": ("input_form",),
}
"""Slots that the program fills with words of its own; they may be left out."""

_SEALED = frozenset(name for name in DATA_SLOTS if not name.startswith("own_"))
"""Files whose replies are recognised by the mark `$nonce`; few-shot prompts for a base model have none."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One prompt file."""

    name: str
    text: str
    sha256: str
    """Of the file's text: goes into the results, so that a changed prompt is seen."""

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its slots filled. What stands in a value is never read as a slot."""
        return Template(self.text).substitute(values)


def load_instructions(names: tuple[str, ...], folder: Path | None) -> dict[str, Instruction]:
    """The prompt files called `names`, from `folder` where it has them and else the bundled ones.

    Raises:
        UserError: no such folder, a file there of an unknown name, unreadable, without a slot it needs or with one
            that does not exist.
    """
    if folder is not None:
        _check_folder(folder)
    return {name: _load(name, folder) for name in names}


def hashes(instructions: Mapping[str, Instruction]) -> dict[str, str]:
    """Prompt file → SHA-256, for results."""
    return {name: instruction.sha256 for name, instruction in sorted(instructions.items())}


def _load(name: str, folder: Path | None) -> Instruction:
    own = folder / f"{name}.txt" if folder else None
    path = own if own is not None and own.is_file() else BUNDLED / f"{name}.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the prompt file cannot be read ({error}). It must be text in UTF-8."
        ) from error
    needed = (*DATA_SLOTS[name], *(["nonce"] if name in _SEALED else []))
    known = (*needed, *PLAIN_SLOTS.get(name, ()))
    template = Template(text)
    if not template.is_valid():
        raise UserError(
            f"{path}: a lone $ stands there. Slots are {_slots(known)}; a dollar sign is written $$."
        )
    found = template.get_identifiers()
    for slot in found:
        if slot not in known:
            raise UserError(
                f"{path}: unknown slot ${slot}; {suggestion(slot, known)}. A dollar sign is written $$."
            )
    if missing := [slot for slot in needed if slot not in found]:
        raise UserError(f"{path}: the slot ${missing[0]} is missing. The file needs {_slots(needed)}.")
    return Instruction(name, text, sha256(text.encode()).hexdigest())


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(
            f"prompts_folder: {folder} is no folder. Make it, or leave the key out for our prompts."
        )
    for path in sorted(folder.glob("*.txt")):
        if path.stem not in DATA_SLOTS:
            raise UserError(
                f"{path}: no prompt file has this name; {suggestion(path.stem, list(DATA_SLOTS))}."
            )


def _slots(names: tuple[str, ...]) -> str:
    return ", ".join(f"${name}" for name in names)
