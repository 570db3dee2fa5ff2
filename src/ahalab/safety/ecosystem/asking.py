"""The solver: asks once, and keeps the thinking apart from the answer in the log."""

# mypy: disable-error-code="untyped-decorator"
# Inspect is an extra: the types of its decorators are not looked at.
from __future__ import annotations

from inspect_ai.solver import Generate, Solver, TaskState, solver

from ahalab.safety.ecosystem.samples import message_of, parted


@solver
def ask() -> Solver:
    """Generate; text before `</think>` becomes reasoning, which the viewer shows apart."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        if state.output.empty:
            return state
        thinking, answer = parted(state.output.message)
        if thinking:
            message = message_of(thinking, answer, state.output.model)
            state.output.choices[0].message = message
            state.output.completion = answer
            state.messages[-1] = message
        return state

    return solve
