"""Measuring how safely a model answers: the taxonomy, the question set and its rules, judges, rates."""
