"""Reports: the terminal's, the page that opens from disk, the index, and the documents made from the ledger."""
