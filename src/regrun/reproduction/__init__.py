"""Reproducing an experiment: which runs it takes, how far they are, and what they say together."""
