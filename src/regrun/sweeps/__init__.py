"""Sweeps: many runs, composed, distributed to workers and reported."""
