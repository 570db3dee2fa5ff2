"""Robustness against published jailbreak templates: a catalogue, a seeded assignment, a table of change.

Measurement only: nothing here makes, mends or searches for an attack. Template texts are read from installed packages
and from the user's files while the program runs; none is part of this repository.
"""
