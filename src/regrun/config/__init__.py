"""Composing and checking the config of a run."""
