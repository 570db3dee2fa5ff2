"""Training data for the safety reward model: prompts, several models' replies, labels by a guideline, a human check."""
