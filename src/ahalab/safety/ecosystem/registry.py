"""What the entry point `inspect_ai` names: importing it registers tasks, scorers, metrics and the solver."""

from ahalab.safety.ecosystem.asking import ask
from ahalab.safety.ecosystem.scoring import (
    answer_verdict,
    bbq_option,
    compliance_verdict,
    thinking_verdict,
    verbatim_overlap,
)
from ahalab.safety.ecosystem.tasks import (
    bbq,
    cvalues,
    do_not_answer,
    harmbench,
    harmbench_copyright,
    multijail,
    public_domain,
    red_team,
    safety_1120,
    safety_harmless,
    simple_safety_tests,
    xstest,
)

__all__ = [
    "answer_verdict",
    "ask",
    "bbq",
    "bbq_option",
    "compliance_verdict",
    "cvalues",
    "do_not_answer",
    "harmbench",
    "harmbench_copyright",
    "multijail",
    "public_domain",
    "red_team",
    "safety_1120",
    "safety_harmless",
    "simple_safety_tests",
    "thinking_verdict",
    "verbatim_overlap",
    "xstest",
]
