"""Judging: rubrics, prompts, the strict reading of verdicts, what needs no judge, and a judge behind an endpoint."""
