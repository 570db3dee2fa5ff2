"""What a recipe says about code problems: where they are in a table, what is kept of them, what is asked."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ahalab.validation import StrictModel, suggestion, told

LayoutName = Literal["contest", "bug_fix", "apps", "livecodebench", "codeforces"]
ProgrammingLanguage = Literal["python", "cpp", "any"]
Asked = Literal["output", "input", "both"]

COLUMNS = (
    "id",
    "title",
    "question",
    "tests",
    "inputs",
    "outputs",
    "function",
    "class",
    "signature",
    "solutions",
    "compare",
    "tolerance",
    "checker",
    "time_limit",
    "memory_limit",
    "level",
    "tags",
    "issue",
    "files",
)
"""The names that `columns` gives a table's own columns."""


class CodeOptions(StrictModel):
    """How the rows of a table become code prompts. All of it has a default."""

    layout: LayoutName | None = Field(
        None,
        description="How rows are laid out: contest and bug_fix are our own layouts, apps is that of TACO too "
        "(default: recognised by the columns)",
    )
    columns: dict[str, str] = Field(
        {},
        description="For a table of no known layout: our name -> its column, such as {question: prompt, tests: cases}. "
        f"Our names: {', '.join(COLUMNS)}",
    )
    max_tests: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="Tests kept of a problem: spread evenly over their order, the first and the last included",
    )
    max_test_megabytes: float = Field(
        4.0,
        gt=0,
        le=1024,
        description="Size of a problem's kept tests together; the largest are left out until they fit",
    )
    language: ProgrammingLanguage = Field(
        "python",
        description="Programming language that is asked for; any: Python or C++, as the code fence says",
    )
    time_factor: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Times the stated time limit: many contests state theirs for C++",
    )
    partial: bool = Field(False, description="Reward the share of the tests that pass; otherwise all must")
    show_tests: bool = Field(True, description="Bug fixing: show the failing unit tests in the question")
    io: Asked | None = Field(
        None,
        description="Make logic questions of contest problems instead: predict the output of an input, find an input "
        "that gives an output, or both",
    )
    cases: int = Field(1, ge=1, le=16, description="Such questions of each kind that a problem makes")
    show: Literal["both", "statement", "program"] = Field(
        "both",
        description="What such a question shows: the problem's statement, a reference program, or both",
    )

    @model_validator(mode="before")
    @classmethod
    def _known_columns(cls, data: Any) -> Any:
        columns = data.get("columns") if isinstance(data, dict) else None
        for name in columns if isinstance(columns, dict) else ():
            if name not in COLUMNS:
                raise told(f"columns: unknown name {name!r}; {suggestion(str(name), COLUMNS)}")
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.columns and self.layout not in (None, "contest", "bug_fix"):
            raise told(
                f"give either `layout: {self.layout}`, whose columns are known, or `columns` of a table of your own"
            )
        return self
