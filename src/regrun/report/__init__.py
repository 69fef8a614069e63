"""Reports: terminal output, HTML pages, their index, and documents made from the ledger."""
