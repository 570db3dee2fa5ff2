"""What a right answer costs on easy and on hard problems, as in the paper's Figure 18: from an evaluation's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ahalab.analysis.curves import is_number
from ahalab.analysis.evaluations import Figure, as_figure
from ahalab.analysis.samples import is_correct
from ahalab.errors import AhaError
from ahalab.evaluation.estimators import bootstrap
from ahalab.evaluation.measures import GENERAL_DOMAINS
from ahalab.runs.readers import read_samples

ALL_RIGHT = "1"
BANDS = (
    (1.0, ALL_RIGHT),
    (0.75, "0.75 to 1"),
    (0.5, "0.5 to 0.75"),
    (0.25, "0.25 to 0.5"),
    (0.0, "under 0.25"),
)
"""(lower bound, name), the easiest first. The paper draws a spline over problems; with some hundred problems and a few
samples each, bands with an interval say how sure it is (our choice)."""
LEAST_PROMPTS = 5
"""A band of fewer prompts is left out: its interval would be too narrow (our choice)."""


@dataclass(frozen=True, slots=True)
class Effort:
    """One evaluation's thinking tokens in right answers, by how often its prompts were answered right."""

    stage: str
    bands: Mapping[str, Figure] = field(default_factory=dict)
    """Band → mean over its prompts, with a 95 % interval over prompts; bands of fewer than
    `LEAST_PROMPTS` with a right answer are left out."""
    trouble: str | None = None


@dataclass(slots=True)
class _Prompt:
    graded: int = 0
    right: int = 0
    tokens: float = 0.0
    """Thinking tokens of the right answers."""


def measure_effort(stage_dir: Path, stage: str) -> Effort:
    """Stream an evaluation's samples; a damaged file gives what could be read and `trouble`.

    A prompt's difficulty is the share of its own graded samples that are right, as in the paper: measured with the same
    samples as its tokens. Prompts without a right answer have no such tokens and are left out.
    """
    prompts: dict[str, _Prompt] = {}
    trouble = None
    try:
        for row in read_samples(stage_dir):
            right = is_correct(row)
            if right is None or row.get("domain") in GENERAL_DOMAINS:
                continue
            prompt = prompts.setdefault(str(row.get("prompt_id")), _Prompt())
            prompt.graded += 1
            tokens = row.get("thinking_tokens")
            if right and is_number(tokens):
                prompt.right += 1
                prompt.tokens += tokens
    except (AhaError, OSError, UnicodeDecodeError) as error:
        trouble = str(error)
    k = max((prompt.graded for prompt in prompts.values()), default=0)
    means: dict[str, list[float]] = {name: [] for _, name in BANDS}
    for prompt in prompts.values():
        if prompt.right:
            share = prompt.right / prompt.graded
            band = next(name for bound, name in BANDS if share >= bound)
            means[band].append(prompt.tokens / prompt.right)
    bands = {
        name: as_figure(bootstrap(values, k).as_dict())
        for name, values in means.items()
        if len(values) >= LEAST_PROMPTS
    }
    return Effort(stage, {name: figure for name, figure in bands.items() if figure}, trouble)
