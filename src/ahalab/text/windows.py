"""Long texts in overlapping windows: a judge or a reviewer reads every part of them, and nothing is cut away."""

from __future__ import annotations

SIZE, OVERLAP = 6000, 600
"""Characters of a window and of what two neighbours share. Our choice: about 1,500 tokens of English, so that a small
judge reads it with the rubric, and an overlap of some sentences, so that nothing harmful is cut in two everywhere."""

_BREAKS = ("\n\n", "\n", "。", ". ", "！", "？", "! ", "? ", "；", "; ", "，", ", ", " ")
_SEARCHED = 0.25
"""A window ends at a natural break in its last quarter where there is one."""


def windows(text: str, size: int = SIZE, overlap: int = OVERLAP) -> list[str]:
    """Pieces of at most `size` characters that together hold all of `text`; neighbours share at least `overlap`.

    A text that fits is one window, as it is; so is the empty one. The same text gives the same windows.

    Raises:
        ValueError: `overlap` is not in 0 … size / 2.
    """
    if not 0 <= overlap <= size // 2:
        raise ValueError(f"overlap {overlap} outside 0 … {size // 2}")
    found: list[str] = []
    start = 0
    while len(text) - start > size:
        end = start + _end(text[start : start + size])
        found.append(text[start:end])
        start = end - overlap
    found.append(text[start:])
    return found


def _end(piece: str) -> int:
    least = int(len(piece) * (1 - _SEARCHED))
    for mark in _BREAKS:
        found = piece.rfind(mark, least)
        if found >= 0:
            return found + len(mark)
    return len(piece)
