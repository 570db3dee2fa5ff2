"""The second stage of risk control: a reviewer judges a flagged dialogue by a policy's numbered standards."""
