"""Reproducing an experiment: its runs, their progress, and the judgement."""
