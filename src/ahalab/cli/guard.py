"""`aha guard`: risk control of a served model. One file a verb; this one only gathers them."""

from __future__ import annotations

import typer

from ahalab.cli import guard_audit, guard_keys, guard_policy, guard_review, guard_serve, guard_terms

app = typer.Typer(no_args_is_help=True, help="Keywords and review that stand in front of a served model.")
app.add_typer(guard_terms.app, name="terms")
app.add_typer(guard_audit.app, name="audit")
app.add_typer(guard_keys.app, name="keys")
app.command("serve")(guard_serve.serve)
app.command("policy")(guard_policy.policy)
app.command("review")(guard_review.review)
