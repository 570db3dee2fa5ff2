"""`aha guard`: risk control of a served model. One file a verb; this one only gathers them."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ahalab.cli import guard_audit, guard_keys, guard_policy, guard_review, guard_serve, guard_terms
from ahalab.cli.gateway_options import serve_extra


class _Guard(TyperGroup):
    def invoke(self, *given: Any, **named: Any) -> Any:
        with serve_extra():
            return super().invoke(*given, **named)


app = typer.Typer(
    cls=_Guard, no_args_is_help=True, help="Keywords and review that stand in front of a served model."
)
app.add_typer(guard_terms.app, name="terms")
app.add_typer(guard_audit.app, name="audit")
app.add_typer(guard_keys.app, name="keys")
app.command("serve")(guard_serve.serve)
app.command("policy")(guard_policy.policy)
app.command("review")(guard_review.review)
