"""Launchers: execute the runs of a sweep outside this process."""
