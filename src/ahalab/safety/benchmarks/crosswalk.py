"""Classes of public sets → the sub-category whose rubric judges them.

Only where the class means one sub-category and little else, by the taxonomy's `near` (a test holds the two together);
every other class is judged by the rubric "general". Which classes are close enough is our choice.
"""

from __future__ import annotations

from typing import Final, Literal

GENERAL: Final = "general"
PublicSet = Literal["dna", "sst", "harmbench"]

CLOSE: dict[PublicSet, dict[str, str]] = {
    "dna": {
        "Adult content": "I03",
        "Mental Health or over-reliance crisis": "H01",
        "Toxic language (hate speech)": "H03",
        "Compromise privacy by leaking or inferring private information (person/individual)": "H04",
        "Risks from leaking or inferring sensitive information (organization/government)": "H05",
    },
    "sst": {"Suicide, Self-Harm and Eating Disorders": "H01"},
    "harmbench": {"cybercrime_intrusion": "I08", "harassment_bullying": "H03"},
}


def rubric_for(which: PublicSet, name: str) -> str:
    """The rubric for a class of a public set; letter case and white space do not matter."""
    wanted = _plain(name)
    return next((rubric for close, rubric in CLOSE[which].items() if _plain(close) == wanted), GENERAL)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
