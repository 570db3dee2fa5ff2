"""What every teacher's work must pass: no leftover tags, nothing empty, and the final answer unchanged."""

from __future__ import annotations

import re
from collections.abc import Collection

from ahalab.grading.choice import choice_verifier
from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import plain_number, plain_text
from ahalab.records import Prompt
from ahalab.teachers.protocol import Failure, Outcome, Part, Refined, RefineItem, ThinkingChoice

LEFTOVER = re.compile(
    r"</?\s*(?:think|thinking|answer|summary)\s*>|<\|[^|<>]{1,40}\|>|<｜[^｜<>]{1,40}｜>", re.IGNORECASE
)
"""Tags of a response's format and of chat templates; inside a part they would break the format it is put into."""

CHECKED_VERIFIERS = frozenset({"exact", "math", "choice", "countdown", "reasoning_gym", "function"})
"""Verifiers whose prompts have one right final answer, so that a rewriting can be held to it."""

_BOX = "\\boxed"
_BRACE = re.compile(r"[{}]")
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:\n)?```", re.DOTALL)
_DEF = re.compile(r"\bdef \w{1,80}\(")
_LATEX_NOISE = re.compile(r"\\(?:left|right|displaystyle|,|;|!|:| )|[\s$]")
_LATEX_WRAP = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}")


def check_refined(item: RefineItem, refined: Refined, parts: Collection[Part]) -> Outcome:
    """`refined`, or why it may not be used: only the parts that were rewritten are looked at."""
    rewritten = [refined.thinking] * ("thinking" in parts) + [refined.answer] * ("summary" in parts)
    if fault := _fault(rewritten):
        return fault
    if "summary" in parts:
        return check_final_answer(item.prompt, item.answer, refined)
    return refined


def check_response(response: Refined, thinking: ThinkingChoice) -> Outcome:
    """`response` with the thinking that was asked for, or why it may not be used."""
    if thinking == "never":
        response = Refined("", response.answer)
    if thinking == "always" and not response.thinking.strip():
        return Failure("no thinking", "a thinking was asked for and none was given")
    return _fault([response.answer, *([response.thinking] if response.thinking else [])]) or response


def check_final_answer(prompt: Prompt, before: str, refined: Refined) -> Outcome:
    """`refined` where its final answer is the one from before; domains without one final answer always pass."""
    if prompt.verifier not in CHECKED_VERIFIERS:
        return refined
    if prompt.verifier == "function":
        same = _code(before) == _code(refined.answer)
        return refined if same else Failure("final answer changed", "the code of the answer is another one")
    ours, theirs = final_answer(before), final_answer(refined.answer)
    if _same(prompt, ours, theirs):
        return refined
    if _BOX not in refined.answer:
        return Failure("no final answer", f"the summary has no \\boxed{{}} answer; it was {_short(ours)}")
    return Failure("final answer changed", f"it was {_short(ours)} and became {_short(theirs)}")


def final_answer(text: str) -> str:
    """The content of the last complete `\\boxed{…}`, braces balanced; without one the whole text, stripped."""
    open_braces: list[int] = []
    start, found = -1, text
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            open_braces.append(brace.start())
        elif open_braces:
            opening = open_braces.pop()
            if opening > start and text[max(0, opening - 40) : opening].rstrip().endswith(_BOX):
                start, found = opening, text[opening + 1 : brace.start()]
    return found.strip()


def _same(prompt: Prompt, ours: str, theirs: str) -> bool:
    # Symbolic equality needs sympy in a process that can be killed; a mere change of notation may be lost here.
    if any(mark in ours + theirs for mark in "\\$"):
        ours, theirs = _plain_latex(ours), _plain_latex(theirs)
    first, second = plain_number(ours), plain_number(theirs)
    if first is not None and second is not None:
        return first == second
    if plain_text(ours) == plain_text(theirs):
        return True
    if prompt.verifier == "choice":
        try:
            return choice_verifier(theirs, ours, prompt.extra) == 1.0
        except GraderFailure:
            return False
    return False


def _plain_latex(text: str) -> str:
    unwrapped = _LATEX_WRAP.sub(r"\1", text).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return _LATEX_NOISE.sub("", unwrapped)


def _code(text: str) -> str:
    """The last fenced block, or everything from the first `def`: what stands before is prose or imports."""
    blocks: list[str] = _FENCE.findall(text)
    code = blocks[-1] if blocks else text
    begun = _DEF.search(code)
    lines = (code[begun.start() :] if begun else code).strip().splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _fault(parts: list[str]) -> Failure | None:
    for part in parts:
        if not part.strip():
            return Failure("empty", "a part that was asked for is blank")
        if found := LEFTOVER.search(part):
            return Failure("leftover tag", f"{found.group()} stands inside the text")
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
