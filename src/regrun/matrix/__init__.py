"""Cross tables: every component of a kind on each of several standing problems."""
