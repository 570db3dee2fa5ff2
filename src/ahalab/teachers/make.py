"""From the name a recipe gives to a teacher or judge to the teacher or judge itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ahalab.endpoints.config import EndpointConfig
from ahalab.errors import UserError
from ahalab.teachers.judge import Judge
from ahalab.teachers.protocol import Generate, Teacher
from ahalab.teachers.rules import RulesTeacher
from ahalab.teachers.rules_judge import RulesJudge
from ahalab.validation import suggestion

RULES, SELF = "rules", "self"
RESERVED = (RULES, SELF)
"""Names that no endpoint of a recipe may have."""


def make_teacher(
    name: str,
    endpoints: Mapping[str, EndpointConfig],
    generate: Generate | None,
    cache_folder: Path,
    prompts_folder: Path | None = None,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Teacher:
    """The teacher called `name`.

    Args:
        name: "rules", "self", or the name of an endpoint of the recipe.
        endpoints: the recipe's endpoints.
        generate: the model of the stage, for "self" only.
        cache_folder: where every reply is kept, so that a resumed stage pays for none twice; made when missing.
        prompts_folder: the user's own prompt files; those that are missing there are the bundled ones.
        stopping: asked before each request; True (a Ctrl-C) ends the call with `Interrupted`.

    Raises:
        UserError: an unknown name, an unset key variable, a prompt file that does not hold what it must.
    """
    if name == RULES:
        return RulesTeacher()
    if name == SELF:
        from ahalab.teachers.own import OwnTeacher

        if generate is None:
            raise UserError(
                "teacher: self is the model that the stage samples from, and this stage has none. "
                "Name `rules` or an endpoint."
            )
        return OwnTeacher(generate, prompts_folder)
    from ahalab.teachers.endpoint import EndpointTeacher

    config = _endpoint(name, endpoints, "teacher", RESERVED)
    return EndpointTeacher(name, config, cache_folder, prompts_folder, stopping)


def make_judge(
    name: str,
    endpoints: Mapping[str, EndpointConfig],
    cache_folder: Path,
    prompts_folder: Path | None = None,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Judge:
    """The judge called `name`: "rules" or the name of an endpoint of the recipe. Arguments as `make_teacher`.

    Raises:
        UserError: as `make_teacher`; "self" too: a model does not judge itself here.
    """
    if name == RULES:
        return RulesJudge()
    if name == SELF:
        raise UserError(
            "judge: self is not offered: a model does not judge itself. Name `rules` or an endpoint."
        )
    from ahalab.teachers.endpoint_judge import EndpointJudge

    return EndpointJudge(
        name, _endpoint(name, endpoints, "judge", (RULES,)), cache_folder, prompts_folder, stopping
    )


def _endpoint(
    name: str, endpoints: Mapping[str, EndpointConfig], role: str, others: tuple[str, ...]
) -> EndpointConfig:
    if name not in endpoints:
        hint = suggestion(name, [*others, *endpoints])
        raise UserError(
            f"{role}: {name!r} is neither {' nor '.join(others)} nor an endpoint of this recipe; {hint}. "
            "Endpoints are named under `endpoints:` at the recipe's head, with url and model."
        )
    return endpoints[name]
