"""OpenAI-compatible endpoints: teachers, judges and reviewers that run elsewhere. Never imports torch."""
