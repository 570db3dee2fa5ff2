"""Code problems as prompts: contest problems, bug fixing, and questions about inputs and outputs."""
