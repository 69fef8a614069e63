"""A test for each paper; one that all of them pass is in ``test_verification``."""
