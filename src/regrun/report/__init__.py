"""Reports: the terminal's, the page, the index over all, and the documents made from the ledger."""
