"""Write the papers' pages, figures and index, and the README's tables, from the committed ledger."""

from __future__ import annotations

from pathlib import Path

from regrun.config.catalogue import topics
from regrun.report.cross_table import read_result
from regrun.report.documents import write_documents
from regrun.reproduction.ledger import read_entry

ROOT = Path(__file__).parents[1]


def main() -> None:
    """See the module."""
    ledger = ROOT / "outputs" / "ledger"
    write_documents(
        ROOT,
        [read_entry(file) for file in sorted(ledger.glob("*.json"))],
        [read_result(file) for file in sorted((ledger / "matrix").glob("*.json"))],
        topics(),
    )


if __name__ == "__main__":
    main()
