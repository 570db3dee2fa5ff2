"""Grading programs and patches by running them in the sandbox against hidden tests. Nothing runs outside of it."""
