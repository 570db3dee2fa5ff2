"""Big files of made-up questions and answers, with known twins and known leaks, written fast."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SENTENCES = 20_000
ROW_SENTENCES = 8
BLOCK, RECENT = 4096, 1000
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多"


@dataclass(frozen=True)
class Made:
    """What was written."""

    rows: int
    exact: int
    """Rows that an earlier row is."""
    near: int
    """Rows that are an earlier row with one more word at the end."""
    leaked: int
    """Rows that hold the evaluation question."""


LEAK = "A lighthouse keeper counts ships for exactly nineteen foggy nights before writing the harbour master a letter"


def write_synthetic(path: Path, size: int, seed: int = 0) -> Made:
    """Write about `size` bytes of JSON Lines: mostly English, one row in ten Chinese, rows of about 1 kB."""
    chosen = random.Random(seed)
    vocabulary = [
        "".join(chosen.choices("abcdefghijklmnopqrstuvwxyz", k=chosen.randint(2, 9))) for _ in range(30_000)
    ]
    weights = [1 / (place + 10) for place in range(len(vocabulary))]
    english = [
        " ".join(chosen.choices(vocabulary, weights, k=chosen.randint(8, 22))).capitalize() + "."
        for _ in range(SENTENCES)
    ]
    chinese = ["".join(chosen.choices(HAN, k=chosen.randint(15, 40))) + "。" for _ in range(SENTENCES // 4)]
    made = np.random.default_rng(seed)
    written = rows = exact = near = leaked = 0
    recent: list[str] = []
    with path.open("wb", buffering=1 << 22) as file:
        while written < size:
            kinds = made.random(BLOCK).tolist()
            picks = made.integers(0, SENTENCES, (BLOCK, ROW_SENTENCES)).tolist()
            olds = made.integers(0, RECENT, BLOCK).tolist()
            for kind, pick, old in zip(kinds, picks, olds, strict=True):
                if recent and kind < 0.02:
                    text = recent[old % len(recent)]
                    if kind < 0.01:
                        exact += 1
                    else:
                        text += " indeed"
                        near += 1
                else:
                    chinese_row = rows % 10 == 9
                    text = ("" if chinese_row else " ").join(
                        [chinese[place % len(chinese)] if chinese_row else english[place] for place in pick]
                    )
                    text += f" {rows}"  # numbers tell problems apart
                    if kind > 0.999:
                        text += f" {LEAK}"
                        leaked += 1
                    if len(recent) < RECENT:
                        recent.append(text)
                    else:
                        recent[rows % RECENT] = text
                # Nothing in it needs to be escaped.
                line = (
                    f'{{"id": "r{rows}", "question": "{text}", "answer": "{rows % 97}", '
                    f'"domain": "{"code" if rows % 2 else "math"}"}}\n'
                ).encode()
                file.write(line)
                written += len(line)
                rows += 1
                if written >= size:
                    break
    return Made(rows, exact, near, leaked)
