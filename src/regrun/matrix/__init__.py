"""The cross table: every component of a kind on each of a few standing problems."""
