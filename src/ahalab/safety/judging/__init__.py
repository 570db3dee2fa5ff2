"""Judging: rubrics, the prompt, the strict reading of a verdict, what needs no judge, and a judge behind an endpoint."""
