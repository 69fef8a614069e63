"""Launchers: where the runs of a sweep are computed, beside this process."""
